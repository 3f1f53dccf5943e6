package synth

import "strconv"

// syntax holds the pieces of one layout that stand between the values of a row.
type syntax struct {
	open, name, pid, tid, ts, dur, args, end string
	bare                                     string    // end of a row that has no args
	flow                                     [7]string // before ph, id, pid, tid, ts; then the two endings
	trim                                     bool      // numbers lose their trailing zeros
}

var syntaxes = [...]syntax{
	Classic: {
		open: "  {\n    \"ph\": \"X\", \"cat\": \"",
		name: "\", \"name\": \"", pid: "\", \"pid\": ", tid: ", \"tid\": ",
		ts: ",\n    \"ts\": ", dur: ", \"dur\": ",
		args: ",\n    \"args\": {\n      ", end: "\n    }\n  },\n", bare: "\n  },\n",
		flow: [7]string{
			"  {\n    \"ph\": \"", "\", \"id\": ", ", \"pid\": ", ", \"tid\": ", ", \"ts\": ",
			",\n    \"cat\": \"ac2g\", \"name\": \"ac2g\"\n  },\n",
			",\n    \"cat\": \"ac2g\", \"name\": \"ac2g\", \"bp\": \"e\"\n  },\n",
		},
	},
	KeyPerLine: {
		open: "  {\n    \"ph\": \"X\",\n    \"cat\": \"",
		name: "\",\n    \"name\": \"", pid: "\",\n    \"pid\": ", tid: ",\n    \"tid\": ",
		ts: ",\n    \"ts\": ", dur: ",\n    \"dur\": ",
		args: "\n    ,\n    \"args\": {\n      ", end: "\n    }\n  },\n", bare: "\n    \n  },\n",
		flow: [7]string{
			"  {\n    \"ph\": \"", "\",\n    \"id\": ", ",\n    \"pid\": ", ",\n    \"tid\": ", ",\n    \"ts\": ",
			",\n    \"cat\": \"ac2g\",\n    \"name\": \"ac2g\"\n    \n  },\n",
			",\n    \"cat\": \"ac2g\",\n    \"name\": \"ac2g\"\n    , \"bp\": \"e\"\n  },\n",
		},
	},
	Compact: {
		open: `{"ph":"X","cat":"`,
		name: `","name":"`, pid: `","pid":`, tid: `,"tid":`,
		ts: `,"ts":`, dur: `,"dur":`,
		args: `,"args":{`, end: "}},", bare: "},",
		flow: [7]string{
			`{"ph":"`, `","id":`, `,"pid":`, `,"tid":`, `,"ts":`,
			`,"cat":"ac2g","name":"ac2g"},`,
			`,"cat":"ac2g","name":"ac2g","bp":"e"},`,
		},
		trim: true,
	},
}

// appendMicros appends ns as microseconds with three decimals, or as few as the
// value needs (but one) if trim is set.
func appendMicros(b []byte, ns int64, trim bool) []byte {
	us := ns / 1000
	f := ns - us*1000
	b = strconv.AppendInt(b, us, 10)
	b = append(b, '.', byte('0'+f/100), byte('0'+f/10%10), byte('0'+f%10))
	if trim {
		for n := 0; n < 2 && b[len(b)-1] == '0'; n++ {
			b = b[:len(b)-1]
		}
	}
	return b
}

// squeeze removes the blanks of s that are outside of strings. s must begin
// outside of one.
func squeeze(s string) string {
	out := make([]byte, 0, len(s))
	quoted := false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted && i+1 < len(s):
			out = append(out, c)
			i++
			c = s[i]
		case !quoted && (c == ' ' || c == '\n'):
			continue
		}
		out = append(out, c)
	}
	return string(out)
}

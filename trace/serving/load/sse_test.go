package load

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// all reads every event of a stream.
func all(r io.Reader) (out []string, err error) {
	e := newEventReader(r, func() int64 { return 0 })
	for {
		data, _, err := e.event()
		if err != nil {
			return out, err
		}
		out = append(out, string(data))
	}
}

func TestEvents(t *testing.T) {
	for _, c := range []struct {
		name, stream string
		want         []string
	}{
		{"vllm", "data: {\"a\":1}\n\ndata: [DONE]\n\n", []string{`{"a":1}`, "[DONE]"}},
		{"crlf", "data: a\r\n\r\ndata: b\r\n\r\n", []string{"a", "b"}},
		{"comment", ": ping\n\n:\n\ndata: a\n: ping\n\n", []string{"a"}},
		{"other fields", "event: error\nid: 7\nretry: 10\ndata: a\n\n", []string{"a"}},
		{"no space", "data:a\n\ndata:  b\n\n", []string{"a", " b"}},
		{"several lines", "data: a\ndata: b\n\n", []string{"a\nb"}},
		{"no value", "data\n\ndata:\n\n", []string{"", ""}},
		{"another name", "database: a\ndat: b\n\n", nil},
		{"no blank line at the end", "data: a\n\ndata: b\n", []string{"a", "b"}},
		{"no line end", "data: a\n\ndata: b", []string{"a", "b"}},
		{"many blank lines", "\n\n\ndata: a\n\n\n\r\n\ndata: b\n\n\n", []string{"a", "b"}},
		{"empty", "", nil},
	} {
		got, err := all(strings.NewReader(c.stream))
		if err != io.EOF || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v, want %q", c.name, got, err, c.want)
		}
	}
}

func TestEventsBrokenOff(t *testing.T) {
	broken := errors.New("broken")
	got, err := all(io.MultiReader(strings.NewReader("data: a\n\ndata: b\ndata: {\"c\":"), iotest.ErrReader(broken)))
	if want := []string{"a", "b"}; err != broken || !slices.Equal(got, want) {
		t.Errorf("%q, %v, want %q and the error", got, err, want)
	}
}

func TestLongLines(t *testing.T) {
	long := strings.Repeat("x", maxLine-len("data: \n"))
	got, err := all(strings.NewReader("data: a\n\ndata: " + long + "\n\ndata: b\n\n"))
	if want := []string{"a", long, "b"}; err != io.EOF || !slices.Equal(got, want) {
		t.Errorf("a line within the limit: %d events, %v", len(got), err)
	}
	for _, s := range []string{
		"data: a\n\ndata: " + strings.Repeat("x", maxLine) + "\n\n",
		"data: a\n\n" + strings.Repeat("data: "+strings.Repeat("x", maxLine/4)+"\n", 5) + "\n",
	} {
		got, err := all(strings.NewReader(s))
		if !errors.Is(err, errLongLine) || len(got) == 0 || got[0] != "a" {
			t.Errorf("%d events, %v", len(got), err)
		}
	}
}

// TestEventTimes: an event has the time at which the last of its data was read, also
// where the blank line behind it comes later.
func TestEventTimes(t *testing.T) {
	pieces := []string{"data: a\n\ndata: b\n", "\nda", "ta: c\n\n", "data: d\n\n"}
	readers := make([]io.Reader, len(pieces))
	for i, p := range pieces {
		readers[i] = strings.NewReader(p)
	}
	ticks := int64(0)
	e := newEventReader(io.MultiReader(readers...), func() int64 { ticks++; return ticks })
	for _, want := range []struct {
		data string
		at   int64
	}{{"a", 1}, {"b", 1}, {"c", 3}, {"d", 4}} {
		data, at, err := e.event()
		if string(data) != want.data || at != want.at || err != nil {
			t.Errorf("%q at %d, %v, want %q at %d", data, at, err, want.data, want.at)
		}
	}
}

// pieces reads in the sizes that cuts says, over and over.
type pieces struct {
	r    io.Reader
	cuts []byte
	i    int
}

func (p *pieces) Read(b []byte) (int, error) {
	n := int(p.cuts[p.i%len(p.cuts)]) + 1
	p.i++
	return p.r.Read(b[:min(n, len(b))])
}

// FuzzEvents: where reads split a stream changes nothing.
func FuzzEvents(f *testing.F) {
	f.Add([]byte("data: {\"a\":1}\n\ndata: [DONE]\n\n"), []byte{3, 1})
	f.Add([]byte(": x\r\n\r\ndata: a\r\ndata:b\r\n\r\ndata"), []byte{0})
	f.Add([]byte("data: a\n\n\n\ndata"), []byte{7, 0, 0, 30})
	f.Fuzz(func(t *testing.T, stream, cuts []byte) {
		if len(cuts) == 0 {
			return
		}
		whole, err := all(bytes.NewReader(stream))
		if err != io.EOF {
			t.Fatal(err)
		}
		split, err := all(&pieces{r: bytes.NewReader(stream), cuts: cuts})
		if err != io.EOF || !slices.Equal(whole, split) {
			t.Errorf("%q, in pieces %q, %v", whole, split, err)
		}
	})
}

// Package jsontext walks through JSON text without decoding it: exports have
// millions of small objects of which a few scalars matter. It imports nothing
// of ours.
package jsontext

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// Fields walks through the JSON object at b[i] and calls f for each of its
// scalar values, of nested objects too (and of objects in arrays), with the
// key it has and the key of the object it stands in, strings without their
// quotes and as written. It returns where the object ended; ok is false when
// the text is no JSON.
func Fields(b []byte, i int, f func(object, key, value []byte)) (end int, ok bool) {
	return walkObject(b, i, nil, f, 0)
}

// maxDepth bounds nesting; exports nest four deep.
const maxDepth = 32

func walkObject(b []byte, i int, object []byte, f func(object, key, value []byte), depth int) (int, bool) {
	if depth > maxDepth || i >= len(b) || b[i] != '{' {
		return i, false
	}
	i = Space(b, i+1)
	if i < len(b) && b[i] == '}' {
		return i + 1, true
	}
	for {
		end := StringEnd(b, i)
		if end < 0 {
			return i, false
		}
		key := b[i+1 : end-1]
		i = Space(b, end)
		if i >= len(b) || b[i] != ':' {
			return i, false
		}
		var ok bool
		if i, ok = walkValue(b, Space(b, i+1), object, key, f, depth); !ok {
			return i, false
		}
		if i = Space(b, i); i >= len(b) {
			return i, false
		}
		switch b[i] {
		case '}':
			return i + 1, true
		case ',':
			i = Space(b, i+1)
		default:
			return i, false
		}
	}
}

func walkValue(b []byte, i int, object, key []byte, f func(object, key, value []byte), depth int) (int, bool) {
	if i >= len(b) {
		return i, false
	}
	switch b[i] {
	case '{':
		return walkObject(b, i, key, f, depth+1)
	case '[':
		for i = Space(b, i+1); ; i = Space(b, i+1) {
			if i < len(b) && b[i] == ']' {
				return i + 1, true
			}
			var ok bool
			if i, ok = walkValue(b, i, object, key, f, depth+1); !ok || depth > maxDepth {
				return i, false
			}
			if i = Space(b, i); i >= len(b) {
				return i, false
			}
			if b[i] == ']' {
				return i + 1, true
			}
			if b[i] != ',' {
				return i, false
			}
		}
	case '"':
		end := StringEnd(b, i)
		if end < 0 {
			return i, false
		}
		f(object, key, b[i+1:end-1])
		return end, true
	}
	end := i
	for end < len(b) && !bytes.ContainsRune([]byte(",}] \t\r\n"), rune(b[end])) {
		end++
	}
	if end > i {
		f(object, key, b[i:end])
	}
	return end, end > i
}

// Value walks through the value at b[i] as Fields does.
func Value(b []byte, i int, f func(object, key, value []byte)) (end int, ok bool) {
	return walkValue(b, i, nil, nil, f, 0)
}

// StringEnd is the place behind the string at b[i], -1 when there is none.
func StringEnd(b []byte, i int) int {
	if i >= len(b) || b[i] != '"' {
		return -1
	}
	for i++; ; {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return -1
		}
		back := i + n
		for back > i && b[back-1] == '\\' {
			back--
		}
		if i += n + 1; (i-1-back)%2 == 0 {
			return i
		}
	}
}

// Space is the place of the first byte from i on that is no blank.
func Space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n') {
		i++
	}
	return i
}

// Integer reads a number, which exports write with or without quotes; ok is
// false for any other text.
func Integer(b []byte) (int64, bool) {
	var n uint64
	neg := len(b) > 1 && b[0] == '-'
	if neg {
		b = b[1:]
	}
	if len(b) == 0 || len(b) > 20 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	if neg {
		return -int64(n), true
	}
	return int64(n), true
}

// Unescaped is the text of a JSON string without its quotes.
func Unescaped(raw []byte) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw)
	}
	var s string
	if json.Unmarshal(append(append([]byte{'"'}, raw...), '"'), &s) == nil {
		return s
	}
	if s, err := strconv.Unquote(`"` + string(raw) + `"`); err == nil {
		return s
	}
	return string(raw)
}

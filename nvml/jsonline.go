package nvml

import (
	"bytes"
	"cmp"
	"compress/flate"
	"errors"
)

// eachMember calls fn with every key and value of one valid JSON object, at
// its top level: keys without their quotes and as written, values as written.
func eachMember(object []byte, fn func(key, value []byte)) {
	rest := object[1:]
	for {
		start := bytes.IndexByte(rest, '"')
		if start < 0 {
			return
		}
		rest = rest[start:]
		n := valueLen(rest)
		key := rest[1 : n-1]
		rest = bytes.TrimLeft(rest[n:], ": \t\r\n")
		n = valueLen(rest)
		fn(key, rest[:n])
		rest = rest[n:]
	}
}

// valueLen is the length of the JSON value that b begins with.
func valueLen(b []byte) int {
	depth, inString := 0, false
	for i := 0; i < len(b); i++ {
		c := b[i]
		if inString {
			switch c {
			case '\\':
				i++
			case '"':
				inString = false
				if depth == 0 {
					return i + 1
				}
			}
			continue
		}
		switch c {
		case '"':
			inString = true
		case '{', '[':
			depth++
		case '}', ']':
			depth--
			if depth == 0 {
				return i + 1
			}
			if depth < 0 {
				return i
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
	}
	return len(b)
}

func isFlateDamage(err error) bool {
	var corrupt flate.CorruptInputError
	return errors.As(err, &corrupt)
}

func cmp64(a, b int64) int { return cmp.Compare(a, b) }

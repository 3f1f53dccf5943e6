package trace

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// isJSON is stricter than encoding/json about encoding, as jq and browsers are.
func isJSON(b []byte) bool { return json.Valid(b) && utf8.Valid(b) }

// appendStrict copies an event or a value of a lenient writer as JSON proper:
// bare inf becomes a string as in later writers, control characters and lone
// backslashes are escaped, doubled commas go.
func appendStrict(dst, raw []byte) []byte {
	if !utf8.Valid(raw) {
		raw = []byte(string([]rune(string(raw))))
	}
	comma := -1 // place in dst of the comma just written
	last := byte('[')
	for i := 0; i < len(raw); {
		ch := raw[i]
		switch ch {
		case ' ', '\t', '\n', '\r':
			dst = append(dst, ch)
			i++
			continue
		case ',':
			if comma < 0 && last != '{' && last != '[' {
				comma, dst = len(dst), append(dst, ch)
			}
			i++
			continue
		}
		if comma >= 0 && (ch == '}' || ch == ']') {
			dst = slices.Delete(dst, comma, comma+1)
		}
		comma, last = -1, ch
		switch ch {
		case '"':
			dst, i = appendStrictString(dst, raw, i)
		case '{', '}', '[', ']', ':':
			dst = append(dst, ch)
			i++
		default:
			end := i + 1
			for end < len(raw) && !strings.ContainsRune(" \t\r\n,:\"{}[]", rune(raw[end])) {
				end++
			}
			if token := raw[i:end]; json.Valid(token) {
				dst = append(dst, token...)
			} else {
				dst = append(append(append(dst, '"'), token...), '"')
			}
			i = end
		}
	}
	return dst
}

// appendStrictString copies the string at the quote raw[i] and returns where it
// ended.
func appendStrictString(dst, raw []byte, i int) ([]byte, int) {
	dst = append(dst, '"')
	for i++; i < len(raw) && raw[i] != '"'; i++ {
		switch ch := raw[i]; {
		case ch == '\\' && escapes(raw[i:]):
			dst = append(dst, ch, raw[i+1])
			i++
		case ch == '\\':
			dst = append(dst, '\\', '\\')
		case ch < ' ':
			const hex = "0123456789abcdef"
			dst = append(dst, '\\', 'u', '0', '0', hex[ch>>4], hex[ch&15])
		default:
			dst = append(dst, ch)
		}
	}
	if i < len(raw) {
		dst = append(dst, '"')
	}
	return dst, i + 1
}

// escapes says whether b starts with a JSON escape.
func escapes(b []byte) bool {
	if len(b) < 2 || b[1] != 'u' {
		return len(b) >= 2 && bytes.IndexByte([]byte(`"\/bfnrt`), b[1]) >= 0
	}
	if len(b) < 6 {
		return false
	}
	for _, ch := range b[2:6] {
		if bytes.IndexByte([]byte("0123456789abcdefABCDEF"), ch) < 0 {
			return false
		}
	}
	return true
}

// appendRedacted copies JSON text and shortens every absolute path in it.
func appendRedacted(dst, raw []byte) []byte {
	fresh := true // a path may start here: what stands before is no part of a word
	for i := 0; i < len(raw); {
		escaped := raw[i] == '\\' && i+1 < len(raw)
		switch {
		case fresh && (raw[i] == '/' || escaped && raw[i+1] == '/'):
			path, end := pathAt(raw, i)
			dst = append(dst, redactedPath(path, raw[i:end])...)
			i, fresh = end, false
		case escaped:
			dst = append(dst, raw[i], raw[i+1])
			fresh = raw[i+1] != '/'
			i += 2
		default:
			dst = append(dst, raw[i])
			fresh = startsPath(raw[i])
			i++
		}
	}
	return dst
}

// redactedPath is what is left of a path, whose text may have escaped slashes.
func redactedPath(path string, text []byte) string {
	whole := strings.TrimRight(path, "/")
	switch {
	case isHome(path):
		return "~"
	case strings.Count(whole, "/") < 2:
		return string(text)
	}
	return ShortPath(whole)
}

// pathAt returns the path that starts at raw[i], slashes unescaped, and its end.
func pathAt(raw []byte, i int) (string, int) {
	end := i
	for end < len(raw) && (pathByte(raw[end]) || raw[end] == '\\' && end+1 < len(raw) && raw[end+1] == '/') {
		end++
	}
	return strings.ReplaceAll(string(raw[i:end]), `\/`, "/"), end
}

// isHome says whether a path ends at somebody's home.
func isHome(p string) bool {
	dir, rest, _ := strings.Cut(strings.Trim(p, "/"), "/")
	return (dir == "home" || dir == "Users") && rest != "" && !strings.Contains(rest, "/")
}

// startsPath says which bytes an absolute path follows.
func startsPath(b byte) bool {
	return b <= ' ' || bytes.IndexByte([]byte("\"'`([{=:,;<>|&@"), b) >= 0
}

func pathByte(b byte) bool {
	return b > ' ' && bytes.IndexByte([]byte("\"'`(),;:<>[]{}|&\\"), b) < 0
}

// ShortPath cuts an absolute path down to what tells code apart: where it was
// installed stays on the machine.
func ShortPath(p string) string {
	for _, mark := range []string{"/site-packages/", "/dist-packages/"} {
		if i := strings.LastIndex(p, mark); i >= 0 {
			return p[i+len(mark):]
		}
	}
	if i := strings.LastIndex(p, "/lib/python"); i >= 0 {
		if _, rest, ok := strings.Cut(p[i+len("/lib/python"):], "/"); ok {
			return rest
		}
	}
	if strings.HasPrefix(p, "/") {
		return p[strings.LastIndexByte(p, '/')+1:]
	}
	return p
}

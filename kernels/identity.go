package kernels

import (
	"regexp"
	"strings"
)

// Identity is what all tools' spellings of one kernel have in common: its
// normal form without parameter lists, casts, return types and the other words
// that one demangler writes and another leaves out. Equal identities are the
// same kernel of two recordings; nobody should have to read one.
func Identity(raw string) string {
	n := Split(raw)
	if n.Params == "" && !strings.ContainsAny(n.Normal, "<(:") || isCopy(n.Normal) {
		return n.Normal
	}
	text := n.Normal
	if strings.HasPrefix(n.Params, "(") {
		text = strings.TrimSuffix(text, n.Params)
	}
	text = lambdas.ReplaceAllString(text, "{lambda#$1}")
	return identityWords(withoutGroups(text))
}

// lambdas are how Nsight Systems numbers them: "[lambda(int) (instance 1)]".
var lambdas = regexp.MustCompile(`\[lambda\([^\[\]]*\) \(instance (\d+)\)\]`)

// withoutGroups drops what stands in round brackets.
func withoutGroups(s string) string {
	var b strings.Builder
	depth := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case depth == 0:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// identityWords respells word by word, and drops white space.
func identityWords(s string) string {
	var b strings.Builder
	for len(s) > 0 {
		n := 0
		for n < len(s) && (s[n] == '_' || s[n] == '$' || classOf(s[n]) != sep) {
			n++
		}
		if n == 0 {
			if s[0] != ' ' {
				b.WriteByte(s[0])
			}
			s = s[1:]
			continue
		}
		word := s[:n]
		s = s[n:]
		switch {
		case word == "const", word == "void" && !strings.HasPrefix(strings.TrimLeft(s, " "), "*"):
		case word == "true":
			b.WriteByte('1')
		case word == "false":
			b.WriteByte('0')
		case classOf(word[0]) == digit:
			b.WriteString(strings.TrimRight(word, "uUlL"))
		default:
			b.WriteString(word)
		}
	}
	return b.String()
}

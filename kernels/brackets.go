package kernels

import "strings"

// The brackets of C++ names: where a name falls apart, and which of its angle
// brackets are comparisons.

// marks are the places where a name falls apart.
type marks struct {
	name   int  // where the qualified name starts, behind a return type
	params int  // where the parameter list starts, or -1
	open   bool // a bracket never closes
}

// layout finds the marks in one pass.
func layout(s string) marks {
	m := marks{params: -1}
	cpp := strings.ContainsAny(s, "<(:") // else a space is part of a plain text
	var stack []byte
	for i := 0; i < len(s); i++ {
		if s[i] == '(' && len(stack) == 0 && m.params < 0 && !strings.HasPrefix(s[i:], anonymous) && i > m.name && !strings.HasSuffix(s[:i], "operator") {
			m.params = i
		}
		stack = enter(stack, s, i)
		switch s[i] {
		case ')', '}', ']':
			if len(stack) == 0 && m.params >= 0 && strings.HasPrefix(s[i+1:], "::") {
				m.params = -1 // parameters of an enclosing function, not of the kernel
			}
		case ' ':
			if len(stack) == 0 && m.params < 0 && cpp {
				m.name = i + 1
			}
		}
	}
	m.open = len(stack) > 0
	return m
}

// enter is the stack of open brackets behind s[i]. Angle brackets only count
// where they can: "(8)>(0)" inside an argument closes nothing.
func enter(stack []byte, s string, i int) []byte {
	switch c := s[i]; c {
	case '(', '{', '[':
		return append(stack, c)
	case '<':
		if i > 0 && opens(s, i) {
			return append(stack, c)
		}
	case '>':
		if i > 0 && s[i-1] != '-' && len(stack) > 0 && stack[len(stack)-1] == '<' {
			return stack[:len(stack)-1]
		}
	case ')', '}', ']':
		return closeTo(stack, c)
	}
	return stack
}

// opens tells an opening angle bracket from a comparison.
func opens(s string, i int) bool {
	c := s[i-1]
	return classOf(c) != sep || c == '_' || c == '}'
}

// closeTo pops the stack to the bracket that c closes; unclosed angle brackets
// above it were comparisons.
func closeTo(stack []byte, c byte) []byte {
	want := map[byte]byte{')': '(', '}': '{', ']': '['}[c]
	for k := len(stack) - 1; k >= 0 && k >= len(stack)-maxDepth; k-- {
		if stack[k] == want {
			return stack[:k]
		}
		if stack[k] != '<' {
			return stack
		}
	}
	return stack
}

// components cuts a qualified name at its top-level "::".
func components(s string) []string {
	var parts []string
	var stack []byte
	start := 0
	for i := 0; i < len(s); i++ {
		if s[i] == ':' && len(stack) == 0 && strings.HasPrefix(s[i:], "::") {
			parts = append(parts, s[start:i])
			start = i + 2
			i++
			continue
		}
		stack = enter(stack, s, i)
	}
	return append(parts, s[start:])
}

// arguments cuts "name<args>" in two; args run to the end of a cut name.
func arguments(s string) (name, args string) {
	i := strings.IndexByte(s, '<')
	if i <= 0 {
		return s, ""
	}
	args = s[i+1:]
	depth := 1
	for k := 0; k < len(args); k++ {
		switch args[k] {
		case '(':
			// Whatever is compared in parentheses closes no angle bracket.
			k += skipParens(args[k:])
		case '<':
			depth++
		case '>':
			if depth--; depth == 0 {
				return s[:i], args[:k]
			}
		}
	}
	return s[:i], args
}

// skipParens returns how far the closing parenthesis of s[0] is; one that never
// closes takes the rest with it.
func skipParens(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return len(s) - 1
}

// topLevel cuts a list at the commas that stand in no bracket.
func topLevel(s string) []string {
	var parts []string
	depth, start := 0, 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '<', '(', '{', '[':
			depth++
		case '>', ')', '}', ']':
			depth--
		case ',':
			if depth == 0 {
				parts = append(parts, s[start:i])
				start = i + 1
			}
		}
	}
	return append(parts, s[start:])
}

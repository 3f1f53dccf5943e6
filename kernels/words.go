package kernels

import "strings"

// Rules are written about words, not about letters: "gemma" is one word and
// holds no "gemm", while "s16816gemm", "sgl_gemm" and "GemmUniversal" all hold
// the word. Every identifier is cut at underscores, between letters and
// digits, and at camel humps; words are lower case and joined by one space.
// What stands between identifiers (::, <, commas) is kept.

// compounds are pairs of words that authors write in one word or in two; they
// are joined so that one pattern serves RMSNorm, rms_norm and rmsnorm.
var compounds = map[[2]string]bool{
	{"mo", "e"}: true, {"lo", "ra"}: true, {"ro", "pe"}: true,
	{"swi", "glu"}: true, {"ge", "glu"}: true, {"si", "lu"}: true, {"ge", "lu"}: true, {"re", "lu"}: true,
	{"top", "k"}: true, {"soft", "max"}: true, {"arg", "max"}: true, {"arg", "min"}: true,
	{"rms", "norm"}: true, {"layer", "norm"}: true, {"group", "norm"}: true,
	{"all", "reduce"}: true, {"all", "gather"}: true, {"reduce", "scatter"}: true,
	{"hto", "d"}: true, {"dto", "h"}: true, {"dto", "d"}: true, {"pto", "p"}: true, {"hto", "h"}: true,
	{"mem", "cpy"}: true, {"mem", "set"}: true, {"b", "float"}: true, {"split", "k"}: true, {"stream", "k"}: true,
	{"deep", "ep"}: true, {"flash", "infer"}: true, {"ton", "emoe"}: true,
}

const (
	sep = iota
	lower
	upper
	digit
)

func classOf(c byte) int {
	switch {
	case c >= 'a' && c <= 'z' || c >= 0x80:
		return lower
	case c >= 'A' && c <= 'Z':
		return upper
	case c >= '0' && c <= '9':
		return digit
	}
	return sep
}

// speller writes the words of a text and, when asked, remembers for each
// written byte where it came from, so that a match can be shown in the
// spelling of the trace.
type speller struct {
	out   []byte
	at    []int
	track bool
	// prev is where the last word of the current identifier starts in out; -1
	// before the first.
	prev int
}

// spell returns the words of s.
func spell(s string) string {
	sp := speller{out: make([]byte, 0, len(s)+len(s)/4), prev: -1}
	sp.run(s)
	return string(sp.out)
}

// spellAt is spell with the origin of every byte; the extra last entry is the
// end of s.
func spellAt(s string) (string, []int) {
	sp := speller{track: true, prev: -1}
	sp.run(s)
	return string(sp.out), append(sp.at, len(s))
}

func (sp *speller) put(c byte, origin int) {
	sp.out = append(sp.out, c)
	if sp.track {
		sp.at = append(sp.at, origin)
	}
}

func (sp *speller) run(s string) {
	for i := 0; i < len(s); {
		class := classOf(s[i])
		if class == sep {
			if s[i] == '_' {
				i++
				continue
			}
			sp.prev = -1
			if s[i] != ' ' || len(sp.out) > 0 && sp.out[len(sp.out)-1] != ' ' {
				sp.put(s[i], i)
			}
			i++
			continue
		}
		end := wordEnd(s, i, class)
		sp.word(s, i, end)
		i = end
	}
}

// wordEnd finds the end of the word that starts at i: a run of digits, a run
// of lower case letters with an optional capital before it, or a run of
// capitals up to the one that begins the next word.
func wordEnd(s string, i, class int) int {
	j := i + 1
	if class == digit || class == lower {
		for j < len(s) && classOf(s[j]) == class {
			j++
		}
		return j
	}
	for j < len(s) && classOf(s[j]) == upper {
		j++
	}
	if j == len(s) || classOf(s[j]) != lower {
		return j
	}
	if j-i > 1 {
		// RMSNorm: the last capital belongs to the next word; but a plural or a
		// one-letter tail (GEMMs) is not a word.
		if j+1 == len(s) || classOf(s[j+1]) != lower {
			if s[j] == 's' {
				return j + 1
			}
		}
		return j - 1
	}
	for j < len(s) && classOf(s[j]) == lower {
		j++
	}
	return j
}

func (sp *speller) word(s string, from, to int) {
	if sp.prev >= 0 && !sp.joins(s[from:to]) {
		sp.put(' ', from)
		sp.prev = len(sp.out)
	} else if sp.prev < 0 {
		sp.prev = len(sp.out)
	}
	for k := from; k < to; k++ {
		c := s[k]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		sp.put(c, k)
	}
}

// joins reports whether the word continues a compound that the last word
// began.
func (sp *speller) joins(word string) bool {
	last := sp.out[sp.prev:]
	if len(last) > 8 || len(word) > 8 {
		return false
	}
	return compounds[[2]string{string(last), strings.ToLower(word)}]
}

const anonymous = "(anonymous namespace)"

// casts are the spellings by which tools mark the type of a literal template
// argument: Nsight writes (int)128 and (bool)1 where Kineto writes 128 and
// true. Casts to enumerations stay, they say something.
var casts = []string{
	"(int)", "(unsigned int)", "(bool)", "(unsigned long)", "(long)", "(unsigned long long)", "(long long)",
	"(unsigned)", "(short)", "(unsigned short)", "(char)", "(signed char)", "(unsigned char)", "(size_t)",
}

// respell brings a demangled name into one spelling: Kineto's, without the
// suffixes of literals and without spaces that carry nothing.
func respell(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	last := func() byte {
		if b.Len() == 0 {
			return 0
		}
		return b.String()[b.Len()-1]
	}
	for i := 0; i < len(s); {
		n, text := respellAt(s, i, last())
		b.WriteString(text)
		i += n
	}
	return b.String()
}

// respellAt returns how many bytes of s at i are spelled as text.
func respellAt(s string, i int, last byte) (int, string) {
	rest := s[i:]
	switch c := s[i]; {
	case c == '<' && strings.HasPrefix(rest, "<unnamed>"):
		return len("<unnamed>"), anonymous
	case c == '{' && strings.HasPrefix(rest, "{anonymous}"):
		return len("{anonymous}"), anonymous
	case c == '`' && strings.HasPrefix(rest, "`anonymous namespace'"):
		return len("`anonymous namespace'"), anonymous
	case c == '(':
		if n, text := cast(rest); n > 0 {
			return n, text
		}
		if strings.HasPrefix(rest, anonymous) {
			return len(anonymous), anonymous
		}
	case c == '[' && strings.HasPrefix(rest, "[lambda("):
		return 1, "{"
	case c == ' ':
		return blank(rest, last)
	case classOf(c) == digit && classOf(last) == sep && last != '_':
		return literal(rest)
	}
	return 1, s[i : i+1]
}

// cast reads "(bool)1" and the like.
func cast(s string) (int, string) {
	for _, c := range casts {
		if !strings.HasPrefix(s, c) || len(s) == len(c) {
			continue
		}
		next := s[len(c)]
		if classOf(next) != digit && next != '-' {
			return 0, ""
		}
		if c == "(bool)" && (next == '0' || next == '1') {
			return len(c) + 1, map[byte]string{'0': "false", '1': "true"}[next]
		}
		if next == '-' {
			return len(c) + 1, "-"
		}
		n, text := literal(s[len(c):])
		return len(c) + n, text
	}
	return 0, ""
}

// literal reads a number and drops its suffix: 128u, 4ul, 2048l.
func literal(s string) (int, string) {
	i := 0
	for i < len(s) && classOf(s[i]) == digit {
		i++
	}
	end := i
	for i < len(s) && strings.IndexByte("uUlL", s[i]) >= 0 {
		i++
	}
	if i < len(s) && (classOf(s[i]) != sep || s[i] == '_') {
		return end, s[:end]
	}
	return i, s[:end]
}

// blank decides what a space is for.
func blank(s string, last byte) (int, string) {
	const instance = " (instance "
	if strings.HasPrefix(s, instance) {
		if end := strings.Index(s[:min(len(s), 40)], ")]"); end > 0 {
			return end + 2, "#" + s[len(instance):end] + "}"
		}
	}
	if len(s) == 1 || s[1] == ' ' || last == ' ' {
		return 1, ""
	}
	switch s[1] {
	case '>':
		if last == '>' {
			return 1, ""
		}
	case '*', '&':
		return 1, ""
	case '(':
		if strings.HasPrefix(s, " ()") {
			return 1, "" // Nsight's operator ()
		}
	}
	return 1, " "
}

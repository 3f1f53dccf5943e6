package scrub

import (
	"regexp"
	"slices"
	"strings"
)

// masker makes texts fit to leave a machine: ranges carry what programs wrote
// into them, and names of kernels may carry what a compiler saw.
type masker struct {
	words  []string // hosts, users and secrets that the export itself names
	masked int64    // texts that lost something
}

// masks are what a text must not hold, and what stands in its place. Paths go
// whole: also the name of a file may be private.
var masks = []struct {
	what *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s"'<>]+`), "(url)"},
	{regexp.MustCompile("(^|[\\s\"'`(\\[{=:,;<>|&@])/" + pathBody + "(?:[ ]" + pathBody + "?/" + pathBody + ")*"), "$1(path)"},
	{regexp.MustCompile(`(^|[\s"'=(,])~[A-Za-z0-9_.-]*/[^\s"']*`), "$1(path)"},
	{regexp.MustCompile(`(^|[\s"'=(,])(?:[A-Za-z]:\\|\\\\)[^\s"']+`), "$1(path)"},
	{regexp.MustCompile(`[A-Za-z0-9_.+-]+@[A-Za-z0-9_.-]+`), "(address)"},
	{regexp.MustCompile(`\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b`), "(address)"},
	{regexp.MustCompile(`(?i)\b[0-9a-f]{1,4}(?::{1,2}[0-9a-f]{1,4}){4,7}\b`), "(address)"},
	{regexp.MustCompile(`\b(?:hf_[A-Za-z0-9]{20,}|gh[a-z]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[a-z]-[\w-]{10,}|sk-[\w-]{16,}|AKIA[0-9A-Z]{16}|eyJ[\w-]{10,}\.[\w.-]+)`), "(secret)"},
}

// pathBody is what a path goes on with: no blank, quote, bracket or separator.
const pathBody = "[^\\s\"'`(),;:<>\\[\\]{}|&\\\\]+"

// assigned finds secrets by the names they are given to. Counts of tokens have
// such a name too: values of digits alone stay.
var assigned = regexp.MustCompile(`(?i)\b([A-Za-z0-9_-]*(?:secret|passw(?:or)?d|passphrase|api[_-]?key|access[_-]?key|credential|token|authorization|bearer)["']?\s*(?:[=:]|\s)\s*["']?(?:bearer\s+)?)([^\s"',;&]+)`)

var digitsOnly = regexp.MustCompile(`^[\d.]+[,)\]}]*$`)

// text masks what a program may have written.
func (m *masker) text(s string) string {
	out := mask(s)
	for _, w := range m.words {
		out = withoutWord(out, w)
	}
	if out != s {
		m.masked++
	}
	return out
}

// name masks what a compiler or a library named.
func (m *masker) name(s string) string {
	out := mask(s)
	if out != s {
		m.masked++
	}
	return out
}

func mask(s string) string {
	if !strings.ContainsAny(s, "/\\@=: .-_") {
		return s
	}
	for _, k := range masks {
		s = k.what.ReplaceAllString(s, k.with)
	}
	return assigned.ReplaceAllStringFunc(s, func(all string) string {
		p := assigned.FindStringSubmatch(all)
		// A word behind "token" alone is prose or a C++ type; behind a sign it is a value.
		if digitsOnly.MatchString(p[2]) || !strings.ContainsAny(p[1], "=:") && !strings.Contains(strings.ToLower(all), "bearer ") {
			return all
		}
		if strings.HasSuffix(strings.TrimSpace(p[1]), ":") && strings.HasPrefix(p[2], ":") {
			return all // a namespace
		}
		return p[1] + "(secret)"
	})
}

// withoutWord masks a word where it stands alone.
func withoutWord(s, word string) string {
	for from := 0; ; {
		i := strings.Index(s[from:], word)
		if i < 0 {
			return s
		}
		i += from
		end := i + len(word)
		if i > 0 && wordByte(s[i-1]) || end < len(s) && wordByte(s[end]) {
			from = i + 1
			continue
		}
		s = s[:i] + "(private)" + s[end:]
		from = i + len("(private)")
	}
}

func wordByte(b byte) bool {
	return b == '_' || b >= '0' && b <= '9' || b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z'
}

// know adds a word that the export names as a host, a user or a secret. Names
// that every second machine has tell nothing, and stand in module names too.
func (m *masker) know(word string) {
	word = strings.Trim(strings.TrimSpace(word), `"`)
	if len(word) >= 4 && !slices.Contains(commonWords, strings.ToLower(word)) && !slices.Contains(m.words, word) && len(m.words) < 1<<10 {
		m.words = append(m.words, word)
	}
}

var commonWords = []string{"root", "user", "vllm", "sglang", "ubuntu", "nvidia", "localhost", "none", "null", "true", "false"}

// engineProcess are the names that engines give their processes and threads,
// the only ones that say nothing of a machine. Linux cuts them to 15 bytes.
var engineProcess = regexp.MustCompile(`^(?:VLLM::|sglang::)(?:APIServer|Engine|EngineCore|EngineCor|Worker|scheduler|schedul|detokenizer|detoken|detok|router|data_parallel)?(?:_?(?:DP|TP|PP|EP|DCP|PCP)?\d*){0,6}$`)

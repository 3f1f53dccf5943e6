package kernels

import (
	"regexp"
	"strings"
)

// Explanation says how the rules came to their answer for one name.
type Explanation struct {
	// Name is the split on which the rules worked. Behind launchers it is
	// Name.Inner that they saw.
	Name Name
	Match
	// Scope, Pattern, Source and FromUser describe the rule that took the name;
	// they are empty when none did.
	Scope, Pattern, Source string
	FromUser               bool
	// Words is the text over which the pattern ran, and Matched the part of it
	// that matched.
	Words, Matched string
	// Span is that part in the spelling of the name; template arguments of
	// enclosing classes are left out.
	Span string
	// ByArgument says that no rule knows the kernel itself and that the answer
	// rests on its first type argument.
	ByArgument bool
	// Passed are rules that did not decide, in the order of the table: first
	// near misses before the one that took the name, then those behind it that
	// match as well.
	Passed []Passed
	// Line is a rule for this name, ready for a rule file of one's own; only the
	// category is to be edited.
	Line string
}

// Passed is a rule that did not decide.
type Passed struct {
	Rule string
	Category
	// Later says that the rule matches but stands behind the one that decided;
	// otherwise it stands before it and nearly matched.
	Later bool
	// Why says it in words.
	Why string
}

// maxNear bounds the list of near misses: they are hints, not a proof.
const maxNear = 6

// Explain classifies the name and says why.
func (c *Classifier) Explain(name string) Explanation {
	n := Split(name)
	x := Explanation{Name: n, Match: Match{Category: Unclassified, Short: n.Short()}}
	all := views(&n)
	for _, v := range all {
		if x.Rule == "" {
			c.walk(v, &x)
		}
	}
	if x.Rule != "" {
		// What nearly decided in favour of the same answer explains nothing.
		x.Passed = dropSame(x.Passed, x.Category)
	}
	x.Line = all[0].ownRule(x.Match)
	return x
}

// walk lets the rules look at one reading of the name and notes what each of
// them has to say.
func (c *Classifier) walk(v *view, x *Explanation) {
	near := 0
	for i := range c.rules {
		r := &c.rules[i]
		loc := v.find(r)
		switch {
		case loc != nil && x.Rule == "":
			x.Match = Match{Category: r.Category, Rule: r.ID, Tags: r.Tags, Short: x.Short}
			x.Scope, x.Pattern, x.Source, x.FromUser = r.Scope, r.Pattern, r.Source, i < c.user
			x.Words = v.words(r.Scope)
			x.Matched, x.Span = x.Words[loc[0]:loc[1]], v.span(r.Scope, loc)
			x.ByArgument = v.guess
		case loc != nil:
			x.Passed = append(x.Passed, Passed{Rule: r.ID, Category: r.Category, Later: true, Why: "matches as well, but " + x.Rule + " stands before it"})
		case x.Rule == "" && near < maxNear && !v.guess:
			if why := v.nearMiss(r); why != "" {
				near++
				x.Passed = append(x.Passed, Passed{Rule: r.ID, Category: r.Category, Why: why})
			}
		}
	}
}

func dropSame(all []Passed, category Category) []Passed {
	var kept []Passed
	for _, p := range all {
		if p.Later || p.Category != category {
			kept = append(kept, p)
		}
	}
	return kept
}

// span returns the match in the spelling of the name.
func (v *view) span(scope string, loc []int) string {
	text := v.text(scope)
	_, at := spellAt(text)
	if loc[1] >= len(at) || loc[0] == loc[1] {
		return ""
	}
	from, to := at[loc[0]], at[loc[1]-1]+1
	return text[from:min(to, len(text))]
}

// nearMiss says why a rule that comes close does not match, or "".
func (v *view) nearMiss(r *Rule) string {
	if strings.HasPrefix(r.Pattern, "^") {
		return ""
	}
	n, text := v.name.effective(), clipTo(v.words(r.Scope), 256)
	if params := spell(clipTo(n.Params, 512)); params != "" && r.mayMatch(params) && r.re.MatchString(params) {
		return "matches only in the parameter list, which says nothing about what a kernel does"
	}
	if r.Scope == ScopeBase {
		if words := v.words(ScopeTemplate); r.mayMatch(words) && r.re.MatchString(words) {
			return "matches only in the template arguments; the rule looks at the identifier"
		}
	}
	for _, letters := range letterRuns.FindAllString(r.Pattern, -1) {
		if !strings.Contains(text, letters) || wordIn(text, letters) {
			continue
		}
		apart := strings.Join(strings.Fields(strings.ReplaceAll(text, letters, " "+letters+" ")), " ")
		if r.re.MatchString(apart) {
			return "would match if " + letters + " were a word of its own, but it stands inside a longer one"
		}
	}
	return ""
}

// letterRuns are the words in a pattern that are long enough to be found in
// others by chance.
var letterRuns = regexp.MustCompile(`[a-z]{4,}`)

// wordIn reports whether need stands in text between word borders.
func wordIn(text, need string) bool {
	for at := 0; ; {
		i := strings.Index(text[at:], need)
		if i < 0 {
			return false
		}
		i += at
		before := i == 0 || classOf(text[i-1]) == sep
		end := i + len(need)
		if before && (end == len(text) || classOf(text[end]) == sep) {
			return true
		}
		at = i + 1
	}
}

func clipTo(s string, n int) string { return s[:min(len(s), n)] }

var number = regexp.MustCompile(`\d+`)

// ownRule writes a rule that takes this name and its siblings of other tile
// sizes.
func (v *view) ownRule(m Match) string {
	scope := ScopeBase
	words := v.words(ScopeBase)
	if !strings.Contains(words, " ") && len(v.name.effective().Path) > 0 {
		scope, words = ScopeQualified, v.words(ScopeQualified)
	}
	whole := len(words) <= 200
	words = strings.ToValidUTF8(clipTo(words, 200), "\uFFFD")
	pattern := "^" + number.ReplaceAllLiteralString(regexp.QuoteMeta(words), `\d+`)
	pattern = strings.ReplaceAll(pattern, "\uFFFD", ".+")
	if whole {
		pattern += "$"
	}
	id := strings.Trim(strings.Map(idRune, clipTo(words, 40)), "_")
	if id == "" {
		id = "kernel"
	}
	example := strings.Map(func(r rune) rune {
		if r == '\t' || r == '\n' || r == '\r' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(v.name.Raw, "?"))
	return strings.Join([]string{"my." + id, scope, pattern, m.Category.String(), strings.Join(m.Tags, ","), example, "my own"}, "\t")
}

func idRune(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
		return r
	}
	return '_'
}

// maxShort is the length that fits a table column.
const maxShort = 60

// Short returns a readable name for tables: the base identifier and the bits
// that tell it from its siblings (tile, functor, what a launcher launches).
// It is at most 60 characters long. Different kernels may share it; rows are
// keyed by the full name.
func (n Name) Short() string {
	e := n.effective()
	base := e.Base
	switch {
	case base == n.Normal && isCopy(base):
		return clip(base)
	case strings.HasPrefix(base, "nvjet_"):
		return clip("nvjet" + tile(base) + mark(base, "splitK") + mark(base, "bias"))
	case strings.HasPrefix(base, "Cijk_"):
		return clip("Cijk" + tile(strings.ReplaceAll(base, "_MT", "_")) + mark(base, "PostGSU"))
	case strings.HasPrefix(base, "kernel_cutlass_"):
		return clip(className(base))
	case isLibraryGEMM(base):
		return clip(gemmHead(base) + tile(strings.ReplaceAll(base, "tilesize", "")))
	case hasFunctor(base):
		return clip(strings.TrimSuffix(base, "_kernel") + functor(e.Template))
	case e != &n && n.Inner != nil && !strings.HasPrefix(base, n.Base):
		return clip(n.Base + " " + base)
	case len(base) <= len("Kernel2") && strings.EqualFold(strings.TrimRight(base, "2"), "kernel") && len(e.Path) > 0:
		return clip(e.Path[len(e.Path)-1] + "::" + base)
	}
	return clip(base)
}

// clip shortens the middle: both ends of long names tell something.
func clip(s string) string {
	r := []rune(strings.ToValidUTF8(s, "?"))
	if len(r) <= maxShort {
		return string(r)
	}
	const tail = 20
	return string(r[:maxShort-tail-1]) + "…" + string(r[len(r)-tail:])
}

// tile returns the first field of the form 64x8 or 128x64x32, with a space
// before it.
func tile(base string) string {
	for field := range strings.SplitSeq(base, "_") {
		digits, by := 0, 0
		for i := 0; i < len(field); i++ {
			if classOf(field[i]) == digit {
				digits++
			} else if field[i] == 'x' && i > 0 {
				by++
			}
		}
		if by > 0 && digits >= 2 && digits+by == len(field) {
			return " " + field
		}
	}
	return ""
}

func mark(base, word string) string {
	if strings.Contains(base, word) {
		return " " + word
	}
	return ""
}

// className finds the class in a CuTe DSL name, in which module path, function
// and class stand without separators.
func className(base string) string {
	last := base[strings.LastIndexByte(base, '_')+1:]
	for i := range len(last) {
		if classOf(last[i]) == upper {
			return last[i:]
		}
	}
	return strings.TrimPrefix(base, "kernel_cutlass_")
}

func isLibraryGEMM(base string) bool {
	for _, p := range []string{"ampere_", "volta_", "turing_", "maxwell_", "hopper_", "sm80_xmma", "sm86_xmma", "sm89_xmma", "sm90_xmma", "sm100_xmma", "cutlass_"} {
		if strings.HasPrefix(base, p) {
			return strings.Contains(base, "gemm")
		}
	}
	return false
}

// gemmHead keeps the name up to the word that ends in gemm.
func gemmHead(base string) string {
	i := strings.Index(base, "gemm") + len("gemm")
	if rest := base[i:]; strings.HasPrefix(rest, "_") {
		// The operand types follow; the first field of them is enough.
		field, _, _ := strings.Cut(rest[1:], "_")
		if field != "" && classOf(field[0]) == lower {
			return base[:i] + "_" + field
		}
	}
	return base[:i]
}

func hasFunctor(base string) bool {
	return strings.Contains(base, "elementwise") || base == "reduce_kernel" || base == "multi_tensor_apply_kernel"
}

// wrappers carry the functor that tells what a kernel computes.
var wrappers = map[string]bool{
	"AUnaryFunctor": true, "BUnaryFunctor": true, "BinaryFunctor": true, "func_wrapper_t": true, "gpu_kernel_impl_nocast": true,
	"gpu_kernel_impl": true, "ReduceOp": true, "gpu_index_kernel": true, "_cuda_scatter_gather_internal_kernel": true,
}

// functor finds the identifier in template arguments that says what an
// element-wise or reducing kernel computes.
func functor(args string) string {
	for i := 0; i < len(args); {
		if !isIdent(args[i]) {
			i++
			continue
		}
		j := i
		for j < len(args) && isIdent(args[j]) {
			j++
		}
		id := args[i:j]
		if !wrappers[id] && (strings.Contains(id, "Functor") || strings.HasSuffix(id, "Ops") || strings.Contains(id, "_kernel") || strings.HasSuffix(id, "_functor") || strings.HasSuffix(id, "Impl")) {
			if end := strings.IndexByte(args[j:], '>'); end > 0 && end <= 16 && args[j] == '<' && !strings.ContainsAny(args[j+1:j+end], "<:,") {
				id += args[j : j+end+1]
			}
			return " " + id
		}
		i = j
	}
	return ""
}

func isIdent(c byte) bool { return classOf(c) != sep || c == '_' }

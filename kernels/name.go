package kernels

import (
	"strings"
	"unicode"
)

// maxName bounds the part of a name that is looked at. The longest real name
// seen is 6,000 bytes; what tells a kernel apart stands well before that.
const maxName = 16 << 10

// Name is a kernel name taken apart. Traces spell the same kernel in many
// ways: Kineto and Nsight Systems demangle differently, ROCm adds suffixes,
// some tools cut the name or leave it mangled. The parts are substrings of
// Normal, where those differences are gone.
type Name struct {
	// Raw is the name as the trace has it.
	Raw string
	// Normal is the demangled name in one spelling, whatever tool wrote it.
	Normal string
	// Base is the identifier of the kernel, without namespaces and arguments.
	Base string
	// Path holds the namespaces and classes around it, outermost first,
	// without anonymous ones.
	Path []string
	// Template is the text between the angle brackets behind Base, or behind
	// the nearest class that has any.
	Template string
	// Params is the parameter list with its parentheses. No rule looks at it:
	// it repeats types of the caller's, not what the kernel does.
	Params string
	// Mangled says that Raw was an Itanium symbol.
	Mangled bool
	// Truncated says that a bracket never closes: the tool that wrote the name
	// cut it.
	Truncated bool
	// Inner is the first type argument of a launcher such as
	// cutlass::device_kernel<…>, taken apart; nil for all other kernels.
	Inner *Name
}

// Split takes a kernel name apart. It accepts anything and is linear in the
// length of the name.
func Split(raw string) Name {
	n := Name{Raw: raw}
	text := strings.TrimLeftFunc(trimSuffixes(blanks.Replace(raw)), isBlank)
	if len(text) > maxName {
		text = text[:maxName]
	}
	if symbol := mangledSymbol(text); symbol != "" {
		if plain, ok := demangle(symbol); ok {
			text, n.Mangled = plain, true
		}
	}
	if isCopy(text) {
		n.Normal, n.Base = text, text
		return n
	}
	n.Normal = trimQualifiers(respell(text))
	n.Normal = n.Normal[:min(len(n.Normal), maxName)] // some spellings are longer
	n.take(n.Normal)
	if n.Base == "" {
		n.Base, n.Path, n.Template, n.Params = n.Normal, nil, "", ""
	}
	n.unwrap(0)
	return n
}

// blanks makes one kind of white space of all.
var blanks = strings.NewReplacer("\t", " ", "\n", " ", "\v", " ", "\f", " ", "\r", " ")

// isBlank tells what may stand around a name without being part of it: white
// space, and the NULs of fixed-size fields.
func isBlank(r rune) bool { return r == 0 || unicode.IsSpace(r) }

// mangledSymbol returns the Itanium symbol in text, or "".
func mangledSymbol(text string) string {
	for strings.HasPrefix(text, "__Z") {
		text = text[1:]
	}
	if len(text) > 3 && strings.HasPrefix(text, "_Z") {
		return text
	}
	return ""
}

// isCopy tells the pseudo-kernels by which tools name copies and fills; the
// parentheses in them are not a parameter list.
func isCopy(text string) bool {
	for _, p := range []string{"Memcpy ", "Memset ", "[CUDA mem", "[CUDA Unified", "Copy", "MemcpyAsync"} {
		if strings.HasPrefix(text, p) && !strings.ContainsAny(text, "<:") {
			return true
		}
	}
	return false
}

// trimSuffixes drops what loaders and tools hang behind a symbol.
func trimSuffixes(s string) string {
	for {
		before := s
		s = strings.TrimRightFunc(s, isBlank)
		s = strings.TrimSuffix(s, ".kd")
		if strings.HasSuffix(s, "]") {
			if i := strings.LastIndex(s, " [clone "); i > 0 {
				s = s[:i]
			}
		}
		if s == before {
			return s
		}
	}
}

// trimQualifiers drops the words that may stand before a kernel's name.
func trimQualifiers(s string) string {
	for {
		before := s
		for _, w := range []string{"void ", "static ", "inline ", "__global__ ", "extern \"C\" "} {
			s = strings.TrimPrefix(s, w)
		}
		if s == before {
			return s
		}
	}
}

// take splits text, which is in normal spelling, into the four parts.
func (n *Name) take(text string) {
	cut := layout(text)
	n.Truncated = n.Truncated || cut.open
	qualified := text
	if cut.params >= 0 {
		qualified, n.Params = text[:cut.params], text[cut.params:]
	}
	if i := strings.Index(qualified, "_object_at_"); i > 0 && strings.HasPrefix(qualified, "kernel_cutlass_") {
		// CuTe DSL names end with the rendered arguments of the call.
		n.Params, qualified = text[i:], text[:i]
	}
	if cut.name < len(qualified) {
		qualified = qualified[cut.name:]
	}
	parts := components(qualified)
	for len(parts) > 1 && isLambda(parts[len(parts)-1]) {
		parts = parts[:len(parts)-1]
	}
	if len(parts) == 0 {
		return
	}
	n.Base, n.Template = arguments(parts[len(parts)-1])
	n.Base = trimSignature(n.Base)
	for i := len(parts) - 2; i >= 0; i-- {
		name, args := arguments(parts[i])
		if n.Template == "" {
			n.Template = args
		}
		if name != "" && !strings.HasPrefix(name, "(anonymous") && !isLambda(name) {
			n.Path = append(n.Path, name)
		}
	}
	for i, j := 0, len(n.Path)-1; i < j; i, j = i+1, j-1 {
		n.Path[i], n.Path[j] = n.Path[j], n.Path[i]
	}
}

// isLambda tells the components that lambdas and call operators add behind
// the function that a person would name.
func isLambda(part string) bool {
	return strings.HasPrefix(part, "{") || strings.HasPrefix(part, "operator()") || strings.HasPrefix(part, "[lambda")
}

// trimSignature drops the suffix by which old Triton versions number the
// specialised arguments (_0d1d2de3), and stray punctuation of cut names.
func trimSignature(base string) string {
	if i := strings.IndexByte(base, '('); i > 0 {
		base = base[:i]
	}
	base = strings.TrimRight(base, " .,:")
	i := strings.LastIndex(base, "_0d1")
	if i < 0 {
		return base
	}
	for _, c := range base[i+1:] {
		if !strings.ContainsRune("0123456789dec", c) {
			return base
		}
	}
	return strings.TrimRight(base[:i], "_")
}

// launchers are kernels that only call what their first type argument says.
var launchers = map[string]bool{
	"device_kernel": true, "Kernel": true, "Kernel2": true, "kentry": true, "kernel_entry": true,
	"_kernel_agent": true, "run_kernel": true, "enable_if": true,
	"kernel_entry_point": true, "LaunchKernel": true, "generic_kernel": true, "device_kernel_entry": true,
	"kentry_pt": true, "static_kernel": true, "kernel_agent": true,
}

func isLauncher(base string) bool {
	return launchers[base] || strings.HasPrefix(base, "enable_")
}

// unwrap looks through a launcher. Guards such as enable_sm90_or_later<K> are
// launchers, too.
func (n *Name) unwrap(depth int) {
	if depth > 4 || n.Template == "" || !isLauncher(n.Base) {
		return
	}
	arg := firstType(n.Template)
	if arg == "" {
		return
	}
	inner := &Name{Raw: arg, Normal: arg}
	inner.take(arg)
	if inner.Base == "" {
		return
	}
	inner.unwrap(depth + 1)
	n.Inner = inner
}

// effective is the name that rules see: the innermost one.
func (n *Name) effective() *Name {
	for n.Inner != nil {
		n = n.Inner
	}
	return n
}

// scalars are element types and constants: arguments that name no operation.
var scalars = map[string]bool{
	"true": true, "false": true, "int": true, "float": true, "bool": true, "double": true, "long": true, "char": true,
	"unsigned int": true, "unsigned long": true, "unsigned char": true, "signed char": true, "short": true, "unsigned short": true,
	"__half": true, "half": true, "__nv_bfloat16": true, "__hip_bfloat16": true, "hip_bfloat16": true, "__bf16": true, "_Float16": true,
	"c10::Half": true, "c10::BFloat16": true, "cutlass::half_t": true, "cutlass::bfloat16_t": true, "float4": true, "uint4": true,
}

// firstType returns the first template argument that names a type.
func firstType(args string) string {
	for _, arg := range topLevel(args) {
		arg = strings.TrimSpace(arg)
		if arg == "" || classOf(arg[0]) == digit || arg[0] == '-' || arg[0] == '(' && !strings.HasPrefix(arg, anonymous) {
			continue
		}
		if scalars[arg] {
			continue
		}
		return arg
	}
	return ""
}

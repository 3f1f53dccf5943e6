package kernels

import (
	"strconv"
	"strings"
)

// builtins are the one-letter types of the Itanium ABI.
var builtins = map[byte]string{
	'v': "void", 'b': "bool", 'c': "char", 'a': "signed char", 'h': "unsigned char", 's': "short", 't': "unsigned short",
	'i': "int", 'j': "unsigned int", 'l': "long", 'm': "unsigned long", 'x': "long long", 'y': "unsigned long long",
	'f': "float", 'd': "double", 'e': "long double", 'w': "wchar_t", 'n': "__int128", 'o': "unsigned __int128", 'z': "...",
}

// standard are the abbreviations of the standard library.
var standard = map[byte]string{
	'a': "std::allocator", 'b': "std::basic_string", 's': "std::string", 'i': "std::istream", 'o': "std::ostream", 'd': "std::iostream",
}

// typ reads a type.
func (d *demangler) typ() string {
	if !d.enter() {
		return ""
	}
	defer d.leave()
	c := d.peek()
	if t, ok := builtins[c]; ok {
		d.i++
		return t
	}
	switch c {
	case 'P':
		d.i++
		return d.remember(d.typ() + "*")
	case 'R':
		d.i++
		return d.remember(d.typ() + "&")
	case 'O':
		d.i++
		return d.remember(d.typ() + "&&")
	case 'K':
		d.i++
		return d.remember(d.typ() + " const")
	case 'V', 'r':
		d.i++
		return d.remember(d.typ())
	case 'T':
		return d.withArgs(d.remember(d.templateParam()))
	case 'D':
		return d.extended()
	case 'F':
		d.i++
		return d.function()
	case 'A':
		return d.array()
	case 'M':
		d.i++
		class := d.typ()
		return d.remember(d.typ() + " " + class + "::*")
	case 'u':
		d.i++
		return d.remember(d.source())
	case 'S':
		if next := d.i + 1; next < len(d.s) && d.s[next] != 't' {
			return d.withArgs(d.substitution())
		}
	}
	name := d.name()
	if c != 'S' && !d.bad {
		d.remember(name)
	}
	return name
}

// extended reads the types that begin with D.
func (d *demangler) extended() string {
	switch {
	case d.eat("Dp"):
		return d.typ()
	case d.eat("Dn"):
		return "decltype(nullptr)"
	case d.eat("DF16b"):
		return "__bf16"
	case d.eat("DF16_"), d.eat("Dh"):
		return "_Float16"
	case d.eat("Di"), d.eat("Ds"), d.eat("Du"):
		return "char_t"
	case d.eat("Dv"):
		from := d.i
		for classOf(d.peek()) == digit {
			d.i++
		}
		n := d.s[from:d.i]
		d.eat("_")
		return d.remember(d.typ() + " vector[" + n + "]")
	case d.eat("DT"), d.eat("Dt"):
		text := d.expression()
		d.eat("E")
		return d.remember("decltype(" + text + ")")
	}
	return d.fail()
}

func (d *demangler) function() string {
	d.eat("Y")
	var types []string
	for !d.bad && d.i < len(d.s) && d.peek() != 'E' {
		types = append(types, d.typ())
	}
	d.eat("E")
	if len(types) == 0 {
		return d.fail()
	}
	return d.remember(types[0] + " (" + strings.Join(dropVoid(types[1:]), ", ") + ")")
}

func (d *demangler) array() string {
	d.i++
	from := d.i
	for d.i < len(d.s) && d.s[d.i] != '_' {
		d.i++
	}
	n := d.s[from:d.i]
	d.eat("_")
	return d.remember(d.typ() + "[" + n + "]")
}

// substitution reads S_ and S<n>_, which repeat a type, and the standard
// library's abbreviations.
func (d *demangler) substitution() string {
	if !d.eat("S") {
		return d.fail()
	}
	if name, ok := standard[d.peek()]; ok {
		d.i++
		return name
	}
	from := d.i
	for d.i < len(d.s) && d.s[d.i] != '_' {
		d.i++
	}
	n := 0
	if d.i > from {
		v, err := strconv.ParseUint(strings.ToLower(d.s[from:d.i]), 36, 16)
		if err != nil {
			return d.fail()
		}
		n = int(v) + 1
	}
	d.eat("_")
	if n >= len(d.subs) {
		return d.fail()
	}
	d.spent += len(d.subs[n])
	return d.subs[n]
}

// templateParam reads T_ and T<n>_. Arguments that are not known yet keep the
// spelling of demanglers that do not resolve them.
func (d *demangler) templateParam() string {
	d.eat("T")
	from := d.i
	for classOf(d.peek()) == digit {
		d.i++
	}
	n, err := strconv.Atoi(d.s[from:d.i])
	if err != nil {
		n = -1
	}
	d.eat("_")
	if n+1 < len(d.args) {
		d.spent += len(d.args[n+1])
		return d.args[n+1]
	}
	return "T" + strconv.Itoa(n+2)
}

// templateArgs reads I … E. Those of the outermost name are remembered for
// the T_ behind it.
func (d *demangler) templateArgs(keep bool) string {
	d.i++
	var args []string
	for !d.bad && d.i < len(d.s) && d.peek() != 'E' {
		if arg := d.templateArg(); arg != "" {
			args = append(args, arg)
		}
	}
	if !d.eat("E") {
		d.bad = true
		return "<" + strings.Join(args, ", ")
	}
	if keep {
		d.args = args
	}
	return "<" + strings.Join(args, ", ") + ">"
}

func (d *demangler) templateArg() string {
	if !d.enter() {
		return ""
	}
	defer d.leave()
	switch {
	case d.peek() == 'L':
		return d.literal()
	case d.eat("Tn"): // the declaration of the parameter stands before its value
		d.typ()
		return ""
	case d.eat("X"):
		text := d.expression()
		if !d.eat("E") {
			return text + d.fail()
		}
		return text
	case d.eat("J"):
		var pack []string
		for !d.bad && d.i < len(d.s) && d.peek() != 'E' {
			pack = append(pack, d.templateArg())
		}
		d.eat("E")
		return strings.Join(pack, ", ")
	}
	return d.typ()
}

// literal reads L <type> <value> E and L _Z <symbol> E.
func (d *demangler) literal() string {
	d.i++
	if d.eat("_Z") {
		name := d.name()
		for !d.bad && d.i < len(d.s) && d.peek() != 'E' {
			d.typ()
		}
		d.eat("E")
		return name
	}
	kind := d.peek()
	typ := d.typ()
	from := d.i
	for d.i < len(d.s) && d.s[d.i] != 'E' {
		d.i++
	}
	value := strings.Replace(d.s[from:d.i], "n", "-", 1)
	if !d.eat("E") {
		d.bad = true
	}
	switch {
	case kind == 'b':
		return map[string]string{"0": "false", "1": "true"}[value]
	case strings.IndexByte("ijlmxystach", kind) >= 0:
		return value
	}
	return "(" + typ + ")" + value
}

// expression reads the two forms that occur in kernels' arguments, an address
// of a function and a literal; everything else ends the reading.
func (d *demangler) expression() string {
	if d.eat("ad") {
		return "&" + d.expression()
	}
	if d.peek() == 'L' {
		return d.literal()
	}
	if d.peek() == 'T' {
		return d.templateParam()
	}
	return d.fail()
}

package kernels

import (
	"strconv"
	"strings"
)

// demangler reads as much of an Itanium C++ symbol as names a kernel:
// namespaces, identifier, template arguments, and the lambdas and local
// functions inside them. Parameter types are read only where a local name
// makes it necessary. It never fails hard: at what it cannot read it stops,
// and the text so far is the answer, like that of a cut name.
type demangler struct {
	s     string
	i     int
	depth int
	// spent counts the bytes written; substitutions can make a short symbol
	// explode, so it is bounded.
	spent int
	subs  []string
	// args are the template arguments of the function, for T_ inside it.
	args []string
	bad  bool
}

// operators are the codes of the operators that a kernel's name can lead
// through; any other letters mean that the symbol is damaged.
const operators = "pl mi ml dv rm eo an or co nt aS pL mI mL eq ne lt gt le ge ls rs aa oo pp mm cm ix pt nw dl"

const (
	maxDepth = 96
	maxSpent = 256 << 10
)

// demangle returns the name of an Itanium symbol without its parameters.
func demangle(symbol string) (string, bool) {
	d := demangler{s: symbol, i: 2}
	name := d.name()
	if name == "" || len(name) > maxName {
		return "", false
	}
	return name, true
}

func (d *demangler) peek() byte {
	if d.i < len(d.s) {
		return d.s[d.i]
	}
	return 0
}

func (d *demangler) eat(prefix string) bool {
	if strings.HasPrefix(d.s[d.i:], prefix) {
		d.i += len(prefix)
		return true
	}
	return false
}

// fail stops the reading for good.
func (d *demangler) fail() string {
	d.bad = true
	d.i = len(d.s)
	return ""
}

func (d *demangler) enter() bool {
	d.depth++
	if d.depth > maxDepth || d.spent > maxSpent {
		d.fail()
		return false
	}
	return true
}

func (d *demangler) leave() { d.depth-- }

func (d *demangler) remember(s string) string {
	d.spent += len(s)
	if d.spent > maxSpent {
		return d.fail()
	}
	d.subs = append(d.subs, s)
	return s
}

// name reads a nested, local or plain name with its template arguments.
func (d *demangler) name() string {
	if !d.enter() {
		return ""
	}
	defer d.leave()
	switch d.peek() {
	case 'N':
		d.i++
		return d.nested()
	case 'Z':
		d.i++
		return d.local()
	case 'S':
		if d.eat("St") {
			name := d.remember("std::" + d.unqualified())
			return d.withArgs(name)
		}
		return d.withArgs(d.substitution())
	}
	name := d.unqualified()
	if d.peek() == 'I' {
		d.remember(name)
		return name + d.templateArgs(true)
	}
	return name
}

func (d *demangler) withArgs(name string) string {
	if d.peek() != 'I' {
		return name
	}
	return d.remember(name + d.templateArgs(true))
}

func (d *demangler) nested() string {
	for strings.IndexByte("rVKRO", d.peek()) >= 0 && d.peek() != 0 {
		d.i++
	}
	name := ""
	for !d.bad && d.i < len(d.s) {
		switch c := d.peek(); {
		case c == 'E':
			d.i++
			if len(d.subs) > 0 && d.subs[len(d.subs)-1] == name {
				d.subs = d.subs[:len(d.subs)-1] // the whole name is remembered by the type that uses it
			}
			return name
		case c == 'I':
			name += d.templateArgs(true)
			d.remember(name)
		case c == 'S' && d.eat("St"):
			name = "std"
		case c == 'S':
			name = d.substitution()
		case c == 'T' && name == "":
			name = d.remember(d.templateParam())
		default:
			part := d.unqualified()
			if d.bad {
				return name
			}
			if name != "" {
				name += "::"
			}
			name += part
			d.remember(name)
		}
	}
	d.bad = true
	return name
}

// local reads Z <function> E <entity>.
func (d *demangler) local() string {
	outer := d.args
	name := d.name()
	var params []string
	for !d.bad && d.i < len(d.s) && d.peek() != 'E' {
		params = append(params, d.typ())
	}
	d.args = outer
	if !d.eat("E") {
		d.bad = true
		return name
	}
	if len(params) > 1 && strings.Contains(name, "<") {
		params = params[1:] // the return type of a template function comes first
	}
	name += "(" + strings.Join(dropVoid(params), ", ") + ")"
	if d.eat("s") {
		d.discriminator()
		return name
	}
	if d.peek() == 'd' { // default argument: d [n] _
		for d.i < len(d.s) && d.s[d.i] != '_' {
			d.i++
		}
		d.eat("_")
	}
	entity := d.name()
	d.discriminator()
	d.spent += len(name)
	return name + "::" + entity
}

func dropVoid(params []string) []string {
	if len(params) == 1 && params[0] == "void" {
		return nil
	}
	return params
}

func (d *demangler) discriminator() {
	if d.peek() != '_' || d.i+1 >= len(d.s) || classOf(d.s[d.i+1]) != digit {
		return
	}
	d.i += 2
}

// unqualified reads one identifier, operator, constructor or lambda.
func (d *demangler) unqualified() string {
	d.eat("L")
	switch c := d.peek(); {
	case classOf(c) == digit:
		id := d.source()
		for d.eat("B") {
			d.source()
		}
		return id
	case c == 'U':
		return d.unnamed()
	case (c == 'C' || c == 'D') && d.i+1 < len(d.s):
		d.i += 2
		return "{ctor}"
	case c >= 'a' && c <= 'z' && d.i+1 < len(d.s):
		op := d.s[d.i : d.i+2]
		d.i += 2
		if op == "cl" {
			return "operator()"
		}
		if op == "cv" {
			return "operator " + d.typ()
		}
		if strings.Contains(operators, op) {
			return "operator " + op
		}
	}
	return d.fail()
}

// source reads <length><identifier>; an identifier that runs over the end is
// that of a cut symbol.
func (d *demangler) source() string {
	from := d.i
	for classOf(d.peek()) == digit {
		d.i++
	}
	n, err := strconv.Atoi(d.s[from:d.i])
	if err != nil || n <= 0 {
		return d.fail()
	}
	end := min(d.i+n, len(d.s))
	if end-d.i < n {
		d.bad = true
	}
	id := d.s[d.i:end]
	d.i = end
	if strings.HasPrefix(id, "_GLOBAL__N_") {
		return anonymous
	}
	return id
}

// unnamed reads Ul <types> E [n] _ (a lambda) and Ut [n] _ (an unnamed type).
func (d *demangler) unnamed() string {
	if d.eat("Ut") {
		return "{unnamed type#" + d.ordinal() + "}"
	}
	if !d.eat("Ul") {
		return d.fail()
	}
	var params []string
	for !d.bad && d.i < len(d.s) && d.peek() != 'E' {
		params = append(params, d.typ())
	}
	d.eat("E")
	return "{lambda(" + strings.Join(dropVoid(params), ", ") + ")#" + d.ordinal() + "}"
}

// ordinal reads [n] _ and counts from one, as demanglers do.
func (d *demangler) ordinal() string {
	from := d.i
	for classOf(d.peek()) == digit {
		d.i++
	}
	n, err := strconv.Atoi(d.s[from:d.i])
	d.eat("_")
	if err != nil {
		return "1"
	}
	return strconv.Itoa(n + 2)
}

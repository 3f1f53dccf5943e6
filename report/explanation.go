package report

import (
	"fmt"
	"io"
	"strings"

	"tokprof/kernels"
)

// WriteExplanation tells why a kernel name got its category, as text for a
// terminal. Names are printed in full: they are what the reader asks about.
func WriteExplanation(w io.Writer, x kernels.Explanation) error {
	var b strings.Builder
	row := func(label, format string, args ...any) {
		fmt.Fprintf(&b, "  %-11s %s\n", label, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(&b, "%s\n", printable(x.Name.Raw))
	tags := ""
	if len(x.Tags) > 0 {
		tags = "  (also " + strings.Join(x.Tags, ", ") + ")"
	}
	row("category", "%s%s", x.Category, tags)
	if x.Rule == "" {
		row("rule", "none knows this name: the time stays in %s", x.Category)
	} else {
		whose := ""
		if x.FromUser {
			whose = ", your own rule"
		}
		row("rule", "%s: %s matches %s%s", x.Rule, x.Scope, x.Pattern, whose)
		row("matched", "%q", matchedText(x))
		if x.Source != "" {
			row("source", "%s", x.Source)
		}
	}
	splitRows(row, x.Name, "")
	for _, p := range x.Passed {
		row("passed", "%s (%s): %s", p.Rule, p.Category, p.Why)
	}
	row("to change", "put this line into a file and give it with --rules FILE (tabs between fields):")
	fields := strings.Split(x.Line, "\t")
	for i := range fields {
		fields[i] = printable(fields[i])
	}
	fmt.Fprintf(&b, "%s\n", strings.Join(fields, "\t"))
	_, err := io.WriteString(w, b.String())
	return err
}

func matchedText(x kernels.Explanation) string {
	if x.Span != "" {
		return x.Span
	}
	return x.Matched
}

func splitRows(row func(string, string, ...any), n kernels.Name, prefix string) {
	row(prefix+"base", "%s", printable(n.Base))
	if len(n.Path) > 0 {
		row(prefix+"path", "%s", printable(strings.Join(n.Path, "::")))
	}
	if n.Template != "" {
		row(prefix+"template", "%s", printable(n.Template))
	}
	if n.Params != "" {
		row(prefix+"params", "%s (never looked at)", printable(n.Params))
	}
	if n.Mangled {
		row(prefix+"symbol", "was mangled")
	}
	if n.Truncated {
		row(prefix+"cut", "a bracket never closes: the tool that wrote the name cut it")
	}
	if n.Inner != nil {
		splitRows(row, *n.Inner, "› ")
	}
}

package report

import (
	"bytes"
	"fmt"
	"math/rand"
	"regexp"
	"strings"
	"testing"

	"tokprof/report/document"
)

func TestMarkdownGolden(t *testing.T) {
	golden(t, "ticket.md.golden", []byte(Markdown(fixture())))
	var b bytes.Buffer
	if err := WriteMarkdown(&b, setOf(fixture(), window1())); err != nil {
		t.Fatal(err)
	}
	golden(t, "ticket_windows.md.golden", b.Bytes())
}

// pipe is a cell border: a pipe that no backslash escapes.
var pipe = regexp.MustCompile(`(?:^|[^\\])(?:\\\\)*\|`)

// inert is what no renderer acts upon: escaped characters and code spans.
var inert = regexp.MustCompile("\\\\.|`[^`\n]*`")

func TestMarkdownSurvivesHostileNames(t *testing.T) {
	rng := rand.New(rand.NewSource(4))
	for range 300 {
		text := Markdown(random(rng, hostile(rng)))
		if n := strings.Count(text, "\n"); n >= 60 {
			t.Errorf("%d lines", n)
		}
		columns := 0
		for l := range strings.Lines(text) {
			l = strings.TrimSuffix(l, "\n")
			if l != printable(l) {
				t.Errorf("unprintable line %q", l)
			}
			if !strings.HasPrefix(l, "| ") && !strings.HasPrefix(l, "|-") {
				columns = 0
				continue
			}
			n := len(pipe.FindAllString(strings.ReplaceAll(l, "| |", "|  |"), -1))
			if columns > 0 && n != columns {
				t.Errorf("%d cell borders, the table has %d: %q", n, columns, l)
			}
			columns = n
		}
		outside := inert.ReplaceAllString(text, "")
		for _, bad := range []string{"<script", "@everyone", "[link](", "https://"} {
			if strings.Contains(outside, bad) {
				t.Errorf("%q in the text:\n%s", bad, text)
			}
		}
	}
}

func TestMarkdownKeepsToItsLength(t *testing.T) {
	a := fixture()
	for i := range 40 {
		a.Findings = append(a.Findings, document.Finding{Title: fmt.Sprint("finding ", i), Evidence: []string{"e"}, Remedy: "r", Confirm: "c"})
		a.Sources = append(a.Sources, document.Source{Path: "x", SHA256: strings.Repeat("a", 64), Role: "gpu", Rank: i})
		for s := range a.Steps {
			a.Steps[s].Parts = append(a.Steps[s].Parts, document.NameTime{Name: fmt.Sprint("part ", i), TimeNS: 1})
		}
	}
	text := Markdown(a)
	if n := strings.Count(text, "\n"); n >= 60 {
		t.Errorf("%d lines:\n%s", n, text)
	}
	for _, want := range []string{"more", "TRACE0"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestMarkdownNamesNoMachine(t *testing.T) {
	a := fixture()
	a.Sources[0].Path = "gpu-node-17_4211.1770000000.pt.trace.json.gz"
	a.Command = "tokprof analyze gpu-node-17_4211.1770000000.pt.trace.json.gz other-host.json.gz"
	a.Trust = append(a.Trust, document.Trust{Severity: document.Warning, Message: "rank 0 (gpu-node-17_4211.1770000000.pt.trace.json.gz) is truncated"})
	text := Markdown(a)
	for _, host := range []string{"gpu-node-17", "other-host"} {
		if strings.Contains(text, host) {
			t.Errorf("%s in\n%s", host, text)
		}
	}
	if !strings.Contains(text, "`tokprof analyze TRACE0 TRACE`") {
		t.Errorf("command lost in\n%s", text)
	}
}

func TestMarkdownProse(t *testing.T) {
	for in, want := range map[string]string{
		"set --max-num-seqs 256 or --x=8,16.":    "set `--max-num-seqs 256` or `--x=8,16`.",
		"VLLM_USE_V1=1 and `code_here`":          "`VLLM_USE_V1=1` and `code_here`",
		"a|b `unpaired @x <b>":                   "a\\|b \\`unpaired ＠x &lt;b&gt;",
		"kernel_name *x* [l](u) www.a.b http://": `kernel\_name \*x\* \[l\](u) www\.a.b http\://`,
	} {
		if got := mdProse(in); got != want {
			t.Errorf("mdProse(%q) = %q, want %q", in, got, want)
		}
	}
}

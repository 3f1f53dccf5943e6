package report

import (
	"bytes"
	"fmt"
	"math/rand"
	"regexp"
	"strings"
	"testing"

	"tokprof/fixtures/golden"
	"tokprof/report/document"
)

func TestMarkdownGolden(t *testing.T) {
	golden.Check(t, "ticket.md.golden", []byte(Markdown(fixture())))
	golden.Check(t, "ticket_requests.md.golden", []byte(Markdown(withRequests(fixture()))))
	var b bytes.Buffer
	if err := WriteMarkdown(&b, setOf(fixture(), window1())); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "ticket_windows.md.golden", b.Bytes())
}

// pipe is a cell border: a pipe that no backslash escapes.
var pipe = regexp.MustCompile(`(?:^|[^\\])(?:\\\\)*\|`)

// inert is what no renderer acts upon: escaped characters and code spans.
var inert = regexp.MustCompile("\\\\.|`[^`\n]*`")

// withoutFences removes fenced code, which must close.
func withoutFences(t *testing.T, text string) string {
	t.Helper()
	var out strings.Builder
	fence := ""
	for l := range strings.Lines(text) {
		l = strings.TrimSuffix(l, "\n")
		code := strings.TrimPrefix(l, "   ")
		switch {
		case fence != "":
			if code == fence {
				fence = ""
			}
		case l != code && strings.HasPrefix(code, "```"):
			fence = code
			if strings.Trim(fence, "`") != "" {
				t.Errorf("fence %q", fence)
			}
		default:
			out.WriteString(l + "\n")
		}
	}
	if fence != "" {
		t.Errorf("%q never closes in\n%s", fence, text)
	}
	return out.String()
}

func TestMarkdownFence(t *testing.T) {
	for in, want := range map[string]string{
		"--x 1\n# a  \n":                "```|--x 1|# a|```",
		"a\n```sh\nb\n```":              "````|a|```sh|b|```|````",
		"`````":                         "``````|`````|``````",
		"  --y=\"<b>\"":                 "```|  --y=\"<b>\"|```",
		"1\n2\n3\n4\n5\n6\n7\n8\n9\n10": "```|1|2|3|4|5|6|7|# … 3 more lines|```",
	} {
		if got := strings.Join(mdFence(in), "|"); got != want {
			t.Errorf("mdFence(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestMarkdownHoldsManyFindings: whatever is found, three have details while
// they fit, and the hashes stay.
func TestMarkdownHoldsManyFindings(t *testing.T) {
	for remedy := range 12 {
		a := fixture()
		a.Findings = nil
		for i := range 12 {
			a.Findings = append(a.Findings, document.Finding{
				Title: fmt.Sprintf("finding %d ", i) + strings.Repeat("long ", 300), Severity: document.Warning, MaxGain: "at most " + strings.Repeat("9 ", 700),
				Evidence: []string{"e1", "e2", "e3", "e4"}, Confirm: "c" + fmt.Sprint(i), Remedy: "--flag" + strings.Repeat("\n--flag value", remedy),
			})
		}
		text := Markdown(a)
		if n := strings.Count(text, "\n"); n >= 60 {
			t.Errorf("%d lines:\n%s", n, text)
		}
		details := strings.Count(text, "   Confirm: ")
		if want := []int{3, 3, 3, 2, 2, 2}; remedy < len(want) && details < want[remedy] || details < 1 {
			t.Errorf("%d findings have details with remedies of %d lines", details, remedy+1)
		}
		for _, want := range []string{"more", "TRACE0", "TRACE1", "1. **finding 0", "4. "} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
		if strings.Contains(text, "at most at most") || strings.Contains(text, "e4") {
			t.Errorf("gain or evidence in\n%s", text)
		}
	}
}

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
		outside := inert.ReplaceAllString(withoutFences(t, text), "")
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
	a.Trust = append(a.Trust, document.Trust{Severity: document.Warning, Message: "rank 0 (gpu-node-17_4211.1770000000.pt.trace.json.gz) is truncated"},
		document.Trust{Severity: document.Info, Message: "left aside for gpu-node-17_4211.1770000000.pt.trace.json.gz: third-host.csv, third-host.json.gz, third-host.sqlite"},
		document.Trust{Severity: document.Info, Message: "7 files left aside for gpu-node-17_4211.1770000000.pt.trace.json.gz, which holds more: third-host.csv, third-host.json.gz and 5 more"})
	text := Markdown(a)
	for _, host := range []string{"gpu-node-17", "other-host", "third-host"} {
		if strings.Contains(text, host) {
			t.Errorf("%s in\n%s", host, text)
		}
	}
	if !strings.Contains(text, "`tokprof analyze TRACE0 TRACE`") {
		t.Errorf("command lost in\n%s", text)
	}
	if !strings.Contains(text, "left aside for TRACE0: 3 other files; 7 files left aside for TRACE0, which holds more\n") {
		t.Errorf("files not counted in\n%s", text)
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

// TestRanksOfOneFile: the second rank of an export has no hash of its own, and no
// reader should miss one.
func TestRanksOfOneFile(t *testing.T) {
	a := fixture()
	a.Sources[1].Path, a.Sources[1].Bytes, a.Sources[1].SHA256 = a.Sources[0].Path, a.Sources[0].Bytes, ""
	if got := Markdown(a); !strings.Contains(got, "- TRACE1: gpu rank 1 in the same file as TRACE0 (") || strings.Contains(got, "no hash") {
		t.Errorf("inputs of\n%s", got)
	}
	a.Sources[0].SHA256, a.Sources[1].Bytes = "", a.Sources[0].Bytes+1
	if got := Markdown(a); strings.Count(got, "`no hash`") != 2 {
		t.Errorf("files without a hash in\n%s", got)
	}
}

package report

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"math/rand"
	"strings"
	"testing"
	"unicode/utf8"

	"tokprof/fixtures/golden"
	"tokprof/report/document"
)

func setOf(a ...*document.Analysis) *document.Set {
	return &document.Set{Schema: document.SchemaAnalysisSet, Analyses: a}
}

// window1 is another window of the fixture's run, without steps.
func window1() *document.Analysis {
	a := fixture()
	a.Window.Name, a.Window.StartUnixNS = "w2", a.Window.StartUnixNS+60_000_000_000
	a.Steps, a.Phases, a.Findings = []document.Step{}, []document.Phase{}, []document.Finding{}
	a.Trust = []document.Trust{{Code: "truncated", Severity: document.Warning, Message: "rank 1 is truncated: 12 % of the window is missing."}}
	return a
}

func TestTextGolden(t *testing.T) {
	for _, c := range []struct {
		file string
		set  *document.Set
		o    TextOptions
	}{
		{"text_steps.golden", setOf(fixture()), TextOptions{}},
		{"text_color.golden", setOf(fixture()), TextOptions{Width: 100, Color: true, Top: 3}},
		{"text_narrow.golden", setOf(fixture()), TextOptions{Width: 44}},
		{"text_groups.golden", setOf(window1()), TextOptions{}},
		{"text_windows.golden", setOf(fixture(), window1()), TextOptions{}},
		{"text_empty.golden", setOf(), TextOptions{}},
		{"text_requests.golden", setOf(withRequests(fixture())), TextOptions{}},
		{"text_requests_windows.golden", setOf(withRequests(fixture()), window1()), TextOptions{}},
	} {
		var b bytes.Buffer
		if err := WriteText(&b, c.set, c.o); err != nil {
			t.Fatal(err)
		}
		golden.Check(t, c.file, b.Bytes())
	}
}

func TestTextFitsTheScreen(t *testing.T) {
	rng := rand.New(rand.NewSource(1))
	for i := range 300 {
		a := random(rng, hostile(rng))
		o := TextOptions{Width: []int{0, 1, 40, 57, 80, 132, 300}[i%7]}
		checkScreen(t, setOf(a), o, screenOf(a, o))
		o.Color = true
		checkScreen(t, setOf(a), o, screenOf(a, o))
		checkScreen(t, setOf(a, a, a), o, 1<<10)
	}
	checkScreen(t, setOf(&document.Analysis{}), TextOptions{}, screenLines)
}

// TestTextFindings: what the verdict says is not said again, and what the
// finding promises stands below it.
func TestTextFindings(t *testing.T) {
	draw := func(a *document.Analysis) string {
		var b bytes.Buffer
		if err := WriteText(&b, setOf(a), TextOptions{}); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	a := fixture()
	const gain, more = "→ at most 1.03 ms of a 3.21 ms decode step (32 %), 26 % of all steps\n", "1 more finding: -o page.html"
	trust := a.Trust
	a.Verdict, a.Trust = "Decode takes 3.21 ms.", []document.Trust{{Code: "ok", Severity: document.OK, Message: "all read"}}
	if got := draw(a); !strings.Contains(got, "finding  "+a.Findings[0].Title+"\n"+gain+more) {
		t.Errorf("no finding in\n%s", got)
	}
	a.Verdict = "Decode takes 3.21 ms. " + a.Findings[0].Title + "."
	if got := draw(a); strings.Contains(got, "finding  ") || !strings.Contains(got, gain+"trust") || !strings.Contains(got, "\n"+more) {
		t.Errorf("finding of the verdict in\n%s", got)
	}
	a.Trust = trust
	for i := range 12 {
		a.Steps[len(a.Steps)-1].Parts = append(a.Steps[len(a.Steps)-1].Parts, document.NameTime{Name: strings.Repeat("part ", i+1), TimeNS: 1000})
		a.Findings = append(a.Findings, a.Findings[1])
		a.Verdict += strings.Repeat(" long", 50)
		a.Trust[1].Message += strings.Repeat(" long", 50)
		for _, width := range []int{40, 80, 120} {
			o := TextOptions{Width: width}
			checkScreen(t, setOf(a), o, screenOf(a, o))
		}
	}
	if got := draw(a); !strings.Contains(got, "13 more findings: ") {
		t.Errorf("no count in\n%s", got)
	}
	a.Findings = nil
	if got := draw(a); strings.Contains(got, "finding") {
		t.Errorf("a finding in\n%s", got)
	}
}

// TestRequestsText: what does not fit gives way, the counts never do.
func TestRequestsText(t *testing.T) {
	a := withRequests(fixture())
	a.Requests.Failed, a.Requests.Count = 2, 10
	for n, want := range map[int]string{
		200: "requests 8 ok, 2 failed · TTFT 48.7 ms (queue 28, prefill 18, delivery 2.5) · TPOT 3.23 ms; 100 % of tokens joined with steps",
		90:  "requests 8 ok, 2 failed · TTFT 48.7 ms (queue 28, prefill 18, delivery 2.5) · TPOT 3.23 ms",
		88:  "requests 8 ok, 2 failed · TTFT 48.7 ms (queue 28, prefill 18, delivery 3) · TPOT 3.23 ms",
		80:  "requests 8 ok, 2 failed · TTFT 48.7 ms · TPOT 3.23 ms",
		30:  "requests 8 ok, 2 failed · TTF…",
	} {
		if got := requestsText(a, n); got != want {
			t.Errorf("%d cells: %q, want %q", n, got, want)
		}
	}
	a.Requests.Join.Outside, a.Requests.Join.Joined = 180, 12
	if got := requestsText(a, 200); !strings.HasSuffix(got, "; 12 of 192 tokens joined with steps") {
		t.Errorf("most tokens outside: %q", got)
	}
	a.Requests = &document.Requests{Count: 3, Failed: 3}
	if got := requestsText(a, 80); got != "requests 0 ok, 3 failed" {
		t.Errorf("all failed: %q", got)
	}
	f := &document.FirstToken{QueueNS: 999_800, PrefillNS: 12_400_000, DeliveryNS: 96_000}
	if got := wayText(14_300_000, f, 1); got != " (queue 1.0, prefill 12, delivery 0.1)" {
		t.Errorf("the way is %q", got)
	}
}

// TestTextSummarySaysParts: parts where any is known, else groups.
func TestTextSummarySaysParts(t *testing.T) {
	a := fixture()
	if got := shareSummary(a, 80); !strings.Contains(got, "busy: gemm ") && !strings.Contains(got, "busy: comm ") {
		t.Errorf("groups: %s", got)
	}
	a.Parts = []document.Row{{Phase: "all", Name: "ffn", TimeNS: 60, Share: 0.6}, {Phase: "all", Name: "unattributed", TimeNS: 40, Share: 0.4}}
	if got := shareSummary(a, 80); !strings.Contains(got, "busy: ffn 60 %, unattributed 40 %") {
		t.Errorf("parts: %s", got)
	}
	if a.Parts = a.Parts[1:]; strings.Contains(shareSummary(a, 80), "unattributed") {
		t.Error("no part is known")
	}
}

// TestDoubtsAreNotCut: what to do stands at the end of a doubt, so that end is
// there at every width, for one window and for several, with the profiler's tax,
// and below the first line of it.
func TestDoubtsAreNotCut(t *testing.T) {
	rng := rand.New(rand.NewSource(5))
	for i := range 300 {
		a := withRequests(fixture())
		a.Tax.TPOTNS += rng.Int63n(1e9)
		a.Trust = a.Trust[:0]
		for n := range rng.Intn(6) {
			a.Trust = append(a.Trust, document.Trust{Code: "x", Severity: document.Warning, Message: strings.Repeat("doubt ", 1+rng.Intn(60)) + fmt.Sprintf("record again with nsys profile --cuda-graph-trace=node, way %d", n)})
		}
		a.Trust = append(a.Trust, document.Trust{Code: "profiler_tax", Severity: document.Info, Message: fmt.Sprint("profiler tax: ", a.Tax.Words())})
		a.Verdict = strings.Repeat("Sentence. ", 1+rng.Intn(30)) + "The last word."
		if i%3 == 0 {
			a.Findings[0].Title = strings.Repeat("title ", 1+rng.Intn(20)) + "to its end"
		}
		set := setOf(a)
		if i%2 == 0 {
			set = setOf(a, window1())
		}
		o := TextOptions{Width: 60 + rng.Intn(60)}
		var b bytes.Buffer
		if err := WriteText(&b, set, o); err != nil {
			t.Fatal(err)
		}
		_, doubts := trustLine(a)
		wants := []string{doubts, a.Verdict}
		if i%2 == 1 {
			wants = append(wants, a.Findings[0].Title)
			checkScreen(t, set, o, screenOf(a, o))
		}
		text := strings.Join(strings.Fields(b.String()), " ")
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Fatalf("%q is cut:\n%s", want, &b)
			}
		}
		_, below, _ := strings.Cut(b.String(), trustLabel)
		for _, l := range strings.Split(below, "\n")[1 : len(wrapCells(doubts, o.Width-len(trustLabel)))-1] {
			if !strings.HasPrefix(l, strings.Repeat(" ", len(trustLabel))) {
				t.Fatalf("%q does not stand below its first line", l)
			}
		}
	}
}

// screenOf is the height that a window may take: sentences beyond a few lines
// come on top.
func screenOf(a *document.Analysis, o TextOptions) int {
	o.Width = max(40, cmp.Or(o.Width, 80))
	return screenLines + max(0, proseLines(a, o)-screenProse)
}

// checkScreen holds a drawing to its width, height and cleanliness.
func checkScreen(t *testing.T, s *document.Set, o TextOptions, height int) {
	t.Helper()
	var b bytes.Buffer
	if err := WriteText(&b, s, o); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	if o.Color {
		for _, style := range []string{"[0m", "[1m", "[2m", "[31m", "[32m", "[33m", "[36m"} {
			text = strings.ReplaceAll(text, "\x1b"+style, "")
		}
		for _, style := range partStyles {
			text = strings.ReplaceAll(text, "\x1b["+style+"m", "")
		}
	}
	width := 80
	if o.Width > 0 {
		width = max(40, o.Width)
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) > height {
		t.Errorf("%d lines, at most %d fit:\n%s", len(lines), height, text)
	}
	for _, l := range lines {
		if n := cellWidth(l); n > width {
			t.Errorf("%d cells, width %d: %q", n, width, l)
		}
		if l != printable(l) || !utf8.ValidString(l) {
			t.Errorf("unprintable line %q", l)
		}
	}
}

// TestOneColumnIsTheMeanStep: where a phase has one column, sentences name what
// that column adds up to.
func TestOneColumnIsTheMeanStep(t *testing.T) {
	a := fixture()
	n := 0
	for _, c := range stepColumns(a) {
		if m := document.MeanStep(a, c.Phase); !strings.Contains(c.Title, "rank") {
			n++
			// Each cell is rounded down.
			if d := m.Total()/m.Steps - c.total(); d < 0 || d > int64(len(c.Cells))+1 {
				t.Errorf("%s: a mean step of %d, a column of %d ns", c.Title, m.Total()/m.Steps, c.total())
			}
		}
	}
	if n == 0 {
		t.Error("every phase is split by rank")
	}
}

func TestTextColumnsAgreeWithSteps(t *testing.T) {
	for _, c := range stepColumns(fixture()) {
		if c.Phase != "decode" {
			continue
		}
		// 0.72 ms of products and 0.5 ms of idle stand in the fixture's table.
		if got := c.Cells["ffn"]; got != 16*(28_000+17_000) {
			t.Errorf("%s: ffn %d", c.Title, got)
		}
		if c.Title == "decode rank 1" && c.Cells["waiting"] != 1_000_000 {
			t.Errorf("rank 1 waits %d ns", c.Cells["waiting"])
		}
	}
}

func TestTextTop(t *testing.T) {
	var b bytes.Buffer
	if err := WriteText(&b, setOf(fixture()), TextOptions{Top: 50}); err != nil {
		t.Fatal(err)
	}
	for _, k := range fixtureKernels {
		if name := cutCells(k.short, 20); !strings.Contains(b.String(), strings.TrimSuffix(name, "…")) {
			t.Errorf("no row of %s in\n%s", k.short, b.String())
		}
	}
	if !strings.Contains(b.String(), "unclassified: ") {
		t.Error("unclassified time is not shown")
	}
}

// failAfter is a writer that fails after n bytes.
type failAfter struct{ n int }

var errFull = errors.New("disk full")

func (w *failAfter) Write(p []byte) (int, error) {
	if w.n -= len(p); w.n < 0 {
		return 0, errFull
	}
	return len(p), nil
}

// hostile makes names that break naive writers.
func hostile(rng *rand.Rand) func() string {
	bad := []string{
		"", " ", "plain", "a;b;c 12", "two\nlines", "cr\r\nlf", "tab\there", "| pipe | `tick` |", "<script>alert(1)</script>", "@everyone",
		"\x1b[2J\x1b]0;title\x07", "\u202eevil\u202c", "שלום", "\xff\xfe\xc3(", "日本語のカーネル名前", "zalgo" + strings.Repeat("\u0301", 400),
		strings.Repeat("x", 5000), strings.Repeat("宽", 300), "👩‍👩‍👧 kernel", "\x00", "=cmd|' /C calc'!A0", "\"quoted\", comma", "--- | ---", "https://evil.example/x",
		"\u2028line\u2029sep", "\u0085nel", "[link](javascript:1)", "a/b/c.d::e", "12", "0:5", "\\", "`", "```",
	}
	return func() string {
		s := bad[rng.Intn(len(bad))]
		if rng.Intn(4) == 0 {
			s += bad[rng.Intn(len(bad))]
		}
		return s
	}
}

// TestStepTitles tells the ranks of the longest phase apart.
func TestStepTitles(t *testing.T) {
	cols := []column{
		{Title: "prefill rank 0", Phase: "prefill", Cells: map[string]int64{"ffn": 1000}},
		{Title: "prefill rank 1", Phase: "prefill", Cells: map[string]int64{"ffn": 1000}},
	}
	var b strings.Builder
	writeLine(&b, stepLines(cols, 6, TextOptions{Width: 80}, "per step")[0], TextOptions{Width: 80})
	if title := strings.TrimSuffix(b.String(), "\n"); !strings.Contains(title, "prefill rank 0") || !strings.Contains(title, "prefill rank 1") || cellWidth(title) > 80 {
		t.Errorf("%q", title)
	}
}

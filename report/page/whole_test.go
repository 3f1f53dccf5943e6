package page

import (
	"fmt"
	"html"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"tokprof/report/document"
)

// graphModeDocument is the page's document with CUDA graphs recorded as a whole
// beside what it holds: in the drawn decode step of rank 0 two on the main
// stream, of which one lies over kernels and the other begins inside the first,
// and one on a stream that ran nothing else.
func graphModeDocument(t *testing.T) *document.Analysis {
	a := pageDocument(t)
	for i := range a.Devices {
		a.Devices[i].GraphNS, a.Devices[i].IdleNS = 2_000_000, a.Devices[i].IdleNS-2_000_000
	}
	a.Stacks.Whole = []document.WholeSample{
		{Graph: 367, Rank: 0, Stream: 17, Phase: "decode", TimeNS: 2_500_000, ExposedNS: 1_900_000, Runs: 20},
		{Graph: 12, Rank: 0, Stream: 99, Phase: "none", TimeNS: 100_000, ExposedNS: 100_000, Runs: 1},
		{Graph: 367, Rank: 1, Device: 1, Stream: 17, Phase: "decode", TimeNS: 2_000_000, ExposedNS: 2_000_000, Runs: 20},
	}
	a.Graphs = append(a.Graphs, document.Graph{Signature: "graph 367", Replays: 20, TimeNS: 2_500_000},
		document.Graph{Signature: "graph 12", Replays: 1, TimeNS: 100_000}, document.Graph{Rank: 1, Signature: "graph 367", Replays: 20, TimeNS: 2_000_000})
	for i := range a.Steps {
		if s := &a.Steps[i]; s.Phase == "decode" {
			s.Parts = append(s.Parts, document.NameTime{Name: "graphs", TimeNS: 80_000})
		}
	}
	for i := range a.Phases {
		if a.Phases[i].Phase == "decode" {
			a.Phases[i].GraphNS = document.Spread{Median: 80_000, P99: 80_000}
		}
	}
	run := func(graph uint64, start, dur int64) document.SpanEvent {
		return document.SpanEvent{StartNS: start, DurNS: dur, Kernel: -1, Layer: -1, Part: "graphs", Correlation: 900 + graph, Whole: &document.WholeGraph{Graph: graph, Exec: graph + 1}}
	}
	tl := &a.Timelines[slices.IndexFunc(a.Timelines, func(t document.Timeline) bool {
		return strings.HasPrefix(t.Title, "decode step 9 (median") && t.Rank == 0
	})]
	main := slices.IndexFunc(tl.Lanes, func(l document.Lane) bool { return l.GPU })
	l := &tl.Lanes[main]
	// Inside a layer, which must stay one.
	mid := 1
	for l.Spans[mid].Layer < 0 || l.Spans[mid].Layer != l.Spans[mid-1].Layer {
		mid++
	}
	l.Spans = slices.Insert(l.Spans, mid, run(367, l.Spans[mid].StartNS, 50_000), run(12, l.Spans[mid].StartNS, 60_000))
	tl.Lanes = append(tl.Lanes, document.Lane{Name: "GPU 0 stream 99", GPU: true, Device: 0, Stream: 99, Spans: []document.SpanEvent{run(12, 1000, 30_000)}})
	return a
}

var markup = regexp.MustCompile(`<[^>]*>|\s+`)

// rowWith is the words of the table row of a page's section that holds a text.
func rowWith(s, text string) string {
	for _, r := range strings.Split(s, "<tr") {
		if r = strings.Join(strings.Fields(markup.ReplaceAllString(r, " ")), " "); strings.Contains(r, text) {
			_, words, _ := strings.Cut(r, "> ")
			if words == "" {
				words = r
			}
			return words
		}
	}
	return ""
}

// TestWholeGraphsAreDrawn: a graph recorded as a whole is a bar on its stream
// that passes for no kernel, the tables below say the same, and the bands of
// layers are those of the kernels.
func TestWholeGraphsAreDrawn(t *testing.T) {
	plain, _ := pageFigures(t, drawPage(t, pageDocument(t)))
	page := drawPage(t, graphModeDocument(t))
	figs, names := pageFigures(t, page)
	got := ""
	for i, f := range figs {
		lanes := f.Option.YAxis[0].Data
		for _, e := range f.Option.Series[0].Data {
			if e.Value[3] == wholeRow {
				got += fmt.Sprintf("%s on %s for %d; ", names.Graphs[e.Value[4]], lanes[e.Value[0]], e.Value[2]-e.Value[1])
			}
		}
		if i == 0 {
			continue // its lanes are one more
		}
		if fmt.Sprint(f.Option.Series[1]) != fmt.Sprint(plain[i].Option.Series[1]) {
			t.Errorf("%s: the layers are %v, without graphs %v", f.ID, f.Option.Series[1], plain[i].Option.Series[1])
		}
	}
	bands := func(of int) (out []string) {
		for _, b := range [][]struct{ Value []int64 }{figs[0].Option.Series[1].Data, plain[0].Option.Series[1].Data}[of] {
			out = append(out, fmt.Sprint(b.Value[1:]))
		}
		return out
	}
	if !slices.Equal(bands(0), bands(1)) {
		t.Errorf("the layers are %v, without graphs %v", bands(0), bands(1))
	}
	const want = "graph 367, executable 368 on rank 0 stream 17 for 50000; graph 12, executable 13 on rank 0 stream 17 for 60000; graph 12, executable 13 on rank 0 stream 99 for 30000; "
	if got != want {
		t.Errorf("drawn %s, want %s", got, want)
	}
	s := section(page, "drawn")
	for text, want := range map[string]string{
		"rank 0 stream 99":          "rank 0 stream 99 0 30.0 µs 0.5 % 2.01 ms 2.04 ms 1 30.0 µs",
		"graph 367, executable 368": "kernels not recorded",
		"executable 13":             "rank 0 stream 17",
	} {
		if got := rowWith(s, text); !strings.Contains(got, want) {
			t.Errorf("the row of %s is %q, want %q", text, got, want)
		}
	}
	for _, want := range []string{"3 CUDA graphs were recorded as a whole (hatched), 90.0\u202fµs over all lanes: the GPU was at work", "--cuda-graph-trace=node"} {
		if !strings.Contains(s, want) {
			t.Errorf("the section lacks %q", want)
		}
	}
	if strings.Contains(section(drawPage(t, pageDocument(t)), "drawn"), "hole graph") {
		t.Error("a document without whole graphs speaks of them")
	}
}

// TestWholeGraphsInFlame: their frames hold exactly their time, the kernels'
// frames what they held without them, and the words above name both.
func TestWholeGraphsInFlame(t *testing.T) {
	a := graphModeDocument(t)
	page := drawPage(t, a)
	c := pageFlame(t, page)
	var kernels, whole [3]int64
	var paths []string
	for i := range c.Parent {
		sum := &kernels
		if p := c.Paint[i]; p >= 0 && c.Parts[c.Paints[p][0]] == "graphs" {
			sum = &whole
			if g := c.Groups[c.Paints[p][1]]; g != "graphs" {
				t.Errorf("a whole graph has the colour of group %s", g)
			}
			up := c.Parent[i]
			paths = append(paths, c.Texts[c.Name[c.Parent[up]]]+" > "+c.Texts[c.Name[up]]+" > "+c.Texts[c.Name[i]])
		}
		for k := range c.Values {
			sum[k] += c.Values[k][i]
		}
	}
	if kernels != sampleSums(a) || whole != [3]int64{4_600_000, 4_000_000, 41} {
		t.Errorf("kernels %v, want %v; whole graphs %v", kernels, sampleSums(a), whole)
	}
	if want := []string{"decode > whole graphs (not recorded as kernels) > graph 367 of rank 0", "decode > whole graphs (not recorded as kernels) > graph 367 of rank 1", "outside steps > whole graphs (not recorded as kernels) > graph 12 of rank 0"}; !slices.Equal(paths, want) {
		t.Errorf("paths %q, want %q", paths, want)
	}
	s := html.UnescapeString(section(page, "flame"))
	if !strings.Contains(s, "of kernels and copies + 4.60\u202fms in 41 whole CUDA graphs (hatched), whose kernels are not recorded") {
		t.Error("the line above the graph does not name both sums")
	}
	if got := rowWith(s, "› graph 367 of rank 0"); !strings.Contains(got, "2.50 ms") {
		t.Errorf("the largest paths have %q", got)
	}
}

// TestWholeGraphsInTables: busy time is that of kernels and graphs, each says
// how much of it is whose, and lists of kernels say what is in none of their
// rows.
func TestWholeGraphsInTables(t *testing.T) {
	a := graphModeDocument(t)
	page := drawPage(t, a)
	for _, want := range []struct{ section, text, row string }{
		{"streams", "rank 0, device 0, stream 99", "rank 0, device 0, stream 99 0 ns 0 % 0 ns 0 100 µs"},
		{"idle", "busy: whole", "busy: whole CUDA graphs alone, kernels not recorded 2.00 ms"},
		{"idle", "busy: kernels", "busy: kernels and copies"},
		{"launches", "Graphs recorded as a whole", "Graphs recorded as a whole 21 20"},
		{"launches", "graph 367", "rank 0 graph 367 n/a 20 2.50 ms"},
		{"groups", "Time by kernel group", "4.60\u202fms in whole CUDA graphs are in no row."},
		{"kernels", "Kernels, copies and memsets", "4.60\u202fms in whole CUDA graphs are in no row."},
	} {
		s := section(page, want.section)
		if got := rowWith(s, want.text); !strings.Contains(got, want.row) && !strings.Contains(s, want.row) {
			t.Errorf("%s: the row of %q is %q, want %q", want.section, want.text, got, want.row)
		}
	}
	for _, r := range []string{">decode<", "Busy in whole graphs, median", "80.0\u202fµs"} {
		if !strings.Contains(section(page, "steps"), r) {
			t.Errorf("the steps lack %q", r)
		}
	}
	busy := busyNumber(a)
	plain := busyNumber(pageDocument(t))
	if busy.Value == plain.Value || !slices.Contains(busy.Lines, "4.00\u202fms of it in whole CUDA graphs") {
		t.Errorf("busy %v, without graphs %v", busy, plain)
	}
}

// TestWholeGraphsInBrowser: the script draws the document without complaint,
// and a whole graph's frame is hatched.
func TestWholeGraphsInBrowser(t *testing.T) {
	b := newBrowser(t)
	url := pageFile(t, &document.Set{Analyses: []*document.Analysis{graphModeDocument(t)}})
	b.run(t, chromedp.Navigate(url), chromedp.WaitVisible(chromedp.CSS(".frames button")))
	const pick = "[...document.querySelectorAll('.frames button')].find(b => b.getAttribute('aria-label').startsWith('graph 367 of rank 0'))"
	b.want(t, "getComputedStyle("+pick+").backgroundImage.startsWith('repeating-linear-gradient')", "true")
	b.want(t, pick+".getAttribute('aria-label').includes('replays of graphs, kernels not recorded: 2.50')", "true")
	b.want(t, "document.querySelectorAll('#w0 .chart canvas').length > 1", "true")
	b.calm(t, url)
}

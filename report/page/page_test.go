package page

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"html"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"tokprof/fixtures/golden"
	"tokprof/report/document"
)

// pageDocument is a decode window of a 16-layer Llama on two GPUs, made from a
// capture of our own (testdata/README.md).
func pageDocument(t *testing.T) *document.Analysis {
	t.Helper()
	b, err := os.ReadFile("testdata/analysis.json")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Analysis  document.Analysis
		Stacks    document.Stacks
		Timelines []document.Timeline
	}
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	d.Analysis.Stacks, d.Analysis.Timelines = d.Stacks, d.Timelines
	// Its Requests and Tax; what readings and topology add.
	for _, name := range []string{"testdata/requests.json", "testdata/readings.json"} {
		if b, err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &d.Analysis); err != nil {
			t.Fatal(err)
		}
	}
	return &d.Analysis
}

// hostileNames are names that a trace may carry to harm its reader.
var hostileNames = []string{
	"</script><script>window.pwned=1</script>",
	`"><img src=x onerror="window.pwned=1">`,
	"<!--<script>", "'-window.pwned-'", "{{.}} ${window.pwned=1} `", "javascript:window.pwned=1",
	"\u202egnp.exe", "line\u2028sep\u2029", "bad\xff\xfeutf8\x00\x1b[31m", strings.Repeat("<T>&", 1250), strings.Repeat("long_name_", 500),
}

// hostileDocument has such names wherever a name can stand.
func hostileDocument() *document.Analysis {
	n := func(i int) string { return hostileNames[i%len(hostileNames)] }
	a := &document.Analysis{
		Schema: document.SchemaAnalysis, Version: n(0), Command: n(1), Verdict: n(0) + n(1),
		Window: document.Window{Name: n(0), StartUnixNS: 1_700_000_000_000_000_000, DurNS: 10_000_000},
	}
	a.Stacks.Nodes = []document.Frame{{Parent: -1, Name: "all"}}
	var lanes []document.Lane
	for i := range hostileNames {
		s := n(i)
		k := document.Kernel{Name: s, ShortName: s, Group: s, Subgroup: s, Rule: s, Tags: []string{s}, Launches: 3, TotalNS: 900_000, Share: 0.1,
			MinNS: 1, MedianNS: 2, P99NS: 3, MaxNS: 4, ExposedNS: 5, Roles: []document.KernelRole{{Role: s, TimeNS: 900_000}}, Phases: []document.PhaseTime{{Phase: s, TimeNS: 900_000, Launches: 3}}}
		a.Kernels = append(a.Kernels, k)
		a.Sources = append(a.Sources, document.Source{Path: s, Format: s, SHA256: s, Engine: s, GPU: s, Role: s, Rank: i})
		a.Trust = append(a.Trust, document.Trust{Code: s, Severity: document.Severity(s), Message: s, Touches: []string{s}})
		a.Findings = append(a.Findings, document.Finding{ID: s, Severity: document.Severity(s), Title: s, Evidence: []string{s}, MaxGain: s, Remedy: s, Confirm: s})
		row := document.Row{Phase: s, Name: s, TimeNS: 900_000, Share: 0.1, ExposedNS: 1, Launches: 3}
		a.Groups, a.Categories = append(a.Groups, row), append(a.Categories, row)
		a.Parts = append(a.Parts, row)
		row.Work = &document.Work{FLOPsPerS: 5, BytesPerS: 5, Bound: s, How: s}
		a.Roles = append(a.Roles, row)
		a.Phases = append(a.Phases, document.Phase{Phase: s, Steps: 1, StepNS: document.Spread{Median: 900_000, P99: 900_000}, USPerToken: 3})
		a.Steps = append(a.Steps, document.Step{Index: i, Phase: s, Name: s, StartUnixNS: a.Window.StartUnixNS + int64(i)*900_000, DurNS: 900_000, BusyNS: 800_000,
			Tokens: 3, Parts: []document.NameTime{{Name: s, TimeNS: 800_000}}})
		a.Devices = append(a.Devices, document.Device{Rank: i, BusyNS: 9_000_000, SumNS: 9_000_000, IdleNS: 1_000_000, IdleCauses: []document.IdleCause{{Cause: s, TimeNS: 1_000_000, Share: 0.1}}})
		a.Collectives = append(a.Collectives, document.Collective{Kind: s, Kernel: s, Estimated: i%2 == 0, Late: []document.LateRank{{Rank: i, WaitNS: 5, Share: 1}}, TransferSumNS: 5, WaitSumNS: 5})
		a.Layers = append(a.Layers, document.Layer{Phase: s, Index: i, Kind: s, TimeNS: 5, Outlier: true, Parts: []document.NameTime{{Name: s, TimeNS: 5}}})
		a.Copies = append(a.Copies, document.Copy{Kind: s})
		addHostileRequest(a, i, s)
		addHostileReadings(a, i, s)
		a.Graphs = append(a.Graphs, document.Graph{Rank: i, Signature: s})
		a.Provenance = append(a.Provenance, document.Provenance{Provenance: s, TimeNS: 5})
		a.Stacks.Nodes = append(a.Stacks.Nodes, document.Frame{Parent: int32(i), Kind: document.FramePython, Name: s, File: s, Line: 3})
		a.Stacks.Samples = append(a.Stacks.Samples, document.Sample{Node: int32(i + 1), Kernel: int32(i), Phase: s, Role: s, Part: s, TimeNS: 900_000, ExposedNS: 5, Launches: 3})
		lanes = append(lanes, document.Lane{Name: s, GPU: i%2 == 0, Spans: []document.SpanEvent{{StartNS: 0, DurNS: 900_000, Kernel: int32(i), Layer: i, Role: s, Part: s}, {StartNS: 1_000_000, DurNS: 5, Kernel: -1, Name: s}}})
	}
	a.Timelines = []document.Timeline{
		{Title: n(0), Phase: n(0), StartUnixNS: a.Window.StartUnixNS, DurNS: 2_000_000, Lanes: lanes},
		{Title: n(1), Phase: n(0), StartUnixNS: a.Window.StartUnixNS, DurNS: 2_000_000, Lanes: lanes, Slowest: true}}
	return a
}

// addHostileReadings adds a GPU with a text wherever one can stand.
func addHostileReadings(a *document.Analysis, i int, s string) {
	if a.Readings == nil {
		a.Readings = &document.Readings{PeriodNS: 5, LinkScope: s}
	}
	from := a.Window.StartUnixNS
	a.Readings.Devices = append(a.Readings.Devices, document.DeviceReadings{
		GPU: i, Name: s, How: s, Ranks: []int{i}, Readings: 2, PowerLimitW: 700, PowerW: &document.Level{Min: 1, Mean: 2, Max: 3},
		Reasons: []document.ReasonTime{{Reason: s, Throttles: true, Share: 0.5}},
		Bands:   []document.ReadingBand{{FromUnixNS: from, ToUnixNS: from + 500, Reason: s, Throttles: true}},
		Series:  []document.ReadingSeries{{Name: s, UnixNS: []int64{from}, Values: []float64{1}}, {Name: "power_w", UnixNS: []int64{from, from + 400}, Values: []float64{1, 650}}},
	})
	if a.Samples == nil {
		a.Samples = &document.Samples{}
	}
	for _, key := range []string{s, document.KeySMActive} {
		a.Samples.Series = append(a.Samples.Series, document.SampledSeries{Source: s, Owners: []document.SampledOwner{{Rank: i}}, How: s, Metric: s, Key: key, Unit: s,
			Samples: 2, PeriodNS: 400, Level: document.Level{Mean: 1, Max: 2}, Phases: []document.PhaseSample{{Phase: s, Why: s}}, UnixNS: []int64{from, from + 400}, Values: []float64{0, 2}})
	}
	c := &a.Collectives[len(a.Collectives)-1]
	c.Algorithm, c.CeilingHow, c.Warning, c.BytesHow, c.Ceiling = s, s, s, s, 5
	c.Sizes = []document.CollectiveSize{{Bytes: 5, MinBytes: 4, MaxBytes: 6, Count: 1, BestNS: 2, BusBW: 3, Percent: 60}}
	p := &a.Phases[len(a.Phases)-1]
	p.EnergyJ, p.JPerToken, p.RoleEnergy = 5, 1, []document.NameEnergy{{Name: s, EnergyJ: 5}}
	a.Trust = append(a.Trust, document.Trust{Code: "link_bytes", Severity: document.Info, Message: s})
}

// addHostileRequest adds a request with a text wherever one can stand.
func addHostileRequest(a *document.Analysis, i int, s string) {
	if a.Requests == nil {
		a.Requests = &document.Requests{TTFTNS: document.Spread{Median: 5}, Join: document.Join{Reason: s}, FirstToken: &document.FirstToken{Requests: 1}, BetweenTokens: &document.BetweenTokens{Gaps: 1}}
		a.Tax = &document.Tax{Window: s, Requests: 1, TTFTNS: 5, PlainTTFTNS: 4}
	}
	q, times := a.Requests, []document.NameTime{{Name: s, TimeNS: 300_000}}
	f := &document.FirstToken{Requests: 1, TimeNS: 900_000, QueueNS: 500_000, PrefillNS: 300_000, DeliveryNS: 100_000, Parts: times, Phases: times}
	due := a.Window.StartUnixNS + int64(i)*1000
	q.Rows = append(q.Rows, document.Request{ID: i, Error: s, DueUnixNS: due, FirstUnixNS: due + 900_000, LastUnixNS: due + 1_000_000, TTFTNS: 900_000, FirstStep: i, FirstToken: f})
	q.Slowest = append(q.Slowest, document.SlowToken{Request: i, GapNS: 5, Step: i, Phase: s, Why: s, Parts: times})
	q.Roles = append(q.Roles, document.RequestRole{Span: "prefill", Role: s, TimeNS: 5}, document.RequestRole{Span: s, Role: s, TimeNS: 5})
	q.FirstToken.Parts, q.FirstToken.Phases = append(q.FirstToken.Parts, times...), append(q.FirstToken.Phases, times...)
	q.BetweenTokens.Parts = append(q.BetweenTokens.Parts, times...)
	q.Errors = append(q.Errors, document.ErrorCount{Error: s, Count: 1})
	q.Failed, q.Count = q.Failed+1, q.Count+1
}

// ticketOf stands for the ticket text, unescaped and as long as names make it.
func ticketOf(a *document.Analysis) string {
	text := "# " + a.Window.Name + "\n\n" + a.Verdict + "\n"
	for _, x := range a.Trust {
		text += x.Message + "\n"
	}
	return text
}

func drawPage(t *testing.T, as ...*document.Analysis) string {
	t.Helper()
	var buf bytes.Buffer
	if err := Write(&buf, &document.Set{Schema: document.SchemaAnalysisSet, Analyses: as}, ticketOf); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

var (
	scriptElement = regexp.MustCompile(`(?s)<script>(.*?)</script>`)
	dataElement   = regexp.MustCompile(`(?s)<script type="application/json" id="([^"]*)">(.*?)</script>`)
	policyElement = regexp.MustCompile(`http-equiv="Content-Security-Policy" content="([^"]*)"`)
)

// withoutScripts is the page as the golden file holds it.
func withoutScripts(page string) string {
	page = scriptElement.ReplaceAllString(page, "<script>…</script>")
	return regexp.MustCompile(`'sha256-[^']*'|&#39;sha256-.*?&#39;`).ReplaceAllString(page, "'sha256-…'")
}

// smallDocument is a window that fills the sections of the page with few rows.
func smallDocument(t *testing.T) *document.Analysis {
	a := pageDocument(t)
	a.Kernels = a.Kernels[:6]
	a.Categories = a.Categories[:4]
	a.Steps = slices.DeleteFunc(a.Steps, func(s document.Step) bool { return s.Index > 4 })
	a.Layers = slices.DeleteFunc(a.Layers, func(l document.Layer) bool { return l.Index > 2 })
	a.Stacks.Samples = slices.DeleteFunc(a.Stacks.Samples, func(s document.Sample) bool { return s.Kernel >= 6 })
	a.Timelines = slices.DeleteFunc(a.Timelines, func(t document.Timeline) bool { return t.Phase != "decode" || t.Rank != 0 })
	q := a.Requests
	q.Rows, q.Slowest, q.Roles = q.Rows[:3], q.Slowest[:3], q.Roles[:3]
	for _, t := range a.Timelines {
		for i := range t.Lanes {
			l := &t.Lanes[i]
			l.Spans = slices.DeleteFunc(l.Spans, func(s document.SpanEvent) bool { return s.Kernel >= 6 })
			l.Spans = l.Spans[:min(len(l.Spans), 4)]
		}
	}
	return a
}

func TestPageGolden(t *testing.T) {
	for name, draw := range map[string]func() *document.Analysis{
		"page.golden.html":    func() *document.Analysis { return smallDocument(t) },
		"unknown.golden.html": func() *document.Analysis { return unknownDocument(t) },
	} {
		page := drawPage(t, draw())
		if page != drawPage(t, draw()) {
			t.Errorf("%s: two pages of one document differ", name)
		}
		// The ticket text has its own golden file.
		page = regexp.MustCompile(`(?s)(<pre class="ticket"[^>]*>).*?(</pre>)`).ReplaceAllString(page, "$1…$2")
		if name != "page.golden.html" {
			page = regexp.MustCompile(`(?s)(<style>).*?(</style>)`).ReplaceAllString(page, "$1…$2")
		}
		golden.Check(t, name, []byte(withoutScripts(page)))
	}
}

func TestPolicyNamesTheScripts(t *testing.T) {
	for name, page := range map[string]string{"charts": drawPage(t, pageDocument(t)), "empty": drawPage(t, &document.Analysis{}), "hostile": drawPage(t, hostileDocument())} {
		m := policyElement.FindStringSubmatch(page)
		if m == nil {
			t.Fatalf("%s: no policy", name)
		}
		policy := html.UnescapeString(m[1])
		scripts := scriptElement.FindAllStringSubmatch(page, -1)
		var want []string
		for _, s := range scripts {
			sum := sha256.Sum256([]byte(s[1]))
			want = append(want, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'")
		}
		_, list, _ := strings.Cut(policy, "script-src ")
		list, _, _ = strings.Cut(list, ";")
		got := strings.Fields(list)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: the policy lets %v run, the page holds %v", name, got, want)
		}
		if !strings.HasPrefix(policy, "default-src 'none';") || strings.Contains(list, "unsafe") {
			t.Errorf("%s: policy %q", name, policy)
		}
		if want := map[string]int{"charts": 2, "empty": 1, "hostile": 2}[name]; len(scripts) != want {
			t.Errorf("%s: %d scripts, want %d", name, len(scripts), want)
		}
	}
}

func TestHostileNamesStayText(t *testing.T) {
	page := drawPage(t, hostileDocument())
	if !utf8.ValidString(page) {
		t.Error("the page is not valid UTF-8")
	}
	bare := withoutScripts(dataElement.ReplaceAllString(page, ""))
	for _, bad := range []string{"<img", "<script>window", "onerror=\"", "\u202e", "\x00", "\x1b"} {
		if strings.Contains(bare, bad) {
			t.Errorf("the page holds %q as markup or raw", bad)
		}
	}
	blocks := dataElement.FindAllStringSubmatch(page, -1)
	if len(blocks) != 1 {
		t.Fatalf("%d data blocks, want 1", len(blocks))
	}
	if strings.ContainsAny(blocks[0][2], "<>&\u2028\u2029\u202e") {
		t.Error("the data holds characters that should be escaped")
	}
	if !json.Valid([]byte(blocks[0][2])) {
		t.Error("the data is not JSON")
	}
	if strings.Contains(page, "ZgotmplZ") {
		t.Error("the template met a value that it could not place")
	}
}

// pageFlame reads the flame graph back from a page.
func pageFlame(t *testing.T, page string) flameColumns {
	t.Helper()
	m := dataElement.FindStringSubmatch(page)
	if m == nil {
		t.Fatal("no data")
	}
	var d struct{ Flame flameColumns }
	if err := json.Unmarshal([]byte(m[2]), &d); err != nil {
		t.Fatal(err)
	}
	return d.Flame
}

func flameSums(c flameColumns) (sum [3]int64) {
	for k := range c.Values {
		for _, v := range c.Values[k] {
			sum[k] += v
		}
	}
	return sum
}

func sampleSums(a *document.Analysis) (sum [3]int64) {
	for _, s := range a.Stacks.Samples {
		sum[0] += s.TimeNS
		sum[1] += s.ExposedNS
		sum[2] += s.Launches
	}
	return sum
}

func TestFlameAddsUp(t *testing.T) {
	a := pageDocument(t)
	c := pageFlame(t, drawPage(t, a))
	if got, want := flameSums(c), sampleSums(a); got != want {
		t.Errorf("flame sums %v, document %v", got, want)
	}
	var sum int64
	for _, d := range a.Devices {
		sum += d.SumNS
	}
	if got := flameSums(c)[0]; got != sum {
		t.Errorf("flame time %d, devices' sum %d", got, sum)
	}
}

func TestFlameIsCutHonestly(t *testing.T) {
	a := deepDocument(60_000)
	caps := capsFor(1)
	f := newFlame(a, newLexicon(a), caps)
	c := f.columns(caps)
	if len(c.Parent) > caps.flameNodes {
		t.Errorf("%d frames, at most %d wanted", len(c.Parent), caps.flameNodes)
	}
	if got, want := flameSums(c), sampleSums(a); got != want {
		t.Errorf("cut flame sums %v, document %v", got, want)
	}
	others := 0
	for i := range f.nodes {
		n := &f.nodes[i]
		others += n.frames
		if n.parent >= int32(i) {
			t.Fatalf("node %d stands before its parent %d", i, n.parent)
		}
	}
	if others == 0 || others != f.cut {
		t.Errorf("“other” frames name %d of %d cut frames", others, f.cut)
	}
	if len(f.view().Note) == 0 {
		t.Error("the cut is not said")
	}
}

var segElement = regexp.MustCompile(`data-part="([^"]*)" data-ns="(\d+)"`)

func TestBarsAddUp(t *testing.T) {
	a := pageDocument(t)
	page := drawPage(t, a)
	step, rest, _ := strings.Cut(page, `id="w0-groups"`)
	groups, _, _ := strings.Cut(rest, "</section>")
	got := map[string]int64{}
	for _, m := range segElement.FindAllStringSubmatch(step, -1) {
		ns, _ := strconv.ParseInt(m[2], 10, 64)
		got[m[1]] += ns
	}
	want := map[string]int64{}
	for _, s := range a.Steps {
		for _, p := range s.Parts {
			want[p.Name] += p.TimeNS
		}
	}
	for n, v := range want {
		if got[n] != v {
			t.Errorf("bars of %s stand for %d ns, steps say %d", n, got[n], v)
		}
	}
	if got["idle"] <= 0 {
		t.Error("the bars show no idle time")
	}
	var sum, rows int64
	for _, m := range segElement.FindAllStringSubmatch(groups, -1) {
		ns, _ := strconv.ParseInt(m[2], 10, 64)
		sum += ns
	}
	for _, r := range a.Groups {
		rows += r.TimeNS
	}
	if sum != rows {
		t.Errorf("group bars stand for %d ns, rows say %d", sum, rows)
	}
}

func TestSectionsWithoutDataAreLeftOut(t *testing.T) {
	page := drawPage(t, &document.Analysis{Window: document.Window{Name: "w", DurNS: 5}})
	for _, id := range []string{"findings", "drawn", "flame", "steps", "requests", "idle", "launches", "streams", "layers", "roles", "kernels", "collectives", "groups"} {
		if strings.Contains(page, `id="w0-`+id+`"`) {
			t.Errorf("section %s is there without data", id)
		}
	}
	if !strings.Contains(page, "No steps are annotated") {
		t.Error("the page does not say that no steps are annotated")
	}
	if strings.Contains(drawPage(t, pageDocument(t)), "No steps are annotated") {
		t.Error("a page with steps says that there are none")
	}
}

func TestVendoredScript(t *testing.T) {
	b, err := assets.ReadFile("html/vendor/echarts.min.js")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := assets.ReadFile("html/vendor/README.md")
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(b)
	if !bytes.Contains(readme, []byte(hex.EncodeToString(sum[:]))) {
		t.Errorf("echarts.min.js has sha256 %x, which vendor/README.md does not name", sum)
	}
	for _, bad := range []string{"</script", "<!--", "<script"} {
		if bytes.Contains(bytes.ToLower(b), []byte(bad)) {
			t.Errorf("echarts.min.js holds %q and cannot stand in a script element", bad)
		}
	}
	for _, f := range scriptFiles {
		b, err := assets.ReadFile("html/" + f)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(b, []byte("</script")) {
			t.Errorf("%s holds the end of a script element", f)
		}
	}
}

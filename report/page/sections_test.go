package page

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tokprof/report/document"
)

// section is the HTML of one section of the first window, "" without it.
func section(page, name string) string {
	_, rest, ok := strings.Cut(page, `<section id="w0-`+name+`"`)
	if !ok {
		return ""
	}
	s, _, _ := strings.Cut(rest, "</section>")
	return s
}

// unknownDocument is a window of a trace in which no step tells its phase.
func unknownDocument(t *testing.T) *document.Analysis {
	a := smallDocument(t)
	a.Requests, a.Tax = nil, nil
	var steps int64
	for i := range a.Steps {
		s := &a.Steps[i]
		s.Phase, s.Name, s.Tokens, s.Requests = "none", "ProfilerStep#"+strconv.Itoa(s.Index), 0, 0
		steps++
	}
	a.Phases = []document.Phase{{Phase: "none", Steps: steps, StepNS: a.Phases[0].StepNS, BusyNS: a.Phases[0].BusyNS}}
	for _, rows := range []*[]document.Row{&a.Groups, &a.Categories, &a.Parts, &a.Roles} {
		*rows = slices.DeleteFunc(*rows, func(r document.Row) bool { return r.Phase != "all" && r.Phase != "decode" })
		for i := range *rows {
			if r := &(*rows)[i]; r.Phase == "decode" {
				r.Phase = "none"
			}
		}
	}
	for i := range a.Kernels {
		a.Kernels[i].Phases = []document.PhaseTime{{Phase: "none", TimeNS: a.Kernels[i].TotalNS, Launches: a.Kernels[i].Launches}}
	}
	a.Layers = slices.DeleteFunc(a.Layers, func(l document.Layer) bool { return l.Phase != "decode" })
	for i := range a.Layers {
		a.Layers[i].Phase = "none"
	}
	for i := range a.Stacks.Samples {
		a.Stacks.Samples[i].Phase = "none"
	}
	for i := range a.Timelines {
		tl := &a.Timelines[i]
		tl.Phase, tl.Title = "none", strings.Replace(tl.Title, "decode", "none", 1)
	}
	a.Verdict, a.Findings = "", nil
	return a
}

func TestUnknownPhaseIsNotNamed(t *testing.T) {
	page := drawPage(t, unknownDocument(t))
	body := dataElement.ReplaceAllString(page[strings.Index(page, "<main"):strings.Index(page, "<footer")], "")
	for _, bad := range []string{">none", "None", "none step", "of none", "none,"} {
		if strings.Contains(body, bad) {
			t.Errorf("the page says %q", bad)
		}
	}
	for _, want := range []string{"<dt>Step, median</dt>", "<figcaption>Steps", "Step 9 (median of 24)", ">steps, rank 0<", "<figcaption>Steps: 3 layers"} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(page, `id="w0-findings"`) {
		t.Error("a section of findings is there without any")
	}
	a := pageDocument(t)
	a.Steps[0].Phase, a.Phases = "none", append(a.Phases, document.Phase{Phase: "none", Steps: 1})
	if page := drawPage(t, a); !strings.Contains(page, "<figcaption>Other steps") || !strings.Contains(page, "steps, 1 of phase not known") {
		t.Error("steps of no phase among others are not told apart")
	}
}

func TestLayersOfEachPhase(t *testing.T) {
	a := &document.Analysis{Window: document.Window{DurNS: 5}, Phases: []document.Phase{{Phase: "prefill", Steps: 1, StepNS: document.Spread{Median: 5}}, {Phase: "decode", Steps: 9, StepNS: document.Spread{Median: 5}}},
		Groups: []document.Row{{Phase: "decode", Name: "ffn", TimeNS: 5}}}
	for _, p := range []string{"prefill", "decode"} {
		for i := range 9 {
			l := document.Layer{Phase: p, Index: i, Kind: "experts", TimeNS: 1000, Parts: []document.NameTime{{Name: "ffn", TimeNS: 600}, {Name: "attention", TimeNS: 400}}}
			if i == 0 {
				l.Kind = "dense"
			}
			if p == "prefill" {
				l.TimeNS, l.Parts[0].TimeNS = 90_000, 89_600
			} else if i == 7 {
				l.TimeNS, l.Parts[0].TimeNS, l.Outlier = 1500, 1100, true
			}
			a.Layers = append(a.Layers, l)
		}
	}
	v := layerSection(a, newLexicon(a), capsFor(1))
	if !strings.HasPrefix(v.Main.Title, "Decode: 9 layers, the tallest 1.50") || len(v.Rest) != 1 || !strings.HasPrefix(v.Rest[0].Title, "Prefill: 9 layers, the tallest 90.0") {
		t.Fatalf("strips %q and %d more", v.Main.Title, len(v.Rest))
	}
	for _, s := range []*layerStrip{v.Main, v.Rest[0]} {
		tallest := 0.0
		for _, b := range s.Bars {
			sum := 0.0
			for _, seg := range b.Segs {
				h, _ := strconv.ParseFloat(seg.H, 64)
				sum += h
			}
			tallest = max(tallest, sum)
		}
		if tallest < layerHeight-0.1 || tallest > layerHeight+0.1 {
			t.Errorf("%s: the tallest bar has %g px, want %d", s.Title, tallest, layerHeight)
		}
	}
	if m := v.Main.Bars[7].Mark; m != "▼ 7" || len(v.Main.Outliers) != 1 || !strings.Contains(v.Main.Outliers[0], "layer 7 takes 1.50\u202fµs, 1.50 × the median of its kind") {
		t.Errorf("outlier marked %q, said %q", m, v.Main.Outliers)
	}
	if len(v.Main.Kinds) != 2 || v.Main.KindNote != "Kinds: A dense, B experts." {
		t.Errorf("kinds %v, %q", v.Main.Kinds, v.Main.KindNote)
	}
	page := section(drawPage(t, a), "layers")
	if !strings.Contains(page, `▼ 7</text>`) || !strings.Contains(page, "<small>outlier</small>") || strings.Index(page, "Decode: 9") > strings.Index(page, "The same for prefill") {
		t.Error("the section does not mark the outlier in text, or folds the main phase")
	}
	for i := range a.Layers {
		a.Layers[i].Kind = "dense"
	}
	if strings.Contains(section(drawPage(t, a), "layers"), "Kinds:") {
		t.Error("one kind is marked as if there were several")
	}
}

func TestCollectives(t *testing.T) {
	a := pageDocument(t)
	a.Trust = append(a.Trust, document.Trust{Code: "link_bytes", Severity: document.Info, Message: "the counters seem to count one of 18 links"})
	s := section(drawPage(t, a), "collectives")
	got := map[string]int64{}
	for _, m := range segElement.FindAllStringSubmatch(s, -1) {
		ns, _ := strconv.ParseInt(m[2], 10, 64)
		got[m[1]] += ns
	}
	var transfer, wait int64
	for _, c := range a.Collectives {
		transfer, wait = transfer+c.TransferSumNS, wait+c.WaitSumNS
	}
	if got["transfer"] != transfer || got["waiting"] != wait {
		t.Errorf("bars stand for %v, collectives say %d and %d", got, transfer, wait)
	}
	if !strings.Contains(s, "matched over its ranks (at most 2)") || !strings.Contains(s, "rank\u00a00 70\u202f%") {
		t.Error("the section does not say how the split was made and who was late")
	}
	for _, want := range []string{
		"The ceiling is 371\u202fGB/s, NCCL&#39;s figure for 18 NVLinks of generation 4, one direction; the wires carry 450\u202fGB/s",
		"one-shot", "latency-bound", "5.28\u202fMB", "× 1.0", "The counters seem to count one of 18 links.",
	} {
		if !strings.Contains(s, want) {
			t.Errorf("the section lacks %q", want)
		}
	}
	for i := range a.Collectives {
		a.Collectives[i].Sizes, a.Collectives[i].Bytes = nil, 0
	}
	s = section(drawPage(t, a), "collectives")
	for _, bad := range []string{"Size", "Bus bandwidth", "ceiling", "Not split", "estimate", "data parallelism"} {
		if strings.Contains(s, bad) {
			t.Errorf("%q is there with nothing in it", bad)
		}
	}
	a.Collectives[0].Sizes = []document.CollectiveSize{{Bytes: 2 << 20, MinBytes: 2 << 20, MaxBytes: 2 << 20, Count: 3, BusBW: 9e10, Percent: 20, BestNS: 5, TransferNS: document.Spread{Median: 10, P99: 10}}}
	a.Collectives[0].Warning = "do not use tensor parallelism here: pipeline or data parallelism moves less"
	a.Collectives[1].Unmatched, a.Collectives[1].Estimated = 5, true
	s = section(drawPage(t, a), "collectives")
	for _, want := range []string{"Size", "Bus bandwidth", "Not split", "<small>estimate</small>", "shortest tenth", "90.0\u202fGB/s", "20\u202f%", "× 2", "5 runs had", "Do not use tensor parallelism here"} {
		if !strings.Contains(s, want) {
			t.Errorf("the section lacks %q", want)
		}
	}
	for i := range a.Collectives {
		a.Collectives[i].Estimated = true
	}
	if s = section(drawPage(t, a), "collectives"); strings.Contains(s, "Skew") || strings.Contains(s, "Waited for") {
		t.Error("one rank's file cannot tell skew or who was late")
	}
}

func TestFlameIsColouredBySamples(t *testing.T) {
	a := pageDocument(t)
	c := pageFlame(t, drawPage(t, a))
	got, want := map[string]int64{}, map[string]int64{}
	for i, p := range c.Paint {
		if p >= 0 {
			got[c.Parts[c.Paints[p][0]]] += c.Values[0][i]
		}
	}
	roles := map[string]bool{}
	for _, s := range a.Stacks.Samples {
		want[s.Part] += s.TimeNS
		roles[s.Role] = true
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the flame graph's colours stand for %v, samples say %v", got, want)
	}
	for r := range roles {
		if r != "" && !slices.ContainsFunc(c.Labels, func(l string) bool { return strings.HasSuffix(l, ", "+r) }) {
			t.Errorf("no frame names role %s", r)
		}
	}
	// One kernel that serves two parts is two frames.
	k := a.Stacks.Samples[0]
	k.Part, k.Role = "head", "lm_head"
	a.Stacks.Samples = append(a.Stacks.Samples, k)
	if n := len(pageFlame(t, drawPage(t, a)).Parent); n != len(c.Parent)+1 {
		t.Errorf("%d frames, want %d", n, len(c.Parent)+1)
	}
}

// pageFigures reads the drawn steps back from a page.
func pageFigures(t *testing.T, page string) (figs []struct {
	ID     string
	Option struct {
		YAxis  []struct{ Data []string }
		Series []struct{ Data []struct{ Value []int64 } }
	}
}, names figureNames) {
	t.Helper()
	d := struct {
		Timelines any
		Names     *figureNames
	}{&figs, &names}
	if err := json.Unmarshal([]byte(dataElement.FindStringSubmatch(page)[2]), &d); err != nil {
		t.Fatal(err)
	}
	return figs, names
}

func TestTimelineParts(t *testing.T) {
	a := pageDocument(t)
	page := drawPage(t, a)
	figs, names := pageFigures(t, page)
	got, want := map[figureTag]int{}, map[figureTag]int{}
	bands := 0
	for _, f := range figs {
		for _, e := range f.Option.Series[0].Data {
			if e.Value[3] >= 0 {
				got[names.Tags[e.Value[4]]]++
			}
		}
		lanes := f.Option.YAxis[0].Data
		for i, l := range lanes {
			if strings.HasSuffix(l, "host") && (i+1 == len(lanes) || !strings.Contains(lanes[i+1], l[:7]+"stream")) {
				t.Errorf("%s: lane %q stands before none of its GPU lanes: %v", f.ID, l, lanes)
			}
		}
		last := map[int64]int64{}
		for _, b := range f.Option.Series[1].Data {
			bands++
			if b.Value[1] < last[b.Value[0]] {
				t.Errorf("%s: layer %d begins before the last one ended", f.ID, b.Value[3])
			}
			last[b.Value[0]] = b.Value[2]
		}
	}
	for _, tl := range a.Timelines {
		for _, l := range tl.Lanes {
			for _, s := range l.Spans {
				if s.Kernel >= 0 {
					want[figureTag{Part: s.Part, Role: s.Role}]++
				}
			}
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("drawn %v, timelines have %v", got, want)
	}
	if min := 16 * len(a.Timelines); bands < min {
		t.Errorf("%d layers are marked, at least %d wanted", bands, min)
	}
	s := section(page, "drawn")
	median, slow, prefill := strings.Index(s, "Decode step 9 (median"), strings.Index(s, "<summary>Decode step 1 (slowest of 24)"), strings.Index(s, "Prefill step 0")
	if median < 0 || slow < median || prefill < slow {
		t.Errorf("median, slowest and prefill steps stand at %d, %d, %d", median, slow, prefill)
	}
}

func TestStepThatLaunchedNothing(t *testing.T) {
	a := &document.Analysis{Window: document.Window{DurNS: 5}, Timelines: []document.Timeline{{Phase: "none", Title: "none step 3 (median of 9)", DurNS: 5}}}
	page := drawPage(t, a)
	if s := section(page, "drawn"); !strings.Contains(s, "Step 3 (median of 9)") || !strings.Contains(s, "Nothing was launched in this step.") || strings.Contains(s, `class="chart`) {
		t.Errorf("the section reads %s", s)
	}
	if len(scriptElement.FindAllString(page, -1)) != 1 {
		t.Error("a page without charts carries the script that draws them")
	}
}

func TestFindingCards(t *testing.T) {
	a := pageDocument(t)
	a.Findings = nil
	for i := range 7 {
		a.Findings = append(a.Findings, document.Finding{ID: "x", Severity: document.Warning, Title: fmt.Sprint("finding ", i), Evidence: []string{"seen"}, MaxGain: "1 ms",
			Remedy: "--flag  # vLLM 0.10.0 and later\n# or less load", Confirm: "look again"})
	}
	page := drawPage(t, a)
	s := section(page, "findings")
	if n := strings.Count(s, "<h3>"); n != 5 || !strings.Contains(s, "finding 0") || strings.Contains(s, "finding 5") {
		t.Errorf("%d cards, want the first five", n)
	}
	if !strings.Contains(s, `<pre id="w0-try0"><code>--flag  # vLLM 0.10.0 and later`+"\n") || !strings.Contains(s, `data-copy="w0-try0"`) {
		t.Error("the remedy cannot be pasted as it is")
	}
	if !strings.Contains(s, `aria-hidden="true">!</span>`) || !strings.Contains(s, "<small>moderate</small>") {
		t.Error("severity is told by colour alone")
	}
	order := regexp.MustCompile(`<section id="w0-(\w+)"`).FindAllStringSubmatch(page, -1)
	if order[0][1] != "step" || order[1][1] != "findings" {
		t.Errorf("sections begin with %s, %s", order[0][1], order[1][1])
	}
}

func TestRolesSayHowWeKnow(t *testing.T) {
	a := pageDocument(t)
	s := section(drawPage(t, a), "roles")
	var sum, want int64
	for _, m := range segElement.FindAllStringSubmatch(s, -1) {
		ns, _ := strconv.ParseInt(m[2], 10, 64)
		sum += ns
	}
	for _, p := range a.Provenance {
		want += p.TimeNS
	}
	if sum != want {
		t.Errorf("the bar of evidence stands for %d ns, the document says %d", sum, want)
	}
	for _, text := range []string{"What each role computes and moves", "TFLOP/s", "memory", "shapes", "strongest evidence first"} {
		if !strings.Contains(s, text) {
			t.Errorf("the section lacks %q", text)
		}
	}
	for i := range a.Roles {
		a.Roles[i].Work = nil
	}
	if strings.Contains(section(drawPage(t, a), "roles"), "computes and moves") {
		t.Error("a table of work is there without any")
	}
}

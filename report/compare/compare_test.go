package compare

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"tokprof/kernels/breakdown"
	"tokprof/report/document"
	"tokprof/trace"
)

// ran is one kernel in one role and batch of a crafted recording: launches of
// ns each.
type ran struct {
	name, role   string
	batch        int64 // of a decode step; 0 for what no step did
	launches, ns int64
}

// recording crafts the analysis of a window.
func recording(runs ...ran) *document.Analysis {
	a := &document.Analysis{Window: document.Window{Name: "decode"}, Trust: []document.Trust{{Severity: document.Warning, Message: "a doubt"}, {Severity: document.Info, Message: "a note"}}}
	kernelAt, batchAt := map[string]int{}, map[int64]int{}
	var sum int64
	for _, r := range runs {
		k, ok := kernelAt[r.name]
		if !ok {
			k = len(a.Kernels)
			kernelAt[r.name] = k
			group, rule := "gemm", "nvjet"
			if strings.Contains(r.name, "reduce") {
				group, rule = "comm", ""
			}
			a.Kernels = append(a.Kernels, document.Kernel{Name: r.name, ShortName: r.name, Group: group, Subgroup: "dense", Rule: rule})
		}
		b, ok := batchAt[r.batch]
		if !ok {
			b = len(a.Batches)
			batchAt[r.batch] = b
			of := document.Batch{Phase: "none"}
			if r.batch > 0 {
				of = document.Batch{Phase: "decode", Requests: r.batch, Tokens: r.batch, Steps: 10, StepNS: 3000, PeriodNS: 4000}
			}
			a.Batches = append(a.Batches, of)
		}
		comm := a.Kernels[k].Group == "comm"
		a.Batches[b].Kernels = append(a.Batches[b].Kernels, document.BatchKernel{
			Kernel: k, Role: r.role, Launches: r.launches, TotalNS: r.launches * r.ns, Comm: comm,
			Durs: breakdown.Durations{{Dur: trace.Time(r.ns), Count: r.launches}},
		})
		sum += r.launches * r.ns
	}
	a.Devices = []document.Device{{SumNS: sum}}
	return a
}

// pairs spells the rows: match, role, launches of both sides.
func pairs(w *Window) string {
	var b strings.Builder
	for _, k := range w.Kernels {
		fmt.Fprintf(&b, "%s|%s|%s|%s|%d %d\n", k.Match, k.Role, k.Name, k.NsysName, k.Torch.Launches, k.Nsys.Launches)
	}
	return b.String()
}

// checkTotals holds the rows against both sides' sums: nothing is dropped.
func checkTotals(t *testing.T, w *Window) {
	t.Helper()
	var a, b int64
	for _, k := range w.Kernels {
		a, b = a+k.Torch.TotalNS, b+k.Nsys.TotalNS
	}
	if a != w.Torch.GPUNS || b != w.Nsys.GPUNS {
		t.Errorf("rows sum to %d and %d, the sides to %d and %d", a, b, w.Torch.GPUNS, w.Nsys.GPUNS)
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		what        string
		torch, nsys []ran
		want        string
		names       Same
	}{
		{"spellings", []ran{{"void k<2, true>(float*)", "", 8, 1, 50}}, []ran{{"void k<(int)2, (bool)1>(T1 *)", "", 8, 2, 40}},
			"name||void k<2, true>(float*)|void k<(int)2, (bool)1>(T1 *)|1 2\n", Same{Names: 1}},
		{"two spellings on one side", []ran{{"k<1>(int)", "", 8, 1, 50}, {"void k<1>(int)", "", 8, 3, 50}}, []ran{{"void k<(int)1>(int)", "", 8, 4, 50}},
			"name||k<1>(int)|void k<(int)1>(int)|4 4\n", Same{Names: 1}},
		{"short names", []ran{{"void at::fill_kernel<2>(float*)", "", 8, 1, 50}}, []ran{{"fill_kernel", "", 8, 1, 50}},
			"family||void at::fill_kernel<2>(float*)|fill_kernel|1 1\n", Same{ByFamily: 1}},
		{"another variant", []ran{{"nvjet_64x8", "down", 8, 1, 50}}, []ran{{"nvjet_128x8", "down", 8, 1, 40}},
			"family|down|nvjet_64x8|nvjet_128x8|1 1\n", Same{ByFamily: 1}},
		{"variants that could be either", []ran{{"nvjet_64x8", "down", 8, 1, 90}}, []ran{{"nvjet_128x8", "down", 8, 1, 40}, {"nvjet_256x8", "down", 8, 1, 30}},
			"torch only|down|nvjet_64x8||1 0\nnsys only|down|nvjet_128x8||0 1\nnsys only|down|nvjet_256x8||0 1\n",
			Same{TorchOnly: 1, NsysOnly: 2, TorchOnlyNS: 90, NsysOnlyNS: 70, EqualLack: 3}},
		{"another role", []ran{{"nvjet_64x8", "down", 8, 1, 90}}, []ran{{"nvjet_64x8", "o_proj", 8, 1, 40}},
			"torch only|down|nvjet_64x8||1 0\nnsys only|o_proj|nvjet_64x8||0 1\n", Same{Names: 1, RolesDiffer: 1}},
		{"another role in steps of another size", []ran{{"nvjet_64x8", "down", 8, 1, 90}, {"nvjet_64x8", "o_proj", 4, 1, 50}}, []ran{{"nvjet_64x8", "down", 8, 1, 40}},
			"name|down|nvjet_64x8||1 1\ntorch only|o_proj|nvjet_64x8||1 0\n", Same{Names: 1}},
		{"outside steps", []ran{{"a", "", 0, 1, 90}, {"b", "", 8, 1, 10}}, []ran{{"b", "", 8, 1, 10}, {"c_reduce", "", 0, 1, 5}},
			"torch only||a||1 0\nname||b||1 1\nnsys only||c_reduce||0 1\n", Same{Names: 1, TorchOnly: 1, NsysOnly: 1, TorchOnlyNS: 90, NsysOnlyNS: 5}},
		{"nothing in common", []ran{{"a_reduce", "", 8, 1, 90}}, []ran{{"b_reduce", "", 8, 1, 10}},
			"torch only||a_reduce||1 0\nnsys only||b_reduce||0 1\n", Same{TorchOnly: 1, NsysOnly: 1, TorchOnlyNS: 90, NsysOnlyNS: 10, EqualLack: 2}},
	} {
		w := Reconcile(recording(c.torch...), recording(c.nsys...))
		if got := pairs(&w); got != c.want {
			t.Errorf("%s:\n%s", c.what, got)
		}
		w.Same.WorstShare = 0
		if w.Same != c.names {
			t.Errorf("%s: %+v", c.what, w.Same)
		}
		checkTotals(t, &w)
		if w.Verdict == "" || len(w.Notes) != 2 {
			t.Errorf("%s: %q, %d notes", c.what, w.Verdict, len(w.Notes))
		}
	}
}

// TestAgree puts medians and shares on both sides of their bars.
func TestAgree(t *testing.T) {
	base := []ran{{"a", "down", 8, 1000, 100_000}, {"b", "up", 8, 1000, 2000}, {"c_reduce", "", 8, 1000, 5000}}
	with := func(i int, launches, ns int64) []ran {
		out := append([]ran{}, base...)
		out[i].launches, out[i].ns = launches, ns
		return out
	}
	for _, c := range []struct {
		what     string
		nsys     []ran
		agree    bool
		compared int
	}{
		{"equal", base, true, 3},
		{"4 % longer", with(0, 1000, 104_000), true, 3},
		{"6 % longer", with(0, 1000, 106_000), false, 3},
		{"6 % longer, four ticks", with(1, 1000, 2128), true, 3},
		{"8 % longer, five ticks", with(1, 1000, 2160), false, 3},
		{"a collective", with(2, 1000, 6000), false, 3},
		{"too few to tell", with(1, 99, 4000), true, 2},
		{"another share", with(1, 3000, 2000), false, 3},
	} {
		w := Reconcile(recording(base...), recording(c.nsys...))
		if w.Same.Agree != c.agree || w.Same.Compared != c.compared {
			t.Errorf("%s: %+v", c.what, w.Same)
		}
		if strings.Contains(w.Verdict, "they agree") != c.agree {
			t.Errorf("%s: %s", c.what, w.Verdict)
		}
	}
}

// TestShares leaves collectives out of the shares.
func TestShares(t *testing.T) {
	w := Reconcile(recording(ran{"a", "down", 8, 3, 100}, ran{"b", "", 8, 1, 100}, ran{"c_reduce", "", 8, 1, 999}),
		recording(ran{"a", "down", 8, 1, 100}, ran{"b", "", 8, 1, 100}, ran{"c_reduce", "", 8, 1, 9}))
	if len(w.Batches) != 1 || len(w.Batches[0].Shares) != 2 {
		t.Fatalf("%+v", w.Batches)
	}
	s := w.Batches[0].Shares
	if s[0].Role != "down" || s[0].Torch != 0.75 || s[0].Nsys != 0.5 || s[1].Role != "gemm.dense" || math.Abs(w.Batches[0].WorstShare) != 0.25 {
		t.Errorf("%+v", s)
	}
}

// TestTax words what each profiler cost.
func TestTax(t *testing.T) {
	a, b := recording(ran{"a", "", 8, 1, 10}), recording(ran{"a", "", 8, 1, 10})
	a.Tax = &document.Tax{Window: "plain", TPOTNS: 3_000_000, PlainTPOTNS: 2_000_000, TPOTInflation: 0.5}
	b.Requests = &document.Requests{TPOTNS: document.Spread{Median: 4_000_000}}
	w := Reconcile(a, b)
	if want := (Tax{Requests: 8, Tokens: 8, TorchPerTokNS: 3_000_000, NsysPerTokNS: 4_000_000, PlainPerTokNS: 2_000_000, PlainWindow: "plain", TorchInflation: 0.5}); w.Tax != want {
		t.Errorf("%+v", w.Tax)
	}
	if want := "A decode step of 8 requests takes 3.00 µs under torch and 3.00 µs under nsys. A token takes 2.00 ms without a profiler, 3.00 ms under torch (+50 %), 4.00 ms under nsys."; !strings.Contains(w.Verdict, want) {
		t.Error(w.Verdict)
	}
	b.Devices[0].GraphNS = 5_000_000
	if w := Reconcile(a, b); !strings.Contains(w.Verdict, "5.00 ms of the nsys side are whole CUDA graphs") {
		t.Error(w.Verdict)
	}
}

// TestApart doubts one load only where kernels tell: whole graphs hide some.
func TestApart(t *testing.T) {
	for _, c := range []struct {
		torch, nsys Side
		same        Same
		want        string
	}{
		{Side{GPUNS: 100}, Side{GPUNS: 100}, Same{Names: 3, TorchOnlyNS: 51, NsysOnlyNS: 70}, "51 % of the torch side's time is in kernels that the other side lacks: they are hardly of one load."},
		{Side{GPUNS: 100}, Side{GPUNS: 100}, Same{Names: 3, TorchOnlyNS: 50, NsysOnlyNS: 70}, "70 % of the nsys side's time is in kernels that the other side lacks: they are hardly of one load."},
		{Side{GPUNS: 100}, Side{GPUNS: 100}, Same{Names: 3, TorchOnlyNS: 50, NsysOnlyNS: 50}, ""},
		{Side{GPUNS: 100}, Side{GPUNS: 100, GraphNS: 900}, Same{Names: 3, TorchOnlyNS: 80}, ""},
		{Side{GPUNS: 100}, Side{GPUNS: 100}, Same{TorchOnlyNS: 100, NsysOnlyNS: 100}, ""},
	} {
		w := Window{Torch: c.torch, Nsys: c.nsys, Same: c.same}
		if got := w.apart(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.same, got, c.want)
		}
	}
}

package compare

import (
	"cmp"
	"math"
	"slices"

	"tokprof/report/document"
)

// The bars of agreement: two recordings of one load differ by chance, by
// clocks and by what each profiler adds to a kernel's end.
const (
	minLaunches = 100  // of a kernel on each side, for its median to count
	medianBar   = 0.05 // of the torch side's median
	shareBar    = 0.02 // of the time outside collectives

	// ticks are four of the 32 ns in which GPUs of the Hopper generation stamp
	// times, in nanoseconds: two runs of a kernel of 2 µs differ by as much.
	ticks = 130
)

// Reconcile holds a window that the torch profiler recorded against one of the
// same load that Nsight Systems recorded. Both analyses must have Batches.
func Reconcile(torchSide, nsysSide *document.Analysis) Window {
	a := [sides]*document.Analysis{torchSide, nsysSide}
	w := Window{Torch: side(a[torch]), Nsys: side(a[nsys]), Kernels: []Kernel{}, Batches: batches(a), Notes: notes(a)}
	all := rows(a)
	for _, r := range all {
		w.Kernels = append(w.Kernels, r.tell())
	}
	slices.SortStableFunc(w.Kernels, func(x, y Kernel) int {
		return cmp.Or(cmp.Compare(y.Torch.TotalNS+y.Nsys.TotalNS, x.Torch.TotalNS+x.Nsys.TotalNS), cmp.Compare(x.Name, y.Name), cmp.Compare(x.Role, y.Role))
	})
	w.Same = same(all, &w)
	w.Tax = tax(a, w.Batches)
	w.Verdict = w.verdict()
	return w
}

func side(a *document.Analysis) Side {
	s := Side{Window: a.Window.Name, Sources: []document.Source{}, Names: len(a.Kernels)}
	for _, src := range a.Sources {
		if src.Role == "gpu" {
			s.Sources = append(s.Sources, src)
			s.Ranks++
		}
	}
	for _, d := range a.Devices {
		s.Events += d.Events
		s.GPUNS += d.SumNS
		s.GraphNS += d.GraphNS
	}
	for _, p := range a.Phases {
		s.Steps += p.Steps
	}
	return s
}

// notes are the doubts that each side has about its own numbers.
func notes(a [sides]*document.Analysis) []Note {
	out := []Note{}
	for i, name := range []string{"torch", "nsys"} {
		for _, t := range a[i].Trust {
			if t.Severity == document.Warning || t.Severity == document.Error {
				out = append(out, Note{name, t.Severity, t.Message})
			}
		}
	}
	return out
}

// same judges how far the recordings agree.
func same(all []*row, w *Window) Same {
	var s Same
	names, family := namesOf(all), map[string]bool{}
	for _, r := range all {
		if r.match == ByFamily {
			s.ByFamily++
			family[r.id[torch]], family[r.id[nsys]] = true, true
		}
	}
	for id, has := range names {
		switch {
		case has == [sides]bool{true, true}:
			s.Names++
		case family[id]:
		case has[torch]:
			s.TorchOnly++
		default:
			s.NsysOnly++
		}
	}
	for _, r := range all {
		if side, ok := r.alone(names); !ok || family[r.id[side]] {
			continue
		} else if side == torch {
			s.TorchOnlyNS += r.sum[torch].TotalNS
		} else {
			s.NsysOnlyNS += r.sum[nsys].TotalNS
		}
	}
	s.EqualLack, s.RolesDiffer = unequal(all, w.Batches)
	s.medians(w.Kernels)
	for _, b := range w.Batches {
		if math.Abs(b.WorstShare) > math.Abs(s.WorstShare) {
			s.WorstShare = b.WorstShare
		}
	}
	s.Agree = s.RolesDiffer == 0 && s.EqualLack == 0 && s.Outside == 0 && math.Abs(s.WorstShare) <= shareBar && s.Compared > 0
	return s
}

// unequal counts the names that one side lacks in decode steps of equal batch,
// and those that have another role there. What runs at changes of the batch
// alone runs in one size here and in another there: sizes count together.
func unequal(all []*row, equal []Batch) (lack, roles int) {
	names := map[string]map[string][sides]bool{} // sides by role
	for _, r := range all {
		for s, l := range r.decode {
			if r.match == ByFamily || !slices.ContainsFunc(equal, func(b Batch) bool { return s == size{b.Requests, b.Tokens} }) {
				continue
			}
			for i, k := range r.kernel {
				if k == nil || l[i].launches == 0 {
					continue
				}
				if names[r.id[i]] == nil {
					names[r.id[i]] = map[string][sides]bool{}
				}
				has := names[r.id[i]][r.role]
				has[i] = true
				names[r.id[i]][r.role] = has
			}
		}
	}
	both := [sides]bool{true, true}
	for _, byRole := range names {
		var known [sides]bool
		apart := false
		for _, has := range byRole {
			known[torch], known[nsys] = known[torch] || has[torch], known[nsys] || has[nsys]
			apart = apart || has != both
		}
		switch {
		case known != both:
			lack++
		case apart:
			roles++
		}
	}
	return lack, roles
}

// medians compares what ran often enough in equal steps.
func (s *Same) medians(rows []Kernel) {
	var changes []float64
	for _, k := range rows {
		if k.Match != ByName {
			continue
		}
		for _, m := range k.Decode {
			if min(m.TorchLaunches, m.NsysLaunches) < minLaunches {
				continue
			}
			changes = append(changes, m.Change)
			if math.Abs(m.Change) > math.Abs(s.Worst) {
				s.Worst, s.WorstKernel, s.WorstTorch, s.WorstNsys = m.Change, k.ShortName, m.TorchNS, m.NsysNS
			}
			if apart := m.NsysNS - m.TorchNS; math.Abs(m.Change) > medianBar && max(apart, -apart) > ticks {
				s.Outside++
			}
		}
	}
	slices.Sort(changes)
	if s.Compared = len(changes); s.Compared > 0 {
		s.Median = changes[s.Compared/2]
	}
}

// tax is what the profilers cost, as far as either side knows.
func tax(a [sides]*document.Analysis, equal []Batch) Tax {
	var t Tax
	if len(equal) > 0 {
		t.Requests, t.Tokens = equal[0].Requests, equal[0].Tokens
	}
	for i, x := range a {
		perToken, inflation := int64(0), 0.0
		switch {
		case x.Tax != nil && x.Tax.PlainTPOTNS > 0:
			perToken, inflation = x.Tax.TPOTNS, x.Tax.TPOTInflation
			if t.PlainPerTokNS == 0 {
				t.PlainPerTokNS, t.PlainWindow = x.Tax.PlainTPOTNS, x.Tax.Window
			}
		case x.Requests != nil:
			perToken = x.Requests.TPOTNS.Median
		}
		if i == torch {
			t.TorchPerTokNS, t.TorchInflation = perToken, inflation
		} else {
			t.NsysPerTokNS, t.NsysInflation = perToken, inflation
		}
	}
	return t
}

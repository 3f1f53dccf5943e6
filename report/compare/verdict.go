package compare

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"tokprof/report/figures"
)

// verdict says in a few sentences whether both recordings are of one thing,
// and what each profiler cost.
func (w *Window) verdict() string {
	return strings.TrimSpace(strings.Join(slices.DeleteFunc([]string{w.Same.names(), w.apart(), w.Same.equal(len(w.Batches)), w.steps()}, func(s string) bool { return s == "" }), " ")) + w.graphs()
}

// names says which kernels either side lacks.
func (s *Same) names() string {
	switch {
	case s.Names == 0 && s.NsysOnly == 0:
		return "The nsys side holds no kernel, so nothing is compared by name."
	case s.Names == 0 && s.TorchOnly == 0:
		return "The torch side holds no kernel, so nothing is compared by name."
	case s.Names == 0:
		return "The two recordings have no kernel in common: they are not of one load."
	}
	text := fmt.Sprintf("Both have the same %d kernels", s.Names)
	if s.TorchOnly+s.NsysOnly > 0 {
		text = fmt.Sprintf("%d kernels are on both sides", s.Names)
	}
	if s.ByFamily > 0 {
		text += fmt.Sprintf(", and %d more by family and role", s.ByFamily)
	}
	var only []string
	for _, o := range []struct {
		n    int
		ns   int64
		side string
	}{{s.TorchOnly, s.TorchOnlyNS, "torch"}, {s.NsysOnly, s.NsysOnlyNS, "nsys"}} {
		if o.n > 0 {
			only = append(only, fmt.Sprintf("%d only under %s (%s)", o.n, o.side, figures.Dur(o.ns)))
		}
	}
	if len(only) > 0 {
		text += "; " + strings.Join(only, ", ")
	}
	return text + "."
}

// apart doubts that the two are of one load, where most of a side's time is in
// kernels that the other lacks. Whole graphs hide kernels that both may have.
func (w *Window) apart() string {
	if w.Same.Names == 0 || w.Torch.GraphNS+w.Nsys.GraphNS > 0 {
		return ""
	}
	for _, s := range []struct {
		name     string
		only, of int64
	}{{"torch", w.Same.TorchOnlyNS, w.Torch.GPUNS}, {"nsys", w.Same.NsysOnlyNS, w.Nsys.GPUNS}} {
		if part := figures.Share(s.only, s.of); part > 0.5 {
			return fmt.Sprintf("%s of the %s side's time is in kernels that the other side lacks: they are hardly of one load.", figures.Percent(part), s.name)
		}
	}
	return ""
}

// equal says whether steps that did equal work had the same kernels, and
// whether these took equally long.
func (s *Same) equal(batches int) string {
	if batches == 0 {
		return "No decode step has one batch on both sides, so lengths are not compared."
	}
	text := "In decode steps of equal batch "
	switch {
	case s.EqualLack > 0 && s.RolesDiffer > 0:
		text += fmt.Sprintf("one side lacks %d kernels, and %d have another role", s.EqualLack, s.RolesDiffer)
	case s.EqualLack > 0:
		text += fmt.Sprintf("one side lacks %d kernels", s.EqualLack)
	case s.RolesDiffer > 0:
		text += fmt.Sprintf("%d kernels have another role", s.RolesDiffer)
	default:
		text += "both have the same kernels in the same roles"
	}
	if s.Compared == 0 {
		return text + fmt.Sprintf("; none ran %d times on both sides, so lengths are not compared.", minLaunches)
	}
	text += fmt.Sprintf("; medians differ by %s under nsys", figures.Change(s.Median))
	if s.Worst != 0 {
		text += fmt.Sprintf(", at worst by %s (%s, %s to %s)", figures.Change(s.Worst), s.WorstKernel, figures.Dur(s.WorstTorch), figures.Dur(s.WorstNsys))
	}
	text += fmt.Sprintf(", role shares by at most %.1f points: ", math.Abs(s.WorstShare)*100)
	if s.Agree {
		return text + "they agree."
	}
	return text + "they do not agree."
}

// steps says how long a step took under each profiler, and a token.
func (w *Window) steps() string {
	var text string
	if len(w.Batches) > 0 {
		b := w.Batches[0]
		text = fmt.Sprintf("A decode step of %s takes %s under torch and %s under nsys.", SizeWords(b.Requests, b.Tokens), figures.Dur(b.TorchStepNS), figures.Dur(b.NsysStepNS))
	}
	if t := w.Tax; t.PlainPerTokNS > 0 {
		text += fmt.Sprintf(" A token takes %s without a profiler", figures.Dur(t.PlainPerTokNS))
		for _, side := range []struct {
			name   string
			ns     int64
			change float64
		}{{"torch", t.TorchPerTokNS, t.TorchInflation}, {"nsys", t.NsysPerTokNS, t.NsysInflation}} {
			if side.ns > 0 {
				text += fmt.Sprintf(", %s under %s", figures.Dur(side.ns), side.name)
			}
			if side.change != 0 {
				text += fmt.Sprintf(" (%s)", figures.Change(side.change))
			}
		}
		text += "."
	}
	return text
}

// graphs says what a side knows from outside alone.
func (w *Window) graphs() string {
	for _, s := range []struct {
		name string
		ns   int64
	}{{"torch", w.Torch.GraphNS}, {"nsys", w.Nsys.GraphNS}} {
		if s.ns > 0 {
			return fmt.Sprintf(" %s of the %s side are whole CUDA graphs: their kernels are in no row (record with --cuda-graph-trace=node).", figures.Dur(s.ns), s.name)
		}
	}
	return ""
}

// SizeWords says how large a step is: "8 requests", or "8 tokens" where requests are not said.
func SizeWords(requests, tokens int64) string {
	n, what := requests, "request"
	if n == 0 {
		n, what = tokens, "token"
	}
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

package trace

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// launches says for each GPU event, in order, which call it is joined to.
func launches(t *Trace) string {
	var out []string
	for i, id := range t.GPU() {
		call := "none"
		if l := t.LaunchOf(i); l != NoEvent {
			e := t.Event(l)
			call = fmt.Sprintf("%s@%d", t.Name(e.Name), (e.Start-t.base)/1000)
		}
		out = append(out, t.Name(t.NameOf(id))+"←"+call)
	}
	return strings.Join(out, " ")
}

func TestJoin(t *testing.T) {
	const huge = math.MaxUint64
	for _, c := range []struct {
		what, want string
		rows       []string
	}{
		{"one call, one kernel", "k←cudaLaunchKernel@1", []string{
			callRow("cudaLaunchKernel", 100, 1000, 5, 77), kernelRow("k", 0, 7, 9000, 5, 77),
		}},
		{"the kernel's row may come first", "k←cudaLaunchKernel@1", []string{
			kernelRow("k", 0, 7, 9000, 5, 77), callRow("cudaLaunchKernel", 100, 1000, 5, 77),
		}},
		{"copies and memsets have calls too", "c←cudaMemcpyAsync@1 s←cudaMemsetAsync@2", []string{
			callRow("cudaMemcpyAsync", 100, 1000, 5, 1), callRow("cudaMemsetAsync", 100, 2000, 5, 2),
			gpuRow("gpu_memcpy", "c", 0, 7, 9000, 5, 1), gpuRow("gpu_memset", "s", 0, 7, 9900, 5, 2),
		}},
		{"a kernel whose call was not recorded", "k←none l←cudaLaunchKernel@1", []string{
			callRow("cudaLaunchKernel", 100, 1000, 5, 8), kernelRow("k", 0, 7, 900, 5, 7), kernelRow("l", 0, 7, 9000, 5, 8),
		}},
		{"numbers below and above all calls", "a←none b←none", []string{
			callRow("cudaEventRecord", 100, 1000, 5, 500), kernelRow("a", 0, 7, 9000, 5, 499), kernelRow("b", 0, 7, 9001, 5, 501),
		}},
		{"no calls at all", "a←none", []string{kernelRow("a", 0, 7, 9000, 5, 1)}},
		{"0 is no number", "k←none", []string{
			callRow("cudaLaunchKernel", 100, 1000, 5, 0), kernelRow("k", 0, 7, 9000, 5, 0),
		}},
		{"a driver call inside a runtime call: the outer one launched", "k←cudaLaunchKernel@1 l←cudaLaunchKernel@3", []string{
			callRow("cudaLaunchKernel", 100, 1000, 50, 7), callRow("cuLaunchKernelEx", 100, 1010, 20, 7), kernelRow("k", 0, 7, 9000, 5, 7),
			callRow("cuLaunchKernelEx", 100, 3010, 20, 8), callRow("cudaLaunchKernel", 100, 3000, 50, 8), kernelRow("l", 0, 7, 9900, 5, 8),
		}},
		{"numbers beyond 32 bits", "a←cudaLaunchKernel@1 b←cudaLaunchKernel@2 c←cudaLaunchKernel@3", []string{
			callRow("cudaLaunchKernel", 100, 1000, 5, huge), callRow("cudaLaunchKernel", 100, 2000, 5, 1<<32-1), callRow("cudaLaunchKernel", 100, 3000, 5, 1<<32),
			kernelRow("a", 0, 7, 9000, 5, huge), kernelRow("b", 0, 7, 9001, 5, 1<<32-1), kernelRow("c", 0, 7, 9002, 5, 1<<32),
		}},
		{"from 1 to the largest: the range has no table", "a←cudaLaunchKernel@1 b←cudaLaunchKernel@2 c←none", []string{
			callRow("cudaLaunchKernel", 100, 1000, 5, 1), callRow("cudaLaunchKernel", 100, 2000, 5, huge),
			kernelRow("a", 0, 7, 9000, 5, 1), kernelRow("b", 0, 7, 9001, 5, huge), kernelRow("c", 0, 7, 9002, 5, 2),
		}},
		{"ops and annotations own no kernel", "k←none", []string{
			gpuRow("cpu_op", "aten::mm", 100, 100, 1000, 5, 7), kernelRow("k", 0, 7, 9000, 5, 7),
		}},
	} {
		tr := openText(t, document("", c.rows...))
		if got := launches(tr); got != c.want {
			t.Errorf("%s: %s\nwant %s", c.what, got, c.want)
		}
		if n, pids := tr.AmbiguousLaunches(); n != 0 || pids != nil {
			t.Errorf("%s: %d ambiguous launches of %q, want none", c.what, n, pids)
		}
	}
}

func TestJoinGraphLaunch(t *testing.T) {
	rows := []string{callRow("cudaGraphLaunch", 100, 1000, 5, 42), callRow("cudaLaunchKernel", 100, 2000, 5, 43)}
	for i := range 417 {
		rows = append(rows, kernelRow("node", 0, 7+i%2, int64(5000+i), 1, 42))
	}
	rows = append(rows, kernelRow("single", 0, 7, 9000, 1, 43))
	tr := openText(t, document("", rows...))
	owned := map[string]int{}
	for i := range tr.GPU() {
		owned[tr.Name(tr.NameOf(tr.LaunchOf(i)))]++
	}
	if owned["cudaGraphLaunch"] != 417 || owned["cudaLaunchKernel"] != 1 || len(owned) != 2 {
		t.Errorf("calls own %v, want 417 of cudaGraphLaunch and 1 of cudaLaunchKernel", owned)
	}
}

// TestJoinMergedRanks has two ranks' rows in one file: their numbers collide.
func TestJoinMergedRanks(t *testing.T) {
	tr := openText(t, document("",
		callRow("cudaLaunchKernel", 100, 1000, 5, 7), callRow("cudaLaunchKernel", 200, 1001, 5, 7), callRow("cudaLaunchKernel", 300, 999, 5, 7),
		callRow("cudaLaunchKernel", 100, 2000, 5, 8), callRow("cuLaunchKernel", 200, 3000, 5, 9), callRow("cudaLaunchKernel", 100, 3001, 5, 9),
		kernelRow("a", 0, 7, 9000, 5, 7), kernelRow("b", 1, 7, 9001, 5, 7), kernelRow("c", 0, 7, 9002, 5, 8), kernelRow("d", 1, 7, 9003, 5, 9)))
	if got, want := launches(tr), "a←none b←none c←cudaLaunchKernel@2 d←none"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if n, pids := tr.AmbiguousLaunches(); n != 2 || !slices.Equal(pids, []string{"100", "200", "300"}) {
		t.Errorf("AmbiguousLaunches() = %d, %q; want 2 of 100, 200 and 300", n, pids)
	}
}

// plainJoin finds launches by trying every call for every GPU event.
func plainJoin(t *Trace) (out []EventID, ambiguous int) {
	calls := map[uint64][]Event{}
	t.Each(func(id EventID, k Kind) {
		if e := t.Event(id); k == Launch && e.Correlation != 0 {
			calls[e.Correlation] = append(calls[e.Correlation], e)
		}
	})
	owner := map[uint64]EventID{}
	for c, list := range calls {
		best := list[0]
		for _, e := range list[1:] {
			if t.Track(e.Track).Pid != t.Track(best.Track).Pid {
				best.ID = NoEvent
				break
			}
			if e.Start < best.Start {
				best = e
			}
		}
		if owner[c] = best.ID; best.ID == NoEvent {
			ambiguous++
		}
	}
	for _, id := range t.GPU() {
		l, ok := owner[t.Event(id).Correlation]
		if !ok {
			l = NoEvent
		}
		out = append(out, l)
	}
	return out, ambiguous
}

// TestJoinProperty spreads the same numbers over narrow and wide ranges, so that
// both kinds of index are used, and compares with the plain search.
func TestJoinProperty(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	spread := []func(uint64) uint64{
		func(c uint64) uint64 { return c },
		func(c uint64) uint64 { return c + 5_000_000_000 },
		func(c uint64) uint64 { return c * 1_000_003 },
		func(c uint64) uint64 { return c * 0x0123456789abcd },
	}
	for round := range 9 {
		type row struct {
			call bool
			corr uint64
			at   int64
			pid  int
		}
		list := make([]row, 200)
		for i := range list {
			list[i] = row{r.IntN(2) == 0, uint64(r.IntN(120)), int64(r.IntN(1000)), 100}
			if round%3 == 0 && r.IntN(50) == 0 {
				list[i].pid = 200
			}
		}
		var first []EventID
		for s, f := range spread {
			var rows []string
			for _, x := range list {
				c := x.corr
				if c != 0 {
					c = f(c)
				}
				if x.call {
					rows = append(rows, callRow("cudaLaunchKernel", x.pid, x.at, 1, c))
				} else {
					rows = append(rows, kernelRow("k", 0, 7, x.at, 1, c))
				}
			}
			tr := openText(t, document("", rows...))
			want, ambiguous := plainJoin(tr)
			if n, _ := tr.AmbiguousLaunches(); !slices.Equal(tr.joins.launch, want) || n != ambiguous {
				t.Fatalf("round %d, spread %d: launches %v, %d ambiguous\nwant %v, %d", round, s, tr.joins.launch, n, want, ambiguous)
			}
			if ix := newCorrIndex(tr); (ix.table == nil) != (s >= 2) {
				t.Fatalf("spread %d: table of %d, map of %d: the wrong index is tried", s, len(ix.table), len(ix.sparse))
			}
			if s == 0 {
				first = want
			} else if !slices.Equal(want, first) {
				t.Fatalf("round %d, spread %d: launches differ from those of spread 0", round, s)
			}
		}
	}
}

func TestJoinOfFixtures(t *testing.T) {
	for _, tr := range fixtures(t) {
		want, ambiguous := plainJoin(tr)
		if n, _ := tr.AmbiguousLaunches(); !slices.Equal(tr.joins.launch, want) || n != ambiguous || n != 0 {
			t.Errorf("%s: launches differ from the plain search's, or %d are ambiguous", tr.Info.Path, n)
		}
		if slices.Contains(want, NoEvent) {
			t.Errorf("%s: a kernel has no launch", tr.Info.Path)
		}
	}
}

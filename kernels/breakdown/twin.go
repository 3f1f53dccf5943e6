package breakdown

import (
	"slices"

	"tokprof/trace"
)

// twinShapes gives graph replays the shapes of a twin: a directly launched run
// of the same kernels in the same order (a warm-up, a size that no graph
// covers), whose launches recorded theirs.
func (ev *Events) twinShapes(direct []shaped) []shaped {
	if len(direct) == 0 {
		return nil
	}
	shapeOf := make(map[int32]*trace.Product, len(direct))
	for _, s := range direct {
		shapeOf[s.event] = s.Product
	}
	runs := ev.directRuns()
	twins := map[string][]int32{} // by the names of a replay: the twin's events
	var out []shaped
	for c := range ev.calls {
		if !ev.calls[c].graph {
			continue
		}
		events := ev.events(c)
		key := string(ev.nameBytes(events))
		twin, known := twins[key]
		if !known {
			twin = ev.findTwin(events, runs)
			twins[key] = twin
		}
		for n, i := range twin {
			if p, ok := shapeOf[i]; ok {
				out = append(out, shaped{p, events[n], ByTwin})
			}
		}
	}
	return out
}

// directRuns are the directly launched events of each step, in order.
func (ev *Events) directRuns() [][]int32 {
	var out [][]int32
	for _, events := range ev.passes() {
		run := slices.DeleteFunc(slices.Clone(events), func(i int32) bool { return ev.InGraph(int(i)) })
		if len(run) > 0 {
			out = append(out, run)
		}
	}
	return out
}

func (ev *Events) nameBytes(events []int32) []byte {
	b := make([]byte, 0, 4*len(events))
	for _, i := range events {
		n := ev.Trace.NameOf(ev.Trace.GPU()[i])
		b = append(b, byte(n), byte(n>>8), byte(n>>16), byte(n>>24))
	}
	return b
}

// minTwin is the least number of kernels that make equality mean something.
const minTwin = 8

// findTwin looks for the replay's kernels, in their order, in a direct run.
func (ev *Events) findTwin(events []int32, runs [][]int32) []int32 {
	if len(events) < minTwin {
		return nil
	}
	name := func(i int32) trace.NameID { return ev.Trace.NameOf(ev.Trace.GPU()[i]) }
	for _, run := range runs {
		for from := 0; from+len(events) <= len(run); from++ {
			n := 0
			for n < len(events) && name(run[from+n]) == name(events[n]) {
				n++
			}
			if n == len(events) {
				return run[from : from+n]
			}
		}
	}
	return nil
}

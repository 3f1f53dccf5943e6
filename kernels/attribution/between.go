package attribution

import (
	"cmp"
	"slices"

	"tokprof/kernels/role"
	"tokprof/trace"
)

// justBefore is how long before an annotation opens its receive is launched at
// most: nothing but the annotation's own bookkeeping lies between.
const justBefore = trace.Time(1_000_000)

// claimReceives gives a pipeline stage's receives, which are launched before
// the step that needs them is annotated, to that step. A send has the same
// kernel: it is launched as its own step closes, so the nearer end decides.
// Gathers behind a receive put its parts together.
func claimReceives(ev *Events, byPid map[string][]int32, callStep []int32) {
	t := ev.Trace
	for pid, calls := range ev.callsByPid() {
		n := 0
		for k, step := range byPid[pid] {
			opens := ev.Steps[step].Start
			for n < len(calls) && ev.callStart(calls[n]) < opens {
				n++
			}
			closed := opens - justBefore
			if k > 0 {
				closed = max(closed, ev.Steps[byPid[pid][k-1]].End)
			}
			first := n
			for i := n - 1; i >= 0; i-- {
				at := ev.callStart(calls[i])
				m := ev.match[t.NameOf(t.GPU()[ev.Calls[calls[i]].First])]
				if m.Group != "comm" || at <= closed || ev.Calls[calls[i]].Graph {
					break
				}
				if m.Subgroup == "send_recv" && opens-at < at-closed {
					first = i
				}
			}
			for _, c := range calls[first:n] {
				callStep[c] = step
			}
		}
	}
}

// callsByPid lists each process's launch calls by start.
func (ev *Events) callsByPid() map[string][]int32 {
	t := ev.Trace
	out := map[string][]int32{}
	for c := range ev.Calls {
		pid := t.Track(t.TrackOf(ev.Calls[c].Launch)).Pid
		out[pid] = append(out[pid], int32(c))
	}
	for _, calls := range out {
		slices.SortStableFunc(calls, func(a, b int32) int { return cmp.Compare(ev.callStart(a), ev.callStart(b)) })
	}
	return out
}

func (ev *Events) callStart(c int32) trace.Time { return ev.Trace.Start(ev.Calls[c].Launch) }

// dummySteps makes steps of the dummy batches that stand between annotations:
// a rank of data parallelism without work runs the experts for its peers, and
// starts by agreeing with them in an all-reduce. Such a pass writes the cache
// or runs experts, but no attention.
func dummySteps(ev *Events, callStep []int32) {
	annotated := int32(len(ev.Steps))
	byPid := ev.callsByPid()
	pids := make([]string, 0, len(byPid))
	for pid := range byPid {
		pids = append(pids, pid)
	}
	slices.Sort(pids)
	for _, pid := range pids {
		var gap []int32
		last := int32(-1)
		for _, c := range byPid[pid] {
			s := callStep[c]
			if s != last {
				ev.dummiesIn(gap, pid, callStep)
				gap, last = gap[:0], s
			}
			if s < 0 || s < annotated && ev.callStart(c) > ev.Steps[s].End {
				gap = append(gap, c)
			}
		}
		ev.dummiesIn(gap, pid, callStep)
	}
}

// dummiesIn cuts the calls of one gap into dummy batches: each begins at the
// last all-reduce in front of its embedding, the first one at the first
// all-reduce where no embedding is to be seen.
func (ev *Events) dummiesIn(gap []int32, pid string, callStep []int32) {
	var begins []int
	reduce := -1
	for i, c := range gap {
		switch has := ev.contents(c); {
		case has.core:
			return
		case has.reduce && !has.anchor:
			reduce = i
			if len(begins) == 0 {
				begins = append(begins, i)
			}
		case has.embed && reduce >= 0:
			if begins[len(begins)-1] < reduce && ev.isPass(gap[begins[len(begins)-1]:reduce]) {
				begins = append(begins, reduce)
			} else {
				begins[len(begins)-1] = reduce
			}
			reduce = -1
		}
	}
	for n, from := range begins {
		to := len(gap)
		if n+1 < len(begins) {
			to = begins[n+1]
		}
		if !ev.isPass(gap[from:to]) {
			continue
		}
		first, last := ev.Calls[gap[from]].Launch, ev.Calls[gap[to-1]].Launch
		for _, c := range gap[from:to] {
			callStep[c] = int32(len(ev.Steps))
		}
		ev.Steps = append(ev.Steps, Step{
			Label: trace.StepLabel{Phase: trace.Dummy}, Pid: pid,
			Start: ev.Trace.Start(first), End: ev.Trace.Start(last) + ev.Trace.Dur(last),
		})
	}
}

// isPass says whether calls write the cache or run experts, with products.
func (ev *Events) isPass(calls []int32) bool {
	anchor, product := false, false
	for _, c := range calls {
		has := ev.contents(c)
		anchor, product = anchor || has.anchor, product || has.product
	}
	return anchor && product
}

// contents is what a call's events mean for finding dummy batches.
type contents struct{ core, anchor, product, embed, reduce bool }

func (ev *Events) contents(c int32) (has contents) {
	t := ev.Trace
	for _, i := range ev.OfCall(int(c)) {
		n := t.NameOf(t.GPU()[i])
		m := ev.match[n]
		switch class, _ := role.Classify(m, t.Name(n)); class {
		case role.Core, role.Linear:
			has.core = true
		case role.KVWrite:
			has.anchor = true
		case role.Expert:
			has.anchor, has.product = true, true
		case role.Gemm:
			has.product = true
		case role.Embed, role.EmbedNorm:
			has.embed = true
		}
		has.reduce = has.reduce || m.Subgroup == "all_reduce"
	}
	return has
}

package diagnose

import (
	"fmt"
	"strings"
)

// hostCauses are the idle causes that the host has to answer for.
var hostCauses = []string{"host_late", "host_sync", "launch_latency"}

// causeWords say what the host does meanwhile.
var causeWords = map[string]string{
	"host_late":      "launches come late",
	"host_sync":      "inside synchronising calls",
	"launch_latency": "launches under way",
}

// hostLoss is what the steps of a phase lose to the host.
type hostLoss struct {
	gainNS int64
	cause  string // the largest of hostCauses, on the late rank or over all
	// late and waiter index the phase's ranks: the others wait in collectives
	// for late, longest waiter. -1 when no rank is late because of its host.
	late, waiter int
	waits        []int64
	inferred     bool // waiting read off the difference of collective times
}

// hostLoss finds what host and waiting cost a step. An idle GPU whose peer waits
// in a collective is one loss: with the host in time both would vanish, and the
// step could shrink by what the rank that gains least would gain.
func (f *Facts) hostLoss(p *PhaseFacts) hostLoss {
	l := hostLoss{late: -1, waiter: -1}
	l.waits, l.inferred = waits(p)
	host := func(r *RankFacts) int64 { return r.idle(hostCauses...) }
	l.gainNS = p.least(host)
	if late, waiter := extremes(l.waits); late != waiter {
		skew := l.waits[waiter] - l.waits[late]
		more := host(&p.Ranks[late]) - host(&p.Ranks[waiter])
		if share(skew, p.step()) >= lateShare && float64(more) >= lateHostPart*float64(skew) {
			l.late, l.waiter = late, waiter
			l.gainNS = host(&p.Ranks[late]) + l.waits[late]
			for i := range p.Ranks {
				l.gainNS = min(l.gainNS, host(&p.Ranks[i])+l.waits[i])
			}
		}
	}
	var most int64 = -1
	for _, c := range hostCauses {
		ns := p.idleOf(l.late, c)
		if ns > most {
			l.cause, most = c, ns
		}
	}
	// What the profiler costs, it costs the host: that part is no gain.
	l.gainNS -= p.step() - f.plainStep(p)
	return l
}

// idleOf is a rank's idle time of a cause, or all ranks' together for rank -1.
func (p *PhaseFacts) idleOf(rank int, cause string) (sum int64) {
	for i := range p.Ranks {
		if rank < 0 || rank == i {
			sum += p.Ranks[i].idle(cause)
		}
	}
	return sum
}

// waits is each rank's exposed waiting in collectives per step. Where transfer
// and waiting are not told apart, waiting is at least what a rank spends in the
// same collectives beyond the rank that spends least.
func waits(p *PhaseFacts) (ns []int64, inferred bool) {
	ns = make([]int64, len(p.Ranks))
	split := false
	for i := range p.Ranks {
		w := p.Ranks[i].part("waiting")
		ns[i] = w.ExposedNS
		split = split || w.TimeNS > 0
	}
	if split || len(ns) < 2 {
		return ns, false
	}
	least := p.least(func(r *RankFacts) int64 { return r.part("comm").ExposedNS })
	for i := range p.Ranks {
		ns[i] = p.Ranks[i].part("comm").ExposedNS - least
		inferred = inferred || ns[i] > 0
	}
	return ns, inferred
}

// extremes are the indices of the smallest and the largest; equal without any
// difference.
func extremes(ns []int64) (least, most int) {
	for i := range ns {
		if ns[i] < ns[least] {
			least = i
		}
		if ns[i] > ns[most] {
			most = i
		}
	}
	return least, most
}

// lateRank: ranks wait in collectives for one whose host feeds it late.
func lateRank(f *Facts) *Finding {
	return f.worst(func(p *PhaseFacts) *Finding {
		l := f.hostLoss(p)
		if l.late < 0 {
			return nil
		}
		fd := f.finding(p, l.gainNS)
		if fd == nil {
			return nil
		}
		late, waiter := &p.Ranks[l.late], &p.Ranks[l.waiter]
		wait, step := l.waits[l.waiter], p.step()
		fd.Title = title("%s waits %s of %s for %s, whose host is late", capital(waiter.name()), dur(wait), aStep(step, p.Name), late.name())
		fd.add("%s, %s: waiting in collectives %s a step (%s)", p.Name, waiter.name(), dur(wait), percent(share(wait, step)))
		fd.add("%s, %s: waiting %s, GPU idle for its host %s (%s)", p.Name, late.name(), dur(l.waits[l.late]), f.hostWords(late), percent(share(late.idle(hostCauses...), step)))
		if c := f.awaited(p, late); c != "" {
			fd.add("%s", c)
		} else if l.inferred {
			fd.add("waiting here is collective time beyond that of the rank with least")
		}
		f.addLaunches(fd, late, waiter)
		f.addTax(fd, p)
		fd.Remedy = f.hostRemedy(p, l.cause, "one slow process: look for its core's other work, its NUMA node and its clock")
		fd.Confirm = fmt.Sprintf("%s: waiting of %s (now %s) and host idle of %s (now %s) fall together", p.Name, waiter.name(), dur(wait), late.name(), dur(late.idle(hostCauses...)))
		return fd
	})
}

// hostWords are a rank's host-caused idle times, the causes that matter named.
func (f *Facts) hostWords(r *RankFacts) string {
	all := r.idle(hostCauses...)
	var named []string
	for _, c := range hostCauses {
		if ns := r.idle(c); share(ns, all) >= 0.1 {
			named = append(named, causeWords[c]+" "+dur(ns))
		}
	}
	s := dur(all) + " a step"
	if len(named) > 1 {
		s += " (" + strings.Join(named, ", ") + ")"
	}
	return s
}

// awaited says how often a rank is the last one, where that was measured.
func (f *Facts) awaited(p *PhaseFacts, r *RankFacts) string {
	for _, c := range f.Collectives {
		if c.Phase == p.Name && c.LateShare > 0 && c.LateRank == r.Rank && !r.Several {
			return fmt.Sprintf("rank %d is the last one in %s of %d %s calls", r.Rank, percent(c.LateShare), c.Count, c.Kind)
		}
	}
	return ""
}

// addLaunches adds how launches reach the GPUs of some ranks: a short delay
// means an empty queue, so the host is what the GPU waits for.
func (f *Facts) addLaunches(fd *Finding, ranks ...*RankFacts) {
	for _, r := range ranks {
		for _, l := range f.Launches {
			if l.name() == r.name() && l.DelayMedianNS > 0 {
				fd.add("%s: launch to GPU start %s median, %s p99; queue depth %s; call %s", r.name(), dur(l.DelayMedianNS), dur(l.DelayP99NS), digits(max(l.QueueDepth, 0)), dur(l.CallMedianNS))
			}
		}
	}
}

// addTax says what of the host's time the profiler itself costs: the gain is
// what remains.
func (f *Facts) addTax(fd *Finding, p *PhaseFacts) {
	if tax := p.step() - f.plainStep(p); tax > 0 {
		fd.add("%s: the profiler costs %s of the step by time per output token; not in the gain", p.Name, dur(tax))
	}
}

// hostBoundBy makes the finding about a phase whose GPUs all wait for their own
// hosts.
func (f *Facts) hostBoundBy(p *PhaseFacts, l hostLoss, what string) *Finding {
	step := p.step()
	idle := p.least(func(r *RankFacts) int64 { return r.idle(hostCauses...) })
	if l.late >= 0 || share(idle, step) < hostShare {
		return nil
	}
	fd := f.finding(p, l.gainNS)
	if fd == nil {
		return nil
	}
	fd.Title = title("%s: the GPU idles %s of %s", what, dur(idle), aStep(step, p.Name))
	for i := range p.Ranks {
		r := &p.Ranks[i]
		fd.add("%s, %s: GPU idle for its host %s, %s of the step", p.Name, r.name(), f.hostWords(r), percent(share(r.idle(hostCauses...), step)))
		if i == 1 && len(p.Ranks) > 2 {
			fd.add("%d more %ss idle at least %s", len(p.Ranks)-2, p.unit(), dur(idle))
			break
		}
	}
	f.addLaunches(fd, &p.Ranks[0])
	f.addTax(fd, p)
	fd.Remedy = f.hostRemedy(p, l.cause, "")
	fd.Confirm = fmt.Sprintf("host idle per %s step (now %s) and the step (now %s) fall together", p.Name, dur(idle), dur(step))
	return fd
}

// hostRemedy is what makes a host faster at feeding its GPU.
func (f *Facts) hostRemedy(p *PhaseFacts, cause, advice string) string {
	if advice == "" {
		advice = "give each worker its own cores: no CPU limit near 1, NUMA node of its GPU"
	}
	if cause == "host_sync" {
		advice = "a synchronising call each step: sampling options (logprobs, penalties, guided output) and stream syncs in the trace tell which"
	}
	var ks []*knob
	if p.Name == decode && !f.Graphs {
		ks = append(ks, f.graphKnobs()...)
	}
	ks = append(ks, asyncScheduling, numaBind, sgOverlap, sgNuma, trtOverlap)
	return f.remedy(advice, ks...)
}

// graphKnobs bring decode into CUDA graphs.
func (f *Facts) graphKnobs() []*knob {
	if f.Eager {
		return []*knob{noEager, sgGraphs, sgGraphsNew, trtGraphs}
	}
	return []*knob{noEager, captureSize.set(512), captureSizes.set(512), sgGraphs, sgGraphsNew, sgGraphMax, sgGraphMaxNew, trtGraphs}
}

// eagerDecode: every kernel of a decode step is launched by hand, and the host
// cannot keep up.
func eagerDecode(f *Facts) *Finding {
	p := f.phase(decode)
	if p == nil || f.Graphs {
		return nil
	}
	fd := f.hostBoundBy(p, f.hostLoss(p), "No CUDA graphs")
	if fd == nil {
		return nil
	}
	for _, l := range f.Launches {
		if l.name() == p.Ranks[0].name() && l.Calls > 0 {
			fd.add("%s: %d of %d launches in the window are graphs", l.name(), l.GraphCalls, l.Calls)
		}
	}
	if n := f.phaseLaunches(p); n > 0 {
		fd.add("%s: about %d kernels a step on each %s, each launched by the host", p.Name, n, p.unit())
	}
	return fd
}

// phaseLaunches is the number of GPU events in a step of one GPU.
func (f *Facts) phaseLaunches(p *PhaseFacts) int64 {
	var n int64
	for _, c := range f.Categories {
		if c.Phase == p.Name {
			n += c.Launches
		}
	}
	return f.eachStep(p, n)
}

// byCause makes the rules for decode in graphs (and steps of unknown kind),
// which differ in what the host does meanwhile.
func byCause(cause, what string) func(*Facts) *Finding {
	return func(f *Facts) *Finding {
		return f.worst(func(p *PhaseFacts) *Finding {
			if p.Name == mixed || p.Name == prefill || p.Name == decode && !f.Graphs {
				return nil
			}
			l := f.hostLoss(p)
			if l.cause != cause {
				return nil
			}
			return f.hostBoundBy(p, l, what)
		})
	}
}

var (
	hostBound     = byCause("host_late", "Host-bound")
	hostSync      = byCause("host_sync", "Host waits in sync calls")
	launchLatency = byCause("launch_latency", "Launches are slow to arrive")
)

// uncoveredSteps: prefill and mixed steps wait for the host, because no CUDA
// graph covers their number of tokens.
func uncoveredSteps(f *Facts) *Finding {
	return f.worst(func(p *PhaseFacts) *Finding {
		if p.Name != mixed && p.Name != prefill {
			return nil
		}
		fd := f.hostBoundBy(p, f.hostLoss(p), "Host-bound")
		if fd == nil {
			return nil
		}
		var ks []*knob
		if f.Eager {
			ks = append(ks, noEager)
		}
		if t := int64(p.perStep(p.Tokens)); t > 0 {
			fd.add("%s: %d tokens a step", p.Name, t)
			if t <= largestCapture && !f.Eager {
				ks = append(ks, captureSize.set(powerOfTwo(t)), captureSizes.set(powerOfTwo(t)))
			}
		}
		ks = append(ks, asyncScheduling, numaBind, sgPiecewise, sgPrefill, sgOverlap, sgNuma, trtOverlap)
		fd.Remedy = f.remedy("a CUDA graph that covers the step's tokens spares its launches; larger graphs cost memory and start-up time", ks...)
		return fd
	})
}

// powerOfTwo is the smallest power of two that is at least n.
func powerOfTwo(n int64) int64 {
	p := int64(1)
	for p < n {
		p *= 2
	}
	return p
}

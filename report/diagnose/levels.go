package diagnose

import "fmt"

// The rules here promise no part of a step: they say where the level of the
// whole lies, and what it is set by.

// noStep: the GPU idles because the server has nothing to run.
func noStep(f *Facts) *Finding {
	p := f.mainPhase()
	if p == nil {
		return nil
	}
	ns := p.least(func(r *RankFacts) int64 { return r.idle("no_step") })
	if share(ns, p.step()) < noStepShare {
		return nil
	}
	fd := &Finding{Phase: p.Name}
	fd.Title = title("The server had no step to run for %s of %s", dur(ns), aStep(p.step(), p.Name))
	fd.add("%s: GPU idle with no step running, %s a step on every %s (%s)", p.Name, dur(ns), p.unit(), percent(share(ns, p.step())))
	fd.MaxGain = "no time of a step: throughput, if there were more requests"
	fd.Remedy = "# requests do not arrive fast enough: more load, or look at the front end and its queue"
	fd.Confirm = "requests waiting in the server's metrics are above zero, and idle (no_step) is gone"
	return fd
}

// thinExperts: each expert's weights are read for a handful of tokens.
func thinExperts(f *Facts) *Finding {
	p := f.phase(decode)
	if p == nil || f.Experts <= 0 || f.ExpertsPerToken <= 0 || p.Tokens == 0 {
		return nil
	}
	ns := f.eachStep(p, f.categories(decode, "ffn.moe_gemm").ExposedNS)
	tokens := p.perStep(p.Tokens) * float64(f.ExpertsPerToken) / float64(f.Experts)
	if share(ns, f.plainStep(p)) < expertShare || tokens >= thinTokens {
		return nil
	}
	fd := &Finding{Phase: decode}
	fd.Title = title("Experts take %s of %s for %s tokens each", dur(ns), f.plainStepWords(p), digits(tokens))
	fd.add("decode: expert products %s a step (%s)", dur(ns), percent(share(ns, f.plainStep(p))))
	fd.add("decode: %s tokens × %d of %d experts: %s tokens an expert", digits(p.perStep(p.Tokens)), f.ExpertsPerToken, f.Experts, digits(tokens))
	fd.MaxGain = "no time of a step: more requests would share the same weight reads"
	ks := []*knob{maxSeqs, sgRunning}
	if f.WorldSize > 1 {
		ks = append(ks, expertParallel)
	}
	fd.Remedy = f.remedy("raise the load before the limit: the limit matters once requests wait", ks...)
	fd.Confirm = "tokens per second rise more than the step does"
	return fd
}

// weightRead: how far a decode step is from one reading of the weights.
func weightRead(f *Facts) *Finding {
	p := f.phase(decode)
	if p == nil || f.WeightReadFloorNS == 0 || p.step() == 0 {
		return nil
	}
	step := f.plainStep(p)
	floor := min(f.WeightReadFloorNS, step)
	fd := &Finding{Phase: decode, MaxGain: "a bound, not a gain: the other findings say what lies between"}
	fd.add("decode: %s, one reading of this rank's weights at least %s", f.plainStepWords(p), dur(floor))
	if p.Requests > 0 {
		if n := digits(p.perStep(p.Requests)); n == "1" {
			fd.add("decode: 1 request a step has it alone")
		} else {
			fd.add("decode: %s requests a step share it", n)
		}
	}
	fd.Confirm = fmt.Sprintf("%s step (now %s) over the floor %s", f.plainName(p), dur(step), dur(floor))
	if share(floor, step) < weightShare {
		fd.Title = title("%s takes %s times one reading of its weights", capital(f.plainStepWords(p)), digits(float64(step)/float64(floor)))
		fd.Remedy = "# the weights are not what limits this step: follow the findings with a gain"
		return fd
	}
	fd.Title = title("Reading the weights is %s of %s", percent(share(floor, step)), f.plainStepWords(p))
	fd.MaxGain = "half the floor with weights of half the bytes; or more tokens for the same step"
	fd.Remedy = f.remedy("more requests a step come nearly free here; fewer bytes a weight shorten the step", maxSeqs, quantised, sgRunning, sgQuantised)
	return fd
}

// smallDecodeBatch: few requests share each reading of the weights.
func smallDecodeBatch(f *Facts) *Finding {
	p := f.phase(decode)
	if p == nil || p.Requests == 0 || p.Steps == 0 || p.perStep(p.Requests) >= smallBatch {
		return nil
	}
	ns := f.eachStep(p, f.categories(decode, "gemm.", "ffn.moe_gemm").ExposedNS)
	if share(ns, f.plainStep(p)) < productShare {
		return nil
	}
	fd := &Finding{Phase: decode}
	fd.Title = title("Only %s requests share a decode step: throughput is left", digits(p.perStep(p.Requests)))
	fd.add("decode: matrix products %s a step (%s), mostly weight reads at this batch", dur(ns), percent(share(ns, f.plainStep(p))))
	fd.MaxGain = "no time of a step: more requests would share the same weight reads"
	fd.Remedy = f.remedy("raise the load before the limit: the limit matters once requests wait", maxSeqs, sgRunning)
	fd.Confirm = fmt.Sprintf("tokens per second rise more than the %s step (now %s) does", f.plainName(p), dur(f.plainStep(p)))
	return fd
}

// profilerTax: what profiling itself costs.
func profilerTax(f *Facts) *Finding {
	if f.PlainTPOTNS == 0 || f.ProfiledTPOTNS <= f.PlainTPOTNS || share(f.ProfiledTPOTNS-f.PlainTPOTNS, f.PlainTPOTNS) < taxShare {
		return nil
	}
	more := f.ProfiledTPOTNS - f.PlainTPOTNS
	fd := &Finding{Phase: decode}
	fd.Title = title("The profiler stretches a decode token from %s to %s", dur(f.PlainTPOTNS), dur(f.ProfiledTPOTNS))
	fd.add("time per output token: %s plain, %s profiled (+%s)", dur(f.PlainTPOTNS), dur(f.ProfiledTPOTNS), percent(float64(more)/float64(f.PlainTPOTNS)))
	fd.add("the tax is host time: gains from idle GPUs are reckoned without it")
	fd.MaxGain = "none in service: servers do not run profiled"
	fd.Remedy = f.remedy("without Python stacks the tax is least", noStacks, noStacksEnv)
	fd.Confirm = "time per output token of a profiled run comes nearer the plain one's"
	return fd
}

// nothing says that no rule promises a gain, and what the step consists of.
func nothing(f *Facts) *Finding {
	p := f.mainPhase()
	if p == nil || p.unexplained() > 0 {
		return nil
	}
	totals := map[string]int64{}
	largest := ""
	for i := range p.Ranks {
		for _, part := range p.Ranks[i].Parts {
			totals[part.Name] += part.ExposedNS
			if n, m := totals[part.Name], totals[largest]; n > m || n == m && part.Name < largest {
				largest = part.Name
			}
		}
	}
	if totals[largest] == 0 {
		return nil
	}
	ns := totals[largest] / int64(len(p.Ranks))
	fd := &Finding{Phase: p.Name}
	fd.Title = title("Nothing stands out: %s is the largest part, %s of %s", largest, dur(ns), aStep(p.step(), p.Name))
	fd.add("%s: %s %s a step (%s)", p.Name, largest, dur(ns), percent(share(ns, p.step())))
	fd.add("no known cause costs %s of a step", percent(minStepShare))
	fd.MaxGain = "none that the facts support"
	fd.Remedy = "# no flag: a smaller model, other weights or more requests a step change the level"
	fd.Confirm = fmt.Sprintf("%s step, now %s", p.Name, dur(p.step()))
	return fd
}

// unexplainedIdle: the GPUs stand idle much of a step, and the recording lacks
// what would tell why. It promises nothing: work that was not recorded looks the
// same.
func unexplainedIdle(f *Facts) *Finding {
	p := f.mainPhase()
	if p == nil || p.unexplained() == 0 {
		return nil
	}
	ns := p.unexplained()
	fd := &Finding{Phase: p.Name}
	fd.Title = title("The GPU idles %s of %s, and the file does not tell why", dur(ns), aStep(p.step(), p.Name))
	fd.add("%s: idle for a reason not in the file %s a step on every rank (%s)", p.Name, dur(ns), percent(share(ns, p.step())))
	fd.add("launches are not recorded, or not of this time; neither may be all work of the GPU")
	fd.MaxGain = "unknown until the cause is"
	fd.Remedy = "# record the host too: torch's profiler with CPU activities, or the .sqlite of an Nsight report with its CUDA graphs node by node"
	fd.Confirm = fmt.Sprintf("idle time (now %s of a %s step) has a cause, or is work", dur(ns), p.Name)
	return fd
}

// unexplained is the idle time without a cause of every rank's step, 0 where it
// is the smaller part of it.
func (p *PhaseFacts) unexplained() int64 {
	ns := p.least(func(r *RankFacts) int64 { return r.idle("unknown") })
	if share(ns, p.step()) < unexplainedShare {
		return 0
	}
	return ns
}

// mainPhase is the phase with the largest share of all steps.
func (f *Facts) mainPhase() (best *PhaseFacts) {
	for i := range f.Phases {
		p := &f.Phases[i]
		if p.Name != dummy && p.step() > 0 && (best == nil || f.weight(p) > f.weight(best)) {
			best = p
		}
	}
	return best
}

package diagnose

import "fmt"

// mixedInterference: requests that decode share a step with somebody's prefill
// and get their next token late. The gain is time between tokens only: the
// prefill has to be computed at some time.
func mixedInterference(f *Facts) *Finding {
	d, m := f.phase(decode), f.phase(mixed)
	if d == nil || m == nil || d.Steps == 0 || m.Steps == 0 || d.step() == 0 {
		return nil
	}
	// What the host costs a mixed step has findings of its own, also where ranks
	// wait for the one whose host is late.
	idle := max(m.least(func(r *RankFacts) int64 { return r.idle(hostCauses...) }), f.hostLoss(m).gainNS)
	gap := m.gap(f)
	extra := min(m.step()-idle, gap) - d.step()
	ratio := float64(gap) / float64(d.step())
	if ratio < stretchRatio {
		return nil
	}
	fd := f.finding(m, extra)
	if fd == nil {
		return nil
	}
	fd.Title = title("Prefill stretches token gaps: mixed steps take %s, decode steps %s", dur(m.step()), dur(d.step()))
	steps := fmt.Sprintf("mixed %s, decode %s a step", dur(m.step()), dur(d.step()))
	if gap < m.step() {
		fd.Title = title("Prefill stretches token gaps to %s at most; decode steps take %s", dur(gap), dur(d.step()))
	} else {
		steps += fmt.Sprintf(": a gap of %s times the usual one", digits(ratio))
	}
	fd.add("%s", steps)
	if m.GapNS > 0 {
		fd.add("clients: the longest gap over a mixed step %s, %s times a decode step", dur(m.GapNS), digits(float64(m.GapNS)/float64(d.step())))
	}
	fd.add("%d mixed to %d decode steps: %s of the steps in which requests decode", m.Steps, d.Steps, percent(share(m.Steps, m.Steps+d.Steps)))
	tokens := int64(m.perStep(m.Tokens))
	if tokens > 0 {
		fd.add("mixed: %d tokens a step for %s requests", tokens, digits(m.perStep(m.Requests)))
	}
	fd.MaxGain = fmt.Sprintf("at most %s of %s between tokens; no throughput", dur(fd.GainNS), dur(gap))
	if share(idle, m.step()) >= hostShare {
		words := "GPU idle for the host"
		if f.hostLoss(m).late >= 0 {
			words = "idle or waiting for a late host"
		}
		fd.add("mixed: %s %s of the step, not counted here", words, percent(share(idle, m.step())))
	}
	fd.Remedy = f.chunkRemedy(tokens)
	fd.Confirm = fmt.Sprintf("p99 of the time between tokens and the mixed step (now %s) fall; watch TTFT, which grows", dur(m.step()))
	return fd
}

// gap is how long a mixed step keeps a request from its next token: as long as it
// takes, or as long as clients saw at most, since a token that is delivered late
// itself hides part of the step behind it.
func (p *PhaseFacts) gap(f *Facts) int64 {
	if p.GapNS > 0 || f.GapsKnown {
		return min(p.step(), p.GapNS)
	}
	return p.step()
}

// chunkRemedy halves the tokens of a mixed step.
func (f *Facts) chunkRemedy(tokens int64) string {
	if tokens <= leastChunk {
		return f.remedy("chunks are small already: move prefill to instances of its own, or smooth arrivals")
	}
	chunk := max(int64(leastChunk), powerOfTwo(tokens/2+1)/2)
	ks := []*knob{longPrefill.set(chunk), sgChunk.set(chunk), trtTokens.set(chunk)}
	if chunk >= leastBudget {
		ks = append([]*knob{batchedTokens.set(chunk)}, ks...)
	}
	return f.remedy("a smaller chunk lengthens prefill, so TTFT pays", ks...)
}

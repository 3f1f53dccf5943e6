package diagnose

import (
	"fmt"
	"strings"
)

// rankImbalance: ranks wait for each other in collectives, and no host's
// lateness explains it. If all ranks arrived together, a step would be shorter
// by the mean of their waiting.
func rankImbalance(f *Facts) *Finding {
	return f.worst(func(p *PhaseFacts) *Finding {
		ns, inferred := waits(p)
		if len(ns) < 2 || f.hostLoss(p).late >= 0 {
			return nil
		}
		var mean int64
		for _, w := range ns {
			mean += w / int64(len(ns))
		}
		if share(mean, p.step()) < imbalanceShare {
			return nil
		}
		fd := f.finding(p, mean)
		if fd == nil {
			return nil
		}
		least, most := extremes(ns)
		fd.Title = title("%ss wait %s of %s for each other's work", capital(p.unit()), dur(mean), aStep(p.step(), p.Name))
		fd.add("%s: waiting in collectives %s a step (%s) to %s (%s)", p.Name, dur(ns[least]), p.Ranks[least].name(), dur(ns[most]), p.Ranks[most].name())
		if c := f.awaited(p, &p.Ranks[least]); c != "" {
			fd.add("%s", c)
		} else if inferred {
			fd.add("waiting here is collective time beyond that of the rank with least")
		}
		fd.add("the GPUs' idle time for their hosts does not explain it")
		var ks []*knob
		if f.categories(p.Name, "ffn.moe_gemm", "comm.ep_dispatch", "comm.ep_combine", "comm.all_to_all").TimeNS > 0 {
			ks = append(ks, balancer, sgBalancer)
		}
		fd.Remedy = f.remedy("compare the ranks' SM clocks, power limits and other processes; uneven experts or batches show as uneven busy time, pipeline stages as bubbles", ks...)
		fd.Confirm = fmt.Sprintf("mean waiting per %s step (now %s) falls, busy times of the ranks meet", p.Name, dur(mean))
		return fd
	})
}

// unseenRanks: one rank's file out of several, and much of its step is inside
// collectives. Whom it waits for is not in the file.
func unseenRanks(f *Facts) *Finding {
	if f.ranks() != 1 || f.WorldSize < 2 {
		return nil
	}
	return f.worst(func(p *PhaseFacts) *Finding {
		if len(p.Ranks) != 1 {
			return nil
		}
		r, what := &p.Ranks[0], "waiting (estimated)"
		ns := r.part("waiting").ExposedNS
		if r.part("waiting").TimeNS == 0 {
			ns, what = r.part("comm").ExposedNS, "inside collectives, transfer included"
			if share(ns, p.step()) < unsplitShare {
				return nil
			}
		}
		if share(ns, p.step()) < imbalanceShare {
			return nil
		}
		fd := f.finding(p, ns)
		if fd == nil {
			return nil
		}
		fd.Title = title("Rank %d spends %s of %s on ranks not in the files", r.Rank, dur(ns), aStep(p.step(), p.Name))
		fd.add("%s, rank %d: %s %s a step (%s)", p.Name, r.Rank, what, dur(ns), percent(share(ns, p.step())))
		fd.add("1 of %d ranks has a file", f.WorldSize)
		fd.Remedy = "# give all ranks' files of the window: the late rank's own idle time has the cause"
		fd.Confirm = "with all files, waiting and transfer are told apart and the late rank is named"
		return fd
	})
}

// transferOverPCIe: ranks that share every layer have no NVLink between them.
func transferOverPCIe(f *Facts) *Finding {
	return f.worst(func(p *PhaseFacts) *Finding {
		ns, c := f.transfer(p), f.largestCollective(p)
		if c == nil || c.PCIe == "" || share(ns, f.plainStep(p)) < transferShare {
			return nil
		}
		fd := f.finding(p, ns)
		if fd == nil {
			return nil
		}
		fd.Title = title("Transfer over PCIe takes %s of %s: no NVLink", dur(ns), f.plainStepWords(p))
		fd.add("%s: transfer that nothing hides, %s a step on every %s", p.Name, dur(ns), p.unit())
		fd.add("the topology says %s between these ranks' GPUs", c.PCIe)
		fd.addCollective(p, c)
		fd.Remedy = f.remedy("pipeline or data parallelism moves far less than tensor parallelism; a model that fits one GPU needs neither\n"+
			"# where tensor parallelism must stay: NCCL_P2P_LEVEL="+c.PCIe+", and NCCL_DEBUG=INFO shows whether NCCL takes direct peer copies", stages.set(int64(max(c.Ranks, f.WorldSize))))
		fd.Confirm = fmt.Sprintf("transfer per %s step (now %s) falls; tokens/s of the whole host rise", p.Name, dur(ns))
		return fd
	})
}

// slowAllReduce: small messages go through NCCL, though the server has an
// all-reduce of its own that needs one hop.
func slowAllReduce(f *Facts) *Finding {
	return f.worst(func(p *PhaseFacts) *Finding {
		var best *Finding
		for _, c := range f.Collectives {
			if c.Phase != p.Name || c.Kind != "all_reduce" || !strings.Contains(strings.ToLower(c.Kernel), "nccl") {
				continue
			}
			if c.Bytes > customReduceBytes || c.Bytes == 0 && p.Name != decode || !customWidth(c.Ranks) || p.Steps == 0 {
				continue
			}
			saved := min((c.TransferNS-c.Count*customReduceNS)/p.Steps, f.transfer(p))
			fd := f.finding(p, saved)
			if fd == nil || best != nil && best.GainNS >= fd.GainNS {
				continue
			}
			fd.Title = title("Small all-reduces go through NCCL: %s each, %s a %s step", dur(c.TransferMedianNS), dur(c.TransferNS/p.Steps), p.Name)
			fd.add("%s: %s all-reduces a step over %d ranks, %s", p.Name, digits(p.perStep(c.Count)), c.Ranks, c.Kernel)
			if c.Bytes > 0 {
				fd.add("message %s; the server's own kernel takes up to %s at any width", bytesText(c.Bytes), bytesText(customReduceBytes))
			}
			fd.add("a one-shot all-reduce takes %s between two H200", dur(customReduceNS))
			fd.Remedy = f.remedy("it needs direct peer access (NVLink; beyond two GPUs all to all): the log says when it is refused",
				keepCustomReduce, symmReduce, sgCustom, sgSymm, trtReduce)
			fd.Confirm = fmt.Sprintf("median transfer per all-reduce (now %s) falls toward %s; its kernel is no longer NCCL's", dur(c.TransferMedianNS), dur(customReduceNS))
			best = fd
		}
		return best
	})
}

// customWidth are the numbers of ranks for which servers have an own all-reduce.
func customWidth(ranks int) bool { return ranks == 2 || ranks == 4 || ranks == 6 || ranks == 8 }

// transfer is the exposed transfer of a step on the rank with least of it.
// Unsplit collectives bound it from above where another rank's are there to
// compare; a lone rank's may be all waiting.
func (f *Facts) transfer(p *PhaseFacts) int64 {
	if ns := p.least(func(r *RankFacts) int64 { return r.part("transfer").ExposedNS }); ns > 0 {
		return ns
	}
	if len(p.Ranks) < 2 {
		return 0
	}
	return p.least(func(r *RankFacts) int64 { return r.part("comm").ExposedNS })
}

// exposedTransfer: moving data between the GPUs takes much of a step, and
// nothing hides it.
func exposedTransfer(f *Facts) *Finding {
	return f.worst(func(p *PhaseFacts) *Finding {
		ns := f.transfer(p)
		// Held against the step without profiler: that is the step it costs.
		if share(ns, f.plainStep(p)) < transferShare {
			return nil
		}
		fd := f.finding(p, ns)
		if fd == nil {
			return nil
		}
		c := f.largestCollective(p)
		kind := "collective"
		if c != nil {
			kind = strings.ReplaceAll(c.Kind, "_", "-")
		}
		fd.Title = title("Exposed %s transfer takes %s of %s", kind, dur(ns), f.plainStepWords(p))
		fd.add("%s: transfer that nothing hides, %s a step on every %s", p.Name, dur(ns), p.unit())
		large := false
		if c != nil {
			large = c.Bytes >= largeMessageBytes
			fd.addCollective(p, c)
		}
		fd.Remedy = f.remedy(transferAdvice(large), f.transferKnobs(kind, large, share(ns, f.plainStep(p)))...)
		fd.Confirm = fmt.Sprintf("transfer per %s step (now %s) falls without waiting growing", p.Name, dur(ns))
		return fd
	})
}

func (fd *Finding) addCollective(p *PhaseFacts, c *CollectiveFacts) {
	size := ""
	if c.Bytes > 0 {
		size = " of " + bytesText(c.Bytes)
	}
	fd.add("%s: %s %s%s a step, median %s, over %d ranks", p.Name, digits(p.perStep(c.Count)), c.Kind, size, dur(c.TransferMedianNS), c.Ranks)
	if c.BusBW > 0 && c.Ceiling > 0 {
		fd.add("bus bandwidth %s GB/s, %s of the link's", digits(c.BusBW/1e9), percent(unit(c.BusBW/c.Ceiling)))
	}
	if c.Estimated {
		fd.add("transfer is an estimate from one rank's file")
	}
}

func transferAdvice(large bool) string {
	if large {
		return "large messages: bandwidth rules; overlap with products or fewer ranks help, latency knobs do not"
	}
	return "small messages: latency rules; fusion with the norm saves a kernel each, fewer ranks save hops"
}

// transferKnobs are those that fit the size of the messages.
func (f *Facts) transferKnobs(kind string, large bool, part float64) (ks []*knob) {
	if kind == "all-reduce" || kind == "collective" {
		if large {
			ks = append(ks, asyncTP)
		} else {
			ks = append(ks, reduceNormFusion, fiReduceFusion, flashReduce, sgFusion, sgFusionNew, trtReduce)
		}
		ks = append(ks, symmReduce, sgSymm)
	}
	if half := f.WorldSize / 2; part >= wideShare && half > 0 {
		ks = append(ks, narrower.set(int64(half)))
	}
	return ks
}

// largestCollective is the one with the most transfer time in a phase.
func (f *Facts) largestCollective(p *PhaseFacts) (best *CollectiveFacts) {
	for i := range f.Collectives {
		if c := &f.Collectives[i]; c.Phase == p.Name && c.TransferNS > 0 && (best == nil || c.TransferNS > best.TransferNS) {
			best = c
		}
	}
	return best
}

// streamWait: launched in time, but held back by another stream, an event or a
// copy.
func streamWait(f *Facts) *Finding {
	return f.worst(func(p *PhaseFacts) *Finding {
		ns := p.least(func(r *RankFacts) int64 { return r.idle("dependency") })
		if share(ns, p.step()) < dependencyShare {
			return nil
		}
		fd := f.finding(p, ns)
		if fd == nil {
			return nil
		}
		fd.Title = title("Kernels wait %s of %s for another stream or a copy", dur(ns), aStep(p.step(), p.Name))
		fd.add("%s: launched in time, started late: idle (dependency) %s a step on every %s", p.Name, dur(ns), p.unit())
		fd.Remedy = "# no flag: the step's timeline shows the event or copy that is waited for"
		fd.Confirm = fmt.Sprintf("idle (dependency) per %s step, now %s", p.Name, dur(ns))
		return fd
	})
}

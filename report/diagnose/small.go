package diagnose

import (
	"fmt"
	"strings"
)

// unfusedKernels: norms, rope, activations and pointwise kernels, each a few
// microseconds, together more than a compiled model spends on them.
func unfusedKernels(f *Facts) *Finding {
	names := []string{"other.norm", "other.elementwise", "other.copy_cat", "attention.rope", "attention.qk_norm", "ffn.activation"}
	fd := f.serving(unfusedShare, "Norms, rope and pointwise kernels take", names...)
	if fd == nil {
		return nil
	}
	p := f.phase(fd.Phase)
	var parts []string
	for _, n := range names {
		if ns := f.eachStep(p, f.categories(p.Name, n).ExposedNS); share(ns, fd.GainNS) >= 0.1 {
			_, short, _ := strings.Cut(n, ".")
			parts = append(parts, short+" "+dur(ns))
		}
	}
	fd.add("%s: %s", p.Name, strings.Join(parts, ", "))
	var ks []*knob
	if f.Eager {
		ks = append(ks, noEager)
	}
	if f.categories(p.Name, "comm.all_reduce").TimeNS > 0 {
		ks = append(ks, reduceNormFusion, fiReduceFusion, sgFusion, sgFusionNew)
	}
	if f.categories(p.Name, "attention.rope", "attention.qk_norm").TimeNS > 0 {
		ks = append(ks, ropeFusion)
	}
	if f.categories(p.Name, "gemm.quantized", "gemm.prologue", "other.quant").TimeNS > 0 {
		ks = append(ks, normQuantFusion, oldQuantFusion)
	}
	if len(ks) == 0 {
		fd.Remedy = "# no flag: fewer such kernels need fusion in the model's code or a larger batch"
		return fd
	}
	fd.Remedy = f.remedy("fusion removes launches and traffic, never all of this time", ks...)
	return fd
}

// shortKernels: much of the window is in kernels shorter than a launch costs.
func shortKernels(f *Facts) *Finding {
	if f.WindowNS == 0 || len(f.Launches) == 0 {
		return nil
	}
	least := f.Launches[0]
	for _, l := range f.Launches {
		if l.ShortTimeNS < least.ShortTimeNS {
			least = l
		}
	}
	part := share(least.ShortTimeNS, f.WindowNS)
	if part < shortShare || least.ShortNS == 0 {
		return nil
	}
	gain := min(least.ShortTimeNS, f.WindowNS)
	fd := &Finding{GainNS: gain, StepShare: part, GainShare: part}
	fd.Title = title("Kernels under %s (%d) take %s of the window", dur(least.ShortNS), least.ShortKernels, percent(part))
	fd.add("window, %s: %d kernels under %s, together %s of %s", least.name(), least.ShortKernels, dur(least.ShortNS), dur(least.ShortTimeNS), dur(f.WindowNS))
	fd.MaxGain = fmt.Sprintf("at most %s of the %s window (%s)", dur(gain), dur(f.WindowNS), percent(part))
	var ks []*knob
	if f.Eager {
		ks = append(ks, noEager)
	}
	fd.Remedy = f.remedy("the kernel table by launches names them; fusion or more tokens a step make them fewer", ks...)
	fd.Confirm = fmt.Sprintf("number of kernels under %s per step", dur(least.ShortNS))
	return fd
}

// sampling: choosing the next token takes more than the logits deserve.
func sampling(f *Facts) *Finding {
	fd := f.serving(samplingShare, "Sampling takes", "other.sampling", "other.softmax", "other.sort_scan")
	if fd == nil {
		return nil
	}
	p := f.phase(fd.Phase)
	sorted := f.categories(p.Name, "other.sort_scan")
	soft := f.categories(p.Name, "other.softmax")
	if soft.Launches > 0 {
		fd.add("%s: softmax over the vocabulary %s a step", p.Name, dur(f.eachStep(p, soft.ExposedNS)))
	}
	if ns := f.eachStep(p, sorted.ExposedNS); share(ns, fd.GainNS) >= sortPart {
		fd.add("%s: sorting %s a step: top-p or top-k over the whole vocabulary", p.Name, dur(ns))
		fd.Remedy = f.remedy("a sampler without a full sort; requests without top_p and top_k need none", flashSampler)
		return fd
	}
	fd.Remedy = "# no flag: logprobs, penalties, top_p and top_k of the requests decide; greedy ones need only the largest logit"
	return fd
}

// copies: memory copies that nothing hides.
func copies(f *Facts) *Finding {
	return f.worst(func(p *PhaseFacts) *Finding {
		var exposed, n, pageable int64
		var most *CopyFacts
		for i := range f.Copies {
			c := &f.Copies[i]
			if c.Phase != p.Name {
				continue
			}
			exposed += c.ExposedNS
			n += c.Count
			pageable += c.Pageable
			if most == nil || c.ExposedNS > most.ExposedNS {
				most = c
			}
		}
		ns := f.eachStep(p, exposed)
		if share(ns, f.plainStep(p)) < copyShare {
			return nil
		}
		fd := f.finding(p, ns)
		if fd == nil {
			return nil
		}
		fd.Title = title("Copies take %s of %s", dur(ns), f.plainStepWords(p))
		fd.add("%s: %d copies a step on each %s, %s that nothing hides", p.Name, f.eachStep(p, n), p.unit(), dur(ns))
		fd.add("%s: most in %s: %d a step, %s each at the median", p.Name, most.Kind, f.eachStep(p, most.Count), bytesText(most.MedianBytes))
		if pageable > 0 {
			fd.add("%s: %d of %d copies use pageable memory, which blocks the host", p.Name, pageable, n)
		}
		fd.Remedy = "# no flag: pinned memory, and one copy instead of many small ones, in the code that the host stacks name"
		fd.Confirm = fmt.Sprintf("copies per %s step, now %s in %d", p.Name, dur(ns), f.eachStep(p, n))
		return fd
	})
}

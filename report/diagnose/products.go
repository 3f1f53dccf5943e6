package diagnose

import (
	"fmt"
	"slices"
	"strings"
)

// isExpert reports whether a role is a product of routed experts.
func isExpert(role string) bool { return strings.HasPrefix(role, "experts_") }

// isProduct reports whether a role is a dense matrix product that reads weights.
func isProduct(role string) bool {
	return !isExpert(role) && role != "sampling" && role != "embedding" && role != "unattributed" && role != ""
}

// slowRoles are the roles of decode that read memory slower than they could,
// and what that costs a step.
func (f *Facts) slowRoles(p *PhaseFacts, which func(string) bool) (slow []RoleFacts, gain int64) {
	for _, r := range f.Roles {
		if r.Phase != p.Name || !which(r.Role) || r.BandwidthShare <= 0 || r.BandwidthShare >= lowBandwidth || r.Bound == "compute" {
			continue
		}
		slow = append(slow, r)
		gain += int64(float64(f.eachStep(p, r.TimeNS)) * (1 - r.BandwidthShare/attainableBandwidth))
	}
	slices.SortStableFunc(slow, func(a, b RoleFacts) int { return int(min(max(b.TimeNS-a.TimeNS, -1), 1)) })
	return slow, gain
}

// lowBandwidth builds the finding about slow roles.
func (f *Facts) lowBandwidth(p *PhaseFacts, which func(string) bool) *Finding {
	slow, gain := f.slowRoles(p, which)
	fd := f.finding(p, gain)
	if fd == nil {
		return nil
	}
	first := slow[0]
	name := first.Role
	if len(slow) > 1 {
		name = fmt.Sprintf("%s and %d more", name, len(slow)-1)
	}
	verb := "reaches"
	if len(slow) > 1 {
		verb = "reach"
	}
	fd.Title = title("%s %s %s of memory bandwidth in decode", name, verb, percent(first.BandwidthShare))
	for _, r := range slow[:min(len(slow), 3)] {
		fd.add("decode, %s: %s a step at %s of peak bandwidth", r.Role, dur(f.eachStep(p, r.TimeNS)), percent(r.BandwidthShare))
	}
	fd.add("large products reach %s of it", percent(attainableBandwidth))
	fd.Confirm = fmt.Sprintf("bandwidth share of %s (now %s) rises, decode step falls", first.Role, percent(first.BandwidthShare))
	return fd
}

// lowBandwidthGEMM: the products of a decode step read their weights slower
// than memory allows, mostly because they are small.
func lowBandwidthGEMM(f *Facts) *Finding {
	p := f.phase(decode)
	if p == nil {
		return nil
	}
	fd := f.lowBandwidth(p, isProduct)
	if fd == nil {
		return nil
	}
	var ks []*knob
	if n := int64(p.perStep(p.Tokens) + 0.5); n > 0 && n <= largestCapture {
		ks = append(ks, compileSizes.set(powerOfTwo(n)))
	}
	ks = append(ks, linearKernel)
	if f.WorldSize > 1 {
		ks = append(ks, narrower.set(int64(max(1, f.WorldSize/2))))
	}
	fd.Remedy = f.remedy("small products: fewer, larger shards or products tuned for the batch; each is an experiment", ks...)
	return fd
}

// lowBandwidthExperts: the same for grouped products of experts.
func lowBandwidthExperts(f *Facts) *Finding {
	p := f.phase(decode)
	if p == nil {
		return nil
	}
	fd := f.lowBandwidth(p, isExpert)
	if fd == nil {
		return nil
	}
	fd.Remedy = f.remedy(`"Using default MoE config" in the log means untuned tiles for this GPU and shape`, expertTuning, expertKernel, sgExperts)
	return fd
}

// serving makes the finding about categories that serve others, from a share of
// the step on: their exposed time is the ceiling, for some of them can be fused
// or avoided.
func (f *Facts) serving(least float64, words string, names ...string) *Finding {
	return f.worst(func(p *PhaseFacts) *Finding {
		c := f.categories(p.Name, names...)
		ns := f.eachStep(p, c.ExposedNS)
		if share(ns, f.plainStep(p)) < least {
			return nil
		}
		fd := f.finding(p, ns)
		if fd == nil {
			return nil
		}
		fd.Title = title("%s %s of %s", words, dur(ns), f.plainStepWords(p))
		fd.add("%s: %s a step that nothing hides, in %d launches on each %s", p.Name, dur(ns), f.eachStep(p, c.Launches), p.unit())
		fd.Confirm = fmt.Sprintf("their time per %s step, now %s, and their launches, now %d", p.Name, dur(ns), f.eachStep(p, c.Launches))
		return fd
	})
}

// splitKReduce: products split along K so that a small batch fills the GPU pay
// with a kernel that adds the pieces up.
func splitKReduce(f *Facts) *Finding {
	fd := f.serving(splitKShare, "Adding up split-K pieces takes", "gemm.splitk_reduce")
	if fd == nil {
		return nil
	}
	var ks []*knob
	if p := f.phase(fd.Phase); p.Tokens > 0 && p.perStep(p.Tokens) <= largestCapture {
		ks = append(ks, compileSizes.set(powerOfTwo(int64(p.perStep(p.Tokens)+0.5))))
	}
	fd.Remedy = f.remedy("the library splits because the batch is small: more tokens a step or another product kernel end it", append(ks, linearKernel)...)
	return fd
}

// quantPrologue: activations are quantised by kernels of their own before each
// product.
func quantPrologue(f *Facts) *Finding {
	fd := f.serving(quantShare, "Quantising activations takes", "gemm.prologue", "other.quant", "attention.quant")
	if fd != nil {
		fd.Remedy = f.remedy("fused into the norm or activation before it, the prologue's launch and traffic vanish", normQuantFusion, oldQuantFusion)
	}
	return fd
}

// attentionKVRead: attention itself rules the decode step, so the bytes of the
// KV cache do.
func attentionKVRead(f *Facts) *Finding {
	p := f.phase(decode)
	if p == nil {
		return nil
	}
	c := f.categories(decode, "attention.core", "attention.decode", "attention.mla_decode", "attention.combine")
	ns := f.eachStep(p, c.ExposedNS)
	if share(ns, f.plainStep(p)) < kvReadShare {
		return nil
	}
	fd := f.finding(p, int64(float64(ns)*kvReadSaving))
	if fd == nil {
		return nil
	}
	fd.Title = title("Attention takes %s of %s: KV cache reads", dur(ns), f.plainStepWords(p))
	fd.add("decode: attention kernels %s a step (%s) in %d launches", dur(ns), percent(share(ns, f.plainStep(p))), f.eachStep(p, c.Launches))
	fd.add("the gain holds for a 16-bit cache and kernels bound by memory")
	fd.Remedy = f.remedy("half the bytes a token; check quality, and that the attention backend supports it", smallCache, sgCache)
	fd.Confirm = fmt.Sprintf("attention per decode step, now %s, at equal context length", dur(ns))
	return fd
}

// kvWrite: storing new keys and values is more than the usual percent.
func kvWrite(f *Facts) *Finding {
	fd := f.serving(kvWriteShare, "Writing the KV cache takes", "attention.kv_write")
	if fd != nil {
		fd.Remedy = f.remedy("one launch a layer; a smaller cache type halves its bytes", smallCache, sgCache)
	}
	return fd
}

// moeOverhead: choosing experts and moving tokens to them.
func moeOverhead(f *Facts) *Finding {
	fd := f.serving(moeOverheadShare, "Routing and permuting for experts takes", "ffn.moe_router", "ffn.moe_permute", "ffn.moe_combine")
	if fd != nil {
		fd.Remedy = f.remedy("backends differ in how many helper kernels they need", expertKernel, sgExperts)
	}
	return fd
}

// loraOverhead: adapters beside the base model's products.
func loraOverhead(f *Facts) *Finding {
	fd := f.serving(loraShare, "LoRA adapters take", "other.lora")
	if fd == nil {
		return nil
	}
	ks := []*knob{loraRank, loraActive}
	if f.WorldSize > 1 || f.ranks() > 1 {
		ks = append(ks, loraSharded)
	}
	fd.Remedy = f.remedy("an adapter that all requests use can be merged into the weights", ks...)
	return fd
}

package breakdown

import (
	"cmp"
	"slices"

	"tokprof/kernels/attribution"
	"tokprof/kernels/role"
	"tokprof/trace"
)

// Batch is what a step works on: steps of one model and equal batch do equal
// work. The zero Batch stands for what no step did.
type Batch struct {
	Phase    trace.Phase
	Requests int64 // 0 when not said
	Tokens   int64 // 0 when not said
}

// BatchOf is the batch of a step.
func BatchOf(s attribution.Step) Batch {
	return Batch{s.Label.Phase, s.Label.Requests, s.Label.Tokens}
}

// BatchKernel is how long one kernel took in one role, over the steps of one
// batch.
type BatchKernel struct {
	Batch
	Kernel int32 // into Rank.Kernels
	Role   role.Role
	Part   attribution.Part
	Durs   Durations
}

// batches gathers lengths by batch, kernel and role.
type batches struct {
	ev  *attribution.Events
	at  map[batchKey]*lengths
	key batchKey // of the event before
	to  *lengths
}

type batchKey struct {
	batch  Batch
	kernel int32
	role   role.Role
	part   attribution.Part
}

func newBatches(ev *attribution.Events) *batches {
	return &batches{ev: ev, at: map[batchKey]*lengths{}}
}

func (b *batches) add(i, kernel int32, dur trace.Time) {
	known := b.ev.Known(int(i))
	k := batchKey{kernel: kernel, role: known.Role, part: known.Part}
	if s := b.ev.StepOf(int(i)); s >= 0 {
		k.batch = BatchOf(b.ev.Steps[s])
	}
	if b.to == nil || k != b.key {
		if b.at[k] == nil {
			b.at[k] = &lengths{}
		}
		b.key, b.to = k, b.at[k]
	}
	b.to.add(dur)
}

// list is what was gathered, by batch, then kernel and role; nil for no one.
func (b *batches) list() []BatchKernel {
	if b == nil {
		return nil
	}
	out := make([]BatchKernel, 0, len(b.at))
	for k, l := range b.at {
		out = append(out, BatchKernel{k.batch, k.kernel, k.role, k.part, l.count()})
	}
	slices.SortFunc(out, func(x, y BatchKernel) int {
		return cmp.Or(x.Batch.Compare(y.Batch), cmp.Compare(x.Kernel, y.Kernel), cmp.Compare(x.Role, y.Role), cmp.Compare(x.Part, y.Part))
	})
	return out
}

// Compare orders batches by phase and size.
func (b Batch) Compare(o Batch) int {
	return cmp.Or(cmp.Compare(b.Phase, o.Phase), cmp.Compare(b.Requests, o.Requests), cmp.Compare(b.Tokens, o.Tokens))
}

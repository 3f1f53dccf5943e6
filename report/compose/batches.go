package compose

import (
	"cmp"
	"slices"

	"tokprof/kernels/breakdown"
	"tokprof/report/document"
	"tokprof/report/figures"
	"tokprof/trace"
)

// batches joins the ranks' kernels by batch; nothing where they were not asked
// for.
func (b *builder) batches() {
	type key struct {
		batch      breakdown.Batch
		kernel     int
		role, part string
	}
	rows := map[key]*document.BatchKernel{}
	var order []key
	for i, r := range b.ranks {
		transfer := b.transfers(i)
		for _, k := range r.Batches {
			id := key{k.Batch, int(b.kernelAt[i][k.Kernel]), k.Role.String(), k.Part.String()}
			row := rows[id]
			if row == nil {
				row = &document.BatchKernel{Kernel: id.kernel, Role: id.role, Part: id.part, Comm: r.Kernels[k.Kernel].Match.Group == "comm"}
				rows[id] = row
				order = append(order, id)
			}
			row.Launches += k.Durs.Launches()
			row.TotalNS += int64(k.Durs.Total())
			durs := k.Durs
			if row.Comm {
				durs = breakdown.Count(transfer[transferKey{k.Batch, k.Kernel}])
				row.Split += durs.Launches()
			}
			row.Durs = row.Durs.Merge(durs)
		}
	}
	slices.SortFunc(order, func(x, y key) int {
		return cmp.Or(x.batch.Compare(y.batch), cmp.Compare(x.kernel, y.kernel), cmp.Compare(x.role, y.role), cmp.Compare(x.part, y.part))
	})
	var last breakdown.Batch
	for n, id := range order {
		if n == 0 || id.batch != last {
			last = id.batch
			b.a.Batches = append(b.a.Batches, b.batch(id.batch))
		}
		to := &b.a.Batches[len(b.a.Batches)-1]
		to.Kernels = append(to.Kernels, *rows[id])
	}
}

type transferKey struct {
	batch  breakdown.Batch
	kernel int32
}

// transfers are the times in which one rank's collectives moved data.
func (b *builder) transfers(rank int) map[transferKey][]trace.Time {
	r, out := b.ranks[rank], map[transferKey][]trace.Time{}
	if len(r.Batches) == 0 {
		return out
	}
	for j, c := range r.Collectives {
		if s := b.split.Of[rank][j]; s.Known && c.Step >= 0 {
			k := transferKey{breakdown.BatchOf(r.Steps[c.Step]), c.Kernel}
			out[k] = append(out[k], s.Transfer)
		}
	}
	return out
}

// batch measures the steps of one size.
func (b *builder) batch(of breakdown.Batch) document.Batch {
	out := document.Batch{Phase: of.Phase.String(), Requests: of.Requests, Tokens: of.Tokens}
	var durs, periods []int64
	for i := range b.a.Steps {
		s := &b.a.Steps[i]
		if of == (breakdown.Batch{}) || s.Phase != out.Phase || s.Requests != of.Requests || s.Tokens != of.Tokens || s.DurNS == 0 {
			continue
		}
		out.Steps++
		durs = append(durs, s.DurNS)
		if s.PeriodNS > 0 {
			periods = append(periods, s.PeriodNS)
		}
	}
	out.StepNS, out.PeriodNS = figures.SpreadOf(durs).Median, figures.SpreadOf(periods).Median
	return out
}

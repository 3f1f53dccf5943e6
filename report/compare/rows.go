package compare

import (
	"cmp"
	"maps"
	"slices"

	"tokprof/kernels"
	"tokprof/kernels/breakdown"
	"tokprof/report/document"
)

// The two sides as positions.
const (
	torch = iota
	nsys
	sides
)

// row is one kernel in one role, on both sides.
type row struct {
	kernel [sides]*document.Kernel // nil where the side lacks it
	id     [sides]string           // kernels.Identity of its name there
	role   string
	match  Match
	sum    [sides]Sum
	decode map[size]*[sides]lengths
}

// size is that of a decode step.
type size struct{ requests, tokens int64 }

func (s size) compare(o size) int {
	return cmp.Or(cmp.Compare(s.requests, o.requests), cmp.Compare(s.tokens, o.tokens))
}

// lengths are those of one kernel in one role and batch.
type lengths struct {
	launches int64
	durs     breakdown.Durations
	comm     bool
}

// rows puts both sides' kernels into rows, those of one name in one.
func rows(a [sides]*document.Analysis) []*row {
	type key struct{ id, role string }
	at := map[key]*row{}
	var out []*row
	for side, x := range a {
		ids := make([]string, len(x.Kernels))
		for i := range x.Kernels {
			ids[i] = kernels.Identity(x.Kernels[i].Name)
		}
		for _, b := range x.Batches {
			for _, k := range b.Kernels {
				id := key{ids[k.Kernel], k.Role}
				r := at[id]
				if r == nil {
					r = &row{role: k.Role, decode: map[size]*[sides]lengths{}}
					at[id] = r
					out = append(out, r)
				}
				if r.kernel[side] == nil {
					r.kernel[side], r.id[side] = &x.Kernels[k.Kernel], id.id
				}
				r.add(side, b, k)
			}
		}
	}
	for _, r := range out {
		switch {
		case r.kernel[nsys] == nil:
			r.match = TorchOnly
		case r.kernel[torch] == nil:
			r.match = NsysOnly
		default:
			r.match = ByName
		}
	}
	// Exports of old versions know short names alone; where nothing else fits,
	// a library took another variant of the same kernel.
	for _, family := range []func(*document.Kernel) string{
		func(k *document.Kernel) string { return kernels.Split(k.Name).Base },
		func(k *document.Kernel) string { return k.Rule },
	} {
		out = families(out, family)
	}
	return out
}

func (r *row) add(side int, b document.Batch, in document.BatchKernel) {
	r.sum[side].Launches += in.Launches
	r.sum[side].TotalNS += in.TotalNS
	if b.Phase != "decode" || b.Requests == 0 && b.Tokens == 0 {
		return
	}
	s := size{b.Requests, b.Tokens}
	if r.decode[s] == nil {
		r.decode[s] = &[sides]lengths{}
	}
	l := &r.decode[s][side]
	l.comm = in.Comm
	l.launches += in.Launches
	l.durs = l.durs.Merge(in.Durs)
}

// alone is the side that a row is of, if the other side does not even know its
// name in another role.
func (r *row) alone(names map[string][sides]bool) (side int, ok bool) {
	side = torch
	if r.match == NsysOnly {
		side = nsys
	}
	return side, (r.match == TorchOnly || r.match == NsysOnly) && names[r.id[side]] != [sides]bool{true, true}
}

// families joins rows that only one side has, where each side has just one of
// a family and role.
func families(all []*row, family func(*document.Kernel) string) []*row {
	type key struct{ family, role string }
	left := map[key]*[sides][]*row{}
	names := namesOf(all)
	for _, r := range all {
		side, ok := r.alone(names)
		if !ok {
			continue
		}
		k := key{family(r.kernel[side]), r.role}
		if k.family == "" {
			continue
		}
		if left[k] == nil {
			left[k] = &[sides][]*row{}
		}
		left[k][side] = append(left[k][side], r)
	}
	gone := map[*row]bool{}
	for _, both := range left {
		if len(both[torch]) == 1 && len(both[nsys]) == 1 {
			both[torch][0].join(both[nsys][0])
			gone[both[nsys][0]] = true
		}
	}
	return slices.DeleteFunc(all, func(r *row) bool { return gone[r] })
}

// join makes one row of two.
func (r *row) join(n *row) {
	r.match = ByFamily
	r.kernel[nsys], r.id[nsys], r.sum[nsys] = n.kernel[nsys], n.id[nsys], n.sum[nsys]
	for s, l := range n.decode {
		if r.decode[s] == nil {
			r.decode[s] = &[sides]lengths{}
		}
		r.decode[s][nsys] = l[nsys]
	}
}

// namesOf says which sides know a name.
func namesOf(all []*row) map[string][sides]bool {
	out := map[string][sides]bool{}
	for _, r := range all {
		for side, k := range r.kernel {
			if k != nil {
				has := out[r.id[side]]
				has[side] = true
				out[r.id[side]] = has
			}
		}
	}
	return out
}

// tell is the row as it is told.
func (r *row) tell() Kernel {
	k := r.kernel[torch]
	if k == nil {
		k = r.kernel[nsys]
	}
	out := Kernel{
		Name: k.Name, ShortName: k.ShortName, Group: k.Group, Subgroup: k.Subgroup, Role: r.role, Match: r.match,
		Torch: r.sum[torch], Nsys: r.sum[nsys], Decode: []Medians{},
	}
	if n := r.kernel[nsys]; n != nil && n.Name != k.Name {
		out.NsysName = n.Name
	}
	for _, s := range slices.SortedFunc(maps.Keys(r.decode), size.compare) {
		l := r.decode[s]
		m := Medians{
			Requests: s.requests, Tokens: s.tokens, TorchLaunches: l[torch].durs.Launches(), NsysLaunches: l[nsys].durs.Launches(),
			TorchNS: int64(l[torch].durs.Quantile(0.5)), NsysNS: int64(l[nsys].durs.Quantile(0.5)), TransferOnly: l[torch].comm || l[nsys].comm,
		}
		m.Change = change(m.TorchNS, m.NsysNS)
		out.Decode = append(out.Decode, m)
	}
	slices.SortStableFunc(out.Decode, func(x, y Medians) int {
		return cmp.Compare(min(y.TorchLaunches, y.NsysLaunches), min(x.TorchLaunches, x.NsysLaunches))
	})
	return out
}

// change is b against a, 0 when either is unknown.
func change(a, b int64) float64 {
	if a <= 0 || b <= 0 {
		return 0
	}
	return float64(b)/float64(a) - 1
}

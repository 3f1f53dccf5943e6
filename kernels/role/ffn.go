package role

import "slices"

// ffn is one feed-forward block: its products in order.
type ffn struct {
	moe         bool
	first, last int // first and last FFN kernel
	gateUp      []int
	down        []int
	experts     []int
	expertRole  []Role
	router      int // -1 for none
	sharedUp    []int
	sharedDown  []int
	sharedGate  []int
}

// work is an FFN kernel that structure depends on.
type work struct {
	at int
	c  Class
}

// ffn reads a piece as a feed-forward block, nil when it is none we know.
func (p *pass) ffn(from, to int) *ffn {
	var list []work
	moe := false
	last := -1
	for i := from; i < to; i++ {
		switch c := p.seq[i].Class; c {
		case Gemm, Act, Expert:
			list = append(list, work{i, c})
			last = i
			moe = moe || c == Expert
		case MoE:
			moe = true
			last = i
		}
	}
	if len(list) == 0 {
		return nil
	}
	f := &ffn{first: list[0].at, last: last, router: -1}
	if moe {
		f.moe = true
		return p.mixture(f, list)
	}
	if p.plain {
		return p.plainFFN(f, list)
	}
	return p.dense(f, list, to)
}

// plainFFN is one whose activation is part of a product, or missing from the
// whole pass: the last product is the down projection.
func (p *pass) plainFFN(f *ffn, list []work) *ffn {
	var s shape
	for _, w := range list {
		s.word += "g"
		s.products = append(s.products, w.at)
	}
	n := len(s.products) - 1
	if n < 1 {
		return nil
	}
	f.gateUp, f.down = s.products[:n], s.products[n:]
	p.plains = append(p.plains, s)
	return f
}

// dense needs products, an activation, and exactly one product behind it, or
// two of which the first is the other half of a bare gate.
func (p *pass) dense(f *ffn, list []work, to int) *ffn {
	acted, bare := false, false
	split := p.splitGate(list)
	for i, w := range list {
		switch {
		case w.c == Act:
			acted, bare = true, bare || p.seq[w.at].Bare
		case acted && !(split && i == 2):
			f.down = append(f.down, w.at)
		default:
			f.gateUp = append(f.gateUp, w.at)
		}
	}
	if len(f.gateUp) == 0 || len(f.down) != 1 {
		return nil
	}
	products := append(slices.Clone(f.gateUp), f.down...)
	p.denses = append(p.denses, shape{p.word(f.first, f.last+1), products})
	if bare {
		stop := p.normBehind(f.last, to)
		s := shape{p.ffnWord(f.first, stop), products}
		p.bares = append(p.bares, s)
		if len(f.gateUp) == 1 && p.any(f.down[0], stop, isProduct) {
			p.scaled = append(p.scaled, s)
		}
	}
	return f
}

// splitGate says whether an FFN begins with a gate that is activated before
// its other half is made, and multiplied with it in front of the down
// projection: PyTorch without fused kernels.
func (p *pass) splitGate(list []work) bool {
	if len(list) < 4 || list[0].c != Gemm || list[1].c != Act || list[2].c != Gemm || list[3].c != Gemm || !p.seq[list[1].at].Bare {
		return false
	}
	return !p.any(list[1].at, list[2].at, isProduct) && p.any(list[2].at, list[3].at, isProduct)
}

func isProduct(c Class) bool { return c == Product }

// ffnWord spells how an FFN in seq[from:to] looks.
func (p *pass) ffnWord(from, to int) string {
	return p.spell(from, to, alphabet{Gemm: 'g', Act: 'f', Expert: 'X', Sigmoid: 'i', Product: 'p'})
}

// mixture takes the shared expert's product–activation–product out first. Of
// the products that remain, one alone is the router; of two, the one before a
// sigmoid is the shared expert's gate. With more, something is missing, and
// they stay unknown.
func (p *pass) mixture(f *ffn, list []work) *ffn {
	rest := p.shared(f, list)
	var left []int
	for _, w := range rest {
		switch {
		case w.c == Expert:
			f.experts = append(f.experts, w.at)
		case w.c == Gemm && len(f.experts) > 0 && len(f.sharedUp) > 0 && len(f.sharedGate) == 0 && p.sigmoidFollows(w.at):
			f.sharedGate = []int{w.at}
		case w.c == Gemm && len(f.experts) > 0:
			// Behind the experts stands no router: a norm is missing here.
			return nil
		case w.c == Gemm:
			left = append(left, w.at)
		}
	}
	switch {
	case len(left) == 1:
		f.router = left[0]
	case len(left) == 2 && left[1] == left[0]+1 && p.seq[left[0]].Name == p.seq[left[1]].Name:
		// Two products, or one in two kernels: nothing here tells.
	case len(left) == 2 && len(f.sharedGate) == 0 && len(f.sharedUp) > 0 && p.sigmoidFollows(left[0]) != p.sigmoidFollows(left[1]):
		gate, router := left[0], left[1]
		if p.sigmoidFollows(router) {
			gate, router = router, gate
		}
		f.sharedGate, f.router = []int{gate}, router
	}
	f.pairExperts(rest)
	s := shape{word: p.ffnWord(f.first, f.last+1)}
	for i := f.first; i <= f.last; i++ {
		if p.seq[i].Class == Gemm {
			s.products = append(s.products, i)
		}
	}
	p.mixtures = append(p.mixtures, s)
	return f
}

// shared finds the shared expert and returns what is not part of it. Where its
// down projection is missing, a gate stands in its place: such blocks lack what
// the others have, and are taken back.
func (p *pass) shared(f *ffn, list []work) (rest []work) {
	for i := 0; i < len(list); i++ {
		if p.splitGate(list[i:]) {
			f.sharedUp = append(f.sharedUp, list[i].at, list[i+2].at)
			f.sharedDown = append(f.sharedDown, list[i+3].at)
			i += 3
			continue
		}
		if i+2 < len(list) && list[i].c == Gemm && list[i+1].c == Act && list[i+2].c == Gemm {
			f.sharedUp = append(f.sharedUp, list[i].at)
			f.sharedDown = append(f.sharedDown, list[i+2].at)
			i += 2
			continue
		}
		rest = append(rest, list[i])
	}
	return rest
}

// pairExperts gives the grouped products their roles: they take turns. With an
// odd number one is missing, and only those beside an activation are known.
func (f *ffn) pairExperts(rest []work) {
	n := 0
	for i, w := range rest {
		if w.c != Expert {
			continue
		}
		r := Unknown
		switch {
		case len(f.experts)%2 == 0 && n%2 == 0:
			r = ExpertsGateUp
		case len(f.experts)%2 == 0:
			r = ExpertsDown
		case i > 0 && rest[i-1].c == Act:
			r = ExpertsDown
		case i+1 < len(rest) && rest[i+1].c == Act:
			r = ExpertsGateUp
		}
		f.expertRole = append(f.expertRole, r)
		n++
	}
}

func (p *pass) sigmoidFollows(at int) bool {
	for i := at + 1; i < len(p.seq); i++ {
		switch p.seq[i].Class {
		case Sigmoid:
			return true
		case Gemm, Expert, Act, MoE, Norm, Core:
			return false
		}
	}
	return false
}

func (p *pass) placeFFN(f *ffn, stop int) {
	p.setRole(f.gateUp, GateUp)
	p.setRole(f.down, Down)
	p.setRole(f.sharedUp, SharedGateUp)
	p.setRole(f.sharedDown, SharedDown)
	p.setRole(f.sharedGate, SharedExpertGate)
	if f.router >= 0 {
		p.out[f.router].Role = Router
	}
	for i, at := range f.experts {
		p.out[at].Role = f.expertRole[i]
	}
	p.zone(f.first, stop, FFN)
}

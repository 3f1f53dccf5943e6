package role

// serve gives kernels that belong to a product that product's role: split-K
// reduces and LoRA's second half the one before, memsets, quantisation and
// LoRA's first half the one behind.
func (p *pass) serve() {
	before := -1
	for i, k := range p.seq {
		switch k.Class {
		case Gemm, Expert:
			before = i
		case Tail, Expand:
			if before >= 0 {
				p.take(i, before)
			} else if p.seq[i].Class == Expand && p.out[i].Zone == Head {
				p.serveHead(i)
			}
		default:
			// They run right behind their product; what else is behind
			// something else has lost it.
			before = -1
		}
	}
	behind := -1
	for i := len(p.seq) - 1; i >= 0; i-- {
		switch p.seq[i].Class {
		case Gemm, Expert:
			behind = i
		case Fill:
			// A product clears its workspace right before it runs.
			if behind == i+1 {
				p.take(i, behind)
			}
		case Prologue, Shrink:
			if behind >= 0 {
				p.take(i, behind)
			} else if p.out[i].Zone == Head {
				p.serveHead(i)
			}
		case Core, Linear, Norm, Act:
			behind = -1
		}
	}
}

func (p *pass) take(i, from int) {
	p.out[i].Role, p.out[i].Confidence = p.out[from].Role, p.out[from].Confidence
	if p.out[i].Layer < 0 {
		p.out[i].Layer, p.out[i].Kind = p.out[from].Layer, p.out[from].Kind
	}
}

// serveHead: behind the language model's head both halves of LoRA serve it.
func (p *pass) serveHead(i int) {
	for j := i; j >= 0; j-- {
		if p.out[j].Role == LMHead {
			p.take(i, j)
			return
		}
	}
}

// confide sets how sure each role is: the share of the layers' products in
// this role that have this kernel's name. Layers repeat, so a lone name where
// the other layers agree on one is no doubt but a mistake: it stays unknown.
func (p *pass) confide() {
	type slot struct {
		r    Role
		name uint32
	}
	named := map[slot]int{}
	all := map[Role]int{}
	most := map[Role]int{}
	for i, k := range p.seq {
		if r := p.out[i].Role; r != Unknown && (k.Class == Gemm || k.Class == Expert) {
			s := slot{r, k.Name}
			named[s]++
			all[r]++
			most[r] = max(most[r], named[s])
		}
	}
	for i, k := range p.seq {
		r := p.out[i].Role
		if r == Unknown {
			continue
		}
		p.out[i].Confidence = 1
		if k.Class != Gemm && k.Class != Expert {
			continue
		}
		n := named[slot{r, k.Name}]
		if n == 1 && most[r] >= 3 && most[r] >= all[r]-1 {
			p.out[i].Role, p.out[i].Confidence = Unknown, 0
			continue
		}
		p.out[i].Confidence = float32(n) / float32(all[r])
	}
}

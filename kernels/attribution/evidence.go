package attribution

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"tokprof/kernels/role"
)

// Evidence says what roles may rest on; it exists for tests, which ask what
// remains when evidence is taken away.
type Evidence struct {
	// Blind leaves launches, correlations and step annotations only: no ops,
	// shapes or frames.
	Blind bool
	// Hide takes kernels out of the sequence before roles are assigned. Their
	// time stays in every sum.
	Hide Hide
	// None assigns no roles at all, for measuring what they cost.
	None bool
	// Captures are graph-capture traces of the run, for what replays lack.
	Captures []*Captured
	// Calibration is an eager trace of the same model, nil for none.
	Calibration *Calibration
}

// Hide says which kernels to take out; the zero value takes none.
type Hide struct {
	What  string  // "norm", "activation" or "random"
	Share float64 // of all kernels, for random
}

// ParseHide reads "norm", "activation" or "random:5%".
func ParseHide(s string) (Hide, error) {
	what, share, random := strings.Cut(s, ":")
	switch {
	case s == "":
		return Hide{}, nil
	case (what == "norm" || what == "activation") && !random:
		return Hide{What: what}, nil
	case what == "random" && random:
		p, err := strconv.ParseFloat(strings.TrimSuffix(share, "%"), 64)
		if err == nil && strings.HasSuffix(share, "%") && p >= 0 && p <= 100 {
			return Hide{What: what, Share: p / 100}, nil
		}
	}
	return Hide{}, fmt.Errorf("%q hides nothing known: write norm, activation or random:5%%", s)
}

// of returns which GPU events are hidden, nil for none. Random hiding is
// seeded: the same trace loses the same kernels.
func (h Hide) of(ev *Events) func(int) bool {
	switch h.What {
	case "norm":
		return func(i int) bool {
			m := ev.Match(i)
			return m.Subgroup == "norm" || slices.Contains(m.Tags, "norm")
		}
	case "activation":
		return func(i int) bool { return ev.Match(i).Subgroup == "activation" }
	case "random":
		r := rand.New(rand.NewPCG(1, 2))
		hidden := make([]bool, len(ev.Trace.GPU()))
		for i := range hidden {
			hidden[i] = r.Float64() < h.Share
		}
		return func(i int) bool { return hidden[i] }
	}
	return nil
}

// weigh decides each event's role by the strongest evidence: the name itself,
// the module frames around the launch, the shape of the weight, and the place
// in the pass. direct are the products with recorded shapes. It counts the
// products on which module or shape and the place disagree.
func (ev *Events) weigh(e Evidence, direct []Shaped) {
	t := ev.Trace
	names := ev.nameEvidence()
	var modules moduleRoles
	if !e.Blind {
		modules = newModuleRoles(ev.Stacks)
	}
	for i, id := range t.GPU() {
		k, n := &ev.known[i], &names[t.NameOf(id)]
		if n.role != role.Unknown {
			k.Role, k.Provenance, k.Confidence = n.role, ByName, 1
		} else if k.Role != role.Unknown {
			k.Provenance = ByPosition
		}
		if !n.product || modules.byNode == nil {
			continue
		}
		if r := modules.of(ev, i); r != role.Unknown {
			if r == role.Router && k.Role == role.SharedExpertGate {
				// Both are plain replicated products of one module.
				continue
			}
			if k.Provenance == ByPosition && k.Role != r {
				ev.Disagreements++
			}
			k.Role, k.Provenance, k.Confidence = r, ByModule, 1
		}
	}
	if !e.Blind {
		ev.Shapes = slices.Concat(direct, ev.capturedShapes(e.Captures))
		if len(ev.Shapes) == len(direct) {
			ev.Shapes = append(ev.Shapes, ev.twinShapes(direct)...)
		}
		ev.latentByShape()
		ev.voteShapes()
		if e.Calibration != nil {
			ev.calibrate(e.Calibration)
		}
	}
	for i, id := range t.GPU() {
		k := &ev.known[i]
		k.Part = partOf(names[t.NameOf(id)].part, k.Place)
	}
}

// named is what a name alone says of an event's role and part.
type named struct {
	role    role.Role
	part    Part // of its category; PartOther where the place decides
	product bool // roles by module and shape are about it
}

func (ev *Events) nameEvidence() []named {
	out := make([]named, len(ev.match))
	for n, m := range ev.match {
		out[n] = named{RoleOfName(m.Group, m.Subgroup), PartOther, m.Group == "gemm"}
		switch m.Group {
		case "attention":
			out[n].part = PartAttention
		case "ffn":
			out[n].part = PartFFN
		case "comm":
			out[n].part = PartComm
		case "gemm":
			out[n].part = PartUnattributed
		}
	}
	return out
}

// RoleOfName is the role that a category alone proves.
func RoleOfName(group, subgroup string) role.Role {
	if group != "other" {
		return role.Unknown
	}
	switch subgroup {
	case "embedding":
		return role.Embedding
	case "lm_head":
		return role.LMHead
	case "sampling":
		return role.Sampling
	}
	return role.Unknown
}

// partOf is the headline part of an event: its role's, its category's, or that
// of the block it stands in.
func partOf(byName Part, p role.Place) Part {
	if p.Role != role.Unknown {
		switch p.Role.Part() {
		case "attention":
			return PartAttention
		case "ffn":
			return PartFFN
		case "head":
			return PartHead
		}
	}
	if byName != PartOther {
		return byName
	}
	switch p.Zone {
	case role.Attention:
		return PartAttention
	case role.FFN:
		return PartFFN
	case role.Head:
		return PartHead
	}
	return PartOther
}

// moduleRoles are the roles that module frames prove, by stack node.
type moduleRoles struct {
	byNode []role.Role
}

// newModuleRoles reads each node's chain of modules once; a parent stands
// before its children.
func newModuleRoles(s *Stacks) moduleRoles {
	m := moduleRoles{byNode: make([]role.Role, len(s.frames))}
	chains := make([][]string, len(s.frames))
	for n, f := range s.frames {
		if n == 0 {
			continue
		}
		chains[n], m.byNode[n] = chains[f.Parent], m.byNode[f.Parent]
		if f.Kind == FrameModule {
			chain := make([]string, 0, len(chains[n])+1)
			chains[n] = append(append(chain, chains[f.Parent]...), f.Name)
			m.byNode[n] = role.OfModule(chains[n])
		}
	}
	return m
}

func (m moduleRoles) of(ev *Events, i int) role.Role {
	c := ev.callOf[i]
	if c < 0 || m.byNode == nil || ev.Calls[c].Graph || ev.Calls[c].Node < 0 {
		return role.Unknown
	}
	return m.byNode[ev.Calls[c].Node]
}

package breakdown

import (
	"slices"

	"tokprof/kernels/role"
)

// weigh decides each event's role by the strongest evidence: the name itself,
// the module frames around the launch, the shape of the weight, and the place
// in the pass. It counts the products on which module or shape and the place
// disagree.
func (ev *Events) weigh(e Evidence) {
	t := ev.Trace
	names := ev.nameEvidence()
	var modules moduleRoles
	if !e.Blind {
		modules = newModuleRoles(ev.stacks)
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
		direct := findShapes(ev)
		ev.shapes = slices.Concat(direct, ev.capturedShapes(e.Captures))
		if len(ev.shapes) == len(direct) {
			ev.shapes = append(ev.shapes, ev.twinShapes(direct)...)
		}
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
		out[n] = named{roleOfName(m.Group, m.Subgroup), PartOther, m.Group == "gemm"}
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

// roleOfName is the role that a category alone proves.
func roleOfName(group, subgroup string) role.Role {
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
func newModuleRoles(s *stacks) moduleRoles {
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
	if c < 0 || m.byNode == nil || ev.calls[c].graph || ev.calls[c].node < 0 {
		return role.Unknown
	}
	return m.byNode[ev.calls[c].node]
}

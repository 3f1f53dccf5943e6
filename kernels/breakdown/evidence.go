package breakdown

import (
	"slices"

	"tokprof/kernels/role"
)

// weigh decides each event's role by the strongest evidence: the name itself,
// the module frames around the launch, the shape of the weight, and the place
// in the pass. It counts
// the products on which a module and the place disagree.
func (ev *Events) weigh(e Evidence) {
	var modules moduleRoles
	if !e.Blind {
		modules = newModuleRoles(ev.stacks)
	}
	for i := range ev.known {
		k := &ev.known[i]
		m := ev.Match(i)
		if r := roleOfName(m.Group, m.Subgroup); r != role.Unknown {
			k.Role, k.Provenance, k.Confidence = r, ByName, 1
		} else if k.Role != role.Unknown {
			k.Provenance = ByPosition
		}
		if r := modules.of(ev, i); r != role.Unknown && ev.servesProduct(i) {
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
	}
	for i := range ev.known {
		k := &ev.known[i]
		k.Part = partOf(ev.Match(i).Group, k.Place)
	}
}

// servesProduct says whether a role by module means the event: products and
// what belongs to them, not the copies and elementwise kernels beside them.
func (ev *Events) servesProduct(i int) bool {
	m := ev.Match(i)
	return m.Group == "gemm"
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
func partOf(group string, p role.Place) Part {
	switch p.Role.Part() {
	case "attention":
		return PartAttention
	case "ffn":
		return PartFFN
	case "head":
		return PartHead
	}
	switch group {
	case "attention":
		return PartAttention
	case "ffn":
		return PartFFN
	case "comm":
		return PartComm
	case "gemm":
		return PartUnattributed
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

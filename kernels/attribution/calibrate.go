package attribution

import (
	"slices"

	"tokprof/kernels"
	"tokprof/kernels/role"
	"tokprof/trace"
)

// Calibration is what a short eager trace of the same model says: the roles of
// a pass's products, in order. A pass that replays graphs runs the same
// products in the same order, by other kernels.
type Calibration struct {
	passes map[int][]role.Role // by the number of products
}

// ReadCalibration collects the passes of an eager trace in which every product
// is known by more than its place.
func ReadCalibration(t *trace.Trace, c *kernels.Classifier) *Calibration {
	ev := NewEvents(t, c, Evidence{})
	cal := &Calibration{passes: map[int][]role.Role{}}
	ambiguous := map[int]bool{}
	for _, events := range ev.passes() {
		roles, ok := ev.calibrated(ev.products(events))
		if !ok {
			continue
		}
		n := len(roles)
		if old, seen := cal.passes[n]; seen && !slices.Equal(old, roles) {
			ambiguous[n] = true
		}
		cal.passes[n] = roles
	}
	for n := range ambiguous {
		delete(cal.passes, n)
	}
	return cal
}

// Passes returns how many kinds of pass the calibration knows.
func (c *Calibration) Passes() int { return len(c.passes) }

// products lists the products of a pass by start; the second kernel of a split
// product is not one of its own.
func (ev *Events) products(events []int32) []int32 {
	var out []int32
	for _, i := range events {
		m := ev.Match(int(i))
		switch {
		case m.Group == "gemm" && m.Subgroup != "splitk_reduce" && m.Subgroup != "prologue",
			m.Group == "ffn" && m.Subgroup == "moe_gemm":
			out = append(out, i)
		}
	}
	return out
}

// calibrated returns the products' roles when modules or shapes prove them all;
// grouped products of experts are all one module's, so their place counts.
func (ev *Events) calibrated(products []int32) ([]role.Role, bool) {
	roles := make([]role.Role, len(products))
	for n, i := range products {
		k := ev.known[i]
		byPlace := k.Provenance == ByPosition && ev.Match(int(i)).Group == "ffn"
		if k.Role == role.Unknown || k.Provenance < ByShape && !byPlace {
			return nil, false
		}
		roles[n] = k.Role
	}
	return roles, len(roles) > 0
}

// calibrate gives a pass's products the roles of the calibrated pass with as
// many products, slot by slot, where nothing stronger is known.
func (ev *Events) calibrate(c *Calibration) {
	for _, events := range ev.passes() {
		products := ev.products(events)
		roles, ok := c.passes[len(products)]
		if !ok {
			continue
		}
		for n, i := range products {
			k := &ev.known[i]
			if k.Provenance >= ByCalibration {
				continue
			}
			if k.Role != role.Unknown && k.Role != roles[n] {
				ev.Disagreements++
			}
			k.Role, k.Provenance, k.Confidence = roles[n], ByCalibration, 1
		}
	}
}

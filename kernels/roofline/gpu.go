package roofline

import (
	"maps"
	"slices"
	"strings"
)

// GPU is what a datasheet promises of one device as drivers list it.
type GPU struct {
	Name         string
	MemBandwidth float64 // bytes a second
	// Dense are peaks in FLOP/s without sparsity, of matrix units with 32-bit
	// accumulation where there are any, by format: bf16, fp16, fp8, fp4, int8,
	// tf32, fp32 (outside the matrix units). A format that the datasheet does
	// not give is absent.
	Dense  map[string]float64
	NVLink float64 // bytes a second in one direction, all links of the GPU (AMD: Infinity Fabric); 0: none or not known
	Source string  // the datasheet's title and year
}

// LookupGPU finds a GPU by the name that a driver or a trace gives it
// ("NVIDIA H100 80GB HBM3"). A name that does not tell the exact part ("A100":
// of four kinds), a slice (MIG, vGPU) or an unknown part is not found.
func LookupGPU(name string) (GPU, bool) {
	row, ok := byName[nameKey(name)]
	if !ok {
		return GPU{}, false
	}
	p := parts[row]
	g := GPU{
		Name: p.name, MemBandwidth: p.mem * 1e9, NVLink: p.link * 1e9, Source: p.source,
		Dense: make(map[string]float64, len(p.dense)),
	}
	for format, tera := range p.dense {
		g.Dense[format] = tera * 1e12
	}
	return g, true
}

// Formats lists the formats whose peak is known, in order.
func (g GPU) Formats() []string { return slices.Sorted(maps.Keys(g.Dense)) }

var byName = func() map[string]int {
	out := map[string]int{}
	for i, p := range parts {
		for _, alias := range append([]string{p.name}, p.aliases...) {
			out[nameKey(alias)] = i
		}
	}
	return out
}()

// vendorWords are in a name or not, without telling one part from another.
var vendorWords = map[string]bool{
	"NVIDIA": true, "TESLA": true, "GEFORCE": true, "AMD": true, "INSTINCT": true, "TENSOR": true, "CORE": true, "GPU": true,
}

// nameKey brings spellings of one name together: words in order of the
// alphabet, vendor's and series' left out.
func nameKey(name string) string {
	words := strings.FieldsFunc(strings.ToUpper(name), func(r rune) bool {
		return !(r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.')
	})
	words = slices.DeleteFunc(words, func(w string) bool { return vendorWords[w] })
	slices.Sort(words)
	return strings.Join(words, " ")
}

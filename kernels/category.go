// Package kernels knows what GPU kernels are, what role they play, and how
// their time adds up. A Classifier tells from the name alone what a kernel,
// copy or fill is; what a plain matrix product is for in its layer, no name
// can say.
package kernels

import (
	"fmt"
	"strings"
)

// Category says what a kernel is, as far as its name can tell: a group
// ("attention") and a subgroup of it ("decode").
type Category struct {
	Group, Subgroup string
}

// Unclassified is the category of a name that no rule takes.
var Unclassified = Category{Group: "other", Subgroup: "unclassified"}

// String joins group and subgroup with a dot, as rule tables and pages spell
// a category.
func (c Category) String() string { return c.Group + "." + c.Subgroup }

// groups is the closed list of categories in the order in which pages show
// them. A new category is a change of the output contract, so rule files
// cannot invent one.
var groups = []struct {
	name      string
	subgroups string
}{
	{"attention", "prefill decode core mla_prefill mla_decode combine kv_write kv_io rope qk_norm quant metadata indexer linear"},
	{"ffn", "activation moe_router moe_permute moe_gemm moe_combine"},
	{"comm", "all_reduce all_gather reduce_scatter broadcast reduce send_recv all_to_all ep_dispatch ep_combine barrier generic"},
	{"gemm", "dense quantized gemv splitk_reduce prologue"},
	{"memory", "memcpy_h2d memcpy_d2h memcpy_d2d memcpy_p2p memset"},
	{"other", "norm embedding lm_head sampling softmax sort_scan index copy_cat elementwise reduce quant lora spec_decode io_prep conv unclassified"},
}

// Categories lists every category there is, in page order.
func Categories() []Category {
	var all []Category
	for _, g := range groups {
		for sub := range strings.FieldsSeq(g.subgroups) {
			all = append(all, Category{Group: g.name, Subgroup: sub})
		}
	}
	return all
}

// ParseCategory reads the dotted spelling and refuses what is not in the
// closed list, naming what would be right.
func ParseCategory(text string) (Category, error) {
	group, sub, _ := strings.Cut(text, ".")
	var names []string
	for _, g := range groups {
		names = append(names, g.name)
		if g.name != group {
			continue
		}
		for known := range strings.FieldsSeq(g.subgroups) {
			if known == sub {
				return Category{Group: group, Subgroup: sub}, nil
			}
		}
		return Category{}, fmt.Errorf("group %s has no subgroup %q; use one of %s", group, sub, strings.Join(strings.Fields(g.subgroups), ", "))
	}
	return Category{}, fmt.Errorf("no group %q in category %q; write group.subgroup with one of the groups %s", group, text, strings.Join(names, ", "))
}

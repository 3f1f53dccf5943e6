package trace

import (
	"encoding/json"
	"slices"
	"sort"
	"strconv"
	"strings"

	"tokprof/trace/internal/kineto"
)

// The args that say what a product was: the shapes and types of an op's inputs
// (recorded with record_shapes). And those that NCCL's kernels carry where torch
// knew the message (elements and their type).
const (
	argDims = iota
	argTypes
	argElems
	argElemType
	argGroupSize
)

var shapeArgs = []string{argDims: "Input Dims", argTypes: "Input type", argElems: "In msg nelems", argElemType: "dtype", argGroupSize: "Group size"}

// Product is the matrix product that an op computes: an M×K matrix times a K×N
// one, of elements of ElemBytes (0 when the type is unknown).
type Product struct {
	M, K, N   int
	ElemBytes float64
}

// Products joins ops with recorded input shapes to what they launched.
type Products struct {
	t    *Trace
	byID map[uint64]EventID  // External id → op
	memo map[uint64]*Product // by text ids of dims and types; nil for no product
}

// HasShapes says whether any op has recorded input shapes.
func (t *Trace) HasShapes() bool {
	return slices.ContainsFunc(t.file.TextArgs, func(a kineto.TextArg) bool { return a.Key == argDims })
}

// Message is what the args of a collective's kernel say of it.
type Message struct {
	Bytes int64 // of what this rank brings; 0 when not recorded
	Ranks int   // of the group; 0 when not recorded
}

// Message reads what a collective's kernel says of its message.
func (t *Trace) Message(id EventID) (m Message) {
	list := t.file.TextArgs
	var elems int64
	size := 0.0
	for i := sort.Search(len(list), func(i int) bool { return EventID(list[i].Event) >= id }); i < len(list) && EventID(list[i].Event) == id; i++ {
		text := t.file.Texts[list[i].Text]
		switch list[i].Key {
		case argElems:
			if n, err := strconv.ParseInt(text, 10, 64); err == nil {
				elems = n
			}
		case argElemType:
			size = messageTypes[strings.Trim(text, `"`)]
		case argGroupSize:
			if n, err := strconv.ParseInt(text, 10, 32); err == nil && n > 0 {
				m.Ranks = int(n)
			}
		}
	}
	if bytes := float64(elems) * size; bytes > 0 && bytes < 1<<50 {
		m.Bytes = int64(bytes)
	}
	return m
}

// messageTypes are the sizes of torch's scalar types, as c10::toString spells them.
var messageTypes = map[string]float64{
	"BFloat16": 2, "Half": 2, "Float": 4, "Double": 8, "Byte": 1, "Char": 1, "Bool": 1, "Short": 2, "Int": 4, "Long": 8,
	"Float8_e4m3fn": 1, "Float8_e5m2": 1, "Float8_e4m3fnuz": 1, "Float8_e5m2fnuz": 1,
}

// Products reads the ops' shapes once.
func (t *Trace) Products() *Products {
	p := &Products{t: t, byID: map[uint64]EventID{}, memo: map[uint64]*Product{}}
	named := make([]bool, t.Names())
	for n := range named {
		named[n] = isProduct(t.Name(NameID(n)))
	}
	last := NoEvent
	for _, a := range t.file.TextArgs {
		id := EventID(a.Event)
		if id == last || !named[t.NameOf(id)] {
			continue
		}
		last = id
		if e := t.Event(id); e.Kind == Op && e.External != 0 {
			p.byID[e.External] = id
		}
	}
	return p
}

// isProduct recognises the ops that compute one product: torch's own and the
// quantised products of servers.
func isProduct(op string) bool {
	op = op[strings.LastIndexByte(op, ':')+1:]
	switch op {
	case "mm", "addmm", "linear", "matmul", "_scaled_mm", "bmm", "baddbmm":
		return true
	}
	return strings.HasSuffix(op, "scaled_mm") || strings.HasSuffix(op, "_gemm")
}

// Of returns the product that launched a GPU event, nil when its op or the op's
// shapes are not in the file, or the shapes are no product's.
func (p *Products) Of(e Event) *Product {
	id, ok := p.byID[e.External]
	if !ok || e.External == 0 {
		return nil
	}
	dims, types := p.args(id)
	key := uint64(dims)<<32 | uint64(types)
	if m, ok := p.memo[key]; ok {
		return m
	}
	var m *Product
	if x := product(p.text(dims), p.text(types)); x.M > 0 {
		m = &x
	}
	p.memo[key] = m
	return m
}

const noText = ^uint32(0)

func (p *Products) text(n uint32) string {
	if n == noText {
		return ""
	}
	return p.t.file.Texts[n]
}

func (p *Products) args(id EventID) (dims, types uint32) {
	list := p.t.file.TextArgs
	dims, types = noText, noText
	for i := sort.Search(len(list), func(i int) bool { return EventID(list[i].Event) >= id }); i < len(list) && EventID(list[i].Event) == id; i++ {
		switch list[i].Key {
		case argDims:
			dims = list[i].Text
		case argTypes:
			types = list[i].Text
		}
	}
	return dims, types
}

// product finds the first two matrices among the inputs whose sides fit: M×K
// and K×N, or M×K and N×K as a transposed weight. A batch of products (three
// dimensions) is none of one weight.
func product(dims, types string) Product {
	var shapes []json.RawMessage
	if json.Unmarshal([]byte(dims), &shapes) != nil {
		return Product{}
	}
	var names []string
	_ = json.Unmarshal([]byte(types), &names)
	var a []int
	for i, raw := range shapes {
		var s []int
		if json.Unmarshal(raw, &s) != nil || len(s) != 2 || s[0] <= 0 || s[1] <= 0 {
			continue
		}
		if a == nil {
			a = s
			continue
		}
		p := Product{M: a[0], K: a[1], ElemBytes: elemBytes(names, i)}
		switch {
		case s[0] == a[1]:
			p.N = s[1]
		case s[1] == a[1]:
			p.N = s[0]
		default:
			return Product{}
		}
		return p
	}
	return Product{}
}

// elemBytes is the size of a torch scalar type.
func elemBytes(types []string, i int) float64 {
	if i >= len(types) {
		return 0
	}
	name := strings.TrimPrefix(types[i], "c10::")
	switch name {
	case "BFloat16", "Half":
		return 2
	case "float", "int":
		return 4
	case "double", "long", "long int":
		return 8
	case "signed char", "unsigned char":
		return 1
	}
	if strings.HasPrefix(name, "Float8") {
		return 1
	}
	if n, err := strconv.ParseFloat(strings.TrimPrefix(name, "Float"), 64); err == nil {
		return n / 8
	}
	return 0
}

// FirstInput is an op's first input that is a tensor.
type FirstInput struct {
	Op    string // name of the op
	Bytes int64
}

// FirstInputs finds the ops that have the given External ids, and their first
// tensors. Ids whose op, or its shapes and types, are not in the file have none.
func (t *Trace) FirstInputs(external map[uint64]bool) map[uint64]FirstInput {
	out := map[uint64]FirstInput{}
	if len(external) == 0 {
		return out
	}
	p := &Products{t: t}
	last := NoEvent
	for _, a := range t.file.TextArgs {
		id := EventID(a.Event)
		if id == last {
			continue
		}
		last = id
		e := t.Event(id)
		if e.Kind != Op || !external[e.External] {
			continue
		}
		dims, types := p.args(id)
		if n := firstTensor(p.text(dims), p.text(types)); n > 0 {
			out[e.External] = FirstInput{t.Name(e.Name), n}
		}
	}
	return out
}

// querySide is where PyTorch's own attention ops have the queries' positions in
// the shape of their first input: torch's native_functions.yaml and the calls of
// aten/src/ATen/native/transformers/cuda/attention.cu.
var querySide = map[string]int{
	"aten::_cudnn_attention_forward":                         2, // batch, heads, positions, width
	"aten::_scaled_dot_product_cudnn_attention":              2,
	"aten::_scaled_dot_product_flash_attention":              2,
	"aten::_scaled_dot_product_efficient_attention":          2,
	"aten::_scaled_dot_product_fused_attention_overrideable": 2,
	"aten::_flash_attention_forward":                         1, // batch, positions, heads, width
	"aten::_efficient_attention_forward":                     1,
}

// Queries finds the ops with the given External ids that are attention over
// queries of one length, and how many positions these have.
func (t *Trace) Queries(external map[uint64]bool) map[uint64]int {
	out := map[uint64]int{}
	p := &Products{t: t}
	for _, a := range t.file.TextArgs {
		if a.Key != argDims {
			continue
		}
		e := t.Event(EventID(a.Event))
		side, ok := querySide[t.Name(e.Name)]
		if !ok || e.Kind != Op || !external[e.External] {
			continue
		}
		var shapes []json.RawMessage
		var query []int
		if json.Unmarshal([]byte(p.text(a.Text)), &shapes) == nil && len(shapes) > 0 && json.Unmarshal(shapes[0], &query) == nil && len(query) == 4 {
			out[e.External] = query[side]
		}
	}
	return out
}

// firstTensor is the size of the first input with sides, 0 when its type is not
// known.
func firstTensor(dims, types string) int64 {
	var shapes []json.RawMessage
	var names []string
	if json.Unmarshal([]byte(dims), &shapes) != nil || json.Unmarshal([]byte(types), &names) != nil {
		return 0
	}
	for i, raw := range shapes {
		var sides []int64
		if json.Unmarshal(raw, &sides) != nil || len(sides) == 0 {
			continue
		}
		n := elemBytes(names, i)
		for _, s := range sides {
			n *= float64(s)
		}
		if n <= 0 || n > 1<<50 {
			return 0
		}
		return int64(n)
	}
	return 0
}

package synth

import (
	"strconv"
	"strings"
)

// input is one argument of an operator, as record_shapes describes it.
type input struct{ concrete, typ, strides, dims string }

func tensor(typ string, dims ...int) input {
	strides := make([]int, len(dims))
	step := 1
	for i := len(dims) - 1; i >= 0; i-- {
		strides[i] = step
		step *= dims[i]
	}
	return input{typ: typ, strides: list(strides), dims: list(dims)}
}

func bf16(dims ...int) input { return tensor("c10::BFloat16", dims...) }

func scalar(v string) input { return input{concrete: v, typ: "Scalar", strides: "[]", dims: "[]"} }

func ints(v ...int) input {
	return input{concrete: list(v), typ: "ScalarList", strides: "[]", dims: "[]"}
}

var none = input{strides: "[]", dims: "[]"}

func list(v []int) string {
	s := make([]string, len(v))
	for i, n := range v {
		s[i] = strconv.Itoa(n)
	}
	return "[" + strings.Join(s, ", ") + "]"
}

// inputs renders the arguments of an operator.
func inputs(in ...input) string {
	var concrete, typ, strides, dims []string
	for _, v := range in {
		concrete = append(concrete, `"`+v.concrete+`"`)
		typ = append(typ, `"`+v.typ+`"`)
		strides = append(strides, v.strides)
		dims = append(dims, v.dims)
	}
	const sep = ", "
	return `, "Concrete Inputs": [` + strings.Join(concrete, sep) + `], "Input type": [` + strings.Join(typ, sep) +
		`], "Input Strides": [` + strings.Join(strides, sep) + `], "Input Dims": [` + strings.Join(dims, sep) + `]`
}

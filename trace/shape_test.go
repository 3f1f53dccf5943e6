package trace

import "testing"

func TestProduct(t *testing.T) {
	for _, tt := range []struct {
		dims, types string
		want        Product
	}{
		{"[[8, 4096], [4096, 14336], [8, 14336]]", `["c10::BFloat16", "c10::BFloat16", "c10::BFloat16"]`, Product{8, 4096, 14336, 2}},
		{"[[6144], [64, 4096], [4096, 6144], [], []]", `["c10::Half", "c10::Half", "c10::Half", "Scalar", "Scalar"]`, Product{64, 4096, 6144, 2}},
		{"[[64, 4096], [6144, 4096], []]", "", Product{64, 4096, 6144, 0}},
		{"[[64, 4096], [4096, 6144]]", `["c10::Float8_e4m3fn", "c10::Float8_e4m3fn"]`, Product{64, 4096, 6144, 1}},
		{"[[64, 4096], [10, 20]]", "", Product{}},
		{"[[2, 64, 4096], [2, 4096, 64]]", "", Product{}},
		{"[[64, 4096]]", "", Product{}},
		{"[[[1, 2], [3, 4]], []]", "", Product{}},
		{"not json", "", Product{}},
		{"[[0, 4096], [4096, 8]]", "", Product{}},
	} {
		if got := product(tt.dims, tt.types); got != tt.want {
			t.Errorf("%s %s: %v, want %v", tt.dims, tt.types, got, tt.want)
		}
	}
}

func TestFirstTensor(t *testing.T) {
	for _, tt := range []struct {
		dims, types string
		want        int64
	}{
		{"[[1900, 4096], []]", `["c10::BFloat16", ""]`, 1900 * 4096 * 2},
		{"[[], [700, 4096], [700, 4096], [], []]", `["Scalar", "c10::BFloat16", "c10::BFloat16", "Scalar", "Scalar"]`, 700 * 4096 * 2},
		{"[[2, 3, 4], [5]]", `["float", "long int"]`, 96},
		{"[[8, 64]]", `["c10::Float8_e4m3fn"]`, 512},
		{"[[[4, 5], [6, 7]], [3]]", `["TensorList", "float"]`, 12},
		{"[[8, 64]]", `["c10::Mystery"]`, 0},
		{"[[8, 64]]", "", 0},
		{"[[], []]", `["Scalar", "Scalar"]`, 0},
		{"[[0, 64]]", `["float"]`, 0},
		{"[[-5, 64]]", `["float"]`, 0},
		{"[[4611686018427387904, 4611686018427387904]]", `["float"]`, 0},
		{"no", "json", 0},
	} {
		if got := firstTensor(tt.dims, tt.types); got != tt.want {
			t.Errorf("%s %s: %d bytes, want %d", tt.dims, tt.types, got, tt.want)
		}
	}
}

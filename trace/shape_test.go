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

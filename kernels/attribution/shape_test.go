package attribution

import (
	"fmt"
	"strings"
	"testing"

	"tokprof/trace"
)

// TestLatentRoles: products by K and N, in the order of launches, and what each
// is in latent attention; nothing where they could be something else.
func TestLatentRoles(t *testing.T) {
	for _, c := range []struct {
		name     string
		products [][2]int
		want     string
	}{
		{"DeepSeek V3", [][2]int{{7168, 1536}, {1536, 24576}, {7168, 576}, {512, 32768}}, "q q kv_a kv_b"},
		{"keys and values first", [][2]int{{7168, 576}, {7168, 1536}, {1536, 24576}, {512, 32768}}, "kv_a q q kv_b"},
		{"DeepSeek V2 Lite", [][2]int{{2048, 3072}, {2048, 576}, {512, 4096}}, "q kv_a kv_b"},
		{"queries as wide as the latent with its rope part", [][2]int{{2048, 576}, {2048, 576}, {512, 4096}}, ""},
		{"a product is missing", [][2]int{{7168, 1536}, {7168, 576}, {512, 32768}}, "q kv_a kv_b"},
		{"the second query product reads something else", [][2]int{{7168, 1536}, {1500, 24576}, {7168, 576}, {512, 32768}}, ""},
		{"queries, keys and values", [][2]int{{4096, 4096}, {4096, 1024}, {4096, 1024}}, ""},
		{"gate, up and down", [][2]int{{4096, 14336}, {4096, 14336}, {14336, 4096}}, ""},
		{"experts' sizes", [][2]int{{2048, 60}, {2048, 5632}, {2048, 5632}, {5632, 2048}}, ""},
		{"two", [][2]int{{2048, 576}, {512, 4096}}, ""},
		{"five", [][2]int{{7168, 1536}, {1536, 24576}, {7168, 576}, {512, 32768}, {7168, 576}}, ""},
	} {
		var products []Shaped
		for _, p := range c.products {
			products = append(products, Shaped{Product: &trace.Product{M: 4, K: p[0], N: p[1]}})
		}
		got := strings.Trim(fmt.Sprint(latentRoles(products)), "[]")
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

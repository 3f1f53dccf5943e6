package latency

import (
	"fmt"
	"math/rand"
	"testing"

	"tokprof/report/figures"
	"tokprof/trace"
)

func total(list []figures.NameTime) (sum int64) {
	for _, x := range list {
		sum += x.TimeNS
	}
	return sum
}

// TestStepLine: overlapping steps, pauses and parts that streams share make a
// line that adds up.
func TestStepLine(t *testing.T) {
	rng := rand.New(rand.NewSource(3))
	for range 200 {
		var steps []Step
		at := int64(1000)
		for i := range 1 + rng.Intn(20) {
			var ranks []RankStep
			for range 1 + rng.Intn(3) {
				first := at + rng.Int63n(50)
				r := RankStep{First: first, Last: first + rng.Int63n(200)}
				r.Busy = r.Last - first
				r.Cells = []Cell{{"ffn", "down", rng.Int63n(300)}, {"attention", "", rng.Int63n(300)}, {"ffn", "gate_up", rng.Int63n(3)}}
				ranks = append(ranks, r)
			}
			steps = append(steps, Merge(i, trace.StepLabel{Phase: trace.Decode}, ranks))
			at += rng.Int63n(200)
		}
		l := newLine(steps)
		for i := range l.steps {
			if l.from[i] > l.to[i] || i > 0 && l.from[i] < l.to[i-1] {
				t.Fatalf("step %d runs from %d to %d, the one before until %d", i, l.from[i], l.to[i], l.to[max(0, i-1)])
			}
			for k := i; k < len(l.steps); k++ {
				parts, phases := l.between(l.in[i], l.out[k])
				for what, list := range map[string][]figures.NameTime{"parts": parts, "phases": phases} {
					if got := total(list); got != l.to[k]-l.from[i] {
						t.Fatalf("%s of steps %d to %d add up to %d, want %d", what, i, k, got, l.to[k]-l.from[i])
					}
				}
			}
		}
	}
}

func TestResized(t *testing.T) {
	const day = 24 * 3600 * 1_000_000_000
	for _, test := range []struct {
		in    []int64
		total int64
		want  string
	}{
		{[]int64{1, 1, 1}, 10, "[4 3 3]"}, {[]int64{5, 0, 5}, 10, "[5 5]"}, {[]int64{0}, 10, "[]"}, {[]int64{7, -2}, 3, "[3]"},
		{[]int64{day, 3 * day}, day, fmt.Sprint([]int64{day / 4, day / 4 * 3})}, {[]int64{3}, 0, "[]"},
	} {
		var cells []Cell
		for i, v := range test.in {
			cells = append(cells, Cell{fmt.Sprint(i), "", v})
		}
		got := []int64{}
		for _, c := range resized(cells, test.total) {
			got = append(got, c.TimeNS)
		}
		if fmt.Sprint(got) != test.want {
			t.Errorf("%v to %d is %v, want %s", test.in, test.total, got, test.want)
		}
	}
}

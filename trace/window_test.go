package trace

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

func TestWindows(t *testing.T) {
	at := func(start, end Time, rank, replica, world int) Span { return Span{start, end, rank, replica, world} }
	for _, c := range []struct {
		what  string
		spans []Span
		want  [][]int
	}{
		{"nothing", nil, nil},
		{"one file", []Span{at(5, 6, 0, -1, 1)}, [][]int{{0}}},
		{
			"three windows of two ranks, in any order",
			[]Span{
				at(201, 300, 1, -1, 2), at(0, 100, 0, -1, 2), at(402, 500, 0, -1, 2),
				at(200, 301, 0, -1, 2), at(401, 499, 1, -1, 2), at(2, 99, 1, -1, 2),
			},
			[][]int{{1, 5}, {3, 0}, {2, 4}},
		},
		{
			"a rank missing in the middle window",
			[]Span{at(0, 9, 0, -1, 2), at(0, 9, 1, -1, 2), at(20, 29, 1, -1, 2), at(40, 49, 0, -1, 2), at(40, 49, 1, -1, 2)},
			[][]int{{0, 1}, {2}, {3, 4}},
		},
		{
			"unknown ranks and world sizes may be anyone's",
			[]Span{at(0, 9, -1, -1, 0), at(1, 9, -1, -1, 0), at(2, 9, 1, -1, 2), at(30, 39, -1, -1, 0)},
			[][]int{{0, 1, 2}, {3}},
		},
		{
			"replicas restart their ranks at 0 and stand one after the other",
			[]Span{at(0, 9, 1, 1, 2), at(0, 9, 0, 1, 2), at(0, 9, 1, 0, 2), at(0, 9, 0, 0, 2)},
			[][]int{{3, 2, 1, 0}},
		},
		{
			"one rank twice at once, as in a whole file and a cut of it: the cut is another window, and the peer goes with the longer overlap",
			[]Span{at(0, 100, 0, -1, 2), at(20, 40, 0, -1, 2), at(25, 90, 1, -1, 2)},
			[][]int{{0, 2}, {1}},
		},
		{
			"two servers at once, of two GPUs and of four",
			[]Span{at(0, 9, 0, -1, 2), at(0, 9, 0, -1, 4), at(0, 9, 1, -1, 2), at(0, 9, 1, -1, 4), at(0, 9, 3, -1, 4)},
			[][]int{{0, 2}, {1, 3, 4}},
		},
		{
			"an unknown world does not bind two known ones",
			[]Span{at(0, 9, 0, -1, 0), at(0, 9, 1, -1, 2), at(0, 9, 3, -1, 4)},
			[][]int{{0, 1}, {2}},
		},
		{"touching is not overlapping", []Span{at(0, 10, 0, -1, 2), at(10, 20, 1, -1, 2)}, [][]int{{0}, {1}}},
		{
			"a rank may overlap with any file of the window",
			[]Span{at(0, 10, 0, -1, 3), at(5, 30, 1, -1, 3), at(20, 40, 2, -1, 3)},
			[][]int{{0, 1, 2}},
		},
	} {
		if got := Windows(c.spans); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: Windows = %v, want %v", c.what, got, c.want)
		}
	}
}

// TestWindowsProperties draws spans and checks what must hold of any grouping.
func TestWindowsProperties(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		spans := make([]Span, r.IntN(12))
		for i := range spans {
			start := Time(r.IntN(40))
			spans[i] = Span{start, start + Time(r.IntN(20)), r.IntN(4) - 1, r.IntN(2) - 1, r.IntN(3)}
		}
		windows := Windows(spans)
		var all []int
		first := Time(-1)
		for _, w := range windows {
			start := spans[slices.MinFunc(w, func(a, b int) int { return int(spans[a].Start - spans[b].Start) })].Start
			if start < first {
				t.Fatalf("Windows(%v) = %v: out of order", spans, windows)
			}
			first = start
			for k, i := range w {
				all = append(all, i)
				for _, j := range w[:k] {
					if sameRank(spans[i], spans[j]) || otherWorld(spans[i], spans[j]) {
						t.Fatalf("Windows(%v) = %v: files %d and %d cannot be of one run", spans, windows, i, j)
					}
				}
			}
		}
		slices.Sort(all)
		for i, n := range all {
			if i != n {
				t.Fatalf("Windows(%v) = %v: not every file once", spans, windows)
			}
		}
		if len(all) != len(spans) {
			t.Fatalf("Windows(%v) = %v: not every file once", spans, windows)
		}
	}
}

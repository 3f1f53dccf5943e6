package breakdown

import (
	"fmt"
	"testing"
)

// replay adds one replay: names by stream, streams starting one after the
// other and running side by side.
func (s *script) replay(at int, streams ...[]string) {
	c := s.Call("cudaGraphLaunch", at, 5)
	for n, names := range streams {
		for i, name := range names {
			s.GPU(name, 0, 7+n+at%5, at+10+i*10+n*3, 5, c)
		}
	}
}

// layers is n kernels that repeat after a few, the last one apart.
func layers(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = []string{normName, gemmName, attnName, gemmName}[i%4]
	}
	out[n-1] = "void sample()"
	return out
}

// side is what a second stream does.
var side = []string{commName, commName, gemmName}

var graphCases = []struct {
	name  string
	build func(s *script)
	want  string
}{
	{"replays of one graph, on streams of other numbers", func(s *script) {
		for i := range 3 {
			s.replay(i*1001, layers(60), side)
		}
	}, "63 × 3 short false; "},
	{"two graphs", func(s *script) {
		s.replay(0, layers(60))
		s.replay(1000, layers(61))
		s.replay(2000, layers(60))
	}, "60 × 2 short false; 61 × 1 short false; "},
	{"a replay that was not recorded to its end", func(s *script) {
		s.replay(0, layers(60))
		s.replay(1000, layers(60)[:45])
		s.replay(2000, layers(60))
	}, "60 × 2 short false; 45 × 1 short true; "},
	{"cut on every stream", func(s *script) {
		s.replay(0, layers(60), side)
		s.replay(1000, layers(60)[:9], side[:1])
	}, "63 × 1 short false; 10 × 1 short true; "},
	{"cut before its second stream began", func(s *script) {
		s.replay(0, layers(60), side)
		s.replay(1000, layers(60)[:20])
	}, "63 × 1 short false; 20 × 1 short true; "},
	{"pieces of a piecewise graph are whole", func(s *script) {
		first, last := layers(12), layers(12)[:9]
		for i := range 4 {
			s.replay(i*1000, first)
		}
		s.replay(4000, last)
	}, "12 × 4 short false; 9 × 1 short false; "},
	{"graphs that differ inside", func(s *script) {
		other := layers(60)
		other[30] = commName
		s.replay(0, layers(60))
		s.replay(1000, other[:50])
	}, "60 × 1 short false; 50 × 1 short false; "},
}

func TestGraphs(t *testing.T) {
	for _, test := range graphCases {
		t.Run(test.name, func(t *testing.T) {
			s := &script{}
			test.build(s)
			got := ""
			for _, g := range findGraphs(s.events(t)) {
				got += fmt.Sprintf("%d × %d short %v; ", g.Events, g.Replays, g.Short)
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

// TestSignaturesAreEqualAcrossFiles: name ids differ from file to file.
func TestSignaturesAreEqualAcrossFiles(t *testing.T) {
	a, b := &script{}, &script{}
	b.Launch("void first()", 0, 5, 1)
	a.replay(1000, layers(60))
	b.replay(1000, layers(60))
	b.replay(2000, layers(59))
	ga, gb := findGraphs(a.events(t)), findGraphs(b.events(t))
	if len(ga) != 1 || len(gb) != 2 || ga[0].Signature != gb[0].Signature || gb[0].Signature == gb[1].Signature {
		t.Errorf("got %+v and %+v", ga, gb)
	}
	if ga[0].Time != 60*5 {
		t.Errorf("one replay took %d, want 300", ga[0].Time)
	}
}

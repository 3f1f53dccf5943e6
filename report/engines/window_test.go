package engines

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tokprof/kernels/breakdown"
	"tokprof/kernels/collective/reducing"
	"tokprof/report/document"
	"tokprof/trace"
)

// recorded is a rank that was recorded from one time to another.
func recorded(name string, rank, replica, world int, start, end trace.Time) *breakdown.Rank {
	return &breakdown.Rank{Info: trace.Info{Name: name, Path: name, Rank: rank, Replica: replica, WorldSize: world, Epoch: true}, Start: start, End: end}
}

// TestWindowNames: windows take the run's names by file, then by time, and stay
// apart.
func TestWindowNames(t *testing.T) {
	ranks := []*breakdown.Rank{recorded("a", 0, -1, 1, 100, 190), recorded("b", 0, -1, 1, 1000, 1090), recorded("c", 0, -1, 1, 2000, 2090)}
	for _, test := range []struct {
		name string
		run  []RunWindow
		want string
	}{
		{"by file", []RunWindow{{Name: "late", Files: []string{"c"}}, {Name: "early", Files: []string{"x", "a"}}}, "early w2 late"},
		{"by time", []RunWindow{{Name: "middle", FromUnixNS: 900, ToUnixNS: 1050}, {Name: "last", FromUnixNS: 1060, ToUnixNS: 2500}}, "w1 middle last"},
		{"a file beats time", []RunWindow{{Name: "x", FromUnixNS: 1, ToUnixNS: 5000}, {Name: "y", FromUnixNS: 1, ToUnixNS: 5000, Files: []string{"b"}}}, "x y w3"},
		{"a name that a number would take", []RunWindow{{Name: "w1", Files: []string{"b"}}, {Name: "w1", Files: []string{"c"}}}, "w1-3 w1 w1-2"},
		{"no times, no files", []RunWindow{{Name: "x"}}, "w1 w2 w3"},
		{"no run", nil, "w1 w2 w3"},
	} {
		var got []string
		for _, w := range Windows(ranks, test.run, nil) {
			got = append(got, w.Name)
		}
		if s := strings.Join(got, " "); s != test.want {
			t.Errorf("%s: %s, want %s", test.name, s, test.want)
		}
	}
}

// TestNumbers: ranks of several engines are one row of numbers, whichever of them
// came, and the engines' collectives stay apart.
func TestNumbers(t *testing.T) {
	run := []RunWindow{{Name: "load", Files: []string{"a0", "a1", "b0", "b1"}}}
	for _, test := range []struct {
		name   string
		ranks  []*breakdown.Rank
		server map[string]int
		want   string // of each window, each rank's name, number and world
	}{
		{"one engine", []*breakdown.Rank{recorded("a1", 1, -1, 2, 0, 90), recorded("a0", 0, -1, 2, 0, 90)}, nil, "a0=0/0 a1=1/0"},
		{"replicas with a world each", []*breakdown.Rank{
			recorded("b1", 1, 1, 2, 0, 90), recorded("b0", 0, 1, 2, 0, 90), recorded("a0", 0, 0, 2, 0, 90),
		}, nil, "a0=0/0 b0=2/1 b1=3/1"},
		{"replicas of one world", []*breakdown.Rank{recorded("b1", 1, 1, 2, 0, 90), recorded("a0", 0, 0, 2, 0, 90)}, nil, "a0=0/0 b1=1/0"},
		{"replicas that one file does not number", []*breakdown.Rank{recorded("b0", 0, 0, 2, 0, 90), recorded("a0", 0, -1, 2, 0, 90)}, nil, "a0=0/0 b0=1/1"},
		{"servers of two sizes at one time, of no window of the run", []*breakdown.Rank{recorded("d0", 0, -1, 2, 0, 90), recorded("c1", 1, -1, 4, 0, 90)},
			map[string]int{"c1": 0, "d0": 1}, "c1=1/0 d0=4/1"},
		{"servers one after the other, in one window of the run", []*breakdown.Rank{recorded("a0", 0, -1, 1, 0, 90), recorded("b0", 0, -1, 1, 500, 590)},
			map[string]int{"a0": 0, "b0": 1}, "a0=0/0 b0=1/1"},
		{"a server twice is two windows", []*breakdown.Rank{recorded("a0", 0, -1, 1, 0, 90), recorded("b0", 0, -1, 1, 500, 590)},
			map[string]int{"a0": 0, "b0": 0}, "a0=0/0 | b0=0/0"},
		{"files that do not say", []*breakdown.Rank{recorded("x", -1, -1, 3, 0, 90), recorded("a1", 1, -1, 3, 0, 90), recorded("y", -1, -1, 3, 5, 90)},
			nil, "x=0/0 y=2/0 a1=1/0"},
	} {
		var windows []string
		for _, w := range Windows(test.ranks, run, test.server) {
			var of []string
			for i, r := range w.Ranks {
				of = append(of, fmt.Sprintf("%s=%d/%d", r.Info.Name, w.Number[i], w.world[i]))
			}
			windows = append(windows, strings.Join(of, " "))
		}
		if got := strings.Join(windows, " | "); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

// TestMatchByWorld: collectives of two servers at one time are two, each of its own
// ranks.
func TestMatchByWorld(t *testing.T) {
	server := map[string]int{}
	var ranks []*breakdown.Rank
	for i := range 4 {
		r := reducing.Rank(i%2, 1, 0, reducing.Run(0, 100, trace.Time(20+10*i), 0))
		r.Info.Path = fmt.Sprint("r", i)
		server[r.Info.Path] = i / 2
		ranks = append(ranks, r)
	}
	windows := Windows(ranks, nil, server)
	if len(windows) != 1 {
		t.Fatalf("%d windows", len(windows))
	}
	m := windows[0].Match()
	var got []string
	for _, g := range m.Groups {
		var of []int
		for _, x := range g.Members {
			of = append(of, x.Rank)
		}
		slices.Sort(of)
		got = append(got, fmt.Sprint(of))
	}
	if s := strings.Join(got, " "); s != "[0 1] [2 3]" || m.Estimated || len(m.Of) != 4 {
		t.Errorf("groups %s, %d splits, estimated %v", s, len(m.Of), m.Estimated)
	}
}

// TestDummiesStandOnTheLine: dummy batches behind the steps of a rank that serves
// are steps that take their time; one that the other rank did not record is not.
func TestDummiesStandOnTheLine(t *testing.T) {
	const steps = 3
	ranks := []*breakdown.Rank{reducing.Rank(0, steps, 0), reducing.Rank(1, steps, 0)}
	told := make([]document.Step, 2*steps)
	for m, r := range ranks {
		last := r.Steps[steps-1]
		for n := range 1 + m {
			at := last.Last + trace.Time(1_000_000*(1+m-n))
			s := last
			s.Name, s.Label = "", trace.StepLabel{Phase: trace.Dummy}
			s.First, s.Last, s.Busy = at, at+300_000, 300_000
			r.Steps, told = append(r.Steps, s), append(told, document.Step{})
		}
	}
	windows := Windows(ranks, nil, nil)
	if len(windows) != 1 {
		t.Fatalf("%d windows", len(windows))
	}
	engines, reason := windows[0].engineSteps(told)
	if reason != "" || len(engines) != 1 {
		t.Fatalf("%d engines: %s", len(engines), reason)
	}
	line := engines[0].Steps
	if d := line[len(line)-1]; len(line) != steps+1 || d.Label.Phase != trace.Dummy || d.End-d.Start != 300_000 {
		t.Errorf("%d steps, the dummy batch is %+v", len(line), d)
	}
}

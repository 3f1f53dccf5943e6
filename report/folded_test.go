package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"strconv"
	"strings"
	"testing"

	"tokprof/fixtures/golden"
	"tokprof/report/document"
)

// writers are the drawings that this package streams.
var writers = map[string]func(io.Writer, *document.Set) error{
	"text":     func(w io.Writer, s *document.Set) error { return WriteText(w, s, TextOptions{}) },
	"markdown": WriteMarkdown,
	"json":     WriteJSON,
	"csv":      WriteCSV,
	"folded":   WriteFolded,
	"pprof":    WriteProfile,
	"perfetto": func(w io.Writer, s *document.Set) error { _, err := WritePerfetto(w, s); return err },
}

func TestWritersReturnErrors(t *testing.T) {
	for name, write := range writers {
		var b bytes.Buffer
		if err := write(&b, setOf(fixture(), window1())); err != nil {
			t.Fatal(name, err)
		}
		for _, n := range []int{0, b.Len() / 2, b.Len() - 1} {
			if err := write(&failAfter{n}, setOf(fixture(), window1())); !errors.Is(err, errFull) {
				t.Errorf("%s after %d bytes: error %v", name, n, err)
			}
		}
	}
}

func TestWritersAreDeterministic(t *testing.T) {
	rng := rand.New(rand.NewSource(3))
	sets := []*document.Set{setOf(fixture(), window1()), setOf(random(rng, hostile(rng)))}
	for name, write := range writers {
		for _, s := range sets {
			var first bytes.Buffer
			if err := write(&first, s); err != nil {
				t.Fatal(name, err)
			}
			for range 3 {
				var again bytes.Buffer
				if err := write(&again, s); err != nil {
					t.Fatal(name, err)
				}
				if !bytes.Equal(first.Bytes(), again.Bytes()) {
					t.Errorf("%s differs between two runs", name)
				}
			}
		}
	}
}

// TestTotalsAgree checks that no drawing loses a nanosecond.
func TestTotalsAgree(t *testing.T) {
	rng := rand.New(rand.NewSource(2))
	for i := range 200 {
		s := setOf(random(rng, hostile(rng)))
		if i%5 == 0 {
			s.Analyses = append(s.Analyses, random(rng, hostile(rng)))
		}
		if i == 0 {
			s = setOf(fixture())
		}
		var devices, whole int64
		var groups [3]int64
		for _, a := range s.Analyses {
			for _, d := range a.Devices {
				devices += d.SumNS
			}
			for _, w := range a.Stacks.Whole {
				whole += w.TimeNS
			}
			for _, r := range a.Groups {
				if r.Phase == "all" {
					groups[0] += r.TimeNS
					groups[1] += r.ExposedNS
					groups[2] += r.Launches
				}
			}
		}
		if devices != groups[0] {
			t.Fatalf("the document itself disagrees: devices %d, groups %d", devices, groups[0])
		}
		p, err := Profile(s)
		if err != nil {
			t.Fatal(err)
		}
		var got [3]int64
		var graphs int64
		for _, smp := range p.Sample {
			if smp.Label["group"][0] == "graphs" {
				graphs += smp.Value[0]
				continue
			}
			for v := range got {
				got[v] += smp.Value[v]
			}
		}
		if graphs != whole {
			t.Errorf("document %d: profile has %d in whole graphs, the document %d", i, graphs, whole)
		}
		if got != groups {
			t.Errorf("document %d: profile has %v, groups %v", i, got, groups)
		}
		if n, err := foldedTotal(s); err != nil || n != devices+whole {
			t.Errorf("document %d: folded stacks have %d, devices %d and %d in whole graphs (%v)", i, n, devices, whole, err)
		}
	}
}

// foldedTotal reads folded stacks back: every line is "stack count", and no
// stack stands on two lines.
func foldedTotal(s *document.Set) (total int64, err error) {
	var b bytes.Buffer
	if err := WriteFolded(&b, s); err != nil {
		return 0, err
	}
	seen := map[string]bool{}
	for l := range strings.Lines(b.String()) {
		l = strings.TrimSuffix(l, "\n")
		at := strings.LastIndexByte(l, ' ')
		if at <= 0 || l != printable(l) || seen[l[:at]] {
			return 0, fmt.Errorf("bad line %q", l)
		}
		seen[l[:at]] = true
		n, err := strconv.ParseInt(l[at+1:], 10, 64)
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}

func TestBrokenStacksAreErrors(t *testing.T) {
	for name, damage := range map[string]func(*document.Analysis){
		"parent after child": func(a *document.Analysis) { a.Stacks.Nodes[1].Parent = 2 },
		"second root":        func(a *document.Analysis) { a.Stacks.Nodes[1].Parent = -1 },
		"node":               func(a *document.Analysis) { a.Stacks.Samples[0].Node = int32(len(a.Stacks.Nodes)) },
		"kernel":             func(a *document.Analysis) { a.Stacks.Samples[0].Kernel = -1 },
	} {
		a := fixture()
		damage(a)
		if err := WriteFolded(io.Discard, setOf(a)); err == nil {
			t.Errorf("%s: folded stacks written", name)
		}
		if _, err := Profile(setOf(a)); err == nil {
			t.Errorf("%s: profile made", name)
		}
	}
}

func TestFoldedGolden(t *testing.T) {
	var b bytes.Buffer
	if err := WriteFolded(&b, setOf(fixture())); err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "stacks.folded.golden", b.Bytes())
}

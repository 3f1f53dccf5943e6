package attribution

import (
	"bufio"
	"bytes"
	"strconv"
	"strings"
	"testing"

	"tokprof/fixtures/packed"

	"tokprof/kernels/attribution/tracescript"
)

// truth is what is known of one GPU event of a fixture.
type truth struct {
	start       int64
	name        string
	phase, step string
	launch      string
	evidence    string
}

// readTruth reads a fixture's table, which is in start order.
func readTruth(t testing.TB, path string) []truth {
	t.Helper()
	var out []truth
	lines := bufio.NewScanner(bytes.NewReader(packed.Read(t, strings.TrimSuffix(path, ".pt.trace.json.gz")+".truth.tsv.gz")))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		c := strings.Split(lines.Text(), "\t")
		if c[0] == "start_unix_ns" {
			continue
		}
		start, err := strconv.ParseInt(c[0], 10, 64)
		if err != nil || len(c) != 17 {
			t.Fatalf("%s: row %q", path, lines.Text())
		}
		out = append(out, truth{start, c[5], c[9], c[10], c[15], c[16]})
	}
	return out
}

// eachFixture runs a test on every worker's trace with its truth.
func eachFixture(t *testing.T, f func(t *testing.T, ev *Events, rows []truth)) {
	for _, path := range tracescript.FixtureFiles(t) {
		t.Run(tracescript.FixtureName(path), func(t *testing.T) {
			ev := NewEvents(tracescript.OpenFile(t, path), classifier(t), Evidence{})
			rows := readTruth(t, path)
			if len(rows) != len(ev.Trace.GPU()) {
				t.Fatalf("%d GPU events, %d in the truth", len(ev.Trace.GPU()), len(rows))
			}
			for i, id := range ev.Trace.GPU() {
				if name := ev.Trace.Name(ev.Trace.NameOf(id)); int64(ev.Trace.Start(id)) != rows[i].start || !strings.HasPrefix(name, rows[i].name) {
					t.Fatalf("event %d is %q at %d, in the truth %q at %d", i, name, ev.Trace.Start(id), rows[i].name, rows[i].start)
				}
			}
			f(t, ev, rows)
		})
	}
}

func TestFixtureStepsEqualTruth(t *testing.T) {
	eachFixture(t, func(t *testing.T, ev *Events, rows []truth) {
		first := map[string]int{} // truth counts steps of the whole file, the fixture is a part of it
		for i, row := range rows {
			step := ev.StepOf(i)
			if step < 0 || row.step == "" {
				if step >= 0 || row.step != "" {
					t.Errorf("event %d (%.40s): step %d, truth %q", i, row.name, step, row.step)
				}
				continue
			}
			if _, ok := first[row.step]; !ok {
				first[row.step] = step
			}
			if first[row.step] != step || ev.Phase(i).String() != row.phase {
				t.Errorf("event %d (%.40s): step %d %s, truth %s %s", i, row.name, step, ev.Phase(i), row.step, row.phase)
			}
		}
	})
}

// opIn is the operator that a truth row's evidence names, "" for none.
func opIn(evidence string) string {
	for _, word := range strings.Fields(evidence) {
		word, _, _ = strings.Cut(word, "[")
		if strings.Contains(word, "::") {
			return word
		}
	}
	return ""
}

// innermostOp is the name of the op around an event's launch.
func innermostOp(ev *Events, s *Stacks, i int) string {
	c := ev.callOf[i]
	if c < 0 {
		return ""
	}
	for n := ev.Calls[c].Node; n > 0; n = s.frames[n].Parent {
		if s.frames[n].Kind == FrameOp {
			return s.frames[n].Name
		}
	}
	return ""
}

// TestFixtureOpsEqualTruth compares the innermost op around each launch with
// the parent op that the truth was told by External id. Inside a graph replay
// no op is open: there the truth comes from the capture trace.
func TestFixtureOpsEqualTruth(t *testing.T) {
	eachFixture(t, func(t *testing.T, ev *Events, rows []truth) {
		s := newStacks()
		hostStacks(ev, s)
		compared := 0
		differ := map[string]int{}
		for i, row := range rows {
			op := opIn(row.evidence)
			if op == "" || ev.InGraph(i) {
				continue
			}
			compared++
			if got := innermostOp(ev, s, i); got != op {
				differ[got+" for "+op]++
			}
		}
		if compared == 0 {
			t.Error("the truth names no op")
		}
		for k, n := range differ {
			t.Errorf("%d of %d: %s", n, compared, k)
		}
	})
}

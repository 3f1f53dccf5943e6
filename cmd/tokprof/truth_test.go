package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"tokprof/fixtures/packed"
)

// truthRow is one GPU event as the capture's truth knows it.
type truthRow struct {
	start, dur, stream, correlation string
	name                            string
	group, subgroup                 string // by name
	ctxGroup, ctxSubgroup           string // by what it does in its place
	phase, step, role, layer        string
}

// score is the share of truth GPU time on which tokprof events agrees.
type score struct {
	events                       int
	group, subgroup, phase, step float64
	role, roleWrong, layer       float64          // of products that have a role; of kernels that have a layer
	wrong                        map[string]int64 // kernel → ns in the wrong group
}

// eventsScore runs tokprof events on a trace and compares it with its truth.
// Every event must be there, with the same start, length, stream and
// correlation. A category counts as right when it is the truth's by name or by
// place; each step of ours stands for the truth's step it shares most time
// with, and each truth step can be claimed once.
func eventsScore(t *testing.T, trace, truth string, flags ...string) score {
	t.Helper()
	var out, errs bytes.Buffer
	if code := run(t.Context(), append([]string{"events", trace, "--csv"}, flags...), streams{nil, &out, &errs}); code != 0 {
		t.Fatalf("tokprof events %s: exit %d: %s", trace, code, errs.String())
	}
	ours := readCSV(t, &out)
	rows := readTruth(t, truth)
	if len(ours) != len(rows) {
		t.Fatalf("%s: %d events, truth has %d", trace, len(ours), len(rows))
	}
	byKey := map[string][]map[string]string{}
	for _, r := range ours {
		k := r["start_unix_ns"] + "/" + r["stream"] + "/" + r["correlation"] + "/" + r["dur_ns"]
		byKey[k] = append(byKey[k], r)
	}
	s := score{events: len(rows), wrong: map[string]int64{}}
	c := newClaims()
	var total, group, sub, phase, phases, roles, role, wrong, layers, layer int64
	for _, w := range rows {
		k := w.start + "/" + w.stream + "/" + w.correlation + "/" + w.dur
		r := take(byKey, k, w.name)
		if r == nil {
			t.Fatalf("%s: no event at %s", trace, k)
		}
		d := parseInt(t, w.dur)
		total += d
		if g := r["group"]; g == w.group || g == w.ctxGroup {
			group += d
		} else {
			s.wrong[w.name+" | "+w.group+" | "+g] += d
		}
		if pair := r["group"] + "." + r["subgroup"]; pair == w.group+"."+w.subgroup || pair == w.ctxGroup+"."+w.ctxSubgroup {
			sub += d
		}
		if w.phase != "" {
			phases += d
			if w.phase == r["phase"] {
				phase += d
			}
		}
		c.add(r["step"], w.step, d)
		if w.role != "" && w.role != "embedding" && w.role != "sampling" {
			roles += d
			switch r["role"] {
			case w.role:
				role += d
			case "":
			default:
				wrong += d
				s.wrong[w.name+" | "+w.role+" | "+r["role"]] += d
			}
		}
		if w.layer != "" {
			layers += d
			if w.layer == r["layer"] {
				layer += d
			}
		}
	}
	part := func(a, b int64) float64 {
		if b == 0 {
			return 1
		}
		return float64(a) / float64(b)
	}
	s.role, s.layer = part(role, roles), part(layer, layers)
	if roles > 0 {
		s.roleWrong = float64(wrong) / float64(roles)
	}
	s.group, s.subgroup, s.phase, s.step = part(group, total), part(sub, total), part(phase, phases), c.right()
	return s
}

// take removes and returns the event of a key, by name where several share it.
func take(byKey map[string][]map[string]string, k, name string) map[string]string {
	list := byKey[k]
	for i, r := range list {
		if strings.HasPrefix(r["name"], name[:min(len(name), 60)]) {
			byKey[k] = append(list[:i:i], list[i+1:]...)
			return r
		}
	}
	return nil
}

// claims matches our steps with the truth's by shared time.
type claims struct {
	shared map[string]map[string]int64
	total  int64
}

func newClaims() *claims { return &claims{shared: map[string]map[string]int64{}} }

func (c *claims) add(ours, truth string, d int64) {
	if truth == "" {
		return
	}
	c.total += d
	if ours == "" {
		return
	}
	if c.shared[ours] == nil {
		c.shared[ours] = map[string]int64{}
	}
	c.shared[ours][truth] += d
}

func (c *claims) right() float64 {
	won := map[string]int64{}
	for _, m := range c.shared {
		best, most := "", int64(-1)
		for step, d := range m {
			if d > most || d == most && step > best {
				best, most = step, d
			}
		}
		won[best] = max(won[best], most)
	}
	var sum int64
	for _, d := range won {
		sum += d
	}
	if c.total == 0 {
		return 1
	}
	return float64(sum) / float64(c.total)
}

func readCSV(t *testing.T, r *bytes.Buffer) []map[string]string {
	t.Helper()
	all, err := csv.NewReader(r).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var out []map[string]string
	for _, row := range all[1:] {
		m := map[string]string{}
		for i, h := range all[0] {
			m[h] = row[i]
		}
		out = append(out, m)
	}
	return out
}

func readTruth(t *testing.T, path string) []truthRow {
	t.Helper()
	sc := bufio.NewScanner(bytes.NewReader(packed.Read(t, path)))
	sc.Buffer(nil, 1<<20)
	sc.Scan()
	head := strings.Split(sc.Text(), "\t")
	var out []truthRow
	for sc.Scan() {
		m := map[string]string{}
		for i, v := range strings.Split(sc.Text(), "\t") {
			m[head[i]] = v
		}
		out = append(out, truthRow{
			m["start_unix_ns"], m["dur_ns"], m["stream"], m["correlation"], m["name"], m["group"], m["subgroup"],
			m["ctx_group"], m["ctx_subgroup"], m["phase"], m["step"], m["role"], m["layer"],
		})
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func parseInt(t *testing.T, s string) int64 {
	t.Helper()
	var n int64
	if _, err := fmt.Sscan(s, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestTruth holds categories, phases, steps, roles and layers of the fixtures
// against their truth; the build tag shared runs the same over whole captures.
func TestTruth(t *testing.T) { checkTruth(t, "../../fixtures/traces") }

// truthBars are what must hold with all evidence, without, and with kernels
// hidden: there a role may be unknown, but not wrong.
var truthBars = []struct {
	flags              []string
	role, wrong, layer float64
}{
	{nil, 0.995, 0, 0.99},
	{[]string{"--blind"}, 0.99, 0.001, 0.99},
	{[]string{"--blind", "--hide", "norm"}, 0, 0.01, 0},
	{[]string{"--blind", "--hide", "activation"}, 0, 0.01, 0},
	{[]string{"--blind", "--hide", "random:5%"}, 0, 0.01, 0},
}

// truths yields the traces below a folder that have a known truth, and its path.
func truths(t *testing.T, dir string) func(yield func(trace, truth string) bool) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*", "*.truth.tsv.gz"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no truth files in %s (%v)", dir, err)
	}
	return func(yield func(trace, truth string) bool) {
		for _, truth := range files {
			if !yield(strings.TrimSuffix(truth, ".truth.tsv.gz")+".pt.trace.json.gz", truth) {
				return
			}
		}
	}
}

func checkTruth(t *testing.T, dir string) {
	t.Helper()
	for trace, truth := range truths(t, dir) {
		name := filepath.Base(filepath.Dir(truth)) + "/" + strings.TrimSuffix(filepath.Base(truth), ".truth.tsv.gz")
		for _, bar := range truthBars {
			t.Run(strings.Join(append([]string{name}, bar.flags...), " "), func(t *testing.T) {
				s := eventsScore(t, trace, truth, bar.flags...)
				t.Logf("%d events: group %.4f subgroup %.4f phase %.4f step %.4f role %.4f (wrong %.4f) layer %.4f",
					s.events, s.group, s.subgroup, s.phase, s.step, s.role, s.roleWrong, s.layer)
				// The bars: group on 99.5 % of GPU time, phase and step on 99.9 %.
				if s.group < 0.995 || s.subgroup < 0.95 || s.phase < 0.999 || s.step < 0.999 {
					t.Errorf("group %.4f, subgroup %.4f, phase %.4f, step %.4f of GPU time right: %v", s.group, s.subgroup, s.phase, s.step, s.wrong)
				}
				if s.role < bar.role || s.roleWrong > bar.wrong || s.layer < bar.layer {
					t.Errorf("role right on %.4f, wrong on %.4f, layer right on %.4f of the time: %v", s.role, s.roleWrong, s.layer, s.wrong)
				}
			})
		}
	}
}

package capture

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tokprof/trace/serving"
	"tokprof/trace/serving/load"
	"tokprof/trace/serving/replay"
)

// newPair is a capture of two servers at once, whose requests go to both in
// turn. A folder, where o names one, is both's.
func newPair(t *testing.T, o replay.Options) (a, b *rig) {
	t.Helper()
	a, b = newRig(t, replay.Options{TraceDir: o.TraceDir}), newRig(t, o)
	a.o.Targets = append(a.o.Targets, b.o.Targets...)
	a.o.Profilers = append(a.o.Profilers, b.o.Profilers...)
	urls := []string{a.client.URL(), b.client.URL()}
	for i := range a.o.Windows {
		a.o.Windows[i].Load.Spread(2)
	}
	a.o.Put = func(ctx context.Context, window string, p load.Plan) ([]serving.Request, []string, error) {
		p.Window = window
		res, err := load.Run(ctx, load.Target{URLs: urls, Model: "llama-16l"}, p, load.Options{})
		return res.Rows, res.Notes, err
	}
	return a, b
}

// TestTwoServers records two servers at once: both are profiled and stopped, and
// the bundle keeps apart what came from each.
func TestTwoServers(t *testing.T) {
	r, other := newPair(t, replay.Options{})
	b, err := Record(t.Context(), r.o)
	if err != nil {
		t.Fatal(err)
	}
	r.idle(t)
	other.idle(t)
	if r.server.StopCalls() != 2 || other.server.StopCalls() != 2 || len(b.Servers) != 2 || len(b.Notes) > 0 {
		t.Errorf("stopped %d and %d times, servers %+v, notes %q", r.server.StopCalls(), other.server.StopCalls(), b.Servers, b.Notes)
	}
	for _, w := range b.Windows {
		if !w.Profiled {
			continue
		}
		if n := inEach(w.Files); len(w.Files) != 4 || n != [2]int{2, 2} {
			t.Errorf("window %s: files %q, want two ranks of each server", w.Name, w.Files)
		}
		for _, s := range []string{"server0", "server1"} {
			for _, when := range []string{"before", "after"} {
				if _, err := os.Stat(filepath.Join(b.Dir, "metrics."+w.Name+"."+s+"."+when+".txt")); err != nil {
					t.Error(err)
				}
			}
		}
	}
	rows, err := b.Requests()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string][2]int{}
	for _, q := range rows {
		n := got[q.Window]
		n[q.Server]++
		got[q.Window] = n
	}
	if got["prefill"] != [2]int{2, 1} || got["decode"] != [2]int{4, 4} || got["decode-plain"] != [2]int{4, 4} {
		t.Errorf("rows by window and server %v", got)
	}
	again, err := Open(b.Dir)
	if err != nil {
		t.Fatal(err)
	}
	files, err := again.Traces()
	if err != nil || len(files) != 8 {
		t.Errorf("traces %q, %v", files, err)
	}
	for _, f := range files {
		s, ok := again.ServerOf(f, "")
		if want := strings.Contains(f, "server1"); !ok || (s == 1) != want {
			t.Errorf("%s is of server %d, %v", f, s, ok)
		}
	}
	if bad, err := again.VerifyFiles(); err != nil || len(bad) > 0 {
		t.Errorf("a new bundle does not verify: %v %v", bad, err)
	}
}

// inEach counts the files in the folder of each server.
func inEach(files []string) (n [2]int) {
	for _, f := range files {
		for s, folder := range []string{"server0/", "server1/"} {
			if strings.HasPrefix(f, folder) {
				n[s]++
			}
		}
	}
	return n
}

// TestTwoServersFail: what goes wrong with one server is told of that one, and
// neither is left profiling.
func TestTwoServersFail(t *testing.T) {
	for _, c := range []struct {
		name    string
		faults  replay.Faults
		edit    func(r *rig)
		err     string
		note    string
		files   [2]int
		all     int
		missing []int
	}{
		{name: "the second does not start", faults: replay.Faults{StartError500: true}, err: "did not start", files: [2]int{2, 0}, all: 2, missing: []int{2, 3}},
		{name: "the second lacks a rank", faults: replay.Faults{MissingRanks: []int{1}}, note: "no trace of rank 1 of server 1", files: [2]int{2, 1}, all: 3, missing: []int{3}},
		{name: "the second's folder is out of reach", edit: func(r *rig) { r.o.Targets[1].TraceDir = "" }, files: [2]int{2, 0}, all: 2},
		{name: "the first's folder is out of reach", edit: func(r *rig) { r.o.Targets[0].TraceDir = "" }, files: [2]int{0, 2}, all: 2},
		{name: "sizes unknown", edit: func(r *rig) { r.o.Targets[0].About.WorldSize, r.o.Targets[1].About.WorldSize = 0, 0 }, files: [2]int{2, 2}, all: 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, other := newPair(t, replay.Options{Faults: c.faults})
			r.only("decode")
			if c.edit != nil {
				c.edit(r)
			}
			b, err := Record(t.Context(), r.o)
			if c.err == "" && err != nil || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
				t.Errorf("error %v, want %q", err, c.err)
			}
			r.idle(t)
			other.idle(t)
			if b.LeftProfiling != "" || c.note != "" && !b.hasNote(c.note) {
				t.Errorf("left %q, notes %q", b.LeftProfiling, b.Notes)
			}
			w := b.Windows[0]
			if n := inEach(w.Files); n != c.files || len(w.Files) != c.all || !slices.Equal(w.MissingRanks, c.missing) {
				t.Errorf("files %q, missing %v", w.Files, w.MissingRanks)
			}
		})
	}
}

// TestTwoServersOneFolder: servers that write into one folder are waited for
// together.
func TestTwoServersOneFolder(t *testing.T) {
	r, other := newPair(t, replay.Options{TraceDir: t.TempDir()})
	r.only("decode")
	b, err := Record(t.Context(), r.o)
	if err != nil {
		t.Fatal(err)
	}
	r.idle(t)
	other.idle(t)
	if w := b.Windows[0]; len(w.Files) != 4 || inEach(w.Files) != [2]int{} || len(b.Notes) > 0 {
		t.Errorf("files %q, notes %q", w.Files, b.Notes)
	}
	if s, ok := b.ServerOf(filepath.Join(b.Dir, b.Windows[0].Files[0]), ""); ok {
		t.Errorf("a file of one of two servers is said to be of server %d", s)
	}
}

// TestTwoServersLeft leaves the traces where they are: their hashes say whose
// they are.
func TestTwoServersLeft(t *testing.T) {
	r, _ := newPair(t, replay.Options{})
	r.only("decode")
	r.o.Leave = true
	b, err := Record(t.Context(), r.o)
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Left) != 4 {
		t.Fatalf("left %q", b.Left)
	}
	for _, p := range b.Left {
		_, sum, err := hashFile(p)
		if err != nil {
			t.Fatal(err)
		}
		s, ok := b.ServerOf(p, sum)
		if want := !strings.HasPrefix(p, r.traces); !ok || (s == 1) != want {
			t.Errorf("%s is of server %d, %v", p, s, ok)
		}
	}
	if bad, err := b.VerifyFiles(b.Left...); err != nil || len(bad) > 0 {
		t.Errorf("the bundle does not verify: %v %v", bad, err)
	}
}

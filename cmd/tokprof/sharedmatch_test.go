//go:build shared

package main

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"tokprof/fixtures/packed"

	"tokprof/kernels/breakdown"
	"tokprof/trace"
	"tokprof/trace/serving"
	"tokprof/trace/serving/match"
)

// TestSharedMatch joins the tokens of every capture with its steps: at least
// 95 % of what the steps emitted by their annotations has its token, and no step
// has more than it can have emitted.
func TestSharedMatch(t *testing.T) {
	manifests, err := filepath.Glob(filepath.Join(*sharedDir, "captures", "*", "manifest.json"))
	if err != nil || len(manifests) == 0 {
		t.Fatalf("no captures in %s (%v)", *sharedDir, err)
	}
	windows := 0
	t.Logf("%-22s %-18s %6s %8s %8s %8s %8s %8s %6s", "capture", "window", "steps", "emitted", "explain", "joined", "unmatch", "outside", "sure")
	for _, m := range manifests {
		dir := filepath.Dir(m)
		rows := readRows(t, dir)
		for _, w := range traceWindows(t, m) {
			steps := windowSteps(t, dir, w.files)
			r := match.Steps(steps, rows)
			t.Logf("%-22s %-18s %6d %8d %8d %8d %8d %8d %6.3f", filepath.Base(dir), w.name, len(steps), r.Emitted, r.Explained, r.Joined, r.Unmatched, r.Outside, r.Sure)
			if r.Emitted == 0 || float64(r.Explained) < 0.95*float64(r.Emitted) {
				t.Errorf("%s %s: %d of %d emitted tokens joined", filepath.Base(dir), w.name, r.Explained, r.Emitted)
			}
			checkJoin(t, steps, rows, r)
			if agree, differ := checkPrompts(t, steps, rows); agree == 0 || differ > 0 {
				t.Errorf("%s %s: prompts of %d steps agree, of %d differ", filepath.Base(dir), w.name, agree, differ)
			}
			windows++
		}
	}
	if windows < 15 {
		t.Errorf("only %d windows", windows)
	}
}

// checkJoin holds a join against the annotations' counts: these captures check
// no drafts, so a step emits one token a request at most.
func checkJoin(t *testing.T, steps []match.Step, rows []serving.Request, r match.Result) {
	t.Helper()
	first, more := make([]int64, len(steps)), make([]int64, len(steps))
	total := int64(0)
	for i, q := range r.Requests {
		total += int64(len(q.Tokens))
		last := match.None
		for j, x := range q.Tokens {
			if x.Why != match.Joined {
				if x.Step != match.None {
					t.Errorf("token %d of request %d is not joined and has step %d", j, i, x.Step)
				}
				continue
			}
			if x.Step <= last {
				t.Errorf("token %d of request %d is of step %d, the one before of %d", j, i, x.Step, last)
			}
			last = x.Step
			if late := rows[i].TokenUnixNS[j] - steps[x.Step].End; late < -500_000 {
				t.Errorf("token %d of request %d came %d ns before its step ended", j, i, -late)
			}
			if j == 0 {
				first[x.Step]++
			} else {
				more[x.Step]++
			}
		}
	}
	for k, s := range steps {
		if more[k] > s.GenerationRequests || first[k] > s.ContextRequests {
			t.Errorf("step %d has %d first and %d further tokens, counts %+v", k, first[k], more[k], s)
		}
	}
	if r.Joined+r.Unmatched+r.Outside != total {
		t.Errorf("%d joined, %d unmatched and %d outside of %d tokens", r.Joined, r.Unmatched, r.Outside, total)
	}
}

// checkPrompts is a second witness: counts and times alone place the first
// tokens, and the prompts of those that one step is said to have completed must
// add up to its context tokens, which the join was not told. None of these
// captures computes a prompt in parts, or twice.
func checkPrompts(t *testing.T, steps []match.Step, rows []serving.Request) (agree, differ int) {
	t.Helper()
	blind := slices.Clone(steps)
	for k := range blind {
		blind[k].ContextTokens = 0
	}
	sum, n := make([]int64, len(steps)), make([]int64, len(steps))
	for i, q := range match.Steps(blind, rows).Requests {
		if len(q.Tokens) > 0 && q.Tokens[0].Why == match.Joined {
			sum[q.Tokens[0].Step] += int64(rows[i].PromptTokens)
			n[q.Tokens[0].Step]++
		}
	}
	for k, s := range steps {
		switch {
		case s.ContextRequests == 0:
		case n[k] == s.ContextRequests && sum[k] == s.ContextTokens:
			agree++
		default:
			differ++
			t.Logf("step %d computed %d prompt tokens of %d requests; joined without knowing so: %d of %d", k, s.ContextTokens, s.ContextRequests, sum[k], n[k])
		}
	}
	return agree, differ
}

// TestSharedMatchLog joins a long run whose steps the server logged one by one,
// without their times: those are taken from the tokens, which reach a client in
// the order of the steps.
func TestSharedMatchLog(t *testing.T) {
	dir := filepath.Join(*sharedDir, "captures", "llama-16l-tp2-nccl")
	logged := loggedSteps(t, filepath.Join(dir, "server.log.gz"))
	for _, w := range traceWindows(t, filepath.Join(dir, "manifest.json")) {
		steps := windowSteps(t, dir, w.files)
		for k := range steps {
			steps[k].Start, steps[k].End = 0, 0
		}
		found := false
		for i := 0; i+len(steps) <= len(logged); i++ {
			found = found || slices.Equal(steps, logged[i:i+len(steps)])
		}
		if !found {
			t.Errorf("%s: the log does not have the trace's steps", w.name)
		}
	}
	var rows []serving.Request
	for _, r := range readRows(t, dir) {
		if r.Window == "warmup" || r.Window == "steady-plain" {
			rows = append(rows, r)
		}
	}
	steps := timedByTokens(logged, rows)
	r := match.Steps(steps, rows)
	checkJoin(t, steps, rows, r)
	agree, differ := checkPrompts(t, steps, rows)
	t.Logf("%d steps: %d of %d emitted tokens joined, sure %.3f; prompts of %d steps agree, of %d differ", len(steps), r.Explained, r.Emitted, r.Sure, agree, differ)
	if float64(r.Explained) < 0.99*float64(r.Emitted) || agree < 200 || differ*20 > agree {
		t.Errorf("%d of %d joined, prompts of %d steps agree, of %d differ", r.Explained, r.Emitted, agree, differ)
	}
}

// loggedSteps reads what --enable-logging-iteration-details wrote.
func loggedSteps(t *testing.T, path string) []match.Step {
	t.Helper()
	text := packed.Read(t, path)
	line := regexp.MustCompile(`Iteration\(\d+\): (\d+) context requests, (\d+) context tokens, (\d+) generation requests, (\d+) generation tokens`)
	var out []match.Step
	for _, m := range line.FindAllSubmatch(text, -1) {
		var s match.Step
		for i, p := range []*int64{&s.ContextRequests, &s.ContextTokens, &s.GenerationRequests, &s.GenerationTokens} {
			*p = parseInt(t, string(m[i+1]))
		}
		out = append(out, s)
	}
	return out
}

// timedByTokens gives steps their times: each ends a millisecond before the
// first of its tokens arrives, and begins when the one before ended. Steps behind
// the last token are left out, and those that emitted nothing.
func timedByTokens(steps []match.Step, rows []serving.Request) []match.Step {
	var at []int64
	for i := range rows {
		at = append(at, rows[i].TokenUnixNS...)
	}
	slices.Sort(at)
	last := at[0] - 600_000_000
	var out []match.Step
	for _, s := range steps {
		n := int(s.ContextRequests + s.GenerationRequests)
		if n == 0 {
			continue
		}
		if n > len(at) {
			break
		}
		s.Start, s.End = last+1, max(at[0]-1_000_000, last+2)
		if s.GenerationRequests == 0 { // after a pause
			s.Start = max(s.Start, s.End-5_000_000)
		}
		last, at = s.End, at[n:]
		out = append(out, s)
	}
	return out
}

type traceWindow struct {
	name  string
	files []string
}

// traceWindows are the windows of a capture that have torch traces, each with
// the files that appeared after it.
func traceWindows(t *testing.T, manifest string) []traceWindow {
	t.Helper()
	text, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	var m struct {
		Windows []struct {
			Name     string
			Profiled bool
			Files    []string
		}
	}
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	var out []traceWindow
	var old []string
	for _, w := range m.Windows {
		tw := traceWindow{name: w.Name}
		for _, f := range w.Files {
			if strings.HasSuffix(f, ".pt.trace.json.gz") && !slices.Contains(old, f) && !trace.ParseFileName(f).Frontend {
				tw.files = append(tw.files, f)
			}
		}
		old = append(old, w.Files...)
		if w.Profiled && len(tw.files) > 0 {
			out = append(out, tw)
		}
	}
	return out
}

// windowSteps merges the ranks' steps, which are the same ones in the same order.
func windowSteps(t *testing.T, dir string, files []string) []match.Step {
	t.Helper()
	c, err := (&shared{}).classifier()
	if err != nil {
		t.Fatal(err)
	}
	var out []match.Step
	for i, f := range files {
		tr, err := trace.Open(t.Context(), filepath.Join(dir, f), trace.Options{})
		if err != nil {
			t.Fatal(err)
		}
		steps := breakdown.Reduce(tr, c, breakdown.Options{}).Steps
		if i == 0 {
			for _, s := range steps {
				out = append(out, match.Step{
					Start: int64(s.First), End: int64(s.Last),
					ContextRequests: s.Label.ContextRequests, ContextTokens: s.Label.ContextTokens,
					GenerationRequests: s.Label.GenerationRequests, GenerationTokens: s.Label.GenerationTokens,
				})
			}
		}
		for k, s := range steps {
			if len(steps) != len(out) || out[k].GenerationRequests != s.Label.GenerationRequests || out[k].ContextTokens != s.Label.ContextTokens {
				t.Fatalf("%s: step %d (%s) is not the other rank's", f, k, s.Name)
			}
			out[k].Start, out[k].End = min(out[k].Start, int64(s.First)), max(out[k].End, int64(s.Last))
		}
	}
	return out
}

func readRows(t *testing.T, dir string) []serving.Request {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "requests.jsonl*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%s: %v %v", dir, files, err)
	}
	f, err := os.Open(files[0])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	var in io.Reader = f
	if strings.HasSuffix(files[0], ".gz") {
		if in, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := serving.ReadRequests(in)
	if err != nil {
		t.Fatalf("%s: %v", files[0], err)
	}
	return rows
}

//go:build shared

package main

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

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
			checkPrompts(t, steps, rows, r)
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

// checkPrompts is a second witness: counts and times place the first tokens, and
// the prompts of those that one step is said to have completed must add up to its
// context tokens. None of these captures computes a prompt in parts.
func checkPrompts(t *testing.T, steps []match.Step, rows []serving.Request, r match.Result) {
	t.Helper()
	sum, n := make([]int64, len(steps)), make([]int64, len(steps))
	for i, q := range r.Requests {
		if len(q.Tokens) > 0 && q.Tokens[0].Why == match.Joined {
			sum[q.Tokens[0].Step] += int64(rows[i].PromptTokens)
			n[q.Tokens[0].Step]++
		}
	}
	for k, s := range steps {
		if n[k] == s.ContextRequests && sum[k] != s.ContextTokens {
			t.Errorf("step %d computed %d prompt tokens, its requests have %d", k, s.ContextTokens, sum[k])
		}
	}
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

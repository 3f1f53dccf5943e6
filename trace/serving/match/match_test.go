package match

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tokprof/fixtures/golden"
	"tokprof/trace/serving"
)

const ms = 1_000_000

// TestOneStepLate is an asynchronous engine: each token arrives after the next
// step has ended, and only the counts say where it belongs.
func TestOneStepLate(t *testing.T) {
	at := func(x int64) int64 { return origin + x*ms }
	steps := []Step{
		{Start: at(0), End: at(10), ContextRequests: 1, ContextTokens: 100},
		{Start: at(10), End: at(20), GenerationRequests: 1, GenerationTokens: 1, ContextRequests: 1, ContextTokens: 50},
		{Start: at(20), End: at(30), GenerationRequests: 2, GenerationTokens: 2},
		{Start: at(30), End: at(40), GenerationRequests: 1, GenerationTokens: 1},
	}
	rows := []serving.Request{
		{PromptTokens: 100, SentUnixNS: at(-1), TokenUnixNS: []int64{at(21), at(31), at(41)}, Status: 200, Finish: "length"},
		{PromptTokens: 50, SentUnixNS: at(-1), TokenUnixNS: []int64{at(32), at(42), at(43)}, Status: 200, Finish: "length"},
	}
	r := Steps(steps, rows)
	checkCounts(t, steps, rows, r)
	if r.Emitted != 6 || r.Explained != 6 || r.Joined != 6 || r.Sure != 1 {
		t.Fatalf("%+v", r)
	}
	for i, q := range r.Requests {
		for j, x := range q.Tokens {
			if x.Step != i+j {
				t.Errorf("token %d of request %d: step %d", j, i, x.Step)
			}
		}
	}
}

// TestNothing joins nothing with nothing.
func TestNothing(t *testing.T) {
	row := serving.Request{SentUnixNS: origin, TokenUnixNS: []int64{origin + ms, origin + 2*ms}}
	step := Step{Start: origin, End: origin + ms/2, ContextRequests: 1}
	for _, c := range []struct {
		name    string
		steps   []Step
		rows    []serving.Request
		outside int64
	}{
		{"no steps", nil, []serving.Request{row}, 2},
		{"no rows", []Step{step}, nil, 0},
		{"a row without tokens", []Step{step}, []serving.Request{{SentUnixNS: origin}}, 0},
		{"steps that launched nothing", make([]Step, 3), []serving.Request{row}, 2},
		{"steps before the row", []Step{{Start: 5, End: 9, GenerationRequests: 1}}, []serving.Request{row}, 2},
	} {
		r := Steps(c.steps, c.rows)
		checkCounts(t, c.steps, c.rows, r)
		if len(r.Requests) != len(c.rows) || r.Joined != 0 || r.Outside != c.outside || r.Unmatched != 0 {
			t.Errorf("%s: %+v", c.name, r)
		}
	}
}

// TestCaptures joins windows of real runs.
func TestCaptures(t *testing.T) {
	files, err := filepath.Glob("testdata/*.steps.tsv")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".steps.tsv")
		t.Run(name, func(t *testing.T) {
			steps, rows := readFixture(t, name)
			r := Steps(steps, rows)
			checkCounts(t, steps, rows, r)
			golden.Check(t, name+".join.txt", draw(rows, r))
		})
	}
}

// TestOrder gives rows and steps in any order: the join is the same.
func TestOrder(t *testing.T) {
	steps, rows := readFixture(t, "llama-16l-tp2.mixed")
	want := Steps(steps, rows)
	r := rand.New(rand.NewPCG(1, 1))
	order := r.Perm(len(rows))
	var mixed []serving.Request
	for _, i := range order {
		mixed = append(mixed, rows[i])
	}
	got := Steps(steps, mixed)
	for n, i := range order {
		if !reflect.DeepEqual(got.Requests[n], want.Requests[i]) {
			t.Errorf("request %d: %+v, was %+v", i, got.Requests[n], want.Requests[i])
		}
	}
	// The last two steps launched nothing; all others have a time.
	n := len(steps) - 2
	back := slices.Clone(steps[:n])
	slices.Reverse(back)
	got = Steps(back, rows)
	for i, q := range got.Requests {
		for j, x := range q.Tokens {
			if n-1-x.Step != want.Requests[i].Tokens[j].Step {
				t.Fatalf("token %d of request %d: step %d from the end, was %d", j, i, x.Step, want.Requests[i].Tokens[j].Step)
			}
		}
	}
}

func readFixture(t *testing.T, name string) ([]Step, []serving.Request) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".steps.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	table := csv.NewReader(bytes.NewReader(text))
	table.Comma = '\t'
	var steps []Step
	for first := true; ; first = false {
		row, err := table.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if first {
			continue
		}
		var s Step
		for i, p := range []*int64{&s.Start, &s.End, &s.ContextRequests, &s.ContextTokens, &s.GenerationRequests, &s.GenerationTokens} {
			if *p, err = strconv.ParseInt(row[i], 10, 64); err != nil {
				t.Fatal(err)
			}
		}
		steps = append(steps, s)
	}
	f, err := os.Open(filepath.Join("testdata", name+".requests.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	rows, err := serving.ReadRequests(f)
	if err != nil {
		t.Fatal(err)
	}
	return steps, rows
}

// draw writes a join: a line a request, with the steps of its tokens.
func draw(rows []serving.Request, r Result) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "emitted %d, explained %d; joined %d, outside %d, unmatched %d, sure %.4f\n", r.Emitted, r.Explained, r.Joined, r.Outside, r.Unmatched, r.Sure)
	for i, q := range r.Requests {
		fmt.Fprintf(&b, "request %d entered %d:", rows[i].ID, q.Entered)
		for j := 0; j < len(q.Tokens); {
			x, n := q.Tokens[j], 1
			for j+n < len(q.Tokens) && q.Tokens[j+n].Why == x.Why && q.Tokens[j+n].Sure == x.Sure && (x.Why != Joined || q.Tokens[j+n].Step == x.Step+n) {
				n++
			}
			switch {
			case x.Why == Joined && x.Sure:
				fmt.Fprintf(&b, " %d-%d", x.Step, x.Step+n-1)
			case x.Why == Joined:
				fmt.Fprintf(&b, " %d-%d?", x.Step, x.Step+n-1)
			case x.Why == Outside:
				fmt.Fprintf(&b, " %d outside", n)
			default:
				fmt.Fprintf(&b, " %d unmatched", n)
			}
			j += n
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// BenchmarkSteps joins a long run; BenchmarkSort is its yardstick: it sorts the
// same tokens' times.
func BenchmarkSteps(b *testing.B) {
	x := longRun()
	for b.Loop() {
		r := Steps(x.steps, x.rows)
		b.ReportMetric(float64(r.Joined), "tokens")
	}
}

func BenchmarkSort(b *testing.B) {
	x := longRun()
	for b.Loop() {
		var all []int64
		for i := range x.rows {
			all = append(all, x.rows[i].TokenUnixNS...)
		}
		slices.Sort(all)
		b.ReportMetric(float64(len(all)), "tokens")
	}
}

func longRun() seen {
	return with(func(e *engine) {
		e.Requests, e.Output, e.Gap, e.EOS, e.Cached = 1000, [2]int{20, 200}, 20e6, 0.3, 0.3
		e.Async, e.Launch = true, 1.1
	}).simulate()
}

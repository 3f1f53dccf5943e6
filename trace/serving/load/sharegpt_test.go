package load

import (
	"bytes"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"

	"tokprof/fixtures/golden"
)

func sharegptFile(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile("testdata/sharegpt.json")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestShareGPT(t *testing.T) {
	file := sharegptFile(t)
	var b bytes.Buffer
	for _, d := range []ShareGPT{{Window: "w", Requests: 2}, {Window: "w", Requests: 7, Output: 20, Seed: 1}} {
		p, err := ReadShareGPT(bytes.NewReader(file), d, Arrival{Rate: 2})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%+v: window %s, estimated %v\n", d, p.Window, p.Estimated)
		for _, n := range p.Notes {
			fmt.Fprintln(&b, "  note:", n)
		}
		for _, q := range p.Requests {
			fmt.Fprintf(&b, "  %v prompt %d answer %d exact %v salt %s: %s\n", q.Due, q.PromptTokens, q.MaxTokens, q.Exact, q.Salt, q.Prompt.text())
		}
	}
	golden.Check(t, "sharegpt.golden", b.Bytes())
}

// TestShareGPTForms: lines of JSON and small reads give the same plan as the array.
func TestShareGPTForms(t *testing.T) {
	file := sharegptFile(t)
	d := ShareGPT{Requests: 5, Seed: 4}
	want, err := ReadShareGPT(bytes.NewReader(file), d, Arrival{})
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Trim(strings.ReplaceAll(string(file), "]},\n", "]}\n"), "[]\n ")
	lines = strings.ReplaceAll(lines, "\"x\"},\n", "\"x\"}\n")
	for name, r := range map[string]*strings.Reader{"array": strings.NewReader(string(file)), "lines": strings.NewReader(lines)} {
		got, err := ReadShareGPT(iotest.OneByteReader(r), d, Arrival{})
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v\nwant %+v", name, got, err, want)
		}
	}
}

// TestShareGPTEven: each conversation is drawn as often as any other.
func TestShareGPTEven(t *testing.T) {
	const entries, drawn, seeds = 40, 10, 400
	var file strings.Builder
	file.WriteByte('[')
	for i := range entries {
		fmt.Fprintf(&file, `{"conversations":[{"value":"prompt number %03d of the file"},{"value":"an answer of some length"}]},`, i)
	}
	text := strings.TrimSuffix(file.String(), ",") + "]"
	counts := map[int]int{}
	for seed := range uint64(seeds) {
		p, err := ReadShareGPT(strings.NewReader(text), ShareGPT{Requests: drawn, Seed: seed}, Arrival{})
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range p.Requests {
			var i int
			fmt.Sscanf(q.Prompt.Text, "prompt number %d", &i)
			counts[i]++
		}
	}
	// Each count is binomial with mean 100 and variance 75: five deviations are 43.
	for i := range entries {
		if c := counts[i]; c < 100-43 || c > 100+43 {
			t.Errorf("entry %d is drawn %d times of an expected 100", i, c)
		}
	}
}

func TestShareGPTDamage(t *testing.T) {
	file := string(sharegptFile(t))
	cut := file[:strings.Index(file, `{"id": "no text"`)+20]
	p, err := ReadShareGPT(strings.NewReader(cut), ShareGPT{Requests: 1}, Arrival{})
	if err != nil || len(p.Requests) != 1 || !strings.Contains(strings.Join(p.Notes, " "), "entry 5 at byte") {
		t.Errorf("a cut file: %q, %v", p.Notes, err)
	}
	for name, s := range map[string]string{
		"empty": "", "no JSON": "<html>", "no array": `"x"`, "no entries": "[]", "none fits": `[{"conversations":[{"value":"a"}]}]`, "cut at once": `[{"conv`,
	} {
		if p, err := ReadShareGPT(strings.NewReader(s), ShareGPT{Requests: 1}, Arrival{}); err == nil {
			t.Errorf("%s: %+v", name, p)
		}
	}
	for _, d := range []ShareGPT{{Requests: 0}, {Requests: 1, Output: -1}} {
		if p, err := ReadShareGPT(strings.NewReader(file), d, Arrival{}); err == nil {
			t.Errorf("%+v: %+v", d, p)
		}
	}
}

// TestShareGPTLimit: the limit is one of each entry, not of the file.
func TestShareGPTLimit(t *testing.T) {
	const most = 8 << 10
	entry := `{"conversations":[{"value":"a prompt"},{"value":"` + strings.Repeat("x", most/2) + `"}]}`
	pairs := 0
	count := func(string, string) { pairs++ }
	n, skipped, err := eachConversation(strings.NewReader("["+strings.Repeat(entry+",", 49)+entry+"]"), most, count)
	if n != 50 || pairs != 50 || skipped != 0 || err != nil {
		t.Errorf("%d entries, %d pairs, %d passed over, %v", n, pairs, skipped, err)
	}
	n, _, err = eachConversation(strings.NewReader("["+entry+`,{"x":"`+strings.Repeat("x", 9*most)), most, count)
	if n != 1 || err == nil || !strings.Contains(err.Error(), "longer than 8192 bytes") {
		t.Errorf("an endless entry: %d entries, %v", n, err)
	}
}

// FuzzShareGPT: a file gives an error, or the requests asked for, within the limits.
func FuzzShareGPT(f *testing.F) {
	f.Add(sharegptFile(f), 3, 0)
	f.Add([]byte(`{"conversations":[{"value":"a prompt of some length"},{"value":"an answer of some length"}]}`), 2, 7)
	f.Fuzz(func(t *testing.T, file []byte, n, output int) {
		if n > 100 {
			return
		}
		p, err := ReadShareGPT(bytes.NewReader(file), ShareGPT{Requests: n, Output: output}, Arrival{})
		if err != nil {
			return
		}
		if len(p.Requests) != n || !p.Estimated {
			t.Fatalf("%d requests of %d", len(p.Requests), n)
		}
		if err := p.check(1); err != nil {
			t.Fatal(err)
		}
		for _, q := range p.Requests {
			if q.PromptTokens < 4 || q.PromptTokens > 1024 || q.PromptTokens+q.MaxTokens > 2048 {
				t.Errorf("%d tokens of prompt, %d of answer", q.PromptTokens, q.MaxTokens)
			}
		}
	})
}

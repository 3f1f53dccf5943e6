package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"tokprof/trace/capture"
	"tokprof/trace/serving"
	"tokprof/trace/serving/load"
)

// loadFlags describe the sample requests.
type loadFlags struct {
	mixed                  bool
	requests, concurrency  int
	input, output, arrival string
	sharedPrefix           int
	dataset, repeat        string
	noStream               bool
	seed                   uint64
}

func (l *loadFlags) add(f *pflag.FlagSet) {
	f.BoolVar(&l.mixed, "mixed", false, "one window of long and short requests instead of two")
	f.IntVar(&l.requests, "requests", 0, "send `N` requests in each window (prefill 4, decode 8, mixed 16)")
	f.StringVar(&l.input, "input", "", "tokens of the prompts: `N or MIN:MAX`")
	f.StringVar(&l.output, "output-tokens", "", "tokens of the answers: `N or MIN:MAX`")
	f.StringVar(&l.arrival, "arrival", "", "when requests are due: `once`, fixed:RATE, poisson:RATE or gamma:RATE:BURSTINESS (a second)")
	f.IntVar(&l.concurrency, "concurrency", 0, "at most `N` requests at a time; waiting counts as latency")
	f.IntVar(&l.sharedPrefix, "shared-prefix", 0, "begin all prompts with the same `N` tokens")
	f.StringVar(&l.dataset, "dataset", "", "take prompts and answer lengths from a ShareGPT `FILE` (one window)")
	f.StringVar(&l.repeat, "repeat", "", "send the lengths and times of a recorded requests.jsonl `FILE` again, window by window")
	f.BoolVar(&l.noStream, "no-stream", false, "ask for whole answers: no time per token")
	f.Uint64Var(&l.seed, "seed", 1, "`N` that decides prompts, lengths and arrivals")
}

func (l *loadFlags) check() error {
	if l.dataset != "" && l.repeat != "" {
		return usageError{"--dataset and --repeat both describe the load", "give one of them"}
	}
	return nil
}

// plans makes the windows to record.
func (l *loadFlags) plans(c *capturing) ([]capture.WindowPlan, error) {
	w, err := l.windows(c)
	for i := range w {
		if c.through == "" {
			w[i].Load.Spread(len(c.targets))
		}
		w[i].Plain = w[i].Plain || !c.noTax && l.repeat == "" && c.recorded == nil
	}
	return w, err
}

func (l *loadFlags) windows(c *capturing) ([]capture.WindowPlan, error) {
	arrival := load.Arrival{}
	s := capture.Sample{Mixed: l.mixed, Requests: l.requests, Shape: load.Shape{SharedPrefix: l.sharedPrefix, NoStream: l.noStream, Seed: l.seed}}
	if l.arrival != "" {
		a, err := load.ParseArrival(l.arrival)
		if err != nil {
			return nil, usageError{"--arrival " + err.Error(), ""}
		}
		arrival, s.Arrival = a, &a
	}
	for _, r := range []struct {
		flag, text string
		to         *load.Range
	}{{"--input", l.input, &s.Input}, {"--output-tokens", l.output, &s.Output}} {
		if r.text == "" {
			continue
		}
		var err error
		if *r.to, err = load.ParseRange(r.text); err != nil {
			return nil, usageError{r.flag + " " + err.Error(), ""}
		}
	}
	for _, t := range c.targets {
		f := t.Server.Facts
		if len(f.Models) > 0 && f.Models[0].MaxLen > 0 {
			s.MaxLen = f.Models[0].MaxLen
		}
		if f.VocabSize > 0 {
			s.Shape.Vocab = load.Range{Min: min(1000, f.VocabSize/2), Max: f.VocabSize}
		}
	}
	switch {
	case c.recorded != nil:
		return repeatRows(c.recorded, l.seed, s.Shape.Vocab, c.noTax)
	case l.dataset != "":
		return l.fromDataset(arrival)
	case l.repeat != "":
		return l.fromRows(c, s.Shape.Vocab)
	}
	return s.Windows()
}

func (l *loadFlags) fromDataset(a load.Arrival) ([]capture.WindowPlan, error) {
	f, err := os.Open(l.dataset)
	if err != nil {
		return nil, fmt.Errorf("--dataset %s cannot be read: %w", l.dataset, cause(err))
	}
	defer func() { _ = f.Close() }()
	o := load.ShareGPT{Window: "dataset", Requests: cmp.Or(l.requests, 16), Seed: l.seed}
	p, err := load.ReadShareGPT(f, o, a)
	if err != nil {
		return nil, fmt.Errorf("--dataset %s: %w", l.dataset, err)
	}
	return []capture.WindowPlan{{Name: "dataset", Load: p}}, nil
}

// fromRows plans each window of a recorded run again. A window that ends in
// -plain becomes the one without the profiler.
func (l *loadFlags) fromRows(c *capturing, vocab load.Range) ([]capture.WindowPlan, error) {
	f, err := os.Open(l.repeat)
	if err != nil {
		return nil, fmt.Errorf("--repeat %s cannot be read: %w", l.repeat, cause(err))
	}
	defer func() { _ = f.Close() }()
	rows, err := serving.ReadRequests(f)
	if err != nil {
		return nil, fmt.Errorf("--repeat %s: %w", l.repeat, err)
	}
	return repeatRows(rows, l.seed, vocab, c.noTax)
}

func repeatRows(rows []serving.Request, seed uint64, vocab load.Range, noTax bool) ([]capture.WindowPlan, error) {
	byWindow := map[string][]serving.Request{}
	var order []string
	for _, r := range rows {
		if byWindow[r.Window] == nil {
			order = append(order, r.Window)
		}
		byWindow[r.Window] = append(byWindow[r.Window], r)
	}
	var out []capture.WindowPlan
	for _, name := range order {
		if name == "warmup" || strings.HasSuffix(name, capture.PlainSuffix) {
			continue
		}
		p, err := load.FromRows(byWindow[name], name, seed)
		if err != nil {
			return nil, err
		}
		if vocab.Max > 0 {
			for i := range p.Requests {
				p.Requests[i].Prompt.Random.Lo, p.Requests[i].Prompt.Random.Hi = int32(vocab.Min), int32(vocab.Max)
			}
		}
		_, plain := byWindow[name+capture.PlainSuffix]
		out = append(out, capture.WindowPlan{Name: name, Load: p, Plain: plain && !noTax})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the recorded requests have no window to send again")
	}
	return out, nil
}

// put sends plans to the servers.
func (c *capturing) put(ctx context.Context, window string, p load.Plan) ([]serving.Request, []string, error) {
	first := c.targets[0].Server
	q, err := first.NewRequest(ctx, http.MethodPost, "", nil)
	if err != nil {
		return nil, nil, err
	}
	t := load.Target{Model: c.targets[0].About.Model, Header: q.Header, Chat: c.chat, Fields: fieldsOf(first.Facts.Engine), TLS: tlsOf(first.HTTPClient())}
	if c.through != "" {
		t.URLs = []string{c.through}
	} else {
		for _, one := range c.targets {
			t.URLs = append(t.URLs, one.Server.URL())
		}
	}
	p.Window = window
	r, err := load.Run(ctx, t, p, load.Options{Concurrency: c.concurrency})
	if err == nil && allFailed(r.Rows) {
		err = fmt.Errorf("every request of window %s failed: %s", window, r.Rows[0].Error)
	}
	return r.Rows, r.Notes, err
}

func allFailed(rows []serving.Request) bool {
	for i := range rows {
		if !rows[i].Failed() {
			return false
		}
	}
	return len(rows) > 0
}

func fieldsOf(e serving.Engine) load.Fields {
	switch e {
	case serving.VLLM:
		return load.VLLMFields
	case serving.SGLang:
		return load.SGLangFields
	case serving.TensorRTLLM:
		return load.TensorRTLLMFields
	}
	return load.OpenAIFields
}

// parseSize reads "4GB", "500MB", "1e9" or plain bytes.
func parseSize(flag, s string) (int64, error) {
	text, unit := strings.ToUpper(strings.TrimSpace(s)), 1.0
	for _, u := range []struct {
		suffix string
		n      float64
	}{{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"KIB", 1 << 10}, {"MIB", 1 << 20}, {"GIB", 1 << 30}} {
		if t, ok := strings.CutSuffix(text, u.suffix); ok {
			text, unit = strings.TrimSpace(t), u.n
			break
		}
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 0) || n*unit > 1<<60 {
		return 0, usageError{fmt.Sprintf("%s %q is no size", flag, s), "write 500MB or 4GB"}
	}
	return int64(n * unit), nil
}

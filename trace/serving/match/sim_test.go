package match

import "testing"

var typical = engine{
	Requests: 100, Gap: 20e6, Prompt: [2]int{30, 900}, Output: [2]int{5, 60},
	Budget: 8192, Seqs: 64, Decode: 4e6, Token: 20_000, client: client{Delay: 900_000, Jitter: 300_000},
}

func with(f func(e *engine)) engine {
	e := typical
	f(&e)
	return e
}

var settings = []struct {
	name  string
	e     engine
	least bar
}{
	{"sync", typical, bar{1, 1, 1}},
	{"async", with(func(e *engine) { e.Async = true }), bar{0.99, 0.99, 0.99}},
	{"async late", with(func(e *engine) { e.Async, e.Launch = true, 1.1 }), bar{0.99, 0.99, 0.99}},
	{"async later", with(func(e *engine) { e.Async, e.Launch = true, 1.6 }), bar{0.99, 0.99, 0.99}},
	{"fast steps", with(func(e *engine) { e.Decode, e.Token, e.Gap = 1.2e6, 3000, 5e6; e.Delay, e.Jitter = 2e6, 1e6 }), bar{0.99, 0.98, 0.99}},
	{"stalls", with(func(e *engine) { e.Stall = 60e6 }), bar{0.99, 0.98, 0.99}},
	{"async stalls eos", with(func(e *engine) { e.Async, e.Stall, e.EOS = true, 60e6, 0.5 }), bar{0.99, 0.98, 0.99}},
	{"sync eos", with(func(e *engine) { e.EOS = 0.7 }), bar{0.99, 0.99, 0.99}},
	{"window", with(func(e *engine) { e.Window = [2]float64{0.3, 0.7} }), bar{0.99, 0.99, 0.99}},
	{"window async", with(func(e *engine) { e.Async, e.Launch = true, 1.1; e.Window = [2]float64{0.3, 0.7} }), bar{0.99, 0.95, 0.99}},
	{"short window", with(func(e *engine) { e.Window = [2]float64{0.4, 0.44} }), bar{0.99, 0.95, 0.99}},
	{"chunks", with(func(e *engine) { e.Budget, e.Prompt = 512, [2]int{200, 3000}; e.Gap = 60e6 }), bar{0.99, 0.98, 0.99}},
	{"chunks cached async", with(func(e *engine) {
		e.Budget, e.Prompt, e.Cached = 512, [2]int{200, 3000}, 0.7
		e.Gap = 40e6
		e.Async, e.Launch = true, 1.1
	}), bar{0.99, 0.97, 0.99}},
	{"cached", with(func(e *engine) { e.Cached = 0.8 }), bar{0.99, 0.99, 0.99}},
	{"overload", with(func(e *engine) { e.Gap = 3e6; e.Seqs = 16 }), bar{0.99, 0.98, 0.99}},
	{"preempt", with(func(e *engine) { e.Gap, e.Blocks = 8e6, 300; e.Output = [2]int{40, 150} }), bar{0.99, 0.95, 0.99}},
	{"preempt async eos", with(func(e *engine) { e.Gap, e.Blocks = 8e6, 300; e.Output = [2]int{40, 150}; e.Async, e.EOS = true, 0.4 }), bar{0.99, 0.95, 0.99}},
	{"preempt context", with(func(e *engine) { e.Gap, e.Blocks, e.Context = 8e6, 300, true; e.Output = [2]int{40, 150} }), bar{0.99, 0.95, 0.99}},
	{"apart", with(func(e *engine) { e.Apart = true }), bar{0.99, 0.98, 0.99}},
	{"apart whole", with(func(e *engine) { e.Apart, e.Whole = true, true }), bar{0.99, 0.9, 0.99}},
	{"whole", with(func(e *engine) { e.Whole = true }), bar{0.99, 0.9, 0.99}},
	{"drafts", with(func(e *engine) { e.Drafts = 3; e.Output = [2]int{20, 100} }), bar{0.99, 0.98, 0.99}},
	{"drafts async stalls", with(func(e *engine) { e.Drafts, e.Async, e.Stall = 3, true, 30e6; e.Output = [2]int{20, 100} }), bar{0.99, 0.95, 0.99}},
	{"drafts untold", with(func(e *engine) { e.Drafts, e.Async, e.NoTokens = 3, true, true }), bar{0.99, 0.98, 0.99}},
	{"drafts apart untold", with(func(e *engine) { e.Drafts, e.Apart, e.NoTokens = 3, true, true }), bar{0.99, 0.98, 0.99}},
	{"untold", with(func(e *engine) { e.Async, e.NoTokens = true, true }), bar{0.99, 0.98, 0.99}},
	{"hidden", with(func(e *engine) { e.Hidden = 0.2 }), bar{0.99, 0.9, 0.99}},
	{"hidden half", with(func(e *engine) { e.Hidden = 0.5; e.Async = true }), bar{0.99, 0.8, 0.99}},
	{"whole no tokens", with(func(e *engine) { e.Whole, e.NoTokens = true, true }), bar{0.99, 0.9, 0.99}},
	{"hole", with(func(e *engine) { e.Hole = [2]float64{0.5, 0.55} }), bar{0.8, 0.99, 0.99}},
	{"stages", with(func(e *engine) { e.Stages = 2 }), bar{0.97, 0.99, 0.99}},
	{"stages async", with(func(e *engine) { e.Stages, e.Async, e.Gap = 4, true, 8e6 }), bar{0.75, 0.9, 0.9}},
	{"overrun", with(func(e *engine) { e.Overrun, e.Apart, e.Async = true, true, true }), bar{0.99, 0.9, 0.99}},
	{"overrun whole", with(func(e *engine) { e.Overrun, e.Apart, e.Async, e.Whole = true, true, true, true }), bar{0.99, 0.9, 0.99}},
	{"broken", with(func(e *engine) { e.Broken = 0.3 }), bar{0.99, 0.9, 0.99}},
	{"extra", with(func(e *engine) { e.Extra, e.Async, e.Launch = 1, true, 1.1 }), bar{0.99, 0.9, 0.99}},
	{"merged", with(func(e *engine) { e.Merged = 0.3 }), bar{0.99, 0.9, 0.99}},
	{"big", with(func(e *engine) {
		e.Gap, e.Seqs, e.Requests, e.Decode = 4e6, 256, 300, 15e6
		e.Async, e.Launch, e.Cached, e.Budget = true, 1.1, 0.4, 2048
	}), bar{0.99, 0.9, 0.99}},
	{"everything", with(func(e *engine) {
		e.Gap, e.Blocks, e.Budget, e.Cached, e.EOS = 8e6, 400, 512, 0.4, 0.4
		e.Output = [2]int{20, 150}
		e.Async, e.Launch, e.Stall = true, 1.1, 40e6
		e.Window = [2]float64{0.3, 0.7}
		e.Hidden = 0.05
	}), bar{0.95, 0.8, 0.85}},
	{"queue window", with(func(e *engine) {
		e.Requests, e.Gap, e.Seqs = 600, 1e5, 32
		e.Async, e.Launch, e.Window = true, 1.1, [2]float64{0.3, 0.5}
	}), bar{0.99, 0.99, 0.99}},
	{"preempt window", with(func(e *engine) {
		e.Gap, e.Blocks = 8e6, 300
		e.Output = [2]int{40, 150}
		e.Async, e.Launch, e.Window = true, 1.1, [2]float64{0.3, 0.7}
	}), bar{0.99, 0.95, 0.99}},
	{"saturated window eos", with(func(e *engine) {
		e.Gap, e.Seqs, e.EOS = 4e6, 32, 0.6
		e.Async, e.Launch, e.Window = true, 1.1, [2]float64{0.3, 0.7}
	}), bar{0.99, 0.95, 0.99}},
	{"equal", with(func(e *engine) {
		e.Gap, e.Seqs = 4e6, 32
		e.Prompt, e.Output = [2]int{512, 512}, [2]int{64, 64}
		e.Async, e.Launch = true, 1.1
	}), bar{0.99, 0.95, 0.99}},
	{"equal burst", with(func(e *engine) {
		e.Gap, e.Budget = 1e3, 2048
		e.Prompt, e.Output = [2]int{512, 512}, [2]int{64, 64}
		e.Async, e.Launch = true, 1.1
	}), bar{0.99, 0.95, 0.99}},
	{"equal window", with(func(e *engine) {
		e.Gap, e.Seqs = 4e6, 32
		e.Prompt, e.Output = [2]int{512, 512}, [2]int{64, 64}
		e.Async, e.Launch, e.Window = true, 1.1, [2]float64{0.4, 0.5}
	}), bar{0.99, 0.95, 0.99}},
	{"steady", with(func(e *engine) {
		e.Gap, e.Seqs, e.Decode = 1e3, 150, 12e6
		e.Prompt, e.Output = [2]int{64, 64}, [2]int{200, 200}
		e.Async, e.Launch, e.Window = true, 1.1, [2]float64{0.4, 0.5}
	}), bar{0.99, 0, 0.99}},
	{"steady sync", with(func(e *engine) {
		e.Gap, e.Seqs, e.Decode = 1e3, 150, 12e6
		e.Prompt, e.Output = [2]int{64, 64}, [2]int{200, 200}
		e.Window = [2]float64{0.4, 0.5}
	}), bar{0.99, 0.95, 0.99}},
	{"straddling", with(func(e *engine) {
		e.Gap, e.Seqs, e.Decode, e.Delay = 1e3, 150, 12e6, 9e6
		e.Prompt, e.Output = [2]int{64, 64}, [2]int{200, 200}
		e.Window = [2]float64{0.4, 0.5}
	}), bar{0.99, 0.95, 0.99}},
	{"clock far", with(func(e *engine) { e.Clock, e.Async, e.Launch = 300e6, true, 1.1 }), bar{0.97, 0.99, 0.99}},
	{"clock far before", with(func(e *engine) { e.Clock, e.Async, e.Cached = -70e6, true, 0.3 }), bar{0.99, 0.97, 0.99}},
	{"clock later", with(func(e *engine) { e.Clock = 5e6 }), bar{0.99, 0.97, 0.99}},
	{"clock before", with(func(e *engine) { e.Clock = -5e6 }), bar{0.99, 0.97, 0.99}},
	{"clock", with(func(e *engine) { e.Clock = -1e6 }), bar{0.99, 0.97, 0.99}},
}

func TestSimulated(t *testing.T) {
	for _, s := range settings {
		t.Run(s.name, func(t *testing.T) {
			var got score
			for seed := range uint64(2) {
				e := s.e
				e.Seed = seed
				x := e.simulate()
				r := Steps(x.steps, x.rows)
				checkCounts(t, x.steps, x.rows, r)
				got.add(r, x)
			}
			got.hold(t, s.least)
		})
	}
}

// TestEngines joins the requests of two schedulers that run beside each other.
func TestEngines(t *testing.T) {
	for _, c := range []struct {
		name                string
		both, servers, told bool
		window              [2]float64
		least               bar
	}{
		{"data parallel", true, false, false, [2]float64{}, bar{0.99, 0.99, 0.99}},
		{"data parallel, one recorded", false, false, false, [2]float64{}, bar{0.99, 0.98, 0.99}},
		{"two servers", true, true, false, [2]float64{}, bar{0.99, 0.99, 0.99}},
		{"two servers, one recorded", false, true, false, [2]float64{}, bar{0.99, 0.99, 0.99}},
		{"data parallel, window", true, false, false, [2]float64{0.3, 0.7}, bar{0.95, 0.85, 0.95}},
		{"two servers, one recorded, window", false, true, false, [2]float64{0.3, 0.7}, bar{0.98, 0.98, 0.99}},
		{"two servers, told", true, true, true, [2]float64{}, bar{1, 0.99, 0.99}},
		{"two servers, told, window", true, true, true, [2]float64{0.3, 0.7}, bar{0.99, 0.95, 0.99}},
		{"two servers, told, one recorded", false, true, true, [2]float64{}, bar{1, 0.99, 0.99}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got score
			for seed := range uint64(2) {
				x := beside(with(func(e *engine) { e.Seed, e.Window, e.Async = seed, c.window, seed%2 == 1 }), c.both, c.servers, c.told)
				r := Steps(x.steps, x.rows)
				checkCounts(t, x.steps, x.rows, r)
				got.add(r, x)
				checkServers(t, x, r)
			}
			got.hold(t, c.least)
		})
	}
}

// checkServers wants no token at another server than the one that was asked,
// where steps tell.
func checkServers(t *testing.T, x seen, r Result) {
	t.Helper()
	for i, q := range r.Requests {
		for j, token := range q.Tokens {
			if token.Step != None && x.steps[token.Step].Server > 0 && x.steps[token.Step].Server != x.rows[i].Server+1 {
				t.Fatalf("token %d of request %d, to server %d, is at %+v", j, i, x.rows[i].Server, x.steps[token.Step])
			}
		}
	}
}

// beside is an engine and another like it: both recorded or one, behind one
// server or two, which steps tell or not.
func beside(e engine, both, servers, told bool) seen {
	x := e.simulate()
	e.Seed += 100
	y := e.simulate()
	offset := func(k int) int {
		if !both || k == None {
			return None
		}
		return k + len(x.steps)
	}
	for i := range y.rows {
		if servers {
			y.rows[i].Server = 1
		}
		for j := range y.truth[i] {
			y.truth[i][j] = offset(y.truth[i][j])
		}
		y.entered[i] = offset(y.entered[i])
	}
	if both {
		for i := range y.steps {
			y.steps[i].Engine = 1
		}
		x.steps = append(x.steps, y.steps...)
	}
	for i := range x.steps {
		if told {
			x.steps[i].Server = x.steps[i].Engine + 1
		}
	}
	x.rows, x.truth, x.entered = append(x.rows, y.rows...), append(x.truth, y.truth...), append(x.entered, y.entered...)
	return x
}

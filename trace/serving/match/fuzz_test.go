package match

import (
	"encoding/binary"
	"testing"

	"tokprof/trace/serving"
)

// FuzzSteps joins arbitrary steps and rows: whatever they say, no count is
// exceeded, every token is placed once, and it ends.
func FuzzSteps(f *testing.F) {
	small := typical
	small.Requests, small.Output = 8, [2]int{1, 9}
	for seed := range uint64(4) {
		small.Seed, small.Async, small.Whole, small.Drafts = seed, seed > 0, seed == 2, int(seed)/3*2
		x := small.simulate()
		f.Add(encode(x.steps, x.rows))
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		steps, rows := decode(data)
		checkCounts(t, steps, rows, Steps(steps, rows))
	})
}

const origin = 1_700_000_000_000_000_000

// encode packs steps and rows in 16-bit words, times as hundredths of a
// millisecond.
func encode(steps []Step, rows []serving.Request) []byte {
	var b []byte
	put := func(x ...int64) {
		for _, v := range x {
			b = binary.LittleEndian.AppendUint16(b, uint16(v))
		}
	}
	at := func(ns int64) int64 { return (ns - origin) / 10_000 }
	put(int64(len(steps)))
	for _, s := range steps {
		put(at(s.Start), at(s.End)-at(s.Start), s.ContextRequests, s.ContextTokens, s.GenerationRequests, s.GenerationTokens, s.Requests, s.Tokens, int64(s.Engine), int64(s.Server))
	}
	for _, r := range rows {
		put(at(r.SentUnixNS), int64(r.PromptTokens), int64(r.Server), int64(len(r.TokenUnixNS)))
		last := r.SentUnixNS
		for _, x := range r.TokenUnixNS {
			put(at(x) - at(last))
			last = x
		}
	}
	return b
}

func decode(data []byte) (steps []Step, rows []serving.Request) {
	next := func() int64 {
		if len(data) < 2 {
			data = nil
			return 0
		}
		v := int16(binary.LittleEndian.Uint16(data))
		data = data[2:]
		return int64(v)
	}
	at := func(x int64) int64 { return origin + x*10_000 }
	for n := min(next(), 300); n > 0 && len(data) > 0; n-- {
		start, dur := next(), next()
		s := Step{Start: at(start), End: at(start + dur), ContextRequests: next(), ContextTokens: next(), GenerationRequests: next(), GenerationTokens: next(), Requests: next(), Tokens: next(), Engine: int(next() % 4), Server: int(next() % 3)}
		if start == dur {
			s.Start, s.End = 0, 0
		}
		steps = append(steps, s)
	}
	for len(data) > 0 {
		r := serving.Request{ID: len(rows)}
		x := next()
		r.SentUnixNS, r.PromptTokens, r.Server = at(x), int(next()), int(next()%3)
		for n := min(next(), 300); n > 0 && len(data) > 0; n-- {
			x += next()
			r.TokenUnixNS = append(r.TokenUnixNS, at(x))
		}
		rows = append(rows, r)
	}
	return steps, rows
}

package breakdown

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// Evidence says what roles may rest on; it exists for tests, which ask what
// remains when evidence is taken away.
type Evidence struct {
	// Blind leaves launches, correlations and step annotations only: no ops,
	// shapes or frames.
	Blind bool
	// Hide takes kernels out of the sequence before roles are assigned. Their
	// time stays in every sum.
	Hide Hide
	// None assigns no roles at all, for measuring what they cost.
	None bool
	// Captures are graph-capture traces of the run, for what replays lack.
	Captures []*Captured
	// Calibration is an eager trace of the same model, nil for none.
	Calibration *Calibration
}

// Hide says which kernels to take out; the zero value takes none.
type Hide struct {
	What  string  // "norm", "activation" or "random"
	Share float64 // of all kernels, for random
}

// ParseHide reads "norm", "activation" or "random:5%".
func ParseHide(s string) (Hide, error) {
	what, share, random := strings.Cut(s, ":")
	switch {
	case s == "":
		return Hide{}, nil
	case (what == "norm" || what == "activation") && !random:
		return Hide{What: what}, nil
	case what == "random" && random:
		p, err := strconv.ParseFloat(strings.TrimSuffix(share, "%"), 64)
		if err == nil && strings.HasSuffix(share, "%") && p >= 0 && p <= 100 {
			return Hide{What: what, Share: p / 100}, nil
		}
	}
	return Hide{}, fmt.Errorf("%q hides nothing known: write norm, activation or random:5%%", s)
}

// of returns which GPU events are hidden, nil for none. Random hiding is
// seeded: the same trace loses the same kernels.
func (h Hide) of(ev *Events) func(int) bool {
	switch h.What {
	case "norm":
		return func(i int) bool {
			m := ev.Match(i)
			return m.Subgroup == "norm" || slices.Contains(m.Tags, "norm")
		}
	case "activation":
		return func(i int) bool { return ev.Match(i).Subgroup == "activation" }
	case "random":
		r := rand.New(rand.NewPCG(1, 2))
		hidden := make([]bool, len(ev.Trace.GPU()))
		for i := range hidden {
			hidden[i] = r.Float64() < h.Share
		}
		return func(i int) bool { return hidden[i] }
	}
	return nil
}

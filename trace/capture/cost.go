package capture

import (
	"fmt"
	"strings"
	"time"
)

// Cost is what a profiled window is expected to cost.
type Cost struct {
	Steps, Ranks, Layers int // 0 when unknown
	// Bytes of all ranks' traces as written (gzip), and how long the server will
	// stand still to write them: from and to.
	MinBytes, MaxBytes int64
	MinFlush, MaxFlush time.Duration
	Measured           bool // from an earlier window of this run, not from experience
}

// What a step costs per layer and rank, from torch-profiler traces of vLLM 0.20.2
// on H200 (16 windows, dense and MoE, 4 to 32 layers): 1.0–4.3 kB of gzip without
// Python stacks, 3–16 kB with them, once 64 kB; the flush wrote 0.2–0.8 MB of gzip
// a second and rank, ranks side by side.
const (
	minPerLayer, maxPerLayer   = 1.0e3, 4.3e3
	maxPerLayerStacks          = 16e3
	slowestFlush, fastestFlush = 0.19e6, 0.83e6
)

// Expect estimates the cost of a window. With layers unknown, models of 16 to 80
// layers are spanned; stacks says whether Python stacks are recorded, which is
// taken for true when the server does not say.
func Expect(steps, ranks, layers int, stacks bool) Cost {
	c := Cost{Steps: steps, Ranks: ranks, Layers: layers}
	low, high := float64(layers), float64(layers)
	if layers == 0 {
		low, high = 16, 80
	}
	most := maxPerLayer
	if stacks {
		most = maxPerLayerStacks
	}
	n := float64(max(ranks, 1))
	c.MinBytes = int64(low * minPerLayer * float64(steps) * n)
	c.MaxBytes = int64(high * most * float64(steps) * n)
	c.MinFlush = seconds(float64(c.MinBytes) / n / fastestFlush)
	c.MaxFlush = seconds(float64(c.MaxBytes) / n / slowestFlush)
	return c
}

// measured scales what one window really wrote to another's steps.
func (c Cost) measured(steps int, bytes int64, flush time.Duration, ofSteps int) Cost {
	if ofSteps == 0 || bytes == 0 {
		return c
	}
	b := bytes * int64(steps) / int64(ofSteps)
	f := flush * time.Duration(steps) / time.Duration(ofSteps)
	c.MinBytes, c.MaxBytes, c.MinFlush, c.MaxFlush, c.Measured = b, b, f, f, true
	return c
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// String is one line for the plan that is printed before anything is done.
func (c Cost) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "about %d steps", c.Steps)
	if c.Ranks > 0 {
		fmt.Fprintf(&b, " × %d ranks", c.Ranks)
	}
	if c.Layers > 0 {
		fmt.Fprintf(&b, " × %d layers", c.Layers)
	}
	fmt.Fprintf(&b, ": %s of traces, %s to write them", span(megabytes(c.MinBytes), megabytes(c.MaxBytes)), span(rough(c.MinFlush), rough(c.MaxFlush)))
	return b.String()
}

func span(a, b string) string {
	if a == b {
		return "about " + a
	}
	return a + " to " + b
}

func megabytes(n int64) string {
	switch mb := float64(n) / 1e6; {
	case mb >= 1000:
		return fmt.Sprintf("%.1f GB", mb/1000)
	case mb >= 10:
		return fmt.Sprintf("%.0f MB", mb)
	default:
		return fmt.Sprintf("%.1f MB", mb)
	}
}

func rough(d time.Duration) string {
	if d >= 10*time.Minute {
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
	return fmt.Sprintf("%.0f s", max(d.Seconds(), 1))
}

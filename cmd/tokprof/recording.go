package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"

	"tokprof/trace/capture"
	"tokprof/trace/serving"
)

// recording turns the flags into what capture.Record does.
func (c *capturing) recording(ctx, stopping context.Context) (capture.Options, error) {
	o := capture.Options{
		Dir: c.out, Version: versionText(), Targets: c.targets, Windows: c.windows, Put: c.put,
		Warmup: capture.Warmup(c.windows), Leave: c.leave, MaxBytes: c.limit, MaxTime: c.maxTime,
		Patience: c.patience, Settle: c.settle, Poll: c.poll, Scrape: c.scrape, Stopping: stopping,
		Cost: c.cost, Readings: c.readings, Progress: c.progress(),
	}
	if o.Readings == nil {
		o.Readings = gpuReadings
	}
	for _, t := range c.targets {
		o.Ranks += t.About.WorldSize
		o.Replicas += max(t.Server.Facts.DP, 1)
		if c.nsysSession == "" {
			p := serving.ProfileOptions{Steps: c.steps}
			if t.Server.Facts.Engine != serving.VLLM && t.TraceDir != "" && capture.Loopback(t.Server.URL()) {
				p.OutputDir, _ = filepath.Abs(t.TraceDir)
			}
			o.Profilers = append(o.Profilers, capture.ServerProfiler(t.Server, p, o.Progress))
		}
	}
	if c.nsysSession != "" {
		o.Profilers = []capture.Profiler{capture.NsysSession(c.nsys, c.nsysSession, c.out)}
	}
	var log *capture.LogTail
	if c.serverLog != "" {
		var err error
		if log, err = capture.OpenLogTail(c.serverLog); err != nil {
			return o, err
		}
	}
	o.Extra = c.extras(ctx, log)
	return o, nil
}

// cost is what so many steps are expected to cost.
func (c *capturing) cost(steps int) capture.Cost {
	ranks, layers, stacks := 0, 0, false
	for _, t := range c.targets {
		ranks += t.About.WorldSize
		layers = max(layers, capture.Layers(t.Server))
		p := t.Server.Facts.Profiler
		stacks = stacks || !p.Known || p.WithStack
	}
	return capture.Expect(steps, ranks, layers, stacks)
}

// progress prints what the capture does: one line each, without repeats.
func (c *capturing) progress() func(string) {
	if c.quiet {
		return func(string) {}
	}
	var mu sync.Mutex
	last := ""
	return func(s string) {
		mu.Lock()
		defer mu.Unlock()
		if s != last {
			last = s
			fmt.Fprintf(c.std.err, "tokprof: %s\n", s)
		}
	}
}

// tell prints what is known of the servers, what will be done and what it costs.
func (c *capturing) tell(w io.Writer) {
	for i, t := range c.targets {
		f := t.Server.Facts
		fmt.Fprintf(w, "%s\n", t.Server)
		for _, e := range f.Evidence {
			switch e.Fact {
			case "engine", "trace dir":
			default:
				fmt.Fprintf(w, "  %-22s %s (%s)\n", e.Fact, e.Value, e.How)
			}
		}
		switch {
		case c.nsysSession != "":
		case t.TraceDir != "":
			fmt.Fprintf(w, "  %-22s %s (%s)\n", "traces appear in", t.TraceDir, c.dirHow[i])
		default:
			fmt.Fprintf(w, "  %-22s unknown: give --trace-dir, or copy the traces afterwards\n", "traces appear in")
		}
		if f.ProfileRoute != serving.RoutePresent {
			fmt.Fprintf(w, "  start the server with  %s\n", serving.EnableLine(f.Version, f.Engine))
		}
	}
	fmt.Fprintln(w, "will send")
	for _, p := range c.windows {
		steps := capture.Steps(p.Load)
		if c.steps > 0 {
			steps = min(steps, c.steps)
		}
		twice := ""
		if p.Plain {
			twice = ", once without the profiler and once with it"
		}
		in, out := lengths(p)
		fmt.Fprintf(w, "  %-9s %d requests, %s tokens in, %s out%s\n            %s\n", p.Name, len(p.Load.Requests), in, out, twice, c.cost(steps))
	}
	if c.check {
		fmt.Fprintf(w, "flags for a server of this version\n  %s\n", strings.ReplaceAll(c.enableLines(), "\n", "\n  "))
	}
}

// enableLines are the flags for each kind of server among the targets.
func (c *capturing) enableLines() string {
	var out []string
	for _, t := range c.targets {
		line := serving.EnableLine(t.Server.Facts.Version, t.Server.Facts.Engine)
		if line != "" && !strings.Contains(strings.Join(out, "\n"), line) {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

// lengths are the ranges of prompt and answer lengths of a plan.
func lengths(p capture.WindowPlan) (in, out string) {
	span := func(get func(i int) int) string {
		least, most := get(0), get(0)
		for i := range p.Load.Requests {
			least, most = min(least, get(i)), max(most, get(i))
		}
		if least == most {
			return fmt.Sprint(least)
		}
		return fmt.Sprintf("%d–%d", least, most)
	}
	return span(func(i int) int { return p.Load.Requests[i].PromptTokens }), span(func(i int) int { return p.Load.Requests[i].MaxTokens })
}

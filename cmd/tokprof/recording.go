package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"unicode/utf8"

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
	for i, t := range c.targets {
		o.Targets[i].Replicas = t.Server.Facts.DP
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

// costs says what so many steps are expected to cost. It looks at the servers once:
// it is asked again and again while a window runs.
func (c *capturing) costs() func(steps int) capture.Cost {
	ranks, layers, stacks := 0, 0, false
	for _, t := range c.targets {
		ranks += t.About.WorldSize
		layers = max(layers, capture.Layers(t.Server))
		p := t.Server.Facts.Profiler
		stacks = stacks || !p.Known || p.WithStack
	}
	return func(steps int) capture.Cost { return capture.Expect(steps, ranks, layers, stacks) }
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
				fact(w, e.Fact, fmt.Sprintf("%s (%s)", e.Value, e.How))
			}
		}
		switch {
		case c.nsysSession != "":
		case t.TraceDir != "":
			fact(w, "traces appear in", fmt.Sprintf("%s (%s)", t.TraceDir, c.dirHow[i]))
		default:
			fact(w, "traces appear in", cmp.Or(c.dirHow[i], "unknown")+": give --trace-dir, or copy the traces afterwards")
		}
		if f.ProfileRoute != serving.RoutePresent && !c.check {
			fmt.Fprintf(w, "  start the server with\n  %s\n", serving.EnableLine(f.Version, f.Engine))
		}
	}
	fmt.Fprintln(w, "will send (the server stands still while it writes its traces)")
	for _, p := range c.windows {
		steps := capture.Steps(p.Load)
		if c.steps > 0 {
			steps = min(steps, c.steps)
		}
		twice := ""
		if p.Plain {
			twice = ", with and without profiler"
		}
		in, out := lengths(p)
		fact(w, p.Name, fmt.Sprintf("%d requests, %s tokens in, %s out%s; %s", len(p.Load.Requests), in, out, twice, c.cost(steps)))
	}
	if c.check {
		fmt.Fprintf(w, "flags for a server of this version\n  %s\n", strings.ReplaceAll(c.enableLines(), "\n", "\n  "))
	}
}

// factWidth is where the values of facts begin.
const factWidth = 20

// fact prints a name and a value of any length in two columns, within 80.
func fact(w io.Writer, name, value string) {
	line, used := fmt.Sprintf("  %-*s ", factWidth, name), 0
	for _, word := range strings.Fields(value) {
		if n := utf8.RuneCountInString(word); used > 0 && factWidth+3+used+1+n > helpWidth {
			line, used = line+"\n"+strings.Repeat(" ", factWidth+3), 0
		} else if used > 0 {
			line, used = line+" ", used+1
		}
		line += word
		used += utf8.RuneCountInString(word)
	}
	fmt.Fprintln(w, line)
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

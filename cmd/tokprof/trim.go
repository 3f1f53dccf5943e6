package main

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tokprof/kernels/attribution"
	"tokprof/trace"
)

type trimOptions struct {
	*shared
	from, to, events, steps, out string
	keepPrivate                  bool
}

func newTrim(s *shared) *cobra.Command {
	o := &trimOptions{shared: s}
	cmd := &cobra.Command{
		Use:   "trim TRACE -o small.json.gz",
		Short: "Cut a viewer-sized piece out of a trace",
		Long: `Writes a part of a trace as a torch trace of its own: flows, metadata and clock
base stay, so that Perfetto, chrome://tracing and tokprof read it like the
whole. Pick by time from the first GPU event (5ms, 1.5s) or in Unix ns, by rows
of tokprof events, or by steps; both ends are included and rows and steps count
from 0. Host names, job names and absolute paths are left out unless
--no-redact is given.`,
		Example: `  tokprof trim trace.json.gz --steps 3-5 -o small.json.gz
  tokprof trim trace.json.gz --from 10ms --to 15ms -o small.json.gz
  tokprof trim trace.json.gz --events 0-999 -o small.json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{"tokprof trim takes one trace", "see tokprof trim --help"}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0]) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.from, "from", "", "first moment: `TIME` from the first GPU event, or Unix ns")
	f.StringVar(&o.to, "to", "", "last moment: `TIME` as in --from")
	f.StringVar(&o.events, "events", "", "GPU events `A-B`, as rows of tokprof events")
	f.StringVar(&o.steps, "steps", "", "steps `A-B`")
	f.StringVarP(&o.out, "output", "o", "", "write to `FILE`; .gz compresses, - is standard output")
	f.BoolVar(&o.keepPrivate, "no-redact", false, "keep host names, job names and absolute paths")
	return cmd
}

func (o *trimOptions) run(ctx context.Context, path string) error {
	if err := o.check(path); err != nil {
		return err
	}
	c, err := o.classifier()
	if err != nil {
		return err
	}
	t, err := o.open(ctx, path, false)
	if err != nil {
		return err
	}
	if len(t.GPU()) == 0 {
		return fmt.Errorf("%s holds no GPU events to cut by", t.Info.Name)
	}
	o.warn(t)
	sel, err := o.selection(attribution.NewEvents(t, c, attribution.Evidence{}))
	if err != nil {
		return err
	}
	out := &outputs{stdout: o.std.out}
	defer out.discard()
	var kept int64
	err = out.write(o.out, func(w io.Writer) error {
		if !strings.HasSuffix(o.out, ".gz") {
			kept, err = trace.Cut(ctx, path, t, sel, w)
			return err
		}
		z := gzip.NewWriter(w)
		if kept, err = trace.Cut(ctx, path, t, sel, z); err != nil {
			return err
		}
		return z.Close()
	})
	if err != nil {
		return err
	}
	if err := out.commit(); err != nil {
		return err
	}
	if !o.quiet && o.out != "-" {
		fmt.Fprintf(o.std.err, "tokprof: %s: %d of %d rows\n", o.out, kept, t.Info.Events)
	}
	return nil
}

// check refuses command lines that pick in two ways or in none.
func (o *trimOptions) check(path string) error {
	ways := 0
	for _, given := range []bool{o.from != "" || o.to != "", o.events != "", o.steps != ""} {
		if given {
			ways++
		}
	}
	switch {
	case path == "-":
		return usageError{"trim reads its file twice and cannot take standard input", "save it to a file first"}
	case ways != 1:
		return usageError{"trim needs one of --from/--to, --events or --steps", "see tokprof trim --help"}
	case o.out == "":
		return usageError{"trim needs an output file", "add -o small.json.gz"}
	}
	return checkPaths(o.out)
}

func (o *trimOptions) selection(ev *attribution.Events) (trace.Selection, error) {
	var pick func(int) bool
	var err error
	switch {
	case o.steps != "":
		pick, err = pickSteps(ev, o.steps)
	case o.events != "":
		pick, err = pickEvents(ev, o.events)
	default:
		return o.byTime(ev.Trace)
	}
	if err != nil {
		return trace.Selection{}, err
	}
	sel := trace.Selection{GPU: pick, Redact: !o.keepPrivate}
	sel.From, sel.To = hull(ev.Trace, pick)
	return sel, nil
}

func pickSteps(ev *attribution.Events, text string) (func(int) bool, error) {
	from, to, err := parseRange("--steps", text)
	if err != nil {
		return nil, err
	}
	if len(ev.Steps) == 0 {
		return nil, usageError{"the trace has no step annotations", "cut with --from and --to"}
	}
	if from >= len(ev.Steps) {
		return nil, usageError{fmt.Sprintf("--steps %s: the trace has steps 0-%d", text, len(ev.Steps)-1), ""}
	}
	return func(i int) bool { s := ev.StepOf(i); return s >= from && s <= to }, nil
}

func pickEvents(ev *attribution.Events, text string) (func(int) bool, error) {
	from, to, err := parseRange("--events", text)
	if err != nil {
		return nil, err
	}
	if n := len(ev.Trace.GPU()); from >= n {
		return nil, usageError{fmt.Sprintf("--events %s: the trace has GPU events 0-%d", text, n-1), ""}
	}
	return func(i int) bool { return i >= from && i <= to }, nil
}

// hull is the span from the first launch of the picked GPU events to the end
// of the last one.
func hull(t *trace.Trace, pick func(int) bool) (from, to trace.Time) {
	first := true
	see := func(id trace.EventID) {
		s, e := t.Start(id), t.Start(id)+t.Dur(id)
		if first {
			from, to, first = s, e, false
		}
		from, to = min(from, s), max(to, e)
	}
	for i, id := range t.GPU() {
		if pick(i) {
			see(id)
			if l := t.LaunchOf(i); l != trace.NoEvent {
				see(l)
			}
		}
	}
	return from, to
}

func (o *trimOptions) byTime(t *trace.Trace) (trace.Selection, error) {
	gpu := t.GPU()
	origin := t.Start(gpu[0])
	sel := trace.Selection{From: origin, To: 1<<63 - 1, Redact: !o.keepPrivate}
	var err error
	if o.from != "" {
		if sel.From, err = parseMoment("--from", o.from, origin); err != nil {
			return sel, err
		}
	}
	if o.to != "" {
		if sel.To, err = parseMoment("--to", o.to, origin); err != nil {
			return sel, err
		}
	}
	if sel.To < sel.From {
		return sel, usageError{"--to lies before --from", ""}
	}
	any := false
	sel.GPU = func(i int) bool {
		s := t.Start(gpu[i])
		return s <= sel.To && s+t.Dur(gpu[i]) >= sel.From
	}
	for i := range gpu {
		any = any || sel.GPU(i)
	}
	if !any {
		last := t.Start(gpu[len(gpu)-1]) - origin
		return sel, usageError{"no GPU event lies between --from and --to", fmt.Sprintf("the trace's GPU events start between 0ms and %v", time.Duration(last))}
	}
	return sel, nil
}

// parseMoment reads Unix nanoseconds, or a length from the first GPU event.
func parseMoment(flag, s string, origin trace.Time) (trace.Time, error) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && (n > 1e15 || n == 0) {
		if n == 0 {
			return origin, nil
		}
		return trace.Time(n), nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, usageError{fmt.Sprintf("%s %q is not a time", flag, s), "write a length with its unit (5ms, 1.5s) or Unix nanoseconds"}
	}
	return origin + trace.Time(d), nil
}

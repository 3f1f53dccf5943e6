package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"tokprof/nvml"
)

type gpusOptions struct {
	*shared
	watch, json            bool
	links, activity        bool
	record, topo, readings string
	library                string
	length, period         time.Duration

	lost bool // a GPU stopped answering
}

func newGPUs(s *shared) *cobra.Command {
	o := &gpusOptions{shared: s}
	cmd := &cobra.Command{
		Use:   "gpus",
		Short: "Show this host's GPUs, how they are linked and what they read",
		Long: `Asks the NVIDIA driver for the GPUs of this host: a line for each and the matrix
of their links, as nvidia-smi topo -m draws it. Can watch them, record their
readings as JSON lines until Ctrl-C, and read saved recordings and matrices
anywhere. What a GPU does not tell is shown as "-", never as zero.`,
		Example: `  tokprof gpus
  tokprof gpus --watch --for 2s
  tokprof gpus --record nvml.jsonl --for 2s
  tokprof gpus --readings nvml.jsonl
  tokprof gpus --topo topo.txt --json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Sprintf("tokprof gpus takes no arguments, and %q is one", args[0]), "files are given with --readings FILE and --topo FILE"}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.BoolVarP(&o.watch, "watch", "w", false, "show the readings again and again")
	f.StringVar(&o.record, "record", "", "record into `FILE` until Ctrl-C; - is stdout")
	f.StringVar(&o.readings, "readings", "", "sum up a recording `FILE`; - is stdin")
	f.StringVar(&o.topo, "topo", "", "show a saved nvidia-smi topo -m `FILE`; - is stdin")
	f.BoolVar(&o.links, "links", false, "show only the matrix of links")
	f.BoolVar(&o.activity, "activity", false, "also ask how busy SMs, tensor cores and memory were\n(GPM, Hopper and newer; a driver has crashed on it)")
	f.BoolVar(&o.json, "json", false, "write everything as JSON")
	f.DurationVar(&o.length, "for", 0, "stop --watch or --record after a `DURATION` such as 30s")
	f.DurationVar(&o.period, "period", 0, "`DURATION` between readings (--record 20ms, --watch 1s)")
	f.StringVar(&o.library, "library", "", "load libnvidia-ml.so.1 from `FILE`")
	return cmd
}

func (o *gpusOptions) run(ctx context.Context) error {
	if err := o.check(); err != nil {
		return err
	}
	switch {
	case o.topo != "":
		return o.showTopology()
	case o.readings != "":
		return o.sumUp()
	}
	h, err := nvml.OpenLibrary(o.library)
	if errors.Is(err, nvml.ErrNoDriver) {
		return usageError{err.Error(), "--readings FILE and --topo FILE work without a GPU"}
	}
	if err != nil {
		return err
	}
	if err := o.live(ctx, h); err != nil || o.lost {
		return err // closing a driver that hangs would hang
	}
	return h.Close()
}

func (o *gpusOptions) live(ctx context.Context, h *nvml.Host) error {
	switch {
	case o.record != "":
		return o.recordTo(ctx, h)
	case o.watch:
		return o.watchHost(ctx, h)
	}
	return o.showHost(ctx, h)
}

// check refuses command lines that ask for two things at once.
func (o *gpusOptions) check() error {
	modes := 0
	for _, given := range []bool{o.watch, o.record != "", o.readings != "", o.topo != ""} {
		if given {
			modes++
		}
	}
	live := o.watch || o.record != ""
	switch {
	case o.links && (modes > 0 || o.json):
		return usageError{"--links goes with no other output", "--json holds the links too"}
	case modes > 1:
		return usageError{"--watch, --record, --readings and --topo exclude each other", "give one of them"}
	case live && o.json:
		return usageError{"--json does not go with --watch or --record", "a recording is JSON lines anyway"}
	case !live && (o.length != 0 || o.period != 0):
		return usageError{"--for and --period need --watch or --record", ""}
	case o.length < 0:
		return usageError{fmt.Sprintf("--for %v is not a length of time", o.length), "write --for 30s"}
	case o.period < 0 || o.period > 0 && o.period < time.Millisecond:
		return usageError{fmt.Sprintf("--period %v is shorter than 1ms", o.period), "values are renewed every 20 to 100 ms"}
	case o.record == "-" && isTerminal(o.std.out):
		return usageError{"--record - would fill the terminal with readings", "name a file, or use --watch"}
	case o.record != "":
		return checkPaths(o.record)
	}
	return nil
}

func (o *gpusOptions) showTopology() error {
	t, err := readTopology(o.std.in, o.topo)
	if err != nil {
		return err
	}
	if o.json {
		return o.writeJSON(t)
	}
	return o.print(func(w io.Writer) { writeTopology(w, t, terminalWidth(o.std.out)) })
}

func (o *gpusOptions) sumUp() error {
	rec, err := readReadings(o.std.in, o.readings)
	if err != nil {
		return err
	}
	if rec.Damaged > 0 {
		fmt.Fprintf(o.std.err, "tokprof: %s: %d damaged values or lines were left out; the first is %s\n", o.readings, rec.Damaged, rec.Damage[0])
	}
	if rec.Torn {
		fmt.Fprintf(o.std.err, "tokprof: %s: the end is cut off\n", o.readings)
	}
	if o.json {
		return o.writeJSON(struct {
			Schema  string         `json:"schema"`
			Damaged int            `json:"damaged"`
			Torn    bool           `json:"torn"`
			GPUs    []nvml.Summary `json:"gpus"`
		}{"tokprof.readings/v1", rec.Damaged, rec.Torn, rec.Summaries()})
	}
	return o.print(func(w io.Writer) {
		for i, s := range rec.Summaries() {
			if i > 0 {
				fmt.Fprintln(w)
			}
			writeSummary(w, s)
		}
	})
}

func (o *gpusOptions) showHost(ctx context.Context, h *nvml.Host) error {
	devices, topology := h.Devices(), h.Topology()
	if o.links {
		return o.print(func(w io.Writer) { fmt.Fprint(w, topology) })
	}
	readings, err := h.Read(ctx, o.fields())
	if err := o.partly(err, len(readings)); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if o.json {
		return o.writeJSON(struct {
			Schema string `json:"schema"`
			nvml.Versions
			Devices  []nvml.Device  `json:"devices"`
			Topology *nvml.Topology `json:"topology"`
			Peers    []nvml.Peer    `json:"peers"`
			Readings []nvml.Reading `json:"readings"`
		}{"tokprof.gpus/v1", h.Versions(), devices, topology, h.Peers(), readings})
	}
	return o.print(func(w io.Writer) {
		writeHost(w, h.Versions(), devices, topology)
		writeTable(w, devices, readings)
		fmt.Fprintln(w)
		writeTopology(w, topology, terminalWidth(o.std.out))
	})
}

// fields are what the GPUs are asked for.
func (o *gpusOptions) fields() nvml.Fields {
	if o.activity {
		return nvml.AllFields
	}
	return nvml.UsualFields
}

// flushEvery is how long a reading may wait before it is in the file: short
// enough to follow, long enough to cost nothing.
const flushEvery = 200 * time.Millisecond

// recordTo records until the context ends, which is how a recording is meant
// to end. The first readings are written at once: whoever waits for them knows
// that the driver answers.
func (o *gpusOptions) recordTo(ctx context.Context, h *nvml.Host) error {
	out := o.std.out
	if o.record != "-" {
		f, err := os.Create(o.record)
		if err != nil {
			return fmt.Errorf("%s cannot be written: %w", o.record, cause(err))
		}
		defer func() { _ = f.Close() }()
		out = f
	}
	// GPUs are read one after another: a second thread would only wake more often.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	ctx, stop := o.limit(ctx)
	defer stop()
	w := nvml.NewRecordWriter(out)
	devices := h.Devices()
	for i := range devices {
		if err := w.Device(&devices[i]); err != nil {
			return fmt.Errorf("%s cannot be written: %w", o.record, cause(err))
		}
	}
	begin, flushed, n := time.Now(), time.Time{}, 0
	var failed error
	err := (&nvml.Sampler{Host: h, Period: o.period, Fields: o.fields()}).Run(ctx, func(r nvml.Reading) {
		n++
		err := w.Reading(&r)
		if err == nil && time.Since(flushed) > flushEvery {
			err, flushed = w.Flush(), time.Now()
		}
		if err != nil && failed == nil {
			failed = fmt.Errorf("%s cannot be written: %w", o.record, cause(err))
			stop()
		}
	})
	if failed == nil {
		if e := w.Flush(); e != nil {
			failed = fmt.Errorf("%s cannot be written: %w", o.record, cause(e))
		}
	}
	if failed == nil && !o.quiet && o.record != "-" {
		fmt.Fprintf(o.std.err, "tokprof: %s: %d readings of %d GPUs in %v\n", o.record, n, len(devices), time.Since(begin).Round(time.Millisecond))
	}
	return errors.Join(failed, o.partly(err, n))
}

// partly makes the loss of some GPUs a warning where others gave readings.
func (o *gpusOptions) partly(err error, readings int) error {
	if err == nil || readings == 0 {
		return err
	}
	o.lost = true
	fmt.Fprintf(o.std.err, "tokprof: %v\n", err)
	return nil
}

// limit ends a context after --for.
func (o *gpusOptions) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	if o.length > 0 {
		return context.WithTimeout(ctx, o.length)
	}
	return context.WithCancel(ctx)
}

func (o *gpusOptions) watchHost(ctx context.Context, h *nvml.Host) error {
	ctx, stop := o.limit(ctx)
	defer stop()
	period := o.period
	if period == 0 {
		period = time.Second
	}
	v := &gpuWatch{out: o.std.out, terminal: isTerminal(o.std.out), devices: h.Devices(), topology: h.Topology(), versions: h.Versions()}
	n := 0
	err := (&nvml.Sampler{Host: h, Period: period}).Run(ctx, func(r nvml.Reading) {
		n++
		if v.add(r) != nil {
			stop()
		}
	})
	return errors.Join(v.err, o.partly(err, n))
}

func (o *gpusOptions) writeJSON(v any) error {
	e := json.NewEncoder(o.std.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// print writes a drawing in one piece.
func (o *gpusOptions) print(draw func(io.Writer)) error {
	out := &outputs{stdout: o.std.out}
	return out.write("-", func(w io.Writer) error { draw(w); return nil })
}

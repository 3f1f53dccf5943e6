package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"tokprof/kernels"
	"tokprof/kernels/attribution"
	"tokprof/kernels/breakdown"
	"tokprof/report/compose"
	"tokprof/trace"
)

// open reads one trace with a progress line.
func (s *shared) open(ctx context.Context, path string, hash bool) (*trace.Trace, error) {
	p := newProgress(s.std.err, path, s.quiet)
	t, err := trace.Open(ctx, path, trace.Options{Hash: hash, NsysPath: s.nsys, Progress: p.update})
	p.done()
	return t, err
}

// openAll reads every trace in one file with a progress line.
func (s *shared) openAll(ctx context.Context, path string, hash bool) ([]*trace.Trace, error) {
	p := newProgress(s.std.err, path, s.quiet)
	all, err := trace.OpenAll(ctx, path, trace.Options{Hash: hash, NsysPath: s.nsys, Progress: p.update})
	p.done()
	return all, err
}

// openRank reads the one trace in a file, or one rank's of several.
func (s *shared) openRank(ctx context.Context, path string, rank int) (*trace.Trace, error) {
	all, err := s.openAll(ctx, path, false)
	if err != nil {
		return nil, err
	}
	for _, t := range all {
		if t.Info.Rank == rank || len(all) == 1 && rank < 0 {
			return t, nil
		}
	}
	name := trace.BaseName(path)
	if len(all) == 1 {
		return nil, usageError{fmt.Sprintf("--rank %d: %s holds one trace, of rank %d", rank, name, all[0].Info.Rank), "leave --rank out"}
	}
	if rank < 0 {
		return nil, usageError{fmt.Sprintf("%s holds the traces of %d ranks", name, len(all)), "pick one with --rank 0"}
	}
	return nil, usageError{fmt.Sprintf("--rank %d: %s holds ranks 0-%d", rank, name, len(all)-1), ""}
}

// warn tells on standard error what reading a trace lost, where the answer
// itself has no place for it.
func (s *shared) warn(t *trace.Trace) {
	s.warnInfo(t.Info)
	if n := len(t.GraphRuns); n > 0 && !s.quiet {
		fmt.Fprintf(s.std.err, "tokprof: %s holds CUDA graphs as a whole: the kernels of %d replays are missing; record again with nsys profile --cuda-graph-trace=node\n", t.Info.Name, n)
	}
}

// warnInfo tells what reading a file lost.
func (s *shared) warnInfo(in trace.Info) {
	if s.quiet {
		return
	}
	switch {
	case in.Truncated:
		fmt.Fprintf(s.std.err, "tokprof: %s is cut at byte %d of its text (%s): later events are missing\n", in.Name, in.TruncatedAt, in.TruncatedBy)
	case in.ChecksumFailed:
		fmt.Fprintf(s.std.err, "tokprof: %s does not match its checksum: any value may be wrong\n", in.Name)
	}
	if in.Skipped > 0 {
		where := ""
		if len(in.Damage) > 0 {
			where = fmt.Sprintf(", the first at byte %d (%s)", in.Damage[0].Offset, in.Damage[0].What)
		}
		fmt.Fprintf(s.std.err, "tokprof: %s: %d damaged rows left out%s\n", in.Name, in.Skipped, where)
	}
}

// reduceAll reduces the traces one at a time, so that only one is in memory.
// A file that cannot be read is told to the reader and listed in the document;
// it is an error only when nothing else is left.
func (s *shared) reduceAll(ctx context.Context, paths []string, o breakdown.Options) ([]*breakdown.Rank, []compose.Unread, error) {
	files, aside, err := trace.Find(withoutEmptyBundles(paths))
	if err != nil {
		return nil, nil, err
	}
	c, err := s.classifier()
	if err != nil {
		return nil, nil, err
	}
	named := slices.Clone(files)
	if !o.Evidence.Blind {
		files = withCaptures(files)
	}
	capturesFirst(files)
	in := inputs{several: len(files)+len(aside) > 1, exports: map[string]bool{}, failed: map[string]bool{}}
	for _, path := range files {
		if err := s.take(ctx, &in, path, c, &o, slices.Contains(named, path)); err != nil {
			return nil, nil, err
		}
	}
	// What was left aside stands in for what could not be read.
	instead := map[string]string{}
	for _, a := range aside {
		if in.failed[a.For] && instead[a.For] == "" {
			if err := s.take(ctx, &in, a.Path, c, &o, true); err != nil {
				return nil, nil, err
			}
			if !in.failed[a.Path] {
				instead[a.For], named = trace.BaseName(a.Path), append(named, a.Path)
			}
			continue
		}
		in.unread = append(in.unread, compose.Unread{Name: trace.BaseName(a.Path), For: cmp.Or(instead[a.For], trace.BaseName(a.For))})
	}
	if len(in.ranks) == 0 && len(in.summaries) > 0 {
		return nil, slices.DeleteFunc(in.unread, func(u compose.Unread) bool { return u.Summary }), &onlySummaries{in.whySummary, in.summaries}
	}
	return in.ranks, in.unread, s.enough(named, in.ranks)
}

// inputs are what the files of one command hold.
type inputs struct {
	several    bool // whether an unreadable one may be done without
	n          int  // files taken
	ranks      []*breakdown.Rank
	unread     []compose.Unread
	summaries  []*trace.Summary
	whySummary error           // the first one's
	exports    map[string]bool // by hash, of those with several ranks
	failed     map[string]bool // by path, of those that cannot be read
}

// take reads one file into in.
func (s *shared) take(ctx context.Context, in *inputs, path string, c *kernels.Classifier, o *breakdown.Options, asked bool) error {
	if in.n++; in.n > 1 {
		// The last trace's columns must go before the next one's come.
		runtime.GC()
	}
	name := trace.BaseName(path)
	found, err := s.reduce(ctx, path, c, o, asked)
	if len(found) > 1 {
		h := found[0].Info.SHA256
		if in.exports[h] {
			fmt.Fprintf(s.std.err, "tokprof: %s has the same bytes as another input: counted once\n", name)
			return nil
		}
		in.exports[h] = true
	}
	in.ranks = append(in.ranks, found...)
	var bad *trace.Error
	var summary *trace.SummaryOnly
	switch {
	case err == nil:
	case errors.As(err, &summary):
		in.summaries = append(in.summaries, summary.Summary)
		in.whySummary = cmp.Or(in.whySummary, err)
		in.unread = append(in.unread, compose.Unread{Name: name, Why: "sums kernels up by name", Summary: true})
	case in.several && errors.As(err, &bad):
		in.failed[path] = true
		frontend := trace.ParseFileName(name).Frontend
		in.unread = append(in.unread, compose.Unread{Name: name, Why: bad.Reason(), Frontend: frontend})
		if !frontend {
			fmt.Fprintf(s.std.err, "tokprof: %s\n", err)
		}
	default:
		return err
	}
	return nil
}

// withCaptures adds the graph-capture traces that lie beside the files.
func withCaptures(files []string) []string {
	for _, f := range slices.Clone(files) {
		for _, c := range trace.CapturesBeside(f) {
			if !slices.Contains(files, c) {
				files = append(files, c)
			}
		}
	}
	return files
}

// capturesFirst puts graph-capture traces before the ranks that replay their
// graphs, and keeps the order otherwise.
func capturesFirst(files []string) {
	capture := func(path string) int {
		if trace.ParseFileName(trace.BaseName(path)).Capture || strings.Contains(path, "capture_traces") {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(files, func(a, b string) int { return capture(a) - capture(b) })
}

// reduce reduces the traces in one file, and adds to the options what the next
// ones can use of them. A file found beside, not asked for, is evidence at
// most, never time.
func (s *shared) reduce(ctx context.Context, path string, c *kernels.Classifier, o *breakdown.Options, asked bool) ([]*breakdown.Rank, error) {
	all, err := s.openAll(ctx, path, true)
	if err != nil {
		return nil, err
	}
	var ranks []*breakdown.Rank
	for i, t := range all {
		all[i] = nil // its columns may go once it is reduced
		r := breakdown.Reduce(t, c, *o)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !asked && r.Role != breakdown.GraphCapture {
			continue
		}
		ranks = append(ranks, r)
		switch r.Role {
		case breakdown.GPURank:
			o.Like = append(o.Like, r.Excerpts...)
		case breakdown.GraphCapture:
			o.Evidence.Captures = append(o.Evidence.Captures, r.Captured)
		}
	}
	return ranks, nil
}

// enough refuses inputs without any GPU work, and says what the named files
// are instead.
func (s *shared) enough(files []string, ranks []*breakdown.Rank) error {
	for _, r := range ranks {
		if r.Role == breakdown.GPURank {
			return nil
		}
	}
	ranks = slices.DeleteFunc(slices.Clone(ranks), func(r *breakdown.Rank) bool { return !slices.Contains(files, r.Info.Path) })
	if len(ranks) == 0 {
		return errors.New("none of the files could be read")
	}
	name := ranks[0].Info.Name
	if len(files) > 1 {
		name = fmt.Sprintf("none of the %d files", len(files))
	}
	for _, r := range ranks {
		if r.Role == breakdown.GraphCapture {
			return fmt.Errorf("%s: recorded while CUDA graphs were captured, before any request was served: analyse the rank's own trace", name)
		}
	}
	if len(files) > 1 {
		return fmt.Errorf("%s holds GPU events: %s", name, notGPU(ranks[0].Info))
	}
	return fmt.Errorf("%s: no GPU events in %d rows: %s", name, ranks[0].Info.Events, notGPU(ranks[0].Info))
}

// notGPU says what a trace without GPU events most likely is.
func notGPU(in trace.Info) string {
	switch {
	case in.Truncated:
		return fmt.Sprintf("it is cut at byte %d (%s), before the GPU rows, which stand last; copy it again", in.TruncatedAt, in.TruncatedBy)
	case in.Events == 0 && in.Skipped == 0:
		return "it holds no events at all: nothing ran between start and stop of the profiler"
	case in.Skipped > 0:
		return fmt.Sprintf("%d damaged rows were left out, the first at byte %d (%s)", in.Skipped, in.Damage[0].Offset, in.Damage[0].What)
	}
	if calls := in.Counts["CUPTI_ACTIVITY_KIND_RUNTIME"] + in.Counts["TraceProcessEvent"]; strings.HasPrefix(in.Format, "nsys") && calls > 0 {
		return fmt.Sprintf("nsys recorded %d CUDA calls and nothing that ran on a GPU: end the capture before the server ends, and record with nsys profile --trace=cuda,nvtx --cuda-graph-trace=node", calls)
	}
	if strings.HasPrefix(in.Format, "nsys") {
		return "nsys recorded no CUDA work: record with nsys profile --trace=cuda,nvtx --cuda-graph-trace=node, and let the server's workers be traced too (--trace-fork-before-exec=true)"
	}
	for cat := range in.Counts {
		switch strings.ToLower(cat) {
		case "cpu_op", "operator", "cuda_runtime", "runtime", "user_annotation", "python_function", "trace":
			return "it is the server's front-end process, or the profiler ran without CUDA activity; analyse the workers' traces (rank0.….pt.trace.json.gz)"
		}
	}
	return "it has none of the torch profiler's row kinds either; give a trace written by torch.profiler"
}

// colourful says whether a stream takes ANSI colours.
func colourful(s *shared) bool {
	return isTerminal(s.std.out) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// evidenceFlags add evidence for roles, or take it away, for tests of what
// remains.
type evidenceFlags struct {
	calibrate string
	blind     bool
	hide      string
}

func (e *evidenceFlags) add(f *pflag.FlagSet) {
	f.StringVar(&e.calibrate, "calibrate", "", "short eager trace `FILE` of the same model, whose modules prove roles slot by slot")
	f.BoolVar(&e.blind, "blind", false, "for tests: forget ops, shapes, frames and captures")
	f.StringVar(&e.hide, "hide", "", "for tests: hide `WHAT` from role assignment (norm, activation or random:5%)")
}

// beside reads the graph-capture traces that lie beside one rank's trace. One
// that cannot be read is only missing evidence.
func (s *shared) beside(ctx context.Context, path string) []*attribution.Captured {
	var out []*attribution.Captured
	for _, c := range trace.CapturesBeside(path) {
		if t, err := s.open(ctx, c, false); err == nil {
			out = append(out, attribution.ReadCaptured(t))
		}
	}
	return out
}

func (e *evidenceFlags) evidence() (attribution.Evidence, error) {
	h, err := attribution.ParseHide(e.hide)
	if err != nil {
		return attribution.Evidence{}, usageError{"--hide " + err.Error(), ""}
	}
	if e.blind && e.calibrate != "" {
		return attribution.Evidence{}, usageError{"--blind forgets what --calibrate adds", "give one of them"}
	}
	return attribution.Evidence{Blind: e.blind, Hide: h}, nil
}

// calibration reads the eager trace of --calibrate, nil when none is given.
func (s *shared) calibration(ctx context.Context, e *evidenceFlags, c *kernels.Classifier) (*attribution.Calibration, error) {
	if e.calibrate == "" {
		return nil, nil
	}
	t, err := s.open(ctx, e.calibrate, false)
	if err != nil {
		return nil, err
	}
	cal := attribution.ReadCalibration(t, c)
	if cal.Passes() == 0 {
		return nil, fmt.Errorf("--calibrate %s proves no roles: record it with --enforce-eager and Python stacks (or shapes)", trace.BaseName(e.calibrate))
	}
	return cal, nil
}

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"tokprof/kernels/breakdown"
	"tokprof/kernels/roofline"
	"tokprof/report"
	"tokprof/report/compose"
	"tokprof/report/document"
	"tokprof/report/page"
)

type analyzeOptions struct {
	*shared
	html, md, json, csv, pprof, folded, perfetto  string
	window, steps, model, readings, topo, visible string
	strict                                        bool
	evidence                                      evidenceFlags
}

func newAnalyze(s *shared) *cobra.Command {
	o := &analyzeOptions{shared: s}
	cmd := &cobra.Command{
		Use:   "analyze FILE|DIR|- ...",
		Short: "Say where the GPU time of a trace went",
		Long: `Reads torch-profiler traces, plain, .gz or .zst, and Nsight Systems exports
(.sqlite, JSON lines, tables of nsys stats, .nsys-rep where nsys is at hand),
or every one in a directory, and says where the GPU time went; of a summary
(cuda_gpu_kern_sum) as far as sums by kernel name tell, of CUDA graphs recorded
as a whole (nsys's default) how long they ran, and of sampled GPU and network
metrics their means by phase. Of one report in several forms a directory's
fullest is read. Files recorded together are one window, rank by rank; windows
are never added together. Without an output flag it prints a table; with one it
also writes files, all from one reading. "-" as an input is standard input, as
an output standard output (which then carries that alone).`,
		Example: `  tokprof analyze rank0.pt.trace.json.gz
  tokprof analyze rank0.json.gz rank1.json.gz -o page.html --md ticket.md
  tokprof analyze report1.sqlite -o page.html
  tokprof analyze traces/ --window 2 --json - | head -40
  zcat trace.json.gz | tokprof analyze - --pprof gpu.pb.gz`,
		Args: needArgs("a trace file or directory"),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVarP(&o.html, "html", "o", "", "write the page to `FILE`: one HTML file, opens offline")
	f.StringVar(&o.md, "md", "", "write Markdown for a ticket to `FILE`")
	f.StringVar(&o.json, "json", "", "write every number as JSON to `FILE`")
	f.StringVar(&o.csv, "csv", "", "write the kernel table as CSV to `FILE`")
	f.StringVar(&o.pprof, "pprof", "", "write a profile for go tool pprof to `FILE`")
	f.StringVar(&o.folded, "folded", "", "write folded stacks (ns) for flame graphs to `FILE`")
	f.StringVar(&o.perfetto, "perfetto", "", "write a timeline of one step per phase, for ui.perfetto.dev, to `FILE` (at most 20 MB)")
	f.StringVar(&o.steps, "steps", "", "draw steps `A-B` (from 0) in timelines, not one per phase")
	f.StringVar(&o.window, "window", "", "take one window, by `N|NAME` (1, w1)")
	f.StringVar(&o.model, "model", "", "config.json `FILE` of the served model: work per role, and whether the trace fits it")
	f.StringVar(&o.readings, "readings", "", "GPU readings `FILE` of tokprof gpus --record, joined with the steps")
	f.StringVar(&o.topo, "topo", "", "`FILE` of nvidia-smi topo -m or tokprof gpus --links: what the GPUs' links can do")
	f.StringVar(&o.visible, "visible-devices", "", "CUDA_VISIBLE_DEVICES `LIST` of the server: which GPU of the readings is which of the trace")
	s.nsysFlag(f)
	f.BoolVar(&o.strict, "strict", false, "exit 1 when a trust line warns")
	o.evidence.add(f)
	return cmd
}

// needArgs refuses a command line without inputs.
func needArgs(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usageError{cmd.CommandPath() + " needs " + what, "see " + cmd.CommandPath() + " --help"}
		}
		return nil
	}
}

func (o *analyzeOptions) paths() []string {
	return []string{o.html, o.md, o.json, o.csv, o.pprof, o.folded, o.perfetto}
}

// namesPage refuses a page whose name says that another form is meant.
func (o *analyzeOptions) namesPage() error {
	for _, form := range []struct{ ending, flag string }{
		{".json", "--json"}, {".csv", "--csv"}, {".md", "--md"}, {".folded", "--folded"}, {".pb.gz", "--pprof"},
	} {
		if strings.HasSuffix(o.html, form.ending) {
			return usageError{"-o writes the page, which is HTML: " + o.html + " has another form's name", "for that form say " + form.flag + " " + o.html}
		}
	}
	return nil
}

func (o *analyzeOptions) run(ctx context.Context, args []string) error {
	if b := o.unfinished(args); b != nil {
		return o.finishBundle(ctx, b)
	}
	if err := checkPaths(o.paths()...); err != nil {
		return err
	}
	if err := o.namesPage(); err != nil {
		return err
	}
	evidence, err := o.evidence.evidence()
	if err != nil {
		return err
	}
	opt := breakdown.Options{ExcerptFrom: 0, ExcerptTo: -1, Evidence: evidence}
	if o.steps != "" {
		if opt.ExcerptFrom, opt.ExcerptTo, err = parseRange("--steps", o.steps); err != nil {
			return err
		}
	}
	set, err := o.document(ctx, args, opt)
	if err != nil {
		return err
	}
	if err := o.draw(ctx, set); err != nil {
		return err
	}
	if o.strict {
		return strictly(set)
	}
	return nil
}

// document reads the inputs and says what they tell. A bundle among them brings
// its requests, its windows' names and its model.
func (o *analyzeOptions) document(ctx context.Context, args []string, opt breakdown.Options) (*document.Set, error) {
	bundles := openBundles(args)
	o.beside(bundles)
	model, err := o.readModel()
	if err != nil {
		return nil, err
	}
	c, err := o.classifier()
	if err != nil {
		return nil, err
	}
	if opt.Evidence.Calibration, err = o.calibration(ctx, &o.evidence, c); err != nil {
		return nil, err
	}
	ranks, unread, err := o.reduceAll(ctx, args, opt)
	var sums *onlySummaries
	if err != nil && !errors.As(err, &sums) {
		return nil, err
	}
	d := compose.Options{Version: versionText(), Command: o.command(args), Unread: unread, Model: model}
	if sums != nil {
		return o.summaries(sums, d)
	}
	if len(bundles) == 1 {
		d.Command = bundleCommand
	}
	if err := ofRun(&d, bundles, ranks); err != nil {
		return nil, err
	}
	d.VisibleDevices = o.visible
	if o.readings != "" {
		if d.Readings, err = readReadings(o.std.in, o.readings); err != nil {
			return nil, err
		}
	}
	if o.topo != "" {
		if d.Topology, err = readTopology(o.std.in, o.topo); err != nil {
			return nil, err
		}
	}
	return pickWindow(compose.Build(ranks, d), o.window)
}

// readModel reads the served model's config, nil when none is given.
func (o *analyzeOptions) readModel() (*roofline.Model, error) {
	if o.model == "" {
		return nil, nil
	}
	f, err := os.Open(o.model)
	if err != nil {
		return nil, fmt.Errorf("--model %s cannot be read: %w", o.model, cause(err))
	}
	defer func() { _ = f.Close() }()
	m, err := roofline.ParseModel(f)
	if err != nil {
		return nil, fmt.Errorf("--model %s: %w", o.model, err)
	}
	return &m, nil
}

// draw writes what was asked for, and the table unless standard output
// already carries an answer.
func (o *analyzeOptions) draw(ctx context.Context, set *document.Set) error {
	out := &outputs{stdout: o.std.out}
	defer out.discard()
	var cut int64
	writers := []struct {
		path string
		draw func(io.Writer) error
	}{
		{o.html, func(w io.Writer) error { return page.Write(w, set, report.Markdown) }},
		{o.md, func(w io.Writer) error { return report.WriteMarkdown(w, set) }},
		{o.json, func(w io.Writer) error { return report.WriteJSON(w, set) }},
		{o.csv, func(w io.Writer) error { return report.WriteCSV(w, set) }},
		{o.pprof, func(w io.Writer) error { return report.WriteProfile(w, set) }},
		{o.folded, func(w io.Writer) error { return report.WriteFolded(w, set) }},
		{o.perfetto, func(w io.Writer) (err error) { cut, err = report.WritePerfetto(w, set); return err }},
	}
	for _, w := range writers {
		if w.path == "" {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := out.write(w.path, w.draw); err != nil {
			return err
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := out.commit(); err != nil {
		return err
	}
	if cut > 0 {
		fmt.Fprintf(o.std.err, "tokprof: %s: %d events left out to stay under 20 MB; pick fewer with --steps\n", o.perfetto, cut)
	}
	if o.quiet {
		return nil
	}
	o.warnOfGraphs(set)
	if slices.Contains(o.paths(), "-") {
		return nil
	}
	return report.WriteText(o.std.out, set, report.TextOptions{Width: terminalWidth(o.std.out), Color: colourful(o.shared)})
}

// warnOfGraphs says why outputs of kernels came out without any, where graphs
// recorded as a whole are all that is known.
func (o *analyzeOptions) warnOfGraphs(set *document.Set) {
	var runs int64
	for _, a := range set.Analyses {
		if len(a.Kernels) > 0 {
			return
		}
		for _, g := range a.Graphs {
			runs += g.Replays
		}
	}
	if runs > 0 && cmp.Or(o.csv, o.pprof, o.folded, o.perfetto) != "" {
		fmt.Fprintf(o.std.err, "tokprof: CUDA graphs were recorded as a whole: the kernels of %d replays are missing; record again with nsys profile --cuda-graph-trace=node\n", runs)
	}
}

// command is how to make the document again: base names and flags that matter.
func (o *analyzeOptions) command(args []string) string {
	parts := []string{"tokprof analyze"}
	for _, a := range args {
		parts = append(parts, quoteArg(lastElement(a)))
	}
	if o.window != "" {
		parts = append(parts, "--window", o.window)
	}
	if o.rules != "" {
		parts = append(parts, "--rules", lastElement(o.rules))
	}
	return strings.Join(parts, " ")
}

func lastElement(path string) string {
	path = strings.TrimRight(path, "/")
	return path[strings.LastIndexByte(path, '/')+1:]
}

func quoteArg(s string) string {
	if s != "" && !strings.ContainsAny(s, " \t'\"$&;|<>()*?[]#~`\\!{}") {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// pickWindow keeps one window of a set, by number from 1 or by name.
func pickWindow(set *document.Set, which string) (*document.Set, error) {
	if which == "" {
		return set, nil
	}
	var names []string
	for i, a := range set.Analyses {
		if which == a.Window.Name || which == strconv.Itoa(i+1) {
			return &document.Set{Schema: set.Schema, Analyses: []*document.Analysis{a}}, nil
		}
		names = append(names, a.Window.Name)
	}
	return nil, usageError{fmt.Sprintf("there is no window %q", which), "the windows are " + strings.Join(names, ", ")}
}

// parseRange reads "A-B" or "A", both from 0, ends included.
func parseRange(flag, s string) (from, to int, err error) {
	a, b, ranged := strings.Cut(s, "-")
	if !ranged {
		b = a
	}
	from, errA := strconv.Atoi(strings.TrimSpace(a))
	to, errB := strconv.Atoi(strings.TrimSpace(b))
	if errA != nil || errB != nil || from < 0 || to < from {
		return 0, 0, usageError{fmt.Sprintf("%s %q is not a range", flag, s), "write A-B with 0 ≤ A ≤ B, such as " + flag + " 3-5"}
	}
	return from, to, nil
}

// strictly turns warnings into the answer no.
func strictly(set *document.Set) error {
	for _, a := range set.Analyses {
		for _, t := range a.Trust {
			if t.Severity == document.Warning || t.Severity == document.Error {
				return errNo{fmt.Sprintf("--strict: %s: %s", t.Code, t.Message)}
			}
		}
	}
	return nil
}

package main

import (
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tokprof/kernels/breakdown"
	"tokprof/report"
	"tokprof/report/compare"
	"tokprof/report/compose"
	"tokprof/report/document"
	"tokprof/report/engines"
)

type reconcileOptions struct {
	*shared
	windows       [2]string
	json, csv, md string
}

func newReconcile(s *shared) *cobra.Command {
	o := &reconcileOptions{shared: s}
	cmd := &cobra.Command{
		Use:   "reconcile TORCH NSYS",
		Short: "Hold a torch trace against an Nsight export of the same load",
		Long: `Puts the kernels of a torch-profiler recording and of an Nsight Systems export
of the same load side by side: launches, times, what each of the two misses, and
what each profiler cost. Lengths are compared in decode steps of equal batch, of
collectives the time they moved data. TORCH and NSYS are traces, directories or
bundles; bundles bring what clients saw, and a window without a profiler serves
both. Of several windows it takes those with equal names, or the only one.`,
		Example: `  tokprof reconcile rank0.json.gz report1.sqlite
  tokprof reconcile rank0.json.gz report1.sqlite --json - --quiet | head -3`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usageError{"tokprof reconcile takes a torch trace and an Nsight Systems export", "see tokprof reconcile --help"}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.md, "md", "", "write Markdown for a ticket to `FILE`")
	f.StringVar(&o.json, "json", "", "write every number as JSON to `FILE`")
	f.StringVar(&o.csv, "csv", "", "write the kernel table as CSV to `FILE`")
	f.StringVar(&o.windows[0], "torch-window", "", "take one window of TORCH, by `NAME|N`")
	f.StringVar(&o.windows[1], "nsys-window", "", "take one window of NSYS, by `NAME|N`")
	s.nsysFlag(f)
	return cmd
}

func (o *reconcileOptions) paths() []string { return []string{o.md, o.json, o.csv} }

func (o *reconcileOptions) run(ctx context.Context, args []string) error {
	if err := checkPaths(o.paths()...); err != nil {
		return err
	}
	sets, err := o.read(ctx, args)
	if err != nil {
		return err
	}
	pairs, err := o.pairs(args, sets)
	if err != nil {
		return err
	}
	r := &compare.Reconciliation{Schema: compare.Schema, Version: versionText(), Command: o.command(args), Windows: []compare.Window{}}
	for _, p := range pairs {
		r.Windows = append(r.Windows, compare.Reconcile(p[0], p[1]))
	}
	return o.draw(ctx, r)
}

// read reduces both sides. A window that one side's bundle ran without a
// profiler is the other side's too: it was the same load.
func (o *reconcileOptions) read(ctx context.Context, args []string) (sets [2]*document.Set, err error) {
	var ranks [2][]*breakdown.Rank
	var opt [2]compose.Options
	for i, path := range args {
		bundles := openBundles([]string{path})
		opt[i] = compose.Options{Version: versionText(), Command: o.command(args)}
		if ranks[i], opt[i].Unread, err = o.reduceAll(ctx, []string{path}, breakdown.Options{ExcerptTo: -1, Batches: true}); err != nil {
			return sets, err
		}
		if err := rightSide(i, path, ranks[i]); err != nil {
			return sets, err
		}
		if err := ofRun(&opt[i], bundles, ranks[i]); err != nil {
			return sets, err
		}
	}
	lendPlain(opt[0].Run, opt[1].Run)
	lendPlain(opt[1].Run, opt[0].Run)
	for i := range sets {
		sets[i] = compose.Build(ranks[i], opt[i])
	}
	return sets, nil
}

// lendPlain gives windows the rows that a window of equal name has of the load
// without a profiler.
func lendPlain(from, to []engines.RunWindow) {
	for i := range to {
		for _, w := range from {
			if to[i].Name == w.Name && len(to[i].Plain) == 0 {
				to[i].Plain, to[i].PlainName = w.Plain, w.PlainName
			}
		}
	}
}

// rightSide refuses a recording of the other profiler.
func rightSide(i int, path string, ranks []*breakdown.Rank) error {
	for _, r := range ranks {
		if r.Role != breakdown.GPURank || strings.HasPrefix(r.Info.Format, "nsys") == (i == 1) {
			continue
		}
		if i == 0 {
			return usageError{lastElement(path) + " holds an Nsight Systems export, and a torch trace comes first", "write tokprof reconcile TORCH NSYS"}
		}
		return usageError{lastElement(path) + " holds a torch trace, and an Nsight Systems export comes second", "write tokprof reconcile TORCH NSYS"}
	}
	return nil
}

// pairs are the windows to compare: those that were picked, else the only
// ones, else those that both bundles gave one name.
func (o *reconcileOptions) pairs(args []string, sets [2]*document.Set) (out [][2]*document.Analysis, err error) {
	for i := range sets {
		if sets[i], err = pickWindow(sets[i], o.windows[i]); err != nil {
			return nil, fmt.Errorf("%s: %w", lastElement(args[i]), err)
		}
	}
	if len(sets[0].Analyses) == 1 && len(sets[1].Analyses) == 1 {
		return [][2]*document.Analysis{{sets[0].Analyses[0], sets[1].Analyses[0]}}, nil
	}
	for _, t := range sets[0].Analyses {
		for _, n := range sets[1].Analyses {
			if t.Window.Name == n.Window.Name && !numbered.MatchString(t.Window.Name) {
				out = append(out, [2]*document.Analysis{t, n})
			}
		}
	}
	if len(out) == 0 {
		return nil, usageError{fmt.Sprintf("which windows to compare is not clear: %s has %s, %s has %s", lastElement(args[0]), windowList(sets[0]), lastElement(args[1]), windowList(sets[1])),
			"pick one of each with --torch-window and --nsys-window"}
	}
	return out, nil
}

// numbered are the names of windows that nobody named: they say nothing of the
// load.
var numbered = regexp.MustCompile(`^w\d+$`)

func windowList(s *document.Set) string {
	var names []string
	for _, a := range s.Analyses {
		names = append(names, a.Window.Name)
	}
	return strings.Join(names, ", ")
}

func (o *reconcileOptions) draw(ctx context.Context, r *compare.Reconciliation) error {
	out := &outputs{stdout: o.std.out}
	defer out.discard()
	for _, w := range []struct {
		path string
		draw func(io.Writer, *compare.Reconciliation) error
	}{{o.md, report.WriteReconciliationMarkdown}, {o.json, report.WriteReconciliationJSON}, {o.csv, report.WriteReconciliationCSV}} {
		if w.path == "" {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := out.write(w.path, func(to io.Writer) error { return w.draw(to, r) }); err != nil {
			return err
		}
	}
	if err := out.commit(); err != nil {
		return err
	}
	if o.quiet || slices.Contains(o.paths(), "-") {
		return nil
	}
	return report.WriteReconciliation(o.std.out, r, report.TextOptions{Width: terminalWidth(o.std.out), Color: colourful(o.shared)})
}

// command is how to make the comparison again: base names and flags that
// matter.
func (o *reconcileOptions) command(args []string) string {
	parts := []string{"tokprof reconcile"}
	for _, a := range args {
		parts = append(parts, quoteArg(lastElement(a)))
	}
	for i, flag := range []string{"--torch-window", "--nsys-window"} {
		if o.windows[i] != "" {
			parts = append(parts, flag, quoteArg(o.windows[i]))
		}
	}
	if o.rules != "" {
		parts = append(parts, "--rules", quoteArg(lastElement(o.rules)))
	}
	return strings.Join(parts, " ")
}

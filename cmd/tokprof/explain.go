package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tokprof/kernels"
	"tokprof/kernels/breakdown"
	"tokprof/report"
)

type explainOptions struct {
	*shared
	trace, names string
	top          int
	csv          bool
}

func newExplain(s *shared) *cobra.Command {
	o := &explainOptions{shared: s}
	cmd := &cobra.Command{
		Use:   "explain NAME...",
		Short: "Say what a kernel is and which rule says so",
		Long: `Shows a kernel name's category, the rule that took it, what the name was split
into, the rules that were passed over, and how to add a rule of your own.
Names come from the command line, from the kernels with the most time of a
trace, or one a line from a file ("-" is standard input).`,
		Example: `  tokprof explain 'void vllm::reshape_and_cache_flash_kernel<float>(float*)'
  tokprof explain --trace trace.json.gz --top 5
  tokprof explain --names names.txt --csv`,
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args) },
	}
	f := cmd.Flags()
	f.StringVar(&o.trace, "trace", "", "explain the kernels of a trace `FILE`")
	f.IntVar(&o.top, "top", 10, "with --trace: the `N` with the most time")
	s.nsysFlag(f)
	f.StringVar(&o.names, "names", "", "read names from `FILE`, one a line")
	f.BoolVar(&o.csv, "csv", false, "write name,group,subgroup,tags,rule")
	return cmd
}

func (o *explainOptions) run(ctx context.Context, args []string) error {
	c, err := o.classifier()
	if err != nil {
		return err
	}
	names, err := o.collect(ctx, args, c)
	if err != nil {
		return err
	}
	if o.csv {
		return explainCSV(o.std.out, c, names)
	}
	w := bufio.NewWriter(o.std.out)
	for i, n := range names {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := report.WriteExplanation(w, c.Explain(n)); err != nil {
			return err
		}
	}
	return w.Flush()
}

func (o *explainOptions) collect(ctx context.Context, args []string, c *kernels.Classifier) ([]string, error) {
	names := slices.Clone(args)
	if o.names != "" {
		more, err := readNames(o.names, o.std.in)
		if err != nil {
			return nil, err
		}
		names = append(names, more...)
	}
	if o.trace != "" {
		if o.top < 1 {
			return nil, usageError{fmt.Sprintf("--top %d is not a number of kernels", o.top), "write --top 10"}
		}
		more, err := o.topKernels(ctx, c)
		if err != nil {
			return nil, err
		}
		names = append(names, more...)
	}
	if len(names) == 0 && o.names == "" {
		return nil, usageError{"tokprof explain needs a kernel name", "give a name, --names FILE or --trace FILE"}
	}
	return names, nil
}

// readNames reads one name a line; a name may be longer than any line buffer.
func readNames(path string, stdin io.Reader) ([]string, error) {
	r := stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("%s cannot be read: %w", path, cause(err))
		}
		defer func() { _ = f.Close() }()
		r = f
	}
	b := bufio.NewReaderSize(r, 1<<16)
	var names []string
	for {
		line, err := b.ReadString('\n')
		if line = strings.TrimRight(line, "\r\n"); line != "" {
			names = append(names, line)
		}
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s cannot be read: %w", path, cause(err))
		}
	}
}

func (o *explainOptions) topKernels(ctx context.Context, c *kernels.Classifier) ([]string, error) {
	t, err := o.open(ctx, o.trace, false)
	if err != nil {
		return nil, err
	}
	r := breakdown.Reduce(t, c, breakdown.Options{ExcerptTo: -1})
	slices.SortStableFunc(r.Kernels, func(a, b breakdown.Kernel) int { return cmp.Compare(b.Durs.Total(), a.Durs.Total()) })
	var names []string
	for _, k := range r.Kernels[:min(o.top, len(r.Kernels))] {
		names = append(names, k.Name)
	}
	return names, nil
}

func explainCSV(out io.Writer, c *kernels.Classifier, names []string) error {
	w := csv.NewWriter(out)
	if err := w.Write([]string{"name", "group", "subgroup", "tags", "rule"}); err != nil {
		return err
	}
	for _, n := range names {
		m := c.Classify(n)
		if err := w.Write([]string{n, m.Group, m.Subgroup, strings.Join(m.Tags, " "), m.Rule}); err != nil {
			return err
		}
	}
	w.Flush()
	return w.Error()
}

// readRules reads a user's rules file.
func readRules(path string, stdin io.Reader) ([]kernels.Rule, error) {
	r := stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("--rules %s cannot be read: %w", path, cause(err))
		}
		defer func() { _ = f.Close() }()
		r = f
	}
	return kernels.ParseRules(r, path)
}

package main

import (
	"cmp"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"tokprof/trace"
)

type scrubOptions struct {
	*shared
	out string
}

func newScrub(s *shared) *cobra.Command {
	o := &scrubOptions{shared: s}
	cmd := &cobra.Command{
		Use:   "scrub EXPORT -o OUT",
		Short: "Copy an Nsight Systems export without its secrets",
		Long: `An Nsight Systems export holds the environment of every process on the host,
host and user names, command lines, and what the processes printed. scrub writes
a new one with the rows that tokprof reads and the strings that they use, and
nothing else; paths, addresses and secrets in the texts of ranges are masked.
Every number of tokprof analyze stays the same. It takes .sqlite, JSON lines and
the tables of nsys stats, plain or .gz, and writes the same kind.`,
		Example: `  tokprof scrub report1.sqlite -o safe.sqlite.gz
  tokprof scrub cuda_gpu_trace.csv -o - | head -3`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{"tokprof scrub takes one export", "see tokprof scrub --help"}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0]) },
	}
	cmd.Flags().StringVarP(&o.out, "output", "o", "", "write to `FILE`; .gz compresses, - is standard output")
	return cmd
}

func (o *scrubOptions) run(ctx context.Context, path string) error {
	if o.out == "" {
		return usageError{"scrub needs an output file", "add -o safe.sqlite.gz"}
	}
	if err := checkPaths(o.out); err != nil {
		return err
	}
	if sameFile(path, o.out) {
		return usageError{"scrub would replace the export that it reads", "write to another file, and delete the original yourself"}
	}
	out := &outputs{stdout: o.std.out}
	defer out.discard()
	var got *trace.Scrubbed
	var unread error // which is no fault of the output's
	p := newProgress(o.std.err, path, o.quiet)
	err := out.write(o.out, func(w io.Writer) error {
		to, end := w, func() error { return nil }
		if strings.HasSuffix(o.out, ".gz") {
			z := gzip.NewWriter(w)
			to, end = z, z.Close
		}
		var err error
		if got, err = trace.Scrub(ctx, path, trace.Options{Progress: p.update}, to); err != nil {
			unread = err
			return err
		}
		return end()
	})
	p.done()
	if err = cmp.Or(unread, err); err != nil {
		return err
	}
	if err := out.commit(); err != nil {
		return err
	}
	o.tell(got)
	return nil
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// tell says what the copy holds, and what of the original could not be read.
func (o *scrubOptions) tell(got *trace.Scrubbed) {
	if o.quiet {
		return
	}
	o.warnInfo(got.Info)
	text := fmt.Sprintf("%d rows", got.Rows)
	if all := got.Strings + got.StringsLeft; all > 0 {
		text += fmt.Sprintf(" and %d of %d strings", got.Strings, all)
	}
	text += " kept"
	if got.Masked > 0 {
		text += fmt.Sprintf(", %d texts masked", got.Masked)
	}
	if n := len(got.Left); n > 0 {
		text += fmt.Sprintf("; what %d other tables or kinds of rows held is left out", n)
	}
	fmt.Fprintf(o.std.err, "tokprof: %s: %s\n", o.out, text)
}

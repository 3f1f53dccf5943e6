package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"tokprof/kernels/breakdown"
	"tokprof/report"
	"tokprof/report/document"
	"tokprof/report/page"
	"tokprof/trace/capture"
)

func newVerify(s *shared) *cobra.Command {
	return &cobra.Command{
		Use:   "verify BUNDLE [TRACE ...]",
		Short: "Recompute every hash and number of a bundle",
		Long: `Compares every file of a bundle with the hash in its manifest, then reads the
traces again and compares page, ticket and numbers with those in the bundle.
Traces that the capture left elsewhere are named behind it. Exits 1 when
anything differs.`,
		Example: `  tokprof verify tokprof-demo`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{"tokprof verify needs a bundle", "see tokprof verify --help"}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return s.verify(cmd.Context(), args[0], args[1:]) },
	}
}

func (s *shared) verify(ctx context.Context, dir string, elsewhere []string) error {
	b, err := capture.Open(dir)
	if err != nil {
		return err
	}
	bad, err := b.VerifyFiles(elsewhere...)
	if err != nil {
		return err
	}
	for _, d := range bad {
		fmt.Fprintf(s.std.out, "%s %s\n", d.Path, d.What)
	}
	if len(bad) > 0 {
		return errNo{fmt.Sprintf("%d of %d files are not what the manifest says", len(bad), len(b.Files))}
	}
	fmt.Fprintf(s.std.out, "%d files have their hashes\n", len(b.Files))
	if !analysed(b) {
		return errNo{"the bundle holds no analysis yet: tokprof analyze " + quoteArg(dir)}
	}
	b.Left = elsewhere
	differ, err := s.recompute(ctx, b)
	if err != nil {
		return err
	}
	for _, name := range differ {
		fmt.Fprintf(s.std.out, "%s differs from what the traces give\n", name)
	}
	if len(differ) > 0 {
		return errNo{"the numbers are not those of the traces" + otherVersion(b)}
	}
	fmt.Fprintln(s.std.out, "all numbers, the ticket and the page come out of the traces again")
	return nil
}

// otherVersion says that another tokprof wrote the bundle, which may be why.
func otherVersion(b *capture.Bundle) string {
	if b.Version == versionText() {
		return ""
	}
	return fmt.Sprintf(" (tokprof %s wrote them, this is %s)", b.Version, versionText())
}

// recompute makes the bundle's documents again and names those that differ.
func (s *shared) recompute(ctx context.Context, b *capture.Bundle) (differ []string, err error) {
	a := &analyzeOptions{shared: s}
	set, err := a.document(ctx, append([]string{b.Dir}, b.Left...), breakdown.Options{ExcerptFrom: 0, ExcerptTo: -1})
	if err != nil {
		return nil, err
	}
	for _, f := range []struct {
		name string
		make func(*bytes.Buffer, *document.Set) error
	}{
		{capture.AnalysisName, func(w *bytes.Buffer, set *document.Set) error { return report.WriteJSON(w, set) }},
		{capture.TicketName, func(w *bytes.Buffer, set *document.Set) error { return report.WriteMarkdown(w, set) }},
		{capture.PageName, func(w *bytes.Buffer, set *document.Set) error { return page.Write(w, set, report.Markdown) }},
	} {
		old, err := os.ReadFile(filepath.Join(b.Dir, f.name))
		if err != nil {
			return nil, err
		}
		if f.name == capture.AnalysisName {
			// The version is told apart: other numbers matter, not who printed them.
			setVersion(set, old)
		}
		var now bytes.Buffer
		if err := f.make(&now, set); err != nil {
			return nil, err
		}
		if !bytes.Equal(now.Bytes(), old) {
			differ = append(differ, f.name)
		}
	}
	return differ, nil
}

// setVersion gives the documents the version that an older analysis carries.
func setVersion(set *document.Set, analysis []byte) {
	type versioned struct {
		Version string `json:"tokprof_version"`
	}
	var v struct {
		versioned
		Analyses []versioned `json:"analyses"`
	}
	if json.Unmarshal(analysis, &v) != nil {
		return
	}
	if len(v.Analyses) > 0 {
		v.versioned = v.Analyses[0]
	}
	for _, a := range set.Analyses {
		a.Version = v.Version
	}
}

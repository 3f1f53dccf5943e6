// Package scrub writes copies of Nsight Systems exports that are safe to hand
// on: what may stay is listed table by table and column by column, and the rest
// stays behind.
package scrub

import (
	"bufio"
	"context"
	"io"

	"tokprof/trace/internal/nsys"
)

// Scrubbed says what a scrubbed copy holds: Counts are the rows kept by table
// or kind of line, and what was damaged in the original is told as in any
// Export.
type Scrubbed struct {
	nsys.Export
	Left        map[string]int64 // rows left out, by table or kind of line
	Strings     int64            // strings kept of the table of strings
	StringsLeft int64            // and left out
	Masked      int64            // texts kept in which something was masked
}

// Scrub writes a copy of an export in the form it has, uncompressed, with the
// rows that tokprof reads and only the strings that these use. An export also
// holds the environment of every process, host and user names, command lines
// and what the processes printed: what is kept is listed here, table by table
// and column by column, and everything else stays behind. The copy is written
// anew, for the pages of a database keep what was deleted from them.
func Scrub(ctx context.Context, src nsys.Source, o nsys.Options, w io.Writer) (*Scrubbed, error) {
	out := &Scrubbed{Left: map[string]int64{}}
	x, err := nsys.ByForm(ctx, src, o, nsys.Readers{
		SQLite: func(path string, o nsys.Options) (*nsys.Export, error) { return scrubSQLite(ctx, path, o, w, out) },
		Lines:  func(text *bufio.Reader) (*nsys.Export, error) { return scrubLines(ctx, text, o, w, out) },
		Tables: func(text *bufio.Reader) (*nsys.Export, error) { return scrubStats(ctx, text, w, out) },
	})
	if err != nil {
		return nil, err
	}
	out.Export = *x
	return out, nil
}

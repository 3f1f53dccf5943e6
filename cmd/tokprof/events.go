package main

import (
	"bufio"
	"context"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"tokprof/kernels/attribution"
	"tokprof/kernels/breakdown"
	"tokprof/trace"
)

// eventColumns is the contract of the events CSV.
const eventColumns = "start_unix_ns,dur_ns,device,stream,correlation,graph_node,name,group,subgroup,role,provenance,confidence,step,phase,layer,part\n"

func newEvents(s *shared) *cobra.Command {
	var out string
	rank := -1
	e := &evidenceFlags{}
	cmd := &cobra.Command{
		Use:   "events TRACE",
		Short: "List every GPU event with what it is",
		Long: `Writes one CSV row per GPU event (kernel, copy, memset) in start order, quoted
by RFC 4180, names as they stand in the trace. Columns:
` + eventColumns + `step counts the trace's step annotations from 0. A blank role on a matrix
product means that nothing says what it is for.`,
		Example: `  tokprof events trace.json.gz --csv | head
  tokprof events trace.json.gz -o events.csv`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usageError{"tokprof events takes one trace", "see tokprof events --help"}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return writeEvents(cmd.Context(), s, args[0], rank, out, e)
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "-", "write to `FILE`")
	cmd.Flags().Bool("csv", true, "write CSV (the only format)")
	cmd.Flags().IntVar(&rank, "rank", -1, "take rank `N` of a file that holds several")
	s.nsysFlag(cmd.Flags())
	e.add(cmd.Flags())
	return cmd
}

func writeEvents(ctx context.Context, s *shared, path string, rank int, to string, e *evidenceFlags) error {
	evidence, err := e.evidence()
	if err != nil {
		return err
	}
	if err := checkPaths(to); err != nil {
		return err
	}
	c, err := s.classifier()
	if err != nil {
		return err
	}
	if !evidence.Blind {
		evidence.Captures = s.beside(ctx, path)
	}
	if evidence.Calibration, err = s.calibration(ctx, e, c); err != nil {
		return err
	}
	t, err := s.openRank(ctx, path, rank)
	if err != nil {
		return err
	}
	if len(t.GPU())+len(t.GraphRuns) == 0 {
		return s.enough([]string{path}, []*breakdown.Rank{breakdown.Reduce(t, c, breakdown.Options{ExcerptTo: -1})})
	}
	s.warn(t)
	out := &outputs{stdout: s.std.out}
	defer out.discard()
	ev := attribution.NewEvents(t, c, evidence)
	if err := out.write(to, func(w io.Writer) error { return eventRows(ctx, w, ev) }); err != nil {
		return err
	}
	return out.commit()
}

// eventRows streams the rows; it looks up from its work every few thousand.
func eventRows(ctx context.Context, w io.Writer, ev *attribution.Events) error {
	const checkEvery = 1 << 13
	b := bufio.NewWriterSize(w, 1<<16)
	if _, err := b.WriteString(eventColumns); err != nil {
		return err
	}
	var row []byte
	for i, id := range ev.Trace.GPU() {
		if i%checkEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		row = appendEvent(row[:0], ev, i, ev.Trace.Event(id))
		if _, err := b.Write(row); err != nil {
			return err
		}
	}
	return b.Flush()
}

func appendEvent(row []byte, ev *attribution.Events, i int, e trace.Event) []byte {
	tr := ev.Trace.Track(e.Track)
	m := ev.Match(i)
	num := func(n int64) { row = append(strconv.AppendInt(row, n, 10), ',') }
	text := func(s string) { row = append(appendField(row, s), ',') }
	num(int64(e.Start))
	num(int64(e.Dur))
	num(int64(tr.Device))
	num(tr.Stream)
	num(int64(e.Correlation))
	if n := ev.Trace.GraphNode(e.ID); n != 0 {
		num(n)
	} else {
		row = append(row, ',')
	}
	text(ev.Trace.Name(e.Name))
	text(m.Group)
	text(m.Subgroup)
	k := ev.Known(i)
	text(k.Role.String())
	text(k.Provenance.String())
	row = append(strconv.AppendFloat(row, float64(k.Confidence), 'g', 3, 32), ',')
	if s := ev.StepOf(i); s >= 0 {
		num(int64(s))
		text(ev.Phase(i).String())
	} else {
		row = append(row, ",,"...)
	}
	if k.Layer >= 0 {
		num(int64(k.Layer))
	} else {
		row = append(row, ',')
	}
	return append(append(row, k.Part.String()...), '\n')
}

// appendField quotes by RFC 4180 where a name needs it.
func appendField(row []byte, s string) []byte {
	plain := true
	for i := 0; i < len(s) && plain; i++ {
		plain = s[i] != ',' && s[i] != '"' && s[i] != '\n' && s[i] != '\r'
	}
	if plain {
		return append(row, s...)
	}
	row = append(row, '"')
	for i := range len(s) {
		if s[i] == '"' {
			row = append(row, '"')
		}
		row = append(row, s[i])
	}
	return append(row, '"')
}

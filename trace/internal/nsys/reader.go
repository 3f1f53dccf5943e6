package nsys

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"tokprof/trace/internal/nsys/database"

	"zombiezen.com/go/sqlite"
)

// readSQLite reads the database at path. The error is a *database.Error when
// nothing in it can be used, or the context's.
func readSQLite(ctx context.Context, path string, o Options, sink Sink) (*Export, error) {
	x := NewExport()
	err := database.Use(ctx, path, o.Database(), func(d *database.DB) error {
		r := &reader{DB: d, ctx: ctx, x: x, names: newNames(), sink: sink, progress: o.Progress}
		err := r.read()
		x.Stored(d)
		return err
	})
	if err != nil {
		return nil, err
	}
	return x, nil
}

// reader reads the tables of one database.
type reader struct {
	*database.DB
	ctx      context.Context
	x        *Export
	names    *names
	sink     Sink
	progress func(int64)
	row      Row
	domains  domains
}

// read reads every table that is wanted: GPU rows first, so that whoever takes
// the rows knows which processes count before host rows come.
func (r *reader) read() error {
	r.domains = domains{names: r.names}
	r.session()
	tables := []struct {
		name string
		read func() error
	}{
		{"CUPTI_ACTIVITY_KIND_KERNEL", r.kernels},
		{"CUPTI_ACTIVITY_KIND_MEMCPY", r.copies},
		{"CUPTI_ACTIVITY_KIND_MEMSET", r.sets},
		{"CUPTI_ACTIVITY_KIND_GRAPH_TRACE", r.graphs},
		{"CUPTI_ACTIVITY_KIND_RUNTIME", r.calls},
		{"NVTX_EVENTS", r.ranges},
		{"CUPTI_ACTIVITY_KIND_OVERHEAD", r.driverWork},
		{"PROFILER_OVERHEAD", r.profilerWork},
		{"CUDA_GRAPH_NODE_EVENTS", r.nodes},
		{"GPU_METRICS", r.gpuMetrics},
		{"NET_NIC_METRIC", r.nicMetrics},
	}
	for _, t := range tables {
		r.Expect(t.name)
	}
	for _, t := range tables {
		if !r.Has(t.name) {
			if r.Odd(t.name) {
				r.x.note(0, t.name+" is no ordinary table: it is not read")
				r.Lost(t.name + " is no ordinary table and is not read")
			}
			continue
		}
		if err := r.table(t.name, t.read); err != nil {
			return err
		}
	}
	r.owners()
	r.lookUp()
	r.x.Names = r.names.list
	if r.names.full {
		r.x.note(0, fmt.Sprintf("the names take more than %d MiB: later ones are left out", maxNames>>20))
	}
	if r.progress != nil {
		r.progress(r.Size)
	}
	return r.ctx.Err()
}

// table reads one table; what breaks in it costs the rows behind.
func (r *reader) table(name string, read func() error) error {
	before := r.x.Counts[name]
	err := read()
	if r.ctx.Err() != nil {
		return r.ctx.Err()
	}
	if err != nil {
		got := r.x.Counts[name] - before
		r.x.Broke(r.DB, name, err, 1, max(r.LastKey(name), got), got)
	}
	return nil
}

// scan reads a table with start and end, and calls fill with the other columns
// from place 2 on. It counts and hands out the rows that are sound.
func (r *reader) scan(table string, fill func(v []int64, row *Row), cols ...string) error {
	if !r.Has(table, "start", "end") {
		r.x.note(0, table+" has no start or end: its rows are left out")
		r.x.Skipped += max(r.LastKey(table), 1)
		return nil
	}
	// A row without a start or an end is made to end before it starts.
	cols = append([]string{"start|9223372036854775807", "end|-9223372036854775807"}, cols...)
	n, bad := int64(0), map[string]int64{} // the first row of each fault
	err := r.Integers(table, cols, func(v []int64) error {
		row := &r.row
		*row = Row{Start: v[0], End: v[1], Bytes: -1}
		n++
		r.Tick()
		fault := ""
		if slices.Contains(v, database.NoNumber) {
			fault = "has something else where a number must be"
		} else if !row.sound() {
			fault = "has no start and end in order"
		}
		if fault != "" {
			if bad[fault] == 0 {
				bad[fault] = n
			}
			r.x.Skipped++
			return nil
		}
		fill(v, row)
		r.x.Counts[table]++
		r.hand(row)
		return nil
	}, func(err error, from, to, got int64) {
		if r.ctx.Err() == nil {
			r.x.Broke(r.DB, table, err, from, to, got)
		}
	})
	for _, fault := range slices.Sorted(maps.Keys(bad)) {
		r.x.note(0, fmt.Sprintf("row %d of %s %s", bad[fault], table, fault))
	}
	return err
}

// hand gives a row to whoever takes them. Rows from before the session are
// left out: what ended before is of another recording. An open range never
// ended.
func (r *reader) hand(row *Row) { r.x.hand(row, r.sink) }

func (x *Export) hand(row *Row, sink Sink) {
	if row.End < x.begin && !row.Open {
		x.Early++
		return
	}
	if x.OneProcess {
		row.Process = 0
	}
	x.Events++
	sink(row)
}

// maxTime keeps times and sums of two of them within an int64.
const maxTime = 1 << 61

func (r *Row) sound() bool {
	return r.Start <= r.End && r.Start > -maxTime && r.End < maxTime
}

// session reads what the export says of itself and of its clock.
func (r *reader) session() {
	meta := r.First("META_DATA_EXPORT", "EXPORT_META_DATA")
	r.x.Product, _ = r.Value(meta, "EXPORT_PRODUCT_VERSION")
	r.x.Schema, _ = r.Value(meta, "EXPORT_SCHEMA_VERSION")
	var utc int64
	if t := "TARGET_INFO_SESSION_START_TIME"; r.Has(t, "utcEpochNs") {
		_ = r.Rows(t, []string{"utcEpochNs"}, func(s *sqlite.Stmt) error {
			utc = max(utc, s.ColumnInt64(0))
			return nil
		})
	}
	shift, _ := r.Value(meta, "EXPORT_PARAM_TIME_SHIFT")
	moved, err := strconv.ParseInt(strings.TrimSpace(shift), 10, 64)
	if err != nil {
		moved = 0
	}
	normal, _ := r.Value(meta, "EXPORT_PARAM_TIME_NORMALIZE")
	r.x.begin = moved
	switch normal = strings.TrimSpace(normal); {
	case strings.EqualFold(normal, "true") || normal == "1":
		r.x.Epoch, r.x.HasEpoch = -moved, true
		r.x.begin += utc
	case utc > 0:
		r.x.Epoch, r.x.HasEpoch = utc-moved, true
	}
	if t := r.First("META_DATA_CAPTURE", "CAPTURE_META_DATA"); r.Has(t, "name", "value") {
		r.Values(t, 32, func(name, value string) {
			if strings.HasSuffix(name, "CUDA_GRAPH_TRACE_OPTIONS:MODE") {
				r.x.GraphMode = strings.ToLower(value)
			}
		})
	}
}

// lookUp reads the strings that rows use, and no others.
func (r *reader) lookUp() {
	ids := r.names.wanted()
	text := make(map[int64]string, len(ids))
	defer func() { r.names.resolve(text) }()
	if !r.Has("StringIds", "id", "value") {
		if len(ids) > 0 {
			r.x.note(0, "the table of names (StringIds) is missing: kernels have no names")
		}
		return
	}
	twice, err := r.Strings(ids, text)
	if err != nil {
		r.x.note(0, "the table of names (StringIds) cannot be read: "+database.Reason(err))
		return
	}
	if twice > 0 {
		r.x.note(0, fmt.Sprintf("%d ids of StringIds have several names: the first is taken", twice))
	}
	if lost := len(ids) - len(text); lost > 0 {
		r.x.note(0, fmt.Sprintf("%d of %d names cannot be found in StringIds", lost, len(ids)))
	}
}

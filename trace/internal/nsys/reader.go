package nsys

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"zombiezen.com/go/sqlite"
)

// reader reads the tables of one database.
type reader struct {
	*database
	names    *names
	sink     Sink
	progress func(int64)
	row      Row
	total    int64 // rows of all tables wanted, as far as their keys tell
	done     int64
	domains  domains
}

// read reads every table that is wanted: GPU rows first, so that whoever takes
// the rows knows which processes count before host rows come.
func (r *reader) read() error {
	r.x.Format = "nsys.sqlite"
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
		if d := r.columns(t.name); d != nil {
			r.total += r.lastKey(t.name)
		}
	}
	for _, t := range tables {
		if r.columns(t.name) == nil {
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
		r.progress(r.size)
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
		r.breaks(name, err, 1, max(r.lastKey(name), got), got)
	}
	return nil
}

// breaks books that rows from one to another cannot be read but for the first
// of them.
func (r *reader) breaks(table string, err error, from, to, got int64) {
	why := "the database is damaged"
	if errors.Is(err, errTooMany) || errors.Is(err, errFault) {
		why = err.Error()
	} else if m := reason(err); m != "" {
		why = m
	}
	what := fmt.Sprintf("%s breaks off after %d rows (%s)", table, from-1+got, why)
	r.x.note(0, what)
	r.x.Skipped += max(to-from+1-got, 0)
	if !r.x.Truncated {
		r.lost(what)
	}
}

// lastKey is the largest row number of a table, which is its number of rows in
// a table that nothing was deleted from; 0 when it cannot be read.
func (r *reader) lastKey(table string) int64 {
	_, last := r.keys(table)
	return min(max(last, 0), r.size/minRow)
}

// scan reads a table with start and end, and calls fill with the other columns
// from place 2 on. It counts and hands out the rows that are sound.
func (r *reader) scan(table string, fill func(v []int64, row *Row), cols ...string) error {
	if !r.has(table, "start", "end") {
		r.x.note(0, table+" has no start or end: its rows are left out")
		return nil
	}
	// A row without a start or an end is made to end before it starts.
	cols = append([]string{"start|9223372036854775807", "end|-9223372036854775807"}, cols...)
	first, n := int64(-1), int64(0)
	err := r.integers(table, cols, func(v []int64) error {
		row := &r.row
		*row = Row{Start: v[0], End: v[1], Bytes: -1}
		fill(v, row)
		n++
		r.tick()
		if !row.sound() {
			if first < 0 {
				first = n
			}
			r.x.Skipped++
			return nil
		}
		r.x.Counts[table]++
		r.hand(row)
		return nil
	}, func(err error, from, to, got int64) {
		if r.ctx.Err() == nil {
			r.breaks(table, err, from, to, got)
		}
	})
	if first >= 0 {
		r.x.note(0, fmt.Sprintf("row %d of %s has no start and end in order", first, table))
	}
	return err
}

// tick tells progress about every 16 Ki rows.
func (r *reader) tick() {
	r.done++
	if r.done&(1<<14-1) == 0 && r.progress != nil && r.total > 0 {
		r.progress(int64(float64(r.size) * min(float64(r.done)/float64(r.total), 1)))
	}
}

// hand gives a row to whoever takes them. Rows from before the session are
// left out: the clock of a session starts at 0, and what ended before is of
// another recording.
func (r *reader) hand(row *Row) { r.x.hand(row, r.sink) }

func (x *Export) hand(row *Row, sink Sink) {
	if row.End < 0 {
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
	meta := r.first("META_DATA_EXPORT", "EXPORT_META_DATA")
	r.x.Product, _ = r.value(meta, "EXPORT_PRODUCT_VERSION")
	r.x.Schema, _ = r.value(meta, "EXPORT_SCHEMA_VERSION")
	var utc int64
	if t := "TARGET_INFO_SESSION_START_TIME"; r.has(t, "utcEpochNs") {
		_ = r.each(r.query(t, "utcEpochNs"), func(s *sqlite.Stmt) error {
			utc = max(utc, s.ColumnInt64(0))
			return nil
		})
	}
	shift, _ := r.value(meta, "EXPORT_PARAM_TIME_SHIFT")
	moved, err := strconv.ParseInt(strings.TrimSpace(shift), 10, 64)
	if err != nil {
		moved = 0
	}
	normal, _ := r.value(meta, "EXPORT_PARAM_TIME_NORMALIZE")
	switch {
	case strings.EqualFold(strings.TrimSpace(normal), "true"):
		r.x.Epoch, r.x.HasEpoch = -moved, true
	case utc > 0:
		r.x.Epoch, r.x.HasEpoch = utc-moved, true
	}
	if t := r.first("META_DATA_CAPTURE", "CAPTURE_META_DATA"); r.has(t, "name", "value") {
		_ = r.each("SELECT substr(value, 1, 32) FROM "+quote(t)+" WHERE name LIKE '%CUDA_GRAPH_TRACE_OPTIONS:MODE'", func(s *sqlite.Stmt) error {
			r.x.GraphMode = strings.ToLower(s.ColumnText(0))
			return nil
		})
	}
}

// lookUp reads the strings that rows use, and no others.
func (r *reader) lookUp() {
	ids := r.names.wanted()
	text := make(map[int64]string, len(ids))
	defer func() { r.names.resolve(text) }()
	if !r.has("StringIds", "id", "value") {
		if len(ids) > 0 {
			r.x.note(0, "the table of names (StringIds) is missing: kernels have no names")
		}
		return
	}
	if err := r.lookUpInto(ids, text); err != nil {
		r.x.note(0, "the table of names (StringIds) cannot be read: "+reason(err))
		return
	}
	if lost := len(ids) - len(text); lost > 0 {
		r.x.note(0, fmt.Sprintf("%d of %d names cannot be found in StringIds", lost, len(ids)))
	}
}

// lookUpInto adds the strings of some ids, each given once, to text.
func (d *database) lookUpInto(ids []int64, text map[int64]string) error {
	if !d.columns("StringIds")["id"].key {
		return d.lookUpAll(ids, text)
	}
	s, _, err := d.conn.PrepareTransient(fmt.Sprintf("SELECT substr(value, 1, %d) FROM StringIds WHERE id = ?", maxName))
	if err != nil {
		return err
	}
	defer func() { _ = s.Finalize() }()
	for _, id := range ids {
		s.BindInt64(1, id)
		if more, err := s.Step(); err == nil && more {
			text[id] = s.ColumnText(0)
		}
		_ = s.Reset()
	}
	return nil
}

// lookUpAll is lookUpInto for a table that has no key to find an id by.
func (d *database) lookUpAll(ids []int64, text map[int64]string) error {
	want := make(map[int64]bool, len(ids))
	for _, id := range ids {
		want[id] = true
	}
	return d.each(d.query("StringIds", "id", "value"), func(s *sqlite.Stmt) error {
		if id := s.ColumnInt64(0); want[id] {
			text[id] = s.ColumnText(1)
		}
		return nil
	})
}

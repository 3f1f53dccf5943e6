package report

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"tokprof/report/document"
)

// perfettoBytes bounds the file: viewers open larger ones, trackers refuse them.
const perfettoBytes = 20_000_000

// WritePerfetto writes the timelines of all windows as Chrome trace JSON,
// which ui.perfetto.dev and chrome://tracing open. A rank is a process, a
// stream or host thread a track, launches point at what they launched. Times
// are µs with three decimals, counted from otherData.base_unix_ns; stretches
// between steps are shortened to 1 ms, and every step carries its true start.
// The file stays under 20 MB: host rows go first, then the shortest kernels.
// It returns how many events are not in the file, those that the timelines
// already lacked included, and errors of w.
func WritePerfetto(w io.Writer, s *document.Set) (truncated int64, err error) {
	return writePerfetto(w, s, perfettoBytes)
}

// writePerfetto is WritePerfetto with a limit in bytes.
func writePerfetto(w io.Writer, s *document.Set, limit int) (truncated int64, err error) {
	d := layout(s)
	d.linkFlows()
	// The head does not depend on the events, but for the digits of a number.
	d.keepWithin(limit - len(d.head(s)) - 40)
	d.linkFlows()
	out := bufio.NewWriter(w)
	out.Write(d.head(s))
	var buf bytes.Buffer
	for _, e := range d.events {
		buf.Reset()
		e.appendSlice(&buf)
		e.appendArrow(&buf)
		if _, err := out.Write(buf.Bytes()); err != nil {
			return d.dropped, err
		}
	}
	out.WriteString("\n]}\n")
	return d.dropped, out.Flush()
}

// linkFlows numbers the arrows: from a launch to the first of its GPU events.
// One graph launch may own hundreds, and one arrow shows where they begin.
func (d *perfettoDrawing) linkFlows() {
	type owner struct {
		line        *document.Timeline
		correlation uint64
	}
	launches, kernels := map[owner]*perfettoEvent{}, map[owner]*perfettoEvent{}
	for _, e := range d.events {
		e.flow = 0
		if e.span == nil || e.span.Correlation == 0 {
			continue
		}
		side := launches
		if e.lane.GPU {
			side = kernels
		}
		o := owner{e.line, e.span.Correlation}
		if first := side[o]; first == nil || e.start < first.start {
			side[o] = e
		}
	}
	flow := 0
	for _, e := range d.events {
		if e.span == nil || e.lane.GPU {
			continue
		}
		o := owner{e.line, e.span.Correlation}
		if k := kernels[o]; k != nil && launches[o] == e {
			flow++
			e.flow, k.flow = flow, flow
		}
	}
}

// keepWithin drops the least informative events until the others fit in limit
// bytes.
func (d *perfettoDrawing) keepWithin(limit int) {
	sizes := make(map[*perfettoEvent]int, len(d.events))
	arrows := map[int]int{} // bytes of both ends
	total := 0
	var order []*perfettoEvent
	var buf bytes.Buffer
	for _, e := range d.events {
		buf.Reset()
		e.appendSlice(&buf)
		sizes[e] = buf.Len()
		e.appendArrow(&buf)
		total += buf.Len()
		arrows[e.flow] += buf.Len() - sizes[e]
		if e.span != nil {
			order = append(order, e)
		}
	}
	if total <= limit {
		return
	}
	slices.SortStableFunc(order, func(x, y *perfettoEvent) int {
		return cmp.Or(cmp.Compare(b2i(x.lane.GPU), b2i(y.lane.GPU)), cmp.Compare(x.dur(), y.dur()))
	})
	drop := map[*perfettoEvent]bool{}
	for _, e := range order {
		if total <= limit {
			break
		}
		total -= sizes[e]
		if !e.lane.GPU {
			// Host rows go first, so that an arrow always goes with its launch.
			total -= arrows[e.flow]
		}
		drop[e] = true
	}
	d.dropped += int64(len(drop))
	d.events = slices.DeleteFunc(d.events, func(e *perfettoEvent) bool { return drop[e] })
}

// head is the file up to the first event: what it is, and the names of
// processes and tracks.
func (d *perfettoDrawing) head(s *document.Set) []byte {
	var b bytes.Buffer
	version := ""
	if len(s.Analyses) > 0 {
		version = s.Analyses[0].Version
	}
	fmt.Fprintf(&b, `{"displayTimeUnit":"ns","otherData":{"tokprof_version":%s,"base_unix_ns":"%d","events_left_out":%d},"traceEvents":[`,
		jsonString(version), d.base, d.dropped)
	var lines []string
	name := func(what string, pid, tid, order int, name string) {
		lines = append(lines,
			fmt.Sprintf(`{"ph":"M","pid":%d,"tid":%d,"name":"%s_name","args":{"name":%s}}`, pid, tid, what, jsonString(name)),
			fmt.Sprintf(`{"ph":"M","pid":%d,"tid":%d,"name":"%s_sort_index","args":{"sort_index":%d}}`, pid, tid, what, order))
	}
	for _, p := range d.processes {
		name("process", p.pid, 0, p.pid, p.name)
	}
	for _, t := range d.tracks {
		name("thread", t.pid, t.tid, t.tid, t.name)
	}
	// Events follow only where there are processes: their leading commas fit.
	b.WriteString("\n" + strings.Join(lines, ",\n"))
	return b.Bytes()
}

// appendSlice writes the slice.
func (e *perfettoEvent) appendSlice(b *bytes.Buffer) {
	name, cat, args := e.describe()
	colour := ""
	if e.kernel() != nil || e.whole() != nil {
		colour = fmt.Sprintf(`"cname":"%s",`, cmp.Or(partColours[e.span.Part], partColours["other"]))
	}
	fmt.Fprintf(b, ",\n"+`{"ph":"X","name":%s,"cat":%s,%s"pid":%d,"tid":%d,"ts":%s,"dur":%s,"args":{%s}}`,
		jsonString(name), jsonString(cat), colour, e.pid, e.tid, micros(e.start), micros(e.dur()), args)
}

// appendArrow writes the end of the arrow that the slice has, if it has one.
func (e *perfettoEvent) appendArrow(b *bytes.Buffer) {
	if e.flow == 0 {
		return
	}
	end := `"ph":"s"`
	if e.lane.GPU {
		end = `"ph":"f","bp":"e"`
	}
	fmt.Fprintf(b, ",\n"+`{%s,"id":%d,"name":"launch","cat":"launch","pid":%d,"tid":%d,"ts":%s}`,
		end, e.flow, e.pid, e.tid, micros(e.start))
}

// partColours are colours by part, near those of the page. The names are the
// reserved ones of chrome://tracing, which refuses a file with any other;
// viewers that colour by name ignore them.
var partColours = map[string]string{
	"attention": "rail_response", "ffn": "rail_idle", "head": "rail_load", "comm": "thread_state_iowait",
	"unattributed": "olive", "other": "generic_work", "graphs": "thread_state_uninterruptible",
}

// Bounds of names in the drawing, in cells.
const (
	sliceCells    = 120
	fullNameCells = 4000
)

// describe is the name, category and arguments of a slice.
func (e *perfettoEvent) describe() (name, cat, args string) {
	if e.span == nil {
		// The exact time is text: viewers read numbers as doubles.
		return cutCells(strings.TrimPrefix(e.line.Title, noPhase+" "), sliceCells), "step", fmt.Sprintf(`"start_unix_ns":"%d","phase":%s,"step":%d,"rank":%d,"events_left_out":%d`,
			e.line.StartUnixNS, jsonString(e.line.Phase), e.line.Step, e.line.Rank, e.line.Truncated)
	}
	var list []string
	if g := e.whole(); g != nil {
		name, cat = g.Name()+" (kernels not recorded)", "whole graph"
		list = append(list, fmt.Sprintf(`"graph_id":%d,"graph_exec_id":%d,"kernels":%s`, g.Graph, g.Exec, jsonString("not recorded; nsys profile --cuda-graph-trace=node records them")))
	} else if k := e.kernel(); k != nil {
		name, cat = kernelShort(k), kernelCategory(k)
		list = append(list, `"group":`+jsonString(cmp.Or(k.Group, "unclassified")),
			`"rule":`+jsonString(k.Rule), `"name":`+jsonString(cutCells(k.Name, fullNameCells)))
		list = append(list, e.placeArgs()...)
	} else {
		name, cat = cmp.Or(printable(e.span.Name), "(no name)"), "host"
		if cellWidth(name) > sliceCells {
			list = append(list, `"name":`+jsonString(cutCells(name, fullNameCells)))
		}
	}
	if e.span.Correlation != 0 {
		list = append(list, `"correlation":`+strconv.FormatUint(e.span.Correlation, 10))
	}
	return cutMiddle(name, sliceCells), cat, strings.Join(list, ",")
}

// placeArgs are the arguments that say where a kernel stands in the pass, each
// only where it is known.
func (e *perfettoEvent) placeArgs() (list []string) {
	if e.span.Part != "" {
		list = append(list, `"part":`+jsonString(e.span.Part))
	}
	if e.span.Role != "" {
		list = append(list, `"role":`+jsonString(e.span.Role))
	}
	if e.span.Layer >= 0 {
		list = append(list, `"layer":`+strconv.Itoa(e.span.Layer))
	}
	return list
}

// micros writes nanoseconds as µs without rounding.
func micros(ns int64) string {
	sign := ""
	if ns < 0 {
		sign, ns = "-", -ns
	}
	return fmt.Sprintf("%s%d.%03d", sign, ns/1000, ns%1000)
}

// jsonString quotes untrusted text; "<" stays one byte.
func jsonString(s string) string {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(printable(s)); err != nil {
		// No text can fail to encode.
		return `""`
	}
	return strings.TrimSuffix(b.String(), "\n")
}

package replay

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"time"
)

// reading is one line of nvml.jsonl, apart where its time stands.
type reading struct {
	t             int64
	before, after string
}

var readingTime = regexp.MustCompile(`"t"\s*:\s*(-?\d+)`)

// loadReadings reads nvml.jsonl, which a recording may lack.
func (rec *Recording) loadReadings() error {
	b, err := rec.File("nvml.jsonl")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("readings of the recording: %w", err)
	}
	for n, line := range bytes.Split(b, []byte("\n")) {
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var v struct {
			T int64 `json:"t"`
		}
		if err := json.Unmarshal(line, &v); err != nil {
			return fmt.Errorf("nvml.jsonl of the recording, line %d: %w", n+1, err)
		}
		if v.T == 0 {
			rec.headers = append(rec.headers, string(line))
			continue
		}
		at := readingTime.FindSubmatchIndex(line)
		if at == nil {
			return fmt.Errorf("nvml.jsonl of the recording, line %d: its time is not written as \"t\"", n+1)
		}
		rec.readings = append(rec.readings, reading{v.T, string(line[:at[2]]), string(line[at[3]:])})
	}
	slices.SortStableFunc(rec.readings, func(a, b reading) int { return int(min(1, max(-1, a.t-b.t))) })
	return nil
}

// cell is a stretch of real time that shows one stretch of recorded time.
// All in Unix nanoseconds.
type cell struct {
	from, to       int64 // real; to is not included
	recFrom, recTo int64 // recorded; readings outside show another window's activity
	shift          int64 // real minus recorded
}

// WriteReadings writes the recorded GPU readings of a stretch of real time in the
// form of nvml.jsonl: a header line for each GPU, then the readings whose shifted
// time lies in [from, to], in order of time. Around each window that was played
// they follow its shift, up to the middle to the next one. Nothing is made up:
// where the recording has no readings, as long pauses between windows, there are
// none. Readings keep their recorded pace whatever Options.Speed.
func (s *Server) WriteReadings(w io.Writer, from, to time.Time) error {
	var b bytes.Buffer
	for _, h := range s.rec.headers {
		b.WriteString(h + "\n")
	}
	for _, c := range s.cells() {
		for _, r := range s.rec.readings {
			real := r.t + c.shift
			if r.t < c.recFrom || r.t >= c.recTo || real < max(c.from, from.UnixNano()) || real >= c.to || real > to.UnixNano() {
				continue
			}
			b.WriteString(r.before)
			b.Write(strconv.AppendInt(nil, real, 10))
			b.WriteString(r.after + "\n")
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// cells shares real time out among the plays of windows that have readings.
func (s *Server) cells() []cell {
	const far = int64(1) << 62
	if len(s.rec.readings) == 0 {
		return nil
	}
	first, last := s.rec.readings[0].t, s.rec.readings[len(s.rec.readings)-1].t
	s.mu.Lock()
	defer s.mu.Unlock()
	var cells []cell
	var ends []int64 // of each cell's own window, real
	for _, p := range s.plays {
		a, b := p.window.Span()
		if !p.anchored || b < first || a > last {
			continue
		}
		shift := p.real - p.rec
		c := cell{from: -far, to: far, recFrom: -far, recTo: far, shift: shift}
		c.recFrom, c.recTo = s.rec.neighbours(p.window)
		if n := len(cells); n > 0 {
			// A window may be cut short by the next one.
			start := a + shift
			edge := start - max(0, start-ends[n-1])/2
			cells[n-1].to, c.from = edge, edge
		}
		cells, ends = append(cells, c), append(ends, b+shift)
	}
	if len(cells) == 0 {
		return []cell{{from: -far, to: far, recFrom: -far, recTo: far, shift: s.made - first}}
	}
	return cells
}

// neighbours is the recorded time that belongs to a window: up to the middle to
// the windows before and after it.
func (rec *Recording) neighbours(w *Window) (from, to int64) {
	from, to = -1<<62, 1<<62
	a, b := w.Span()
	for i := range rec.Windows {
		x, y := rec.Windows[i].Span()
		switch {
		case x == 0 || &rec.Windows[i] == w:
		case y <= a:
			from = max(from, y+(a-y)/2)
		case x >= b:
			to = min(to, b+(x-b)/2)
		}
	}
	return from, to
}

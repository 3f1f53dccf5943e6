package nvml

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// What a Recording's NVLink counters count. An older recording may not say.
const (
	AllLinks  = "all links"
	FirstLink = "link 0 only" // of N evenly used links: the GPU's traffic is N times that
)

// Recording is a run of readings with the GPUs that gave them. On disk it is
// JSON lines: a line per GPU with its Device, then a line per Reading, "t" being
// its Unix nanoseconds and each other name a Field.
type Recording struct {
	Devices   []Device
	Readings  []Reading // in the order of time
	LinkScope string    // as all Devices say: AllLinks, FirstLink or, where one does not, ""

	// Torn says that the end was cut off: inside a line or inside the compression.
	Torn bool
	// Damaged counts what could not be read; Damage names the first of it.
	Damaged int
	Damage  []Damage
}

// Damage is something in a recording that could not be read.
type Damage struct {
	Line int // from 1
	What string
}

// String says where and what.
func (d Damage) String() string { return fmt.Sprintf("line %d: %s", d.Line, d.What) }

// Series returns the readings of a GPU.
func (rec *Recording) Series(gpu int) Series {
	var s Series
	for _, r := range rec.Readings {
		if r.GPU == gpu {
			s = append(s, r)
		}
	}
	return s
}

// GPUs lists the indices that have a device or a reading, ascending.
func (rec *Recording) GPUs() []int {
	var all []int
	for _, d := range rec.Devices {
		all = append(all, d.Index)
	}
	seen := make(map[int]bool)
	for _, r := range rec.Readings {
		if !seen[r.GPU] {
			seen[r.GPU] = true
			all = append(all, r.GPU)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Device finds the description of a GPU.
func (rec *Recording) Device(gpu int) (Device, bool) {
	i := slices.IndexFunc(rec.Devices, func(d Device) bool { return d.Index == gpu })
	if i < 0 {
		return Device{Index: gpu}, false
	}
	return rec.Devices[i], true
}

// Between cuts a recording to the Unix ns [from, to]. Where the recording
// reaches beyond an edge, each GPU gets a reading at that edge which repeats
// what it had last told (within 2 s), so that levels, integrals and counters
// cover the window whole and windows side by side add up.
func (rec *Recording) Between(from, to int64) *Recording {
	out := *rec
	out.Readings = nil
	for _, gpu := range rec.GPUs() {
		out.Readings = append(out.Readings, rec.Series(gpu).Between(from, to)...)
	}
	slices.SortStableFunc(out.Readings, func(a, b Reading) int { return cmp.Compare(a.UnixNS, b.UnixNS) })
	return &out
}

// WriteTo writes the recording as JSON lines.
func (rec *Recording) WriteTo(w io.Writer) (int64, error) {
	out := NewRecordWriter(w)
	for i := range rec.Devices {
		if err := out.Device(&rec.Devices[i]); err != nil {
			return out.written, err
		}
	}
	for i := range rec.Readings {
		if err := out.Reading(&rec.Readings[i]); err != nil {
			return out.written, err
		}
	}
	return out.written, out.Flush()
}

// RecordWriter writes a recording line by line. It hands whole lines on, so
// that a process that is stopped leaves no torn one behind.
type RecordWriter struct {
	w       io.Writer
	buf     []byte
	written int64
}

// NewRecordWriter returns a writer to w.
func NewRecordWriter(w io.Writer) *RecordWriter { return &RecordWriter{w: w} }

// flushAt is how many bytes of whole lines are collected before they go out.
const flushAt = 1 << 14

// Device writes a GPU's line; these come before its readings.
func (o *RecordWriter) Device(d *Device) error {
	line, err := json.Marshal(d)
	if err != nil {
		return err
	}
	o.buf = append(append(o.buf, line...), '\n')
	return o.Flush()
}

// Reading writes a reading's line, sooner or later: Flush makes it sooner.
func (o *RecordWriter) Reading(r *Reading) error {
	o.buf = append(r.appendJSON(o.buf), '\n')
	if len(o.buf) >= flushAt {
		return o.Flush()
	}
	return nil
}

// Flush writes what has been collected.
func (o *RecordWriter) Flush() error {
	n, err := o.w.Write(o.buf)
	o.written += int64(n)
	o.buf = o.buf[:0]
	return err
}

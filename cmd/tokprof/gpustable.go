package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"tokprof/nvml"
)

// writeHost says in two lines what the host is.
func writeHost(w io.Writer, v nvml.Versions, devices []nvml.Device, t *nvml.Topology) {
	gpus := fmt.Sprintf("%d GPUs, %s", len(devices), t.Describe())
	if len(devices) == 1 {
		gpus = "1 GPU"
	}
	fmt.Fprintf(w, "%s; driver %s, CUDA %s\n", gpus, orDash(v.Driver), orDash(v.CUDA))
	for i := range devices {
		d := &devices[i]
		if n := d.ActiveLinks(); n > 0 {
			fmt.Fprintf(w, "NVLink: %d links a GPU, %s each way%s\n", n, bytesPerSecond(d.LinkBytesPerSecond()), lineRate(d))
			break
		}
	}
	fmt.Fprintln(w)
}

// lineRate is the speed of a link as nvidia-smi nvlink -s shows it: what the
// wires carry, overhead included.
func lineRate(d *nvml.Device) string {
	for _, l := range d.Links {
		if l.Active && l.SpeedMBps > 0 {
			return fmt.Sprintf("; line rate %.3f GB/s a link", float64(l.SpeedMBps)/1000)
		}
	}
	return ""
}

// gpuColumns are the columns of the table of GPUs. Together they take 62
// columns; the last one, which is free in width, the rest of 80.
var gpuColumns = []struct {
	title string
	width int // negative: to the left
	cell  func(*nvml.Device, *nvml.Reading) string
}{
	{"GPU", 3, func(d *nvml.Device, _ *nvml.Reading) string { return strconv.Itoa(d.Index) }},
	{"name", -15, func(d *nvml.Device, _ *nvml.Reading) string { return orDash(strings.TrimPrefix(d.Name, "NVIDIA ")) }},
	{"power W", 8, func(d *nvml.Device, r *nvml.Reading) string {
		return of(r, nvml.Power, 1000, d.PowerLimitMW)
	}},
	{"SM MHz", 9, func(d *nvml.Device, r *nvml.Reading) string { return of(r, nvml.SMClock, 1, d.MaxSMClockMHz) }},
	{"temp", 5, func(_ *nvml.Device, r *nvml.Reading) string { return with(r, nvml.Temp, " °C") }},
	{"mem GiB", 9, func(d *nvml.Device, r *nvml.Reading) string { return of(r, nvml.MemUsed, 1<<30, d.MemoryBytes) }},
	{"busy", 5, func(_ *nvml.Device, r *nvml.Reading) string { return with(r, nvml.UtilGPU, " %") }},
}

// of writes a value of a GPU beside its limit, both divided by a unit.
func of(r *nvml.Reading, f nvml.Field, unit, limit uint64) string {
	v, ok := r.Value(f)
	if !ok {
		return "-"
	}
	s := strconv.FormatUint((v+unit/2)/unit, 10)
	if limit > 0 {
		s += "/" + strconv.FormatUint((limit+unit/2)/unit, 10)
	}
	return s
}

func with(r *nvml.Reading, f nvml.Field, unit string) string {
	v, ok := r.Value(f)
	if !ok {
		return "-"
	}
	return strconv.FormatUint(v, 10) + unit
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func tableHead(last string) string {
	var b strings.Builder
	for _, c := range gpuColumns {
		b.WriteString(pad(c.title, c.width) + " ")
	}
	return b.String() + last
}

func tableRow(d *nvml.Device, r *nvml.Reading, last string) string {
	var b strings.Builder
	for _, c := range gpuColumns {
		b.WriteString(pad(c.cell(d, r), c.width) + " ")
	}
	return strings.TrimRight(clip(b.String()+last, 80), " ")
}

// pad fills to a width in characters, from the left when it is negative.
func pad(s string, width int) string {
	if width < 0 {
		return fmt.Sprintf("%-*s", -width, clip(s, -width))
	}
	return fmt.Sprintf("%*s", width, clip(s, width))
}

func clip(s string, width int) string {
	if r := []rune(s); len(r) > width {
		return string(r[:width-1]) + "…"
	}
	return s
}

// writeTable writes a line per GPU.
func writeTable(w io.Writer, devices []nvml.Device, readings []nvml.Reading) {
	fmt.Fprintln(w, tableHead("clocks held by"))
	for i := range devices {
		r := &nvml.Reading{}
		for k := range readings {
			if readings[k].GPU == devices[i].Index {
				r = &readings[k]
			}
		}
		fmt.Fprintln(w, tableRow(&devices[i], r, heldBy(r)))
	}
}

func heldBy(r *nvml.Reading) string {
	if _, ok := r.Value(nvml.ReasonBits); !ok {
		return "-"
	}
	if r.Reasons == 0 {
		return "nothing"
	}
	return r.Reasons.String()
}

// writeTopology draws the matrix and says what its words mean.
func writeTopology(w io.Writer, t *nvml.Topology, width int) {
	fmt.Fprint(w, t.Table(width))
	fmt.Fprintln(w)
	for _, p := range t.Kinds() {
		fmt.Fprintf(w, "  %-4s  %s\n", p, p.Meaning())
	}
	for _, n := range t.Nodes {
		if n.Device != "" {
			fmt.Fprintf(w, "  %-4s  %s\n", n.Name, n.Device)
		}
	}
}

// gpuWatch shows readings as they come: on a terminal a table that is drawn
// anew, anywhere else a line per reading.
type gpuWatch struct {
	out      io.Writer
	terminal bool
	devices  []nvml.Device
	topology *nvml.Topology
	versions nvml.Versions
	now      map[int]nvml.Reading // the latest of each GPU, with older values where it has none
	before   map[int]nvml.Reading // the one before it
	begun    bool
	err      error
}

func (v *gpuWatch) add(r nvml.Reading) error {
	if v.now == nil {
		v.now, v.before = map[int]nvml.Reading{}, map[int]nvml.Reading{}
	}
	older := v.now[r.GPU]
	r.Fill(&older)
	v.before[r.GPU], v.now[r.GPU] = older, r
	switch {
	case !v.terminal:
		v.line(r.GPU)
	case len(v.now) == len(v.devices) && r.GPU == v.devices[len(v.devices)-1].Index:
		v.redraw()
	}
	return v.err
}

func (v *gpuWatch) print(s string) {
	if v.err == nil {
		_, v.err = io.WriteString(v.out, s)
	}
}

const watchHead = "NVLink GB/s in/out"

func (v *gpuWatch) line(gpu int) {
	if !v.begun {
		v.begun = true
		v.print("time     " + clip(tableHead(watchHead), 71) + "\n")
	}
	for i := range v.devices {
		if r := v.now[gpu]; v.devices[i].Index == gpu {
			v.print(clip(time.Unix(0, r.UnixNS).Format(time.TimeOnly)+" "+tableRow(&v.devices[i], &r, v.traffic(gpu)), 80) + "\n")
		}
	}
}

func (v *gpuWatch) redraw() {
	var b strings.Builder
	b.WriteString("\x1b[H\x1b[2J")
	writeHost(&b, v.versions, v.devices, v.topology)
	b.WriteString(clip(tableHead(watchHead), 80) + "\n")
	for i := range v.devices {
		d := &v.devices[i]
		r := v.now[d.Index]
		b.WriteString(tableRow(d, &r, v.traffic(d.Index)) + "\n")
		if t := r.Reasons.Throttled(); t != 0 {
			b.WriteString("    clocks held by " + t.String() + "\n")
		}
	}
	b.WriteString("\nCtrl-C ends\n")
	v.print(b.String())
}

// traffic is what the NVLinks moved since the reading before.
func (v *gpuWatch) traffic(gpu int) string {
	s := nvml.Series{v.before[gpu], v.now[gpu]}
	in, okIn := s.Delta(nvml.NVLinkRx)
	out, okOut := s.Delta(nvml.NVLinkTx)
	if !okIn || !okOut {
		return "-"
	}
	return fmt.Sprintf("%.1f/%.1f", in.PerSecond()*1024/1e9, out.PerSecond()*1024/1e9)
}

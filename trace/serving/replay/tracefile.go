package replay

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io/fs"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// traced is a trace to write: which recorded one, and under which name.
type traced struct {
	recorded, name string
	rank           int // −1 for a front end's
}

var (
	rankName     = regexp.MustCompile(`^(.*rank)(\d+)\.(\d{16,20})(\.pt\.trace\.json(?:\.gz)?)$`)
	frontendName = regexp.MustCompile(`^(.+\.async_llm)\.(\d{16,20})(\.pt\.trace\.json(?:\.gz)?)$`)
)

// traces names a profile's files as the played version does, with the time in
// each name moved.
func (s *Server) traces(n *session, engines int) []traced {
	shift := n.play.shift()
	moved := func(ns string) int64 {
		v, err := strconv.ParseInt(ns, 10, 64)
		if err != nil {
			return shift
		}
		return v + shift
	}
	var out []traced
	var ends []string
	for _, name := range n.window.Traces {
		if m := rankName.FindStringSubmatch(name); m != nil {
			rank, _ := strconv.Atoi(m[2])
			end := fmt.Sprintf(".%d%s", moved(m[3]), m[4])
			out = append(out, traced{name, s.rankName(n, m[1], rank) + end, rank})
			ends = append(ends, end)
		} else if m := frontendName.FindStringSubmatch(name); m != nil && s.opts.Engine == VLLM {
			out = append(out, traced{name, fmt.Sprintf("%s.%d%s", m[1], moved(m[2]), m[3]), -1})
		}
	}
	if s.opts.Engine == SGLang {
		for i := range out {
			out[i].name = fmt.Sprintf("%s-TP-%d.trace.json.gz", n.prefix, out[i].rank)
		}
	}
	if engines > 1 && len(ends) > 0 {
		ranks := slices.DeleteFunc(slices.Clone(out), func(t traced) bool { return t.rank < 0 })
		out = nil
		for d := range engines {
			from := ranks[d%len(ranks)]
			name := fmt.Sprintf("%sdp%d_pp0_tp0_dcp0_ep0_rank0%s", n.prefix, d, ends[d%len(ends)])
			if s.opts.Engine == SGLang {
				name = fmt.Sprintf("%s-TP-0-DP-%d.trace.json.gz", n.prefix, d)
			}
			out = append(out, traced{from.recorded, name, d})
		}
	}
	return out
}

// rankName is a worker's part of its file's name.
func (s *Server) rankName(n *session, recorded string, rank int) string {
	switch {
	case s.release.before(11, 1):
		return fmt.Sprintf("host_%d", 1000+rank)
	case s.release.before(17, 0):
		return fmt.Sprintf("%05x-rank-%d", n.started&0xfffff, rank)
	}
	return n.prefix + recorded + strconv.Itoa(rank)
}

// trace gives a recorded trace with its clock moved by shift nanoseconds, and
// cut to its first steps when limit is not 0. Gzip members behind the one that
// holds the clock are taken as they are, so that a recording cut for this costs
// nothing to play.
func (rec *Recording) trace(name string, shift int64, limit int) ([]byte, error) {
	raw, err := fs.ReadFile(rec.fsys, name)
	if err != nil {
		return nil, err
	}
	if !strings.HasSuffix(name, ".gz") {
		return moveClock(cutSteps(raw, limit), shift, name)
	}
	r := bytes.NewReader(raw)
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	z.Multistream(limit > 0)
	text, err := readBounded(z, maxTrace, name)
	if err != nil {
		return nil, err
	}
	rest := raw[len(raw)-r.Len():]
	if !bytes.Contains(text, clockKey) && len(rest) > 0 {
		if err := z.Reset(bytes.NewReader(raw)); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if text, err = readBounded(z, maxTrace, name); err != nil {
			return nil, err
		}
		rest = nil
	}
	if text, err = moveClock(cutSteps(text, limit), shift, name); err != nil {
		return nil, err
	}
	data, err := compress(text)
	return append(data, rest...), err
}

func compress(text []byte) ([]byte, error) {
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(text); err != nil {
		return nil, err
	}
	err = z.Close()
	return b.Bytes(), err
}

var (
	clockKey = []byte(`"baseTimeNanoseconds"`)
	clock    = regexp.MustCompile(`^\s*:\s*(\d+)`)
)

// moveClock adds shift to a trace's baseTimeNanoseconds, which all its times count from.
func moveClock(text []byte, shift int64, name string) ([]byte, error) {
	i := bytes.Index(text, clockKey)
	if i < 0 {
		return nil, fmt.Errorf("%s has no baseTimeNanoseconds: its clock cannot be moved to now", name)
	}
	i += len(clockKey)
	m := clock.FindSubmatchIndex(text[i:])
	if m == nil {
		return nil, fmt.Errorf("%s: baseTimeNanoseconds at byte %d is no whole number", name, i)
	}
	base, err := strconv.ParseInt(string(text[i+m[2]:i+m[3]]), 10, 64)
	if err != nil {
		return nil, fmt.Errorf("%s: baseTimeNanoseconds at byte %d: %w", name, i, err)
	}
	return slices.Concat(text[:i+m[2]], strconv.AppendInt(nil, base+shift, 10), text[i+m[3]:]), nil
}

// cutSteps keeps what began before the step after the first limit ones, as a
// profiler leaves it that stops there. It knows torch's own layout; a trace laid
// out otherwise, or with no more steps, stays whole.
func cutSteps(text []byte, limit int) []byte {
	const open, between, end = "\"traceEvents\": [\n  {\n", "\n  },\n  {\n", "\n  }\n"
	i := bytes.Index(text, []byte(open))
	if limit <= 0 || i < 0 {
		return text
	}
	i += len(open)
	j := bytes.LastIndex(text, []byte(end))
	if j < i {
		return text
	}
	events := bytes.Split(text[i:j], []byte(between))
	read := make([]event, len(events))
	var begins [2][]float64 // of steps, on the host and on the device
	for k, e := range events {
		read[k] = readEvent(e)
		if read[k].step {
			begins[read[k].side] = append(begins[read[k].side], read[k].ts)
		}
	}
	ends := [2]float64{nth(begins[host], limit), nth(begins[device], limit)}
	kept := events[:0:0]
	for k, e := range events {
		if !read[k].timed || read[k].ts < ends[read[k].side] {
			kept = append(kept, e)
		}
	}
	return slices.Concat(text[:i], bytes.Join(kept, []byte(between)), text[j:])
}

// Where an event happened.
const (
	host = iota
	device
)

// event is what cutSteps needs of one event.
type event struct {
	ts          float64 // microseconds
	side        int
	timed, step bool
}

// readEvent reads an event in torch's layout; what it cannot read is not timed.
func readEvent(text []byte) (e event) {
	cat, ts := field(text, `"cat": "`), field(text, `"ts": `)
	if cat == "" {
		return e
	}
	v, err := strconv.ParseFloat(ts, 64)
	e.ts, e.timed = v, err == nil
	if strings.HasPrefix(cat, "gpu_") || cat == "kernel" || cat == "ac2g" && field(text, `"ph": "`) == "f" {
		e.side = device
	}
	e.step = e.timed && (cat == "user_annotation" || cat == "gpu_user_annotation") && strings.HasPrefix(field(text, `"name": "`), "execute_")
	return e
}

// field is what follows a key, up to the next quote or comma.
func field(text []byte, key string) string {
	_, after, ok := bytes.Cut(text, []byte(key))
	if !ok {
		return ""
	}
	return string(after[:max(0, bytes.IndexAny(after, "\",\n"))])
}

func nth(v []float64, n int) float64 {
	if n >= len(v) {
		return math.Inf(1)
	}
	slices.Sort(v)
	return v[n]
}

// frontend is the trace of an API server: host work without a GPU event.
func frontend(started int64) []byte {
	return fmt.Appendf(nil, `{
  "schemaVersion": 1,
  "deviceProperties": [],
  "displayTimeUnit": "ms",
  "baseTimeNanoseconds": %d,
  "traceEvents": [
  {
    "ph": "X", "cat": "cpu_op", "name": "aten::empty", "pid": 1000, "tid": 1000,
    "ts": 120.000, "dur": 4.500,
    "args": {
      "External id": 1
    }
  },
  {
    "name": "Record Window End", "ph": "i", "s": "g",
    "pid": "", "tid": "", "ts": 90000.000
  }
  ],
  "traceName": "trace.json"
}
`, started)
}

package serving

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Metrics is one scrape of a server, or what changed between two (Delta).
type Metrics struct {
	Engine  Engine
	Skipped int  // damaged lines left out
	Reset   bool // of a Delta: a counter fell, so the server restarted between

	families map[string]*family
}

// family is one metric with all its label sets.
type family struct {
	kind   dto.MetricType
	series []series
}

// series is one label set; a histogram has sum, count and buckets, everything
// else a value.
type series struct {
	labels     map[string]string
	value      float64
	sum, count float64
	buckets    []Bucket
}

// Bucket is one bucket of a histogram: how many samples were at most Le.
type Bucket struct {
	Le    float64
	Count float64
}

// maxSkipped damaged lines are left out of a scrape; more, and it is no scrape.
const maxSkipped = 10_000

// ParseMetrics reads Prometheus text. Damaged lines are left out and counted; an
// error comes only from the reader, or where nothing was legible.
func ParseMetrics(r io.Reader) (Metrics, error) {
	m := Metrics{families: map[string]*family{}}
	b, err := io.ReadAll(io.LimitReader(r, maxReply+1))
	if err != nil {
		return m, err
	}
	if len(b) > maxReply {
		return m, fmt.Errorf("the metrics are larger than %d MiB", maxReply>>20)
	}
	// One damaged line ends expfmt's parser, so each family is parsed apart.
	for block := range familyBlocks(m.withoutBraces(b)) {
		if err := m.parse(block); err != nil {
			return m, err
		}
	}
	if m.Skipped > 0 && m.Len() == 0 {
		return m, fmt.Errorf("no line of %d is a Prometheus metric", m.Skipped)
	}
	m.Engine = m.engine()
	return m, nil
}

// familyBlocks cuts text before each comment that names another metric.
func familyBlocks(b []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		start, at, name := 0, 0, ""
		for line := range bytes.Lines(b) {
			if f := bytes.Fields(line[:min(len(line), 1<<10)]); len(f) >= 3 && f[0][0] == '#' && string(f[2]) != name {
				if at > start && !yield(b[start:at]) {
					return
				}
				start, name = at, string(f[2])
			}
			at += len(line)
		}
		if at > start {
			yield(b[start:at])
		}
	}
}

var errorLine = regexp.MustCompile(`line (\d+):`)

// parse adds a block, without the lines that the parser stumbles over: those
// before are parsed again, then those behind, both under the block's comments.
func (m *Metrics) parse(block []byte) error {
	if block[len(block)-1] != '\n' {
		block = append(slices.Clip(block), '\n')
	}
	var comments, good []byte
	for rest := block; len(rest) > 0; {
		n, err := m.parseLines(comments, rest)
		if err == nil {
			return nil
		}
		if m.Skipped++; m.Skipped > maxSkipped {
			return fmt.Errorf("this is no Prometheus text: %w", err)
		}
		good, rest = cutLine(rest, n-bytes.Count(comments, []byte("\n")))
		if _, err := m.parseLines(comments, good); err != nil {
			m.Skipped++
		}
		if comments == nil {
			comments = leadingComments(good)
		}
	}
	return nil
}

// parseLines adds the metrics of lines, or says in which line there is damage.
func (m *Metrics) parseLines(comments, lines []byte) (damaged int, err error) {
	defer func() {
		if failed := recover(); failed != nil {
			// Which line did it is not known, so none of these count.
			m.Skipped += bytes.Count(lines, []byte("\n"))
			damaged, err = math.MaxInt32, fmt.Errorf("a line that expfmt cannot read: %v", failed)
		}
	}()
	p := expfmt.NewTextParser(model.UTF8Validation)
	families, err := p.TextToMetricFamilies(io.MultiReader(bytes.NewReader(comments), bytes.NewReader(lines)))
	if err != nil {
		if at := errorLine.FindStringSubmatch(err.Error()); at != nil {
			damaged, _ = strconv.Atoi(at[1])
		}
		return damaged, err
	}
	for name, f := range families {
		m.add(name, f)
	}
	return 0, nil
}

// withoutBraces leaves out lines that begin with a brace, as names in quotes do: no
// engine has such, and expfmt 0.67 takes a line without any for one before.
func (m *Metrics) withoutBraces(b []byte) []byte {
	if bytes.IndexByte(b, '{') < 0 {
		return b
	}
	out := b[:0]
	for line := range bytes.Lines(b) {
		if bytes.HasPrefix(bytes.TrimLeft(line, " \t"), []byte("{")) {
			m.Skipped++
			continue
		}
		out = append(out, line...)
	}
	return out
}

// cutLine is what stands before line n, counted from 1, and what stands behind it.
func cutLine(b []byte, n int) (before, behind []byte) {
	at := 0
	for line := range bytes.Lines(b) {
		if n--; n <= 0 {
			return b[:at], b[at+len(line):]
		}
		at += len(line)
	}
	return b, nil
}

func leadingComments(b []byte) []byte {
	at := 0
	for line := range bytes.Lines(b) {
		if line[0] != '#' {
			break
		}
		at += len(line)
	}
	return b[:at]
}

func (m *Metrics) add(name string, f *dto.MetricFamily) {
	into := m.families[name]
	if into == nil {
		into = &family{kind: f.GetType()}
		m.families[name] = into
	}
	for _, x := range f.GetMetric() {
		s := series{labels: map[string]string{}}
		for _, l := range x.GetLabel() {
			s.labels[l.GetName()] = l.GetValue()
		}
		switch {
		case x.Counter != nil:
			s.value = x.Counter.GetValue()
		case x.Gauge != nil:
			s.value = x.Gauge.GetValue()
		case x.Untyped != nil:
			s.value = x.Untyped.GetValue()
		case x.Histogram != nil:
			h := x.Histogram
			s.sum, s.count = h.GetSampleSum(), max(float64(h.GetSampleCount()), h.GetSampleCountFloat())
			for _, b := range h.GetBucket() {
				s.buckets = append(s.buckets, Bucket{b.GetUpperBound(), max(float64(b.GetCumulativeCount()), b.GetCumulativeCountFloat())})
			}
		case x.Summary != nil:
			s.sum, s.count = x.Summary.GetSampleSum(), float64(x.Summary.GetSampleCount())
		}
		into.series = append(into.series, s)
	}
}

func (m Metrics) engine() Engine {
	for _, e := range []struct {
		prefix string
		engine Engine
	}{{"vllm:", VLLM}, {"sglang:", SGLang}, {"trtllm_", TensorRTLLM}} {
		if m.HasPrefix(e.prefix) {
			return e.engine
		}
	}
	return Unknown
}

// Len is the number of metrics.
func (m Metrics) Len() int { return len(m.families) }

// Names are the metrics' names in order.
func (m Metrics) Names() []string { return slices.Sorted(maps.Keys(m.families)) }

// Has says whether the scrape has a metric of this name.
func (m Metrics) Has(name string) bool { return m.families[name] != nil }

// HasPrefix says whether the scrape has a metric whose name begins so.
func (m Metrics) HasPrefix(prefix string) bool {
	for name := range m.families {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// Labels are those of a metric's first label set, as for the metrics whose names
// end in _info.
func (m Metrics) Labels(name string) map[string]string {
	if f := m.families[name]; f != nil && len(f.series) > 0 {
		return f.series[0].labels
	}
	return nil
}

// Sum adds up a metric's values whose label has the value given; label "" takes
// all.
func (m Metrics) Sum(name, label, value string) (sum float64, ok bool) {
	f := m.families[name]
	if f == nil {
		return 0, false
	}
	for _, s := range f.series {
		if label == "" || s.labels[label] == value {
			sum += s.value
			ok = true
		}
	}
	return sum, ok
}

// Engines is the number of data-parallel engines that the metrics tell apart, 0
// when they do not.
func (m Metrics) Engines() int {
	seen := map[string]bool{}
	for name, f := range m.families {
		if !strings.HasPrefix(name, "vllm:") && !strings.HasPrefix(name, "sglang:") {
			continue
		}
		for _, s := range f.series {
			if e, ok := s.labels["engine"]; ok {
				seen[e] = true
			} else if e, ok := s.labels["dp_rank"]; ok {
				seen[e] = true
			}
		}
	}
	return len(seen)
}

// Metrics scrapes the server: the text as it came, and what it says.
func (s *Server) Metrics(ctx context.Context) (raw []byte, m Metrics, err error) {
	path := s.Facts.MetricsPath
	if path == "" {
		return nil, m, fmt.Errorf("%s shows no Prometheus metrics%s", s.URL(), map[Engine]string{SGLang: ": start it with --enable-metrics"}[s.Facts.Engine])
	}
	r, err := s.ask(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, m, err
	}
	if !r.ok() {
		return nil, m, fmt.Errorf("%s answered %d to GET %s: %s", s.URL(), r.status, path, s.said(r))
	}
	m, err = ParseMetrics(bytes.NewReader(r.body))
	return r.body, m, err
}

// Scrape is one of several scrapes in a file.
type Scrape struct {
	UnixNS  int64
	Metrics Metrics
}

// scrapeMark stands before each scrape of a file of several.
const scrapeMark = "# scraped_unix_ns "

// AppendScrape adds a scrape to a file of several, as Scrapes reads it.
func AppendScrape(dst []byte, unixNS int64, raw []byte) []byte {
	dst = strconv.AppendInt(append(dst, scrapeMark...), unixNS, 10)
	dst = append(append(dst, '\n'), raw...)
	if dst[len(dst)-1] != '\n' {
		dst = append(dst, '\n')
	}
	return dst
}

// Scrapes reads a file of several scrapes, gzipped or not, one at a time. Text
// before the first mark is a scrape of time 0. An error ends the file, or belongs
// to the scrape beside it.
func Scrapes(r io.Reader) iter.Seq2[Scrape, error] {
	return func(yield func(Scrape, error) bool) {
		in := bufio.NewReaderSize(r, 1<<16)
		if magic, _ := in.Peek(2); string(magic) == "\x1f\x8b" {
			z, err := gzip.NewReader(in)
			if err != nil {
				yield(Scrape{}, err)
				return
			}
			in = bufio.NewReaderSize(z, 1<<16)
		}
		var text []byte
		at, marked := int64(0), false
		flush := func() bool {
			if !marked && len(bytes.TrimSpace(text)) == 0 {
				return true
			}
			m, err := ParseMetrics(bytes.NewReader(text))
			return yield(Scrape{at, m}, err)
		}
		for {
			line, err := in.ReadSlice('\n')
			if mark, ok := bytes.CutPrefix(line, []byte(scrapeMark)); ok {
				if !flush() {
					return
				}
				text, marked = text[:0], true
				at, _ = strconv.ParseInt(strings.TrimSpace(string(mark)), 10, 64)
			} else if len(text) <= maxReply { // beyond, ParseMetrics says so
				text = append(text, line...)
			}
			if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
				if flush() && !errors.Is(err, io.EOF) {
					yield(Scrape{}, err)
				}
				return
			}
		}
	}
}

package gpus

import (
	"slices"

	"tokprof/nvml"
	"tokprof/report/document"
	"tokprof/report/figures"
)

// linkMargin is by how many periods of the readings the counters are read
// before and behind the window: a reading's time is that of its first value,
// and the counters come last.
const linkMargin = 2

// linkCheck compares where all ranks are in one file each and send alike: then
// it does not matter which ran on which GPU.
func (j *Joined) linkCheck() {
	if j.placed.why != "" || j.window.Unseen > 0 || len(j.ranks) < 2 {
		return
	}
	sent := j.window.Sent()
	if len(sent.Bytes) == 0 || slices.Max(sent.Bytes) == 0 || float64(slices.Min(sent.Bytes)) < 0.99*float64(slices.Max(sent.Bytes)) {
		return
	}
	counted, quiet, ok := j.countedBytes()
	if !ok {
		return
	}
	c := &document.LinkCheck{TracedBytes: sent.Bytes[0], SizedShare: figures.Share(sent.Sized, sent.All), CountedBytes: counted, Quiet: quiet, TracedMostBytes: sent.Bytes[0] + sent.Small}
	c.Ratio = float64(counted) / float64(sent.Bytes[0])
	j.a.Readings.Links = c
}

// countedBytes is what the counters of the ranks' GPUs say that each sent.
func (j *Joined) countedBytes() (bytes int64, quiet, ok bool) {
	from, to := j.span()
	margin := linkMargin * j.a.Readings.PeriodNS
	quiet = true
	n := int64(0)
	for _, c := range j.placed.crews {
		for _, g := range c.gpus {
			s := j.host.Readings.Series(g)
			moved := func(from, to int64) (int64, bool) {
				d, ok := s.Between(from, to).Delta(nvml.NVLinkTx)
				return int64(d.Value) * 1024, ok && d.Resets == 0
			}
			x, ok := moved(from-margin, to+margin)
			if !ok {
				return 0, false, false
			}
			bytes += x
			n++
			for _, edge := range [][2]int64{{from - 3*margin, from - margin}, {to + margin, to + 3*margin}} {
				still, ok := moved(edge[0], edge[1])
				quiet = quiet && ok && still == 0
			}
		}
	}
	if n == 0 {
		return 0, false, false
	}
	return bytes / n, quiet, true
}

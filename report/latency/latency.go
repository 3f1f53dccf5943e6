// Package latency says where the time of a request went: it joins what clients
// saw with the steps that their engines ran, and splits each request's time to
// its first token, and between tokens, into waiting, the parts of the steps, and
// delivery. It also compares a load with its twin without the profiler. It knows
// steps as counts, times and named parts, no traces and no kernels.
package latency

import "tokprof/trace/serving"

// Load is what the clients of one window saw.
type Load struct {
	Window string
	// Requests are the rows of this window, and those of others that were running
	// at the time: these take part in the join, not in the statistics. Rows may be
	// damaged.
	Requests []serving.Request
	Servers  int // that the rows' Server tells apart
	// Plain are the rows of the same load without the profiler.
	Plain       []serving.Request
	PlainWindow string
}

// Engine is a scheduler with steps of its own: a server, or one of its
// data-parallel replicas.
type Engine struct {
	Rank   int // whose numbers the steps have
	Server int // as the rows count them, -1 when unknown
	Steps  []Step
}

// Explain says what the clients of a load saw, and where in the steps of the
// engines that served them the time went; nil when no row is of its window. With
// a reason there is no join, and the reason is told. words call a part in a
// sentence; parts without are called "NAME kernels".
func Explain(l *Load, engines []Engine, reason string, words map[string]string) *Requests {
	own, all := l.rows()
	if len(own) == 0 {
		return nil
	}
	q := &Requests{Errors: []ErrorCount{}, Roles: []RequestRole{}, Rows: []Request{}, Slowest: []SlowToken{}}
	j := joined{reason: reason}
	if reason == "" {
		j = join(engines, all, words)
	}
	q.Join.Reason = j.reason
	q.Join.Emitted, q.Join.Explained = j.result.Emitted, j.result.Explained
	for i := range own {
		o := &own[i]
		j.place(o)
		row := requestRow(o.row)
		if l.Servers > 1 {
			row.Server = &o.row.Server
		}
		if o.at < 0 {
			q.Damaged++
			row.Error = DamagedRow
		} else {
			joinRow(&q.Join, &row, o)
		}
		q.Rows = append(q.Rows, row)
	}
	if q.Join.Joined > 0 {
		q.Join.Sure /= float64(q.Join.Joined)
	}
	if n := q.Join.Joined + q.Join.Unmatched; n > 0 {
		q.Join.Share = float64(q.Join.Joined) / float64(n)
	}
	q.count(own)
	q.split(own, j.lines)
	q.Slowest = slowest(own, j.reason, q.ITLNS.Median)
	return q
}

// DamagedRow is the error of a row whose times or counts cannot be.
const DamagedRow = "times or counts that cannot be"

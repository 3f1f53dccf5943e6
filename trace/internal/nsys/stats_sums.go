package nsys

import "strings"

// sums is one table of sums by name.
type sums struct {
	table int            // its number in the text
	off   int64          // where its first row stands
	rows  []SummaryRow   // by the first row of a name
	at    map[string]int // row by name
}

// maxSummary bounds the rows of a text's summaries that are kept; real ones
// have hundreds.
const maxSummary = 1 << 20

// SumsRead counts the names of a summary in Export.Counts.
const SumsRead = "summary"

// sum books one row of a summary. Rows of one name, which tables by grid and
// block have, are one row.
func (t *tables) sum(h *header, cells []string) bool {
	if strings.Contains(h.cell(cells, fCategory), "API") {
		return true // a call on the host, beside GPU work in cuda_api_gpu_sum
	}
	s := SummaryRow{TotalNS: -1, MinNS: -1, MedNS: -1, MaxNS: -1, DigitNS: 1}
	n, _, ok := h.quantity(cells, fLaunches)
	if !ok || n < 0 {
		return false
	}
	s.Launches = n
	for _, v := range []struct {
		f  field
		to *int64
	}{{fTotal, &s.TotalNS}, {fMin, &s.MinNS}, {fMed, &s.MedNS}, {fMax, &s.MaxNS}} {
		n, digit, ok := h.quantity(cells, v.f)
		if !ok || n < 0 || n > maxTime {
			continue
		}
		*v.to = n
		if v.f == fTotal {
			s.DigitNS = digit
		}
	}
	if s.TotalNS < 0 {
		return false
	}
	kind, id := t.named(h.cell(cells, fName), "", "")
	s.Name, s.Kind = t.names.list[id], kind
	t.addSum(s)
	return true
}

func (t *tables) addSum(s SummaryRow) {
	if t.kept == maxSummary {
		t.x.Skipped++
		return
	}
	t.kept++
	if n := len(t.sums); n == 0 || t.sums[n-1].table != t.table {
		t.sums = append(t.sums, sums{table: t.table, off: t.off, at: map[string]int{}})
	}
	last := &t.sums[len(t.sums)-1]
	if i, ok := last.at[s.Name]; ok {
		last.rows[i].add(s)
		return
	}
	last.at[s.Name] = len(last.rows)
	last.rows = append(last.rows, s)
}

// add adds another row of the same name; medians do not add.
func (s *SummaryRow) add(o SummaryRow) {
	s.Launches = min(s.Launches+o.Launches, maxTime)
	s.TotalNS = min(s.TotalNS+o.TotalNS, maxTime)
	s.DigitNS = max(s.DigitNS, o.DigitNS)
	s.MinNS, s.MaxNS, s.MedNS = min(s.MinNS, o.MinNS), max(s.MaxNS, o.MaxNS), -1
	if o.MaxNS < 0 {
		s.MaxNS = -1
	}
}

// joinSums makes one summary of a text's tables: kernels of the first that has
// some, copies and memsets of the first that has some. Another table that sums
// up to the same is the same work in other words; one that does not is another
// report's, and lost.
func (t *tables) joinSums() {
	for _, kernels := range []bool{true, false} {
		var first *sums
		for i := range t.sums {
			s := &t.sums[i]
			switch n := s.count(kernels); {
			case n == 0:
			case first == nil:
				first = s
			case !first.agrees(s, kernels):
				t.x.Skipped += n
				t.x.note(s.off, "a table of another report's sums follows: give each report's table a file of its own")
			}
		}
		if first == nil {
			continue
		}
		for _, r := range first.rows {
			if (r.Kind == Kernel) == kernels {
				t.x.Counts[SumsRead]++
				t.x.Summary = append(t.x.Summary, r)
			}
		}
	}
}

func (s *sums) count(kernels bool) (n int64) {
	for i := range s.rows {
		if (s.rows[i].Kind == Kernel) == kernels {
			n++
		}
	}
	return n
}

// agrees says whether two tables have as many launches and, as far as their
// digits go, as much time.
func (s *sums) agrees(o *sums, kernels bool) bool {
	launches, ns, within := int64(0), int64(0), int64(0)
	for sign, list := range map[int64][]SummaryRow{1: s.rows, -1: o.rows} {
		for _, r := range list {
			if (r.Kind == Kernel) == kernels {
				launches, ns, within = launches+sign*r.Launches, ns+sign*r.TotalNS, within+r.DigitNS/2
			}
		}
	}
	return launches == 0 && max(ns, -ns) <= within
}

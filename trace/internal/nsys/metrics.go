package nsys

import (
	"fmt"

	"tokprof/trace/internal/nsys/database"

	"zombiezen.com/go/sqlite"
)

// maxSamples bounds the values kept of all series together (1 GiB).
const maxSamples = 64 << 20

// seriesSet gathers samples by series.
type seriesSet struct {
	x    *Export
	at   map[seriesID]int
	n    int64
	over bool
	bad  bool
}

type seriesID struct {
	source, metric int64
	port           int64
}

// sample reads the time and the value of a row; ok is false, and the row is
// lost, where something else than numbers stands in their places.
func (s *seriesSet) sample(row *sqlite.Stmt, table string, at, value int) (t int64, v float64, ok bool) {
	t, ok = database.Int(row, at)
	if v = row.ColumnFloat(value); ok && v == 0 {
		_, ok = database.Int(row, value)
	}
	if !ok {
		s.x.Skipped++
		if !s.bad {
			s.bad = true
			s.x.note(0, "a row of "+table+" has something else where a number must be")
		}
	}
	return t, v, ok
}

// add books a sample; make names a series that is new.
func (s *seriesSet) add(id seriesID, t int64, v float64, make func() Series) {
	if s.n == maxSamples {
		if !s.over {
			s.over = true
			s.x.note(0, fmt.Sprintf("more than %d samples of GPU and network metrics: later ones are left out", int64(maxSamples)))
		}
		return
	}
	i, ok := s.at[id]
	if !ok {
		i = len(s.x.Series)
		s.at[id] = i
		s.x.Series = append(s.x.Series, make())
	}
	s.n++
	x := &s.x.Series[i]
	x.Times, x.Values = append(x.Times, t), append(x.Values, v)
}

// gpuMetrics reads what the GPUs' own counters said over time. The number of a
// metric is not stable over versions, so it is known by its name.
func (r *reader) gpuMetrics() error {
	const t, info = "GPU_METRICS", "TARGET_INFO_GPU_METRICS"
	type metric struct{ source, id int64 }
	names := map[metric]string{}
	if r.Has(info, "typeId", "metricId", "metricName") {
		_ = r.Rows(info, []string{"typeId", "metricId", "metricName"}, func(s *sqlite.Stmt) error {
			names[metric{s.ColumnInt64(0), s.ColumnInt64(1)}] = short(s, 2)
			return nil
		})
	}
	set := &seriesSet{x: r.x, at: map[seriesID]int{}}
	return r.Rows(t, []string{"timestamp", "typeId", "metricId", "value"}, func(s *sqlite.Stmt) error {
		r.Tick()
		at, value, ok := set.sample(s, t, 0, 3)
		if !ok {
			return nil
		}
		r.x.Counts[t]++
		source, id := s.ColumnInt64(1), s.ColumnInt64(2)
		set.add(seriesID{source: source, metric: id}, at, value, func() Series {
			// The lowest byte of the type is the machine's number of the GPU.
			gpu := source & 0xff
			name := names[metric{source, id}]
			if name == "" {
				name = fmt.Sprintf("metric %d", id)
			}
			return Series{Source: fmt.Sprintf("GPU %d", gpu), GPU: gpu, Name: name}
		})
		return nil
	})
}

// nicMetrics reads what the network adapters said over time.
func (r *reader) nicMetrics() error {
	const t, info = "NET_NIC_METRIC", "TARGET_INFO_NETWORK_METRICS"
	type metric struct{ list, id int64 }
	names := map[metric]string{}
	if r.Has(info, "metricsListId", "metricsIdx") {
		_ = r.Rows(info, []string{"metricsListId", "metricsIdx", "name|metricName", "unit"}, func(s *sqlite.Stmt) error {
			name := short(s, 2)
			if unit := short(s, 3); unit != "" {
				name += " [" + unit + "]"
			}
			names[metric{s.ColumnInt64(0), s.ColumnInt64(1)}] = name
			return nil
		})
	}
	adapters := r.adapters()
	set := &seriesSet{x: r.x, at: map[seriesID]int{}}
	return r.Rows(t, []string{"end|start", "globalId|globalGuid", "portId|portNumber", "metricsListId", "metricsIdx", "value"}, func(s *sqlite.Stmt) error {
		r.Tick()
		at, value, ok := set.sample(s, t, 0, 5)
		if !ok {
			return nil
		}
		r.x.Counts[t]++
		nic, port, list, id := s.ColumnInt64(1), s.ColumnInt64(2), s.ColumnInt64(3), s.ColumnInt64(4)
		set.add(seriesID{source: nic, metric: list<<32 | id, port: port}, at, value, func() Series {
			name := names[metric{list, id}]
			if name == "" {
				name = fmt.Sprintf("metric %d of list %d", id, list)
			}
			return Series{Source: fmt.Sprintf("NIC %s port %d", adapters.name(nic), port), GPU: -1, Name: name}
		})
		return nil
	})
}

// adapters tell network adapters by their global ids, which may be those that
// the hardware carries for life: they are looked at, and told nobody.
type adapters struct {
	names   map[int64]string
	unnamed map[int64]int // numbers of those without a name, as met
}

func (r *reader) adapters() adapters {
	names, out := map[int64]string{}, adapters{map[int64]string{}, map[int64]int{}}
	if t := "TARGET_INFO_NIC_INFO"; r.Has(t, "nicId", "name") {
		_ = r.Rows(t, []string{"nicId", "name"}, func(s *sqlite.Stmt) error {
			names[s.ColumnInt64(0)] = short(s, 1)
			return nil
		})
	}
	if t := "NIC_ID_MAP"; r.Has(t, "nicId", "globalId") {
		_ = r.Rows(t, []string{"nicId", "globalId"}, func(s *sqlite.Stmt) error {
			out.names[s.ColumnInt64(1)] = names[s.ColumnInt64(0)]
			return nil
		})
	}
	return out
}

// name is an adapter's name, or a number for one without.
func (a adapters) name(global int64) string {
	if n := a.names[global]; n != "" {
		return n
	}
	if a.unnamed[global] == 0 {
		a.unnamed[global] = len(a.unnamed) + 1
	}
	return fmt.Sprint(a.unnamed[global])
}

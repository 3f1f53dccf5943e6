package nsys

import (
	"math"
	"strings"

	"tokprof/trace/internal/nsys/database"

	"zombiezen.com/go/sqlite"
)

func (r *reader) ranges() error {
	const t = "NVTX_EVENTS"
	kinds, payloads := r.nvtxKinds(), Payloads(r.DB)
	var text []byte
	faults := map[string]bool{}
	return r.Rows(t, []string{"start", "end", "eventType", "globalTid", "domainId", "text", "textId|" + noName, "binaryData"}, func(s *sqlite.Stmt) error {
		r.Tick()
		row := &r.row
		start, ok1 := database.Int(s, 0)
		end, ok2 := database.Int(s, 1)
		*row = Row{Start: start, End: end, Bytes: -1}
		row.onThread(uint64(s.ColumnInt64(3)))
		named := !s.ColumnIsNull(5)
		if named {
			text = database.Read(s, 5, text)
		}
		switch what := s.ColumnInt64(2); {
		case kinds.creates[what] && named:
			r.domains.named(row.Process, s.ColumnInt64(4), string(text[:min(len(text), 256)]))
			return nil
		case kinds.creates[what]:
			r.domains.like(row.Process, s.ColumnInt64(4), s.ColumnInt64(6))
			return nil
		case kinds.marks[what]:
			row.Kind, row.End = Mark, row.Start
		case kinds.ranges[what]:
			row.Kind = Range
			if row.Open = s.ColumnIsNull(1); row.Open {
				row.End = row.Start
			}
		default:
			return nil
		}
		if ok := ok1 && (ok2 || row.Kind == Mark); !ok || !row.sound() {
			r.x.Skipped++
			fault := "a range of " + t + " ends before it starts"
			if !ok {
				fault = "a range of " + t + " has something else where a time must be"
			}
			if !faults[fault] {
				faults[fault] = true
				r.x.note(0, fault)
			}
			return nil
		}
		row.Domain = r.domains.name(row.Process, s.ColumnInt64(4))
		if named {
			row.Name = r.names.bytesText(text)
		} else {
			row.Name = r.names.id(s.ColumnInt64(6))
		}
		if row.Domain != 0 && !s.ColumnIsNull(7) {
			row.Bytes = payloads.Bytes(s.ColumnInt64(4), database.Read(s, 7, nil))
		}
		r.x.Counts[t]++
		r.hand(row)
		return nil
	})
}

// domains numbers NVTX domains: a row that makes one may come after the rows
// that use it.
type domains struct {
	names *names
	of    map[domainID]NameID
}

type domainID struct {
	process uint64
	domain  int64
}

// name is the number of a domain's name, 0 for the default domain.
func (d *domains) name(process uint64, domain int64) NameID {
	if domain == 0 {
		return 0
	}
	if d.of == nil {
		d.of = map[domainID]NameID{}
	}
	k := domainID{process, domain}
	n, ok := d.of[k]
	if !ok {
		n = d.names.add("")
		d.of[k] = n
	}
	return n
}

// named fills in a domain's name.
func (d *domains) named(process uint64, domain int64, name string) {
	if n := d.name(process, domain); n != 0 {
		d.names.list[n] = d.names.fit(name)
	}
}

// like has a domain's name be that of a string id.
func (d *domains) like(process uint64, domain, id int64) {
	if n := d.name(process, domain); n != 0 && id != -math.MaxInt64 {
		d.names.like(n, id)
	}
}

// nvtxKinds are the event types of ranges and marks; ids by the names that
// ENUM_NSYS_EVENT_TYPE gives them, and those of every version seen where that
// table is missing.
type nvtxKinds struct{ ranges, marks, creates map[int64]bool }

func (r *reader) nvtxKinds() nvtxKinds {
	k := nvtxKinds{map[int64]bool{}, map[int64]bool{}, map[int64]bool{}}
	for id, name := range r.labels("ENUM_NSYS_EVENT_TYPE", "name") {
		switch {
		case strings.HasPrefix(name, "Nvtx") && (strings.HasSuffix(name, "PushPopRange") || strings.HasSuffix(name, "StartEndRange")):
			k.ranges[id] = true
		case name == "NvtxMark" || name == "NvtxtMark":
			k.marks[id] = true
		case name == "NvtxDomainCreate":
			k.creates[id] = true
		}
	}
	if len(k.ranges) == 0 {
		k = nvtxKinds{map[int64]bool{59: true, 60: true, 70: true, 71: true}, map[int64]bool{34: true, 65: true}, map[int64]bool{}}
	}
	if len(k.creates) == 0 {
		k.creates[75] = true
	}
	return k
}

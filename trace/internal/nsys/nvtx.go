package nsys

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"strings"

	"tokprof/trace/internal/nsys/database"

	"zombiezen.com/go/sqlite"
)

func (r *reader) ranges() error {
	const t = "NVTX_EVENTS"
	kinds := r.nvtxKinds()
	var text []byte
	first := false
	err := r.Each(r.Query(t, "start", "end", "eventType", "globalTid", "domainId", "text", "textId", "binaryData"), func(s *sqlite.Stmt) error {
		r.Tick()
		row := &r.row
		*row = Row{Start: s.ColumnInt64(0), Bytes: -1}
		row.onThread(uint64(s.ColumnInt64(3)))
		named := s.ColumnType(5) != sqlite.TypeNull
		if named {
			text = database.Read(s, 5, text)
		}
		switch what := s.ColumnInt64(2); {
		case kinds.creates[what]:
			r.domains.named(row.Process, s.ColumnInt64(4), string(text[:min(len(text), 256)]))
			return nil
		case kinds.marks[what]:
			row.Kind, row.End = Mark, row.Start
		case kinds.ranges[what]:
			row.Kind, row.End = Range, s.ColumnInt64(1)
			if row.Open = s.ColumnType(1) == sqlite.TypeNull; row.Open {
				row.End = row.Start
			}
		default:
			return nil
		}
		if !row.sound() {
			r.x.Skipped++
			if !first {
				first = true
				r.x.note(0, "a range of "+t+" ends before it starts")
			}
			return nil
		}
		row.Domain = r.domains.name(row.Process, s.ColumnInt64(4))
		if named {
			row.Name = r.names.bytesText(text)
		} else {
			row.Name = r.names.id(s.ColumnInt64(6))
		}
		if row.Domain != 0 && s.ColumnType(7) != sqlite.TypeNull {
			row.Bytes = MessageBytes(database.Read(s, 7, nil))
		}
		r.x.Counts[t]++
		r.hand(row)
		return nil
	})
	return err
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

// MessageBytes finds the size of an NCCL message in the payload of its range:
// NCCL describes a message by its communicator's id and its size, 8 bytes each
// (nccl src/init_nvtx, "Message size [bytes]" at offset 8), and in one more
// field of a send, a receive or a reduction. -1 when there is none. Payloads of
// other ranges have such lengths too, so the range's name must be looked at.
func MessageBytes(data []byte) int64 {
	if len(data) > 0 && (data[0] == '[' || data[0] == '{') {
		var list []struct{ Data string }
		if json.Unmarshal(data, &list) != nil || len(list) == 0 {
			return -1
		}
		data = []byte(list[0].Data)
	}
	if raw, err := base64.StdEncoding.DecodeString(string(data)); err == nil && len(raw) >= 16 {
		data = raw
	}
	if len(data) != 16 && len(data) != 24 {
		return -1
	}
	if n := binary.LittleEndian.Uint64(data[8:]); n < 1<<50 {
		return int64(n)
	}
	return -1
}

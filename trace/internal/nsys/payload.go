package nsys

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"

	"tokprof/trace/internal/nsys/database"
	"tokprof/trace/internal/nsys/jsontext"

	"zombiezen.com/go/sqlite"
)

// PayloadSchemas tell where in the payload of a range the size of an NCCL
// message stands: its offset by the payload's schema, -1 in a schema without
// one. Without schemas the layout must tell.
type PayloadSchemas map[PayloadSchema]int64

// PayloadSchema is a schema as a range names it: libraries number theirs alike,
// each in its own domain.
type PayloadSchema struct{ Domain, Schema int64 }

// Payloads reads the schemas of an export's payloads.
func Payloads(d *database.DB) PayloadSchemas {
	out := PayloadSchemas{}
	_ = d.Rows("NVTX_PAYLOAD_SCHEMA_ENTRIES", []string{"domainId", "schemaId", "name", "offset"}, func(s *sqlite.Stmt) error {
		schema, offset := PayloadSchema{s.ColumnInt64(0), s.ColumnInt64(1)}, int64(-1)
		if database.Text(s, 2, 64) == "Message size [bytes]" {
			offset = s.ColumnInt64(3) // the first entry's is NULL
		}
		if was, ok := out[schema]; (!ok || was < 0) && len(out) < 1<<12 {
			out[schema] = offset
		}
		return nil
	})
	return out
}

// Bytes finds the size of an NCCL message in the payload of a range of a domain, -1 when
// there is none. The payload is what a row or a line has of it: a list of
// {SchemaId, Data}, or the data alone, as they are or in base64. Payloads of
// other ranges look alike, so the range's name must be looked at.
func (p PayloadSchemas) Bytes(domain int64, payload []byte) int64 {
	if len(payload) == 0 || payload[0] != '[' && payload[0] != '{' {
		return p.message(PayloadSchema{Domain: domain, Schema: -1}, payload)
	}
	var list []struct {
		SchemaID json.RawMessage `json:"SchemaId"`
		Data     string
	}
	if json.Unmarshal(payload, &list) != nil {
		return -1
	}
	for _, one := range list {
		id, _ := jsontext.Integer(bytes.Trim(one.SchemaID, `"`))
		if n := p.message(PayloadSchema{domain, id}, []byte(one.Data)); n >= 0 {
			return n
		}
	}
	return -1
}

// message finds a size in one payload. Where no schema tells, it is one of
// NCCL 2.22 or later: the communicator's id and the size, 8 bytes each (nccl
// src/init_nvtx), and one more field in a send, a receive or a reduction. A
// communicator's id is a hash, so a small number in its place is the size of an
// older payload.
func (p PayloadSchemas) message(schema PayloadSchema, data []byte) int64 {
	if raw, err := base64.StdEncoding.DecodeString(string(data)); err == nil && len(raw) >= 8 {
		data = raw
	}
	offset, known := p[schema]
	switch {
	case known && (offset < 0 || offset > int64(len(data)-8)):
		return -1
	case known:
	case len(data) != 16 && len(data) != 24:
		return -1
	default:
		if id := binary.LittleEndian.Uint64(data); id > 0 && id < maxMessage {
			return -1
		}
		offset = 8
	}
	if n := binary.LittleEndian.Uint64(data[offset:]); n < maxMessage {
		return int64(n)
	}
	return -1
}

// maxMessage is more than any message has bytes.
const maxMessage = 1 << 48

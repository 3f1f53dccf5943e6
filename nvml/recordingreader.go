package nvml

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/flate"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
)

// Bounds on what a recording may make us keep. The longest line of ours is a
// Device with 36 links, about 10 KiB.
const (
	maxLine     = 1 << 18
	maxReadings = 4 << 20 // about 1 GiB; an hour of 8 GPUs at 50 Hz is a third of it
	maxDevices  = 1024
	maxDamage   = 16
)

// ReadRecording reads a recording, gzipped or plain. What is damaged is
// counted, named by its line and passed over. The error is the reader's, or
// says that nothing in the file is a reading.
func ReadRecording(r io.Reader) (*Recording, error) {
	in, err := plain(r)
	if err != nil {
		return nil, err
	}
	p := recordingReader{rec: &Recording{}, last: map[int]int64{}}
	for !p.full {
		line, err := readLine(in)
		if len(line) > 0 || err == nil {
			p.number++
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && !errors.Is(err, errCut) {
				return nil, fmt.Errorf("line %d of the readings cannot be read: %w", p.number+1, err)
			}
			p.lastLine(line, errors.Is(err, errCut))
			break
		}
		p.line(line)
	}
	return p.finish()
}

// plain undoes gzip where the first bytes say so.
func plain(r io.Reader) (*bufio.Reader, error) {
	b := bufio.NewReaderSize(r, 1<<16)
	if head, _ := b.Peek(2); !bytes.Equal(head, []byte{0x1f, 0x8b}) {
		return b, nil
	}
	z, err := gzip.NewReader(b)
	if err != nil {
		return nil, fmt.Errorf("the readings look gzipped but cannot be decompressed: %w", err)
	}
	return bufio.NewReaderSize(z, 1<<16), nil
}

// errCut ends a compressed recording that stops before its end.
var errCut = errors.New("cut off")

// readLine reads up to a newline. A line over maxLine comes back cut to
// maxLine bytes, the rest of it passed over. At the end it returns what stands
// behind the last newline with io.EOF or errCut.
func readLine(b *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := b.ReadSlice('\n')
		if room := maxLine - len(line); room > 0 {
			line = append(line, part[:min(len(part), room)]...)
		}
		switch {
		case err == nil:
			return bytes.TrimRight(line, "\r\n"), nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.ErrUnexpectedEOF), isGzipDamage(err):
			return line, errCut
		default:
			return line, err
		}
	}
}

func isGzipDamage(err error) bool {
	var corrupt flate.CorruptInputError
	return errors.Is(err, gzip.ErrChecksum) || errors.Is(err, gzip.ErrHeader) || errors.As(err, &corrupt)
}

// recordingReader collects a recording line by line.
type recordingReader struct {
	rec    *Recording
	number int           // of the line
	last   map[int]int64 // time of each GPU's latest reading
	full   bool
}

func (p *recordingReader) damage(format string, args ...any) {
	p.rec.Damaged++
	if len(p.rec.Damage) < maxDamage {
		p.rec.Damage = append(p.rec.Damage, Damage{p.number, fmt.Sprintf(format, args...)})
	}
}

// lastLine takes what stands behind the last newline: a whole line, or one
// that was being written when the recording stopped.
func (p *recordingReader) lastLine(line []byte, cut bool) {
	p.rec.Torn = cut
	line = bytes.TrimSpace(line)
	if len(line) == 0 {
		return
	}
	if !json.Valid(line) {
		p.rec.Torn = true
		return
	}
	p.line(line)
}

func (p *recordingReader) line(line []byte) {
	line = bytes.TrimSpace(line)
	switch {
	case len(line) == 0:
	case len(line) >= maxLine:
		p.damage("longer than %d bytes", maxLine)
	case line[0] != '{' || !json.Valid(line):
		p.damage("not a JSON object")
	default:
		p.object(line)
	}
}

func (p *recordingReader) object(line []byte) {
	var r Reading
	var hasTime, hasGPU, bad bool
	eachMember(line, func(key, value []byte) {
		switch string(key) {
		case "t":
			t, err := strconv.ParseInt(string(value), 10, 64)
			r.UnixNS, hasTime = t, true
			bad = bad || err != nil
		case "gpu":
			g, err := strconv.Atoi(string(value))
			r.GPU, hasGPU = g, true
			bad = bad || err != nil || g < 0 || g >= maxDevices
		default:
			p.value(&r, key, value)
		}
	})
	switch {
	case bad || !hasGPU:
		p.damage("no GPU index or no time that can be read")
	case !hasTime:
		p.device(line)
	case len(p.rec.Readings) >= maxReadings:
		p.damage("more than %d readings; the rest is not read", maxReadings)
		p.full = true
	default:
		if last, ok := p.last[r.GPU]; ok && r.UnixNS < last {
			p.damage("the time of GPU %d goes back by %d ns", r.GPU, last-r.UnixNS)
		}
		p.last[r.GPU] = r.UnixNS
		p.rec.Readings = append(p.rec.Readings, r)
	}
}

// value takes one value of a reading. Names that are not fields belong to
// devices or to newer versions and are passed over.
func (p *recordingReader) value(r *Reading, key, value []byte) {
	f, ok := fieldByKey[string(key)]
	if !ok || string(value) == "null" {
		return
	}
	n, err := strconv.ParseUint(string(value), 10, 64)
	if err != nil {
		p.damage("%s is %.40s, which is not a whole number from 0", f, value)
		return
	}
	r.Put(f, n)
}

func (p *recordingReader) device(line []byte) {
	var d Device
	if err := json.Unmarshal(line, &d); err != nil {
		p.damage("not a GPU's description: %v", err)
		return
	}
	i := slices.IndexFunc(p.rec.Devices, func(o Device) bool { return o.Index == d.Index })
	if i >= 0 {
		p.rec.Devices[i] = d
		return
	}
	p.rec.Devices = append(p.rec.Devices, d)
}

func (p *recordingReader) finish() (*Recording, error) {
	rec := p.rec
	if len(rec.Readings) == 0 && len(rec.Devices) == 0 {
		why := "it is empty"
		if len(rec.Damage) > 0 {
			why = rec.Damage[0].String()
		} else if rec.Torn {
			why = "its only line is cut off"
		}
		return nil, fmt.Errorf("no readings in this file (%s): tokprof gpus --record writes such files", why)
	}
	byTime := func(a, b Reading) int { return cmp.Compare(a.UnixNS, b.UnixNS) }
	if !slices.IsSortedFunc(rec.Readings, byTime) {
		slices.SortStableFunc(rec.Readings, byTime)
	}
	rec.LinkScope = linkScope(rec.Devices)
	return rec, nil
}

// linkScope is what all devices say of their NVLink counters; devices that
// disagree count as one that does not say.
func linkScope(devices []Device) string {
	scope := ""
	for i, d := range devices {
		if i > 0 && d.LinkScope != scope {
			return ""
		}
		scope = d.LinkScope
	}
	return scope
}

// eachMember calls fn with every key and value of one valid JSON object, at
// its top level: keys without their quotes and as written, values as written.
func eachMember(object []byte, fn func(key, value []byte)) {
	rest := object[1:]
	for {
		start := bytes.IndexByte(rest, '"')
		if start < 0 {
			return
		}
		rest = rest[start:]
		n := valueLen(rest)
		key := rest[1 : n-1]
		rest = bytes.TrimLeft(rest[n:], ": \t\r\n")
		n = valueLen(rest)
		fn(key, rest[:n])
		rest = rest[n:]
	}
}

// valueLen is the length of the JSON value that b begins with.
func valueLen(b []byte) int {
	depth, inString := 0, false
	for i := 0; i < len(b); i++ {
		c := b[i]
		if inString {
			switch c {
			case '\\':
				i++
			case '"':
				inString = false
				if depth == 0 {
					return i + 1
				}
			}
			continue
		}
		switch c {
		case '"':
			inString = true
		case '{', '[':
			depth++
		case '}', ']':
			depth--
			if depth == 0 {
				return i + 1
			}
			if depth < 0 {
				return i
			}
		case ',', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
	}
	return len(b)
}

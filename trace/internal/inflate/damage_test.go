package inflate

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strings"
	"testing"
)

// smallFiles are whole files of every block type, short enough to damage
// everywhere.
func smallFiles(t testing.TB) map[string][]byte {
	files := map[string][]byte{
		"stored":  compress(t, text(300), 0),
		"fixed":   compress(t, []byte("a fixed block, a fixed block, aaaaaaaaaaaa"), 6),
		"dynamic": compress(t, text(1200), 9),
		"huffman": compress(t, skewed(900), -2),
		"header":  withHeader(flagExtra|flagName|flagComment|flagHeaderCRC, []byte("\x03\x00xyzname\x00comment\x00")),
	}
	files["members"] = append(bytes.Clone(files["fixed"]), files["stored"]...)
	return files
}

// withHeader is a file with optional header fields and a right header CRC.
func withHeader(flags byte, fields []byte) []byte {
	b := append([]byte{0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 255}, fields...)
	if flags&flagHeaderCRC != 0 {
		b = binary.LittleEndian.AppendUint16(b, uint16(crc32.ChecksumIEEE(b)))
	}
	b = append(b, 0x01, 4, 0, 0xfb, 0xff, 'd', 'a', 't', 'a') // a stored block
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE([]byte("data")))
	return binary.LittleEndian.AppendUint32(b, 4)
}

func TestTruncation(t *testing.T) {
	z := new(Reader)
	for name, gz := range smallFiles(t) {
		for n := range gz {
			got, err := drainReset(z, bytes.NewReader(gz[:n]), directSize)
			if err := agree(gz[:n], got, err); err != nil {
				t.Errorf("%s cut to %d of %d: %v", name, n, len(gz), err)
			}
			// Only a cut between members may look like a good end.
			if name != "members" && n > 0 && err != io.ErrUnexpectedEOF {
				t.Errorf("%s cut to %d of %d: error %v", name, n, len(gz), err)
			}
			one, _ := drainReset(z, &pieces{b: gz[:n]}, 100)
			if !bytes.Equal(one, got) {
				t.Errorf("%s cut to %d of %d: %d bytes, read in pieces %d", name, n, len(gz), len(got), len(one))
			}
		}
	}
}

// TestTruncationPartial: a large file cut short gives all but the last bytes
// that a reader could know.
func TestTruncationPartial(t *testing.T) {
	data := text(1 << 20)
	gz := compress(t, data, 6)
	for _, n := range []int{len(gz) / 3, len(gz) / 2, len(gz) - 9} {
		got, err := drainOurs(bytes.NewReader(gz[:n]), 512<<10)
		if err := agree(gz[:n], got, err); err != nil {
			t.Errorf("cut to %d: %v", n, err)
		}
		if !bytes.HasPrefix(data, got) || len(got) < n {
			t.Errorf("cut to %d: %d bytes", n, len(got))
		}
	}
}

// pieces hands out its data in pieces of 1, 2, 3, 1, 2, 3 … bytes.
type pieces struct {
	b []byte
	n int
}

func (p *pieces) Read(buf []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	p.n = p.n%3 + 1
	n := copy(buf[:min(p.n, len(buf))], p.b)
	p.b = p.b[n:]
	return n, nil
}

func TestBitFlips(t *testing.T) {
	z := new(Reader)
	for name, gz := range smallFiles(t) {
		for bit := range len(gz) * 8 {
			bad := bytes.Clone(gz)
			bad[bit/8] ^= 1 << (bit % 8)
			got, err := drainReset(z, bytes.NewReader(bad), 8<<10)
			if err := agree(bad, got, err); err != nil {
				t.Errorf("%s, bit %d: %v", name, bit, err)
			}
		}
	}
}

func TestHeaders(t *testing.T) {
	long := strings.Repeat("n", 511)
	cases := map[string][]byte{
		"plain":             withHeader(0, nil),
		"text":              withHeader(1, nil),
		"reserved flags":    withHeader(0xe0, nil),
		"extra":             withHeader(flagExtra, []byte("\x05\x00extra")),
		"empty extra":       withHeader(flagExtra, []byte("\x00\x00")),
		"long extra":        withHeader(flagExtra|flagHeaderCRC, append([]byte{0xff, 0xff}, make([]byte, 65535)...)),
		"name":              withHeader(flagName, []byte("trace.json\x00")),
		"latin-1 name":      withHeader(flagName, []byte("\xe9t\xe9\x00")),
		"longest name":      withHeader(flagName, []byte(long+"\x00")),
		"name too long":     withHeader(flagName, []byte(long+"n\x00")),
		"comment":           withHeader(flagComment, []byte("made by hand\x00")),
		"crc":               withHeader(flagHeaderCRC, nil),
		"all":               smallFiles(t)["header"],
		"method 7":          []byte("\x1f\x8b\x07\x00\x00\x00\x00\x00\x00\xff"),
		"not gzip":          []byte("{\"traceEvents\": []}"),
		"short not gzip":    []byte("{}"),
		"unterminated name": append([]byte("\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\xff"), long+long...),
	}
	badCRC := withHeader(flagHeaderCRC, nil)
	badCRC[10] ^= 1
	cases["bad crc"] = badCRC
	for name, gz := range cases {
		got, err := drainOurs(bytes.NewReader(gz), 100)
		if err := agree(gz, got, err); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAfterTrailer(t *testing.T) {
	gz := compress(t, []byte("data"), 6)
	zeros := string(make([]byte, 300<<10))
	for _, c := range []struct {
		name, tail string
		want       error
	}{
		{"nothing", "", nil},
		{"one zero", "\x00", nil},
		{"nine zeros", zeros[:9], nil},
		{"sector of zeros", zeros[:512], nil},
		{"many zeros", zeros, nil},
		{"garbage", "this is not gzip", ErrHeader},
		{"short garbage", "junk", io.ErrUnexpectedEOF},
		{"zeros and garbage", zeros[:20] + "x", ErrHeader},
		{"many zeros and garbage", zeros + "x", ErrHeader},
		{"few zeros and garbage", zeros[:5] + "xyz", io.ErrUnexpectedEOF},
		{"few zeros and long garbage", zeros[:5] + "xyz and more", ErrHeader},
		{"zeros and a member", zeros[:20] + string(gz), ErrHeader},
	} {
		input := append(bytes.Clone(gz), c.tail...)
		for _, r := range []io.Reader{bytes.NewReader(input), &pieces{b: input}} {
			got, err := drainOurs(r, directSize)
			if err != c.want || string(got) != "data" {
				t.Errorf("%s: %q, error %v, want %v", c.name, got, err, c.want)
			}
			if err := agree(input, got, err); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	}
}

// TestErrCorrupt: the offset and the words of some hand-made damage.
func TestErrCorrupt(t *testing.T) {
	for _, c := range []struct {
		name    string
		deflate []byte
		what    string
	}{
		{"block type", []byte{0x07}, "reserved block type"},
		{"stored length", []byte{0x01, 1, 0, 0, 0}, "stored block length does not match its complement"},
		{"distance", []byte{0x03, 0x02, 0x00}, "distance beyond the start of the data"},
		{"literal 287", []byte{0x1b, 0x07}, "invalid literal, length or distance code"},
		{"distance 31", []byte{0x03, 0x7e}, "invalid literal, length or distance code"},
		{"literal count", []byte{0xfd, 0xff, 0xff}, "more than 286 literal/length codes"},
		{"distance count", []byte{0x05, 0x1f, 0x00}, "more than 30 distance codes"},
		{"code length code", []byte{0x05, 0x00, 0xff, 0xff, 0xff}, "invalid code length code"},
		{"repeat of nothing", []byte{0x05, 0x00, 0x02, 0x24, 0x00}, "repeat of a code length before the first one"},
		{"repeat too long", []byte{0x05, 0x00, 0x80, 0xe4, 0xff, 0xff, 0xff}, "more code lengths than codes"},
	} {
		gz := wrap(c.deflate)
		got, err := drainOurs(bytes.NewReader(gz), directSize)
		var e ErrCorrupt
		if !errors.As(err, &e) {
			t.Errorf("%s: error %v", c.name, err)
			continue
		}
		if e.What != c.what || e.Offset < fixedHeader || e.Offset > int64(fixedHeader+len(c.deflate)+3) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err := agree(gz, got, err); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	err := ErrCorrupt{Offset: 12, What: "nonsense"}
	if got := fmt.Sprint(err); got != "inflate: corrupt data at compressed byte 12: nonsense" {
		t.Error(got)
	}
}

package kineto

import "fmt"

// store is a File in the making: it takes batches over in the order of the text.
type store struct {
	f      *File
	names  map[string]uint32
	texts  map[string]uint32
	tracks map[Track]uint16
	last   *Block
	stored uint32
	frac   bool
}

func newStore() *store {
	return &store{
		f: &File{
			Wide: map[WideKey]int64{}, Meta: map[string][]byte{}, Counts: map[string]int64{},
		},
		names: map[string]uint32{}, texts: map[string]uint32{}, tracks: map[Track]uint16{},
	}
}

// add takes a batch over. Numbers are given in the order of first use in the
// text, so that a file comes out the same however it was cut among workers.
func (s *store) add(t *batch) {
	f := s.f
	first := EventID(s.stored)
	for _, c := range t.counts {
		f.Counts[c.key] += c.rows
	}
	f.Events += t.events
	f.Skipped += t.skipped
	if t.strays > 0 {
		f.Counts["not an object"] += t.strays
		f.Skipped += t.strays
	}
	s.frac = s.frac || t.hasFrac
	for _, d := range t.damage {
		s.note(d.Offset, d.What)
	}
	f.Labels = append(f.Labels, t.labels...)
	s.columns(t)
	for _, x := range t.wide {
		f.Wide[WideKey{first + EventID(x.at), x.col}] = x.value
	}
	for _, x := range t.bytes {
		f.Bytes = append(f.Bytes, IntArg{first + EventID(x.at), x.value})
	}
	for _, x := range t.nodes {
		f.Nodes = append(f.Nodes, IntArg{first + EventID(x.at), x.value})
	}
	texts := t.worker.texts
	for _, x := range t.args {
		n := texts.number(x.text, t.texts, s.texts, &f.Texts)
		f.TextArgs = append(f.TextArgs, TextArg{first + EventID(x.at), x.key, n})
	}
}

// columns copies the batch's columns into blocks.
func (s *store) columns(t *batch) {
	names := t.worker.names
	for i := 0; i < t.n; {
		b := s.last
		if b == nil || b.N == BlockLen {
			b = new(Block)
			s.last = b
			s.f.Blocks = append(s.f.Blocks, b)
		}
		n := min(t.n-i, BlockLen-b.N)
		copy(b.TS[b.N:], t.ts[i:i+n])
		copy(b.Dur[b.N:], t.dur[i:i+n])
		copy(b.Corr[b.N:], t.corr[i:i+n])
		copy(b.Ext[b.N:], t.ext[i:i+n])
		copy(b.Kind[b.N:], t.kind[i:i+n])
		for k := range n {
			b.Name[b.N+k] = names.number(t.name[i+k], t.names, s.names, &s.f.Names)
			b.Track[b.N+k] = s.track(t, t.track[i+k])
		}
		b.N += n
		i += n
	}
	s.stored += uint32(t.n)
}

// number is the file's number of the worker's text n.
func (t *table) number(n uint32, list []string, ids map[string]uint32, all *[]string) uint32 {
	for len(t.file) < len(list) {
		t.file = append(t.file, unset)
	}
	v := t.file[n]
	if v != unset {
		return v
	}
	v, ok := ids[list[n]]
	if !ok {
		v = uint32(len(*all))
		ids[list[n]] = v
		*all = append(*all, list[n])
	}
	t.file[n] = v
	return v
}

func (s *store) track(t *batch, n uint16) uint16 {
	file := &t.worker.tracks.file
	for len(*file) < len(t.tracks) {
		*file = append(*file, noTrack)
	}
	v := (*file)[n]
	if v != noTrack {
		return v
	}
	tr := t.tracks[n]
	v, ok := s.tracks[tr]
	if !ok {
		if v = uint16(len(s.f.Tracks)); v > maxTracks {
			return maxTracks
		}
		s.tracks[tr] = v
		s.f.Tracks = append(s.f.Tracks, tr)
	}
	(*file)[n] = v
	return v
}

func (s *store) note(at int64, what string) {
	if len(s.f.Damage) < maxDamage {
		s.f.Damage = append(s.f.Damage, Damage{at, what})
	}
}

// meta keeps a top-level value; the last of a key wins.
func (s *store) meta(key, value []byte) {
	k := text(key)
	if _, ok := s.f.Meta[k]; !ok {
		s.f.MetaOrder = append(s.f.MetaOrder, k)
	}
	s.f.Meta[k] = append([]byte(nil), value...)
}

// At is the event's block and its place there.
func (f *File) At(id EventID) (*Block, int) {
	return f.Blocks[id/BlockLen], int(id % BlockLen)
}

// Dur is the event's duration in ns.
func (f *File) Dur(id EventID) int64 {
	b, i := f.At(id)
	return int64(f.wide(uint64(b.Dur[i]), id, ColDur))
}

// Corr is the event's args.correlation, 0 when it has none.
func (f *File) Corr(id EventID) uint64 {
	b, i := f.At(id)
	return f.wide(uint64(b.Corr[i]), id, ColCorr)
}

// Ext is the event's args["External id"], 0 when it has none.
func (f *File) Ext(id EventID) uint64 {
	b, i := f.At(id)
	return f.wide(uint64(b.Ext[i]), id, ColExt)
}

func (f *File) wide(v uint64, id EventID, c Column) uint64 {
	if v != uint64(Wide) {
		return v
	}
	return uint64(f.Wide[WideKey{id, c}])
}

// Stored is how many events the blocks hold.
func (f *File) Stored() int {
	if len(f.Blocks) == 0 {
		return 0
	}
	return (len(f.Blocks)-1)*BlockLen + f.Blocks[len(f.Blocks)-1].N
}

// BaseNS is what to add to the file's times to get ns since the Unix epoch:
// baseTimeNanoseconds, or 0 where the file has none.
func (f *File) BaseNS() int64 {
	raw := f.Meta["baseTimeNanoseconds"]
	if n := len(raw); n > 1 && raw[0] == '"' {
		raw = raw[1 : n-1]
	}
	v, ok := parseUint(raw)
	if !ok || int64(v) < 0 {
		return 0
	}
	return int64(v)
}

// String says what the file holds, for test failures and logs.
func (f *File) String() string {
	return fmt.Sprintf("%s, %d rows, %d stored, %d skipped, %d names, %d tracks", f.Format, f.Events, f.Stored(), f.Skipped, len(f.Names), len(f.Tracks))
}

// unset marks a worker's name that has no number in the file yet.
const unset = ^uint32(0)

// table numbers distinct texts in the order they are met.
type table struct {
	ids  map[string]uint32 // by raw text
	list []string          // unescaped
	file []uint32          // number in the file, unset until first committed
}

func newTable() *table { return &table{ids: map[string]uint32{}} }

// id numbers the text between two quotes.
func (t *table) id(raw []byte) uint32 {
	if n, ok := t.ids[string(raw)]; ok {
		return n
	}
	n := uint32(len(t.list))
	s := text(raw)
	if s == string(raw) {
		t.ids[s] = n
	} else {
		t.ids[string(raw)] = n
	}
	t.list = append(t.list, s)
	return n
}

// tracks numbers lanes; its keys are the GPU flag and the raw pid and tid.
type tracks struct {
	ids     map[string]uint16
	list    []Track
	file    []uint16
	scratch []byte
}

// noTrack marks a track without a number in the file yet; maxTracks is the last
// track number, which lanes beyond share.
const (
	noTrack   = 1<<16 - 1
	maxTracks = 1<<16 - 2
)

func (t *tracks) id(gpu bool, pid, tid []byte) uint16 {
	k := append(t.scratch[:0], '-')
	if gpu {
		k[0] = '+'
	}
	k = append(k, pid...)
	k = append(k, '"')
	k = append(k, tid...)
	t.scratch = k
	if n, ok := t.ids[string(k)]; ok {
		return n
	}
	if len(t.list) == maxTracks {
		t.ids["more"] = maxTracks
		t.list = append(t.list, Track{Tid: "more lanes than fit"})
	}
	if len(t.list) > maxTracks {
		return maxTracks
	}
	n := uint16(len(t.list))
	t.ids[string(k)] = n
	t.list = append(t.list, Track{GPU: gpu, Pid: text(pid), Tid: text(tid)})
	return n
}

// batch is what one piece of the text held, with a worker's own numbers for
// names and tracks; the file takes it over in the order of the text.
type batch struct {
	n     int // stored events
	ts    []int64
	dur   []uint32
	name  []uint32
	corr  []uint32
	ext   []uint32
	track []uint16
	kind  []Kind

	wide   []wideAt
	bytes  []intAt
	nodes  []intAt
	args   []argAt
	labels []Label
	counts []count
	damage []Damage

	events  int64
	skipped int64
	strays  int64 // elements that are no objects
	hasFrac bool

	worker *worker
	names  []string // the worker's lists as far as this batch needs them
	texts  []string
	tracks []Track
}

type (
	wideAt struct {
		at    int
		col   Column
		value int64
	}
	intAt struct {
		at    int
		value int64
	}
	argAt struct {
		at   int
		key  uint8
		text uint32
	}
	count struct {
		key  string
		rows int64
	}
)

func (t *batch) reset(w *worker) {
	t.n, t.events, t.skipped, t.strays, t.hasFrac, t.worker = 0, 0, 0, 0, false, w
	t.wide, t.bytes, t.nodes = t.wide[:0], t.bytes[:0], t.nodes[:0]
	t.args, t.labels, t.counts, t.damage = t.args[:0], t.labels[:0], t.counts[:0], t.damage[:0]
}

// grow makes room for half as many events again.
func (t *batch) grow() {
	n := max(1<<12, t.n*3/2)
	t.ts = append(make([]int64, 0, n), t.ts[:t.n]...)[:n]
	t.dur = append(make([]uint32, 0, n), t.dur[:t.n]...)[:n]
	t.name = append(make([]uint32, 0, n), t.name[:t.n]...)[:n]
	t.corr = append(make([]uint32, 0, n), t.corr[:t.n]...)[:n]
	t.ext = append(make([]uint32, 0, n), t.ext[:t.n]...)[:n]
	t.track = append(make([]uint16, 0, n), t.track[:t.n]...)[:n]
	t.kind = append(make([]Kind, 0, n), t.kind[:t.n]...)[:n]
}

// narrow fits a value in a column, keeping aside what does not fit.
func (t *batch) narrow(v uint64, c Column) uint32 {
	if v < uint64(Wide) {
		return uint32(v)
	}
	t.wide = append(t.wide, wideAt{t.n, c, int64(v)})
	return Wide
}

func (t *batch) note(at int64, what string) {
	if len(t.damage) < maxDamage {
		t.damage = append(t.damage, Damage{at, what})
	}
}

// maxDamage bounds File.Damage.
const maxDamage = 32

// close takes over the row counts and the lists the batch's numbers point into.
func (t *batch) close() {
	w := t.worker
	for _, c := range w.classes {
		if c.rows > 0 {
			t.counts = append(t.counts, count{c.counted, c.rows})
			t.events += c.rows
			c.rows = 0
		}
	}
	t.names, t.texts, t.tracks = w.names.list, w.texts.list, w.tracks.list
}

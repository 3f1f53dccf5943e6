package nsys

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"

	"zombiezen.com/go/sqlite"
)

// Options set how an export is read.
type Options struct {
	// Hash asks for Export.SHA256.
	Hash bool
	// Progress is told the bytes read so far, as stored; for a database they
	// are what the rows read so far stand for.
	Progress func(read int64)
	// TempDir is where compressed databases are unpacked, "" for the system's.
	TempDir string

	temporary bool  // remove the database as soon as it is open
	chunk     int64 // rows a connection reads at a time; tests make it small
}

// database is an open export. Rows are picked by name from ordinary tables:
// nothing the file brings along (views, triggers, virtual tables, generated
// columns) is ever evaluated.
type database struct {
	ctx    context.Context
	how    string // to open the file: the query of its URI
	conn   *sqlite.Conn
	pool   []*sqlite.Conn // that read large tables together
	chunk  int64          // rows that one of them reads at a time
	x      *Export
	tables map[string]map[string]column
	size   int64
}

// column is what the schema says of a column.
type column struct {
	notNull bool
	key     bool // the primary key
}

// ReadSQLite reads the database at path. The error is a *FormatError when
// nothing in it can be used, or the context's.
func ReadSQLite(ctx context.Context, path string, o Options, sink Sink) (*Export, error) {
	return withSQLite(ctx, path, o, func(d *database) error {
		r := &reader{database: d, names: newNames(), sink: sink, progress: o.Progress}
		return r.read()
	})
}

// withSQLite opens the database at path for a function that reads it.
func withSQLite(ctx context.Context, path string, o Options, use func(*database) error) (x *Export, err error) {
	// The engine is C in Go's clothes: should a file lead it astray, the fault
	// must not be the program's end.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			x, err = nil, &FormatError{"is a damaged SQLite database that cannot be read", "export it again: nsys export --type sqlite"}
		}
	}()
	d := &database{ctx: ctx, chunk: cmp.Or(o.chunk, chunkRows), x: &Export{Format: "nsys.sqlite", Counts: map[string]int64{}}}
	if err := d.header(path); err != nil {
		return nil, err
	}
	before, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if err := d.open(path); err != nil {
		return nil, err
	}
	defer d.close()
	d.openPool(path)
	if o.temporary {
		_ = os.Remove(path) // systems that refuse leave it to the caller
	}
	if err := d.schema(); err != nil {
		return nil, err
	}
	if err := use(d); err != nil {
		return nil, err
	}
	if after, err := os.Stat(path); err == nil && !o.temporary && (after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime())) {
		return nil, &FormatError{"changed while it was being read", "wait until nsys has written it, then try again"}
	}
	return d.x, ctx.Err()
}

// sqliteMagic starts every SQLite database.
const sqliteMagic = "SQLite format 3\x00"

// header checks the first 100 bytes, and whether the file holds the pages that
// they promise.
func (d *database) header(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	d.size = st.Size()
	d.x.FileBytes, d.x.RawBytes = d.size, d.size
	var h [100]byte
	n, err := f.ReadAt(h[:], 0)
	switch {
	case n == 0:
		return &FormatError{"is empty (0 bytes)", "nsys has not written it yet, or the copy failed"}
	case n < len(sqliteMagic) || string(h[:len(sqliteMagic)]) != sqliteMagic:
		return &FormatError{"is not an SQLite database", hintExport}
	case n < len(h):
		return &FormatError{fmt.Sprintf("is an SQLite database cut off after %d bytes", n), "it is still being written, or the copy was cut off"}
	case err != nil:
		return err
	}
	page := int64(binary.BigEndian.Uint16(h[16:]))
	if page == 1 {
		page = 1 << 16
	}
	pages := int64(binary.BigEndian.Uint32(h[28:]))
	// The count is good only while its change counter agrees with the file's.
	valid := string(h[24:28]) == string(h[92:96])
	if whole := page * pages; valid && whole > d.size {
		d.x.Truncated, d.x.TruncatedAt = true, d.size
		d.x.TruncatedBy = fmt.Sprintf("the database has %d bytes of its %d", d.size, whole)
	}
	return nil
}

const hintExport = "give an Nsight Systems export: nsys export --type sqlite report.nsys-rep"

// open opens the file for reading alone, under SQLite's own locks where the
// file system has them.
func (d *database) open(path string) error {
	journal, log := sibling(path, "-journal"), sibling(path, "-wal")
	var err error
	if !log || sibling(path, "-shm") {
		if err = d.connect(path, "mode=ro"); err == nil {
			return nil
		}
		if code := sqlite.ErrCode(err).ToPrimary(); code == sqlite.ResultBusy || code == sqlite.ResultLocked {
			return &FormatError{"is locked by another program", "nsys may still be writing it; wait until it has finished, or copy the file"}
		}
	}
	// Immutable: no locks, no journal. It opens what lies on a read-only or
	// lockless file system, and what an interrupted writer left.
	if e := d.connect(path, "mode=ro&immutable=1"); e != nil {
		return d.refusal(e)
	}
	switch {
	case log:
		d.lost("the write-ahead log beside the database (-wal) was not read")
	case journal:
		d.lost("a write to the database was never finished (a -journal lies beside it)")
	}
	return nil
}

func (d *database) lost(why string) {
	if !d.x.Truncated {
		d.x.Truncated, d.x.TruncatedAt, d.x.TruncatedBy = true, d.size, why
	}
}

func sibling(path, suffix string) bool {
	st, err := os.Stat(path + suffix)
	return err == nil && st.Size() > 0
}

func (d *database) connect(path, how string) (err error) {
	d.how = how
	d.conn, err = d.connection(path)
	return err
}

// connection opens the file in the way that was found to work.
func (d *database) connection(path string) (*sqlite.Conn, error) {
	uri := "file:" + (&url.URL{Path: filepath.ToSlash(filepath.Clean(path))}).EscapedPath() + "?" + d.how
	conn, err := sqlite.OpenConn(uri, sqlite.OpenReadOnly, sqlite.OpenURI, sqlite.OpenPrivateCache)
	if err != nil {
		return nil, err
	}
	conn.SetBusyTimeout(0)
	conn.SetInterrupt(d.ctx.Done())
	conn.Limit(sqlite.LimitLength, 1<<28)
	conn.Limit(sqlite.LimitAttached, 0)
	conn.Limit(sqlite.LimitWorkerThreads, 0)
	var script []string
	if d.x.Truncated {
		// The only way to have a database with missing pages opened at all.
		script = append(script, "PRAGMA writable_schema=ON")
	}
	script = append(script, "PRAGMA trusted_schema=OFF", "PRAGMA cell_size_check=ON", "PRAGMA mmap_size=0", "PRAGMA cache_size=-8192", "PRAGMA query_only=ON",
		"PRAGMA temp_store=MEMORY", "BEGIN", "SELECT 1 FROM sqlite_master LIMIT 1")
	for _, sql := range script {
		if err := execute(conn, sql); err != nil {
			_ = conn.Close()
			return nil, err
		}
	}
	return conn, nil
}

func execute(conn *sqlite.Conn, sql string) error {
	s, _, err := conn.PrepareTransient(sql)
	if err != nil {
		return err
	}
	defer func() { _ = s.Finalize() }()
	for {
		if more, err := s.Step(); err != nil || !more {
			return err
		}
	}
}

// refusal words why the engine would not open a file, without its path.
func (d *database) refusal(err error) error {
	if d.ctx.Err() != nil {
		return d.ctx.Err()
	}
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		return err
	}
	what := "is an SQLite database that cannot be opened: " + reason(err)
	if d.x.Truncated {
		what = fmt.Sprintf("is cut off: %s, and nothing in the rest can be read", d.x.TruncatedBy)
	}
	return &FormatError{what, "copy it again, or export it again: nsys export --type sqlite"}
}

// reason is the engine's word for an error, which says no path.
func reason(err error) string { return sqlite.ErrCode(err).ToPrimary().Message() }

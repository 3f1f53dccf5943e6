// Package database opens exports that are SQLite databases, which may be
// anybody's: damaged, locked, cut off, or made to have something done with
// them. It picks rows from ordinary tables by name, within bounds of time and
// memory, and says what was lost. It imports nothing of ours.
package database

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
	"time"

	"zombiezen.com/go/sqlite"
)

// Error says why a file holds nothing that can be read. Its text goes on from
// a file name: "x.sqlite is empty (0 bytes): …".
type Error struct {
	What string
	Hint string // what it probably is or what to do, one clause
}

func (e *Error) Error() string {
	if e.Hint == "" {
		return e.What
	}
	return e.What + ": " + e.Hint
}

// Options set how a database is read.
type Options struct {
	// Progress is told the bytes that the rows read so far stand for.
	Progress func(read int64)
	// Temporary has the file removed as soon as it is open.
	Temporary bool
	// Chunk is how many rows a connection reads at a time, 0 for a good number.
	Chunk int64
}

// DB is an open export. Rows are picked by name from ordinary tables: nothing
// the file brings along (views, triggers, virtual tables, generated columns) is
// ever evaluated.
type DB struct {
	Size int64 // of the file, in bytes
	// Truncated says that part of it is missing, TruncatedBy what broke.
	Truncated   bool
	TruncatedBy string

	ctx    context.Context
	o      Options
	wal    bool   // the database keeps a write-ahead log while it is open
	how    string // to open the file: the query of its URI
	conn   *sqlite.Conn
	pool   []*sqlite.Conn    // that read large tables together
	chunk  int64             // rows that one of them reads at a time
	tables map[string]*table // by name in lower case
	odd    map[string]bool   // names of views and virtual tables, in lower case
	total  int64             // rows expected, as far as their keys tell
	done   int64
}

// Use opens the database at path for a function that reads it. The error is an
// *Error when nothing in it can be used, the function's, or the context's.
func Use(ctx context.Context, path string, o Options, use func(*DB) error) (err error) {
	// The engine is C in Go's clothes: should a file lead it astray, the fault
	// must not be the program's end.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = &Error{"is a damaged SQLite database that cannot be read", "export it again: nsys export --type sqlite"}
		}
	}()
	d := &DB{ctx: ctx, o: o, chunk: cmp.Or(o.Chunk, chunkRows)}
	if err := d.header(path); err != nil {
		return err
	}
	before, err := os.Stat(path)
	if err != nil {
		return err
	}
	if err := d.open(path); err != nil {
		return err
	}
	defer d.close()
	d.openPool(path)
	if o.Temporary {
		_ = os.Remove(path) // systems that refuse leave it to the caller
	}
	if err := d.schema(); err != nil {
		return err
	}
	if err := use(d); err != nil {
		return err
	}
	if after, err := os.Stat(path); err == nil && !o.Temporary && (after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime())) {
		return &Error{"changed while it was being read", "wait until nsys has written it, then try again"}
	}
	return ctx.Err()
}

// Expect tells which tables will be read whole, for progress.
func (d *DB) Expect(tables ...string) {
	for _, t := range tables {
		if d.Has(t) {
			d.total += d.LastKey(t)
		}
	}
}

// Tick counts a row, and tells progress about every 16 Ki rows.
func (d *DB) Tick() {
	d.done++
	if d.done&(1<<14-1) == 0 && d.o.Progress != nil && d.total > 0 {
		d.o.Progress(int64(float64(d.Size) * min(float64(d.done)/float64(d.total), 1)))
	}
}

// Break words that of a table's rows from one to another only the first got
// could be read, and how many are lost.
func (d *DB) Break(table string, err error, from, to, got int64) (what string, lost int64) {
	why := "the database is damaged"
	if errors.Is(err, errTooMany) || errors.Is(err, errOrder) || errors.Is(err, errFault) {
		why = err.Error()
	} else if m := Reason(err); m != "" {
		why = m
	}
	what = fmt.Sprintf("%s breaks off after %d rows (%s)", table, from-1+got, why)
	d.Lost(what)
	return what, max(to-from+1-got, 0)
}

// Magic starts every SQLite database.
const Magic = "SQLite format 3\x00"

// header checks the first 100 bytes, and whether the file holds the pages that
// they promise.
func (d *DB) header(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	d.Size = st.Size()
	var h [100]byte
	n, err := f.ReadAt(h[:], 0)
	switch {
	case n == 0:
		return &Error{"is empty (0 bytes)", "nsys has not written it yet, or the copy failed"}
	case n < len(Magic) || string(h[:len(Magic)]) != Magic:
		return &Error{"is not an SQLite database", HintExport}
	case n < len(h):
		return &Error{fmt.Sprintf("is an SQLite database cut off after %d bytes", n), "it is still being written, or the copy was cut off"}
	case err != nil:
		return err
	}
	d.wal = h[18] == 2 // the version of the format
	page := int64(binary.BigEndian.Uint16(h[16:]))
	if page == 1 {
		page = 1 << 16
	}
	pages := int64(binary.BigEndian.Uint32(h[28:]))
	// The count is good only while its change counter agrees with the file's.
	valid := string(h[24:28]) == string(h[92:96])
	if whole := page * pages; valid && whole > d.Size {
		d.Truncated = true
		d.TruncatedBy = fmt.Sprintf("the database has %d bytes of its %d", d.Size, whole)
	}
	return nil
}

// HintExport is what to do about a file that is no export.
const HintExport = "give an Nsight Systems export: nsys export --type sqlite report.nsys-rep"

// open opens the file for reading alone, under SQLite's own locks where the
// file system has them.
func (d *DB) open(path string) error {
	journal, log := sibling(path, "-journal"), sibling(path, "-wal")
	// A database in WAL mode without a log is at rest: to open it under locks
	// would leave an empty log beside it.
	if sibling(path, "-shm") || !log && !d.wal {
		err := d.connect(path, "mode=ro")
		if err == nil {
			return nil
		}
		switch sqlite.ErrCode(err).ToPrimary() {
		case sqlite.ResultBusy, sqlite.ResultLocked:
			return &Error{"is locked by another program", "nsys may still be writing it; wait until it has finished, or copy the file"}
		case sqlite.ResultInterrupt:
			return d.refusal(err)
		}
	}
	// Immutable: no locks, no journal. It opens what lies on a read-only or
	// lockless file system, and what an interrupted writer left.
	if e := d.connect(path, "mode=ro&immutable=1"); e != nil {
		return d.refusal(e)
	}
	switch {
	case log:
		d.Lost("the write-ahead log beside the database (-wal) was not read")
	case journal:
		d.Lost("a write to the database was never finished (a -journal lies beside it)")
	}
	return nil
}

// Lost books that part of the database is missing: the first reason stays.
func (d *DB) Lost(why string) {
	if !d.Truncated {
		d.Truncated, d.TruncatedBy = true, why
	}
}

func sibling(path, suffix string) bool {
	st, err := os.Stat(path + suffix)
	return err == nil && st.Size() > 0
}

func (d *DB) connect(path, how string) (err error) {
	d.how = how
	d.conn, err = d.connection(path)
	return err
}

// connection opens the file in the way that was found to work.
func (d *DB) connection(path string) (*sqlite.Conn, error) {
	uri := "file:" + (&url.URL{Path: filepath.ToSlash(filepath.Clean(path))}).EscapedPath() + "?" + d.how
	conn, err := sqlite.OpenConn(uri, sqlite.OpenReadOnly, sqlite.OpenURI, sqlite.OpenPrivateCache)
	if err != nil {
		return nil, err
	}
	conn.SetBusyTimeout(0)
	// The engine reads the list of tables in one go, and trusts it to have an end.
	opening, opened := context.WithTimeout(d.ctx, openTime)
	defer opened()
	conn.SetInterrupt(opening.Done())
	conn.Limit(sqlite.LimitLength, 1<<28)
	conn.Limit(sqlite.LimitAttached, 0)
	conn.Limit(sqlite.LimitWorkerThreads, 0)
	var script []string
	if d.Truncated {
		// The only way to have a database with missing pages opened at all.
		script = append(script, "PRAGMA writable_schema=ON")
	}
	script = append(script, "PRAGMA trusted_schema=OFF", "PRAGMA cell_size_check=ON", "PRAGMA mmap_size=0", "PRAGMA cache_size=-8192", "PRAGMA query_only=ON",
		"PRAGMA temp_store=MEMORY", "BEGIN", "SELECT 1 FROM sqlite_master LIMIT 1")
	for _, sql := range script {
		if err := Execute(conn, sql); err != nil {
			_ = conn.Close()
			return nil, err
		}
	}
	conn.SetInterrupt(d.ctx.Done())
	return conn, nil
}

// openTime bounds the reading of a list of tables, which takes milliseconds; a
// variable for tests' sake.
var openTime = 10 * time.Second

// Execute runs one statement.
func Execute(conn *sqlite.Conn, sql string) error {
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
func (d *DB) refusal(err error) error {
	if d.ctx.Err() != nil {
		return d.ctx.Err()
	}
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		return err
	}
	what := "is an SQLite database that cannot be opened: " + Reason(err)
	switch {
	case sqlite.ErrCode(err).ToPrimary() == sqlite.ResultInterrupt:
		what = "is a damaged SQLite database: its list of tables has no end"
	case d.Truncated:
		what = fmt.Sprintf("is cut off: %s, and nothing in the rest can be read", d.TruncatedBy)
	}
	return &Error{what, "copy it again, or export it again: nsys export --type sqlite"}
}

// Reason is the engine's word for an error, which says no path.
func Reason(err error) string { return sqlite.ErrCode(err).ToPrimary().Message() }

package scrub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"

	"tokprof/trace/internal/nsys"
	"tokprof/trace/internal/nsys/database"

	"zombiezen.com/go/sqlite"
)

// copier copies the rows that are safe from one database into a new one.
type copier struct {
	*database.DB
	ctx      context.Context
	x        *nsys.Export // of the original
	to       *sqlite.Conn
	out      *Scrubbed
	mask     masker
	payloads nsys.PayloadSchemas
	domain   int64          // of the row
	names    map[int64]bool // strings used as names of kernels, calls and the like
	texts    map[int64]bool // strings used as what programs wrote
	adapters map[int64]int  // what stands for a network adapter's id, as met

	engine map[int64]bool // strings that engines name their threads with
}

func scrubSQLite(ctx context.Context, path string, o nsys.Options, w io.Writer, out *Scrubbed) (*nsys.Export, error) {
	f, err := os.CreateTemp(o.TempDir, "tokprof-*.sqlite")
	if err != nil {
		return nil, errNoTemporary
	}
	defer func() { _ = f.Close(); _ = os.Remove(f.Name()) }()
	x := nsys.NewExport()
	err = database.Use(ctx, path, o.Database(), func(d *database.DB) error {
		to, err := sqlite.OpenConn(f.Name(), sqlite.OpenReadWrite, sqlite.OpenCreate)
		if err != nil {
			return fmt.Errorf("the copy cannot be made: %s", database.Reason(err))
		}
		c := &copier{payloads: nsys.Payloads(d), DB: d, ctx: ctx, x: x, to: to, out: out, names: map[int64]bool{}, texts: map[int64]bool{}, adapters: map[int64]int{}}
		err = c.copy()
		x.Stored(d)
		if e := to.Close(); err == nil {
			err = e
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	_, err = io.Copy(w, nsys.Patient(ctx, f))
	return x, err
}

var errNoTemporary = &nsys.FormatError{What: "is copied by way of a temporary file, and none can be made", Hint: "set TMPDIR to a directory that can be written"}

// copy writes every table of the copy.
func (c *copier) copy() error {
	c.to.SetInterrupt(c.ctx.Done())
	if err := c.exec("PRAGMA journal_mode=OFF", "PRAGMA synchronous=OFF", "BEGIN"); err != nil {
		return c.failed(err)
	}
	c.private()
	c.engines()
	for _, t := range safeTables {
		c.Expect(t.name)
	}
	for _, t := range safeTables {
		if !c.Has(t.name) {
			continue
		}
		err := c.copyTable(t)
		if c.ctx.Err() != nil || errors.Is(err, errWrite) {
			return cmp.Or(c.ctx.Err(), err)
		}
		if err != nil { // what breaks in a table costs the rows behind
			got := c.x.Counts[t.name]
			c.x.Broke(c.DB, t.name, err, 1, max(c.LastKey(t.name), got), got)
		}
	}
	for _, step := range []func() error{c.meta, c.strings, func() error { return c.exec("COMMIT") }} {
		if err := step(); err != nil {
			return c.failed(err)
		}
	}
	kept := map[string]int64{"stringids": math.MaxInt64} // counted by themselves
	for name, n := range c.x.Counts {
		kept[strings.ToLower(name)] = n
	}
	for _, name := range c.Tables() {
		if n := c.LastKey(name) - kept[strings.ToLower(name)]; n > 0 {
			c.out.Left[name] = n
		}
	}
	c.out.Masked = c.mask.masked
	return c.ctx.Err()
}

// errWrite marks errors of the copy.
var errWrite = errors.New("the copy cannot be written")

func (c *copier) failed(err error) error {
	switch {
	case c.ctx.Err() != nil:
		return c.ctx.Err()
	case sqlite.ErrCode(err).ToPrimary() == sqlite.ResultFull || errors.Is(err, syscall.ENOSPC):
		return &nsys.FormatError{What: "is copied by way of a temporary file, and the temporary directory is full", Hint: "set TMPDIR to a directory with more room"}
	case errors.Is(err, errWrite):
		return err
	}
	return fmt.Errorf("%w: %s", errWrite, database.Reason(err))
}

func (c *copier) exec(sql ...string) error {
	for _, q := range sql {
		if err := database.Execute(c.to, q); err != nil {
			return err
		}
	}
	return nil
}

// insert makes a table in the copy and returns the statement that fills it.
func (c *copier) insert(table string, columns []string) (*sqlite.Stmt, error) {
	if err := c.exec("CREATE TABLE " + database.Quote(table) + " (" + strings.Join(columns, ", ") + ")"); err != nil {
		return nil, err
	}
	s, _, err := c.to.PrepareTransient("INSERT INTO " + database.Quote(table) + " VALUES (" + strings.Repeat("?, ", len(columns)-1) + "?)")
	return s, err
}

// copyTable copies the safe columns of one table, row by row in the order of
// the original.
func (c *copier) copyTable(t safeTable) error {
	cols := slices.DeleteFunc(t.columns(), func(s safeColumn) bool { return !c.Has(t.name, s.name) })
	if len(cols) == 0 {
		return nil
	}
	list, types := make([]string, len(cols)), make([]string, len(cols))
	for i, s := range cols {
		list[i], types[i] = s.name, database.Quote(s.name)+" "+s.holds.sqlType()
	}
	into, err := c.insert(t.name, types)
	if err != nil {
		return c.failed(err)
	}
	defer func() { _ = into.Finalize() }()
	at := func(name string) int { return slices.Index(list, name) }
	domain := at("domainId")
	return c.Rows(t.name, list, func(s *sqlite.Stmt) error {
		c.Tick()
		if t.keep != nil && !t.keep(c, s, at) {
			return nil
		}
		if domain >= 0 {
			c.domain = s.ColumnInt64(domain)
		}
		for i, col := range cols {
			c.value(s, i, into, i+1, col.holds)
		}
		if _, err := into.Step(); err != nil {
			return c.failed(err)
		}
		c.x.Counts[t.name]++
		return into.Reset()
	})
}

// value copies one value as what its column holds; a value of another type is
// NULL.
func (c *copier) value(s *sqlite.Stmt, from int, into *sqlite.Stmt, to int, h holds) {
	into.BindNull(to)
	switch kind := s.ColumnType(from); {
	case h == adapterID && kind != sqlite.TypeNull:
		into.BindInt64(to, c.adapter(s.ColumnInt64(from)))
	case kind == sqlite.TypeInteger:
		n := s.ColumnInt64(from)
		switch h {
		case nameID:
			c.names[n] = true
		case textID:
			c.texts[n] = true
		}
		into.BindInt64(to, n)
	case kind != sqlite.TypeNull && kind != sqlite.TypeFloat && h <= textID:
		// A text among numbers is what readers take it for.
		if n, ok := database.Int(s, from); ok {
			into.BindInt64(to, n)
		} else {
			into.BindZeroBlob(to, 0)
		}
	case kind == sqlite.TypeFloat:
		into.BindFloat(to, s.ColumnFloat(from))
	case kind == sqlite.TypeText && h == label:
		if text := string(database.Read(s, from, nil)); labelText.MatchString(text) {
			into.BindText(to, text)
		}
	case kind == sqlite.TypeText && h == name:
		into.BindText(to, c.mask.name(string(database.Read(s, from, nil))))
	case kind == sqlite.TypeText && h == text:
		into.BindText(to, c.mask.text(string(database.Read(s, from, nil))))
	case h == message && kind != sqlite.TypeNull:
		if n := c.payloads.Bytes(c.domain, database.Read(s, from, nil)); n >= 0 {
			into.BindBytes(to, message16(n))
		}
	}
}

// maxAdapters bounds the network adapters that are told apart; no export has so
// many.
const maxAdapters = 1 << 16

// adapter is what stands for a network adapter's id.
func (c *copier) adapter(id int64) int64 {
	if c.adapters[id] == 0 && len(c.adapters) < maxAdapters {
		c.adapters[id] = len(c.adapters) + 1
	}
	return int64(c.adapters[id])
}

// labelText is what enumerations and metrics are called.
var labelText = regexp.MustCompile(`^[A-Za-z0-9 _.,:;%()\[\]/+*#&|'-]*$`)

// meta writes what of the export's own settings the clock and the graphs need.
func (c *copier) meta() error {
	for _, m := range safeMeta {
		from := c.First(m.tables...)
		if !c.Has(from, "name", "value") {
			continue
		}
		into, err := c.insert(from, []string{"name TEXT NOT NULL", "value TEXT"})
		if err != nil {
			return err
		}
		err = c.Rows(from, []string{"name", "value"}, func(s *sqlite.Stmt) error {
			name, value := database.Text(s, 0, 128), database.Text(s, 1, 64)
			if !m.names.MatchString(name) || !metaValue.MatchString(value) {
				return nil
			}
			into.BindText(1, name)
			into.BindText(2, value)
			if _, err := into.Step(); err != nil {
				return c.failed(err)
			}
			c.x.Counts[from]++
			return into.Reset()
		})
		_ = into.Finalize()
		if errors.Is(err, errWrite) {
			return err
		}
	}
	return nil
}

// strings writes the strings that the rows use, by id.
func (c *copier) strings() error {
	if !c.Has("StringIds", "id", "value") {
		return nil
	}
	into, err := c.insert("StringIds", []string{"id INTEGER NOT NULL PRIMARY KEY", "value TEXT NOT NULL"})
	if err != nil {
		return err
	}
	defer func() { _ = into.Finalize() }()
	text := map[int64]string{}
	for _, used := range []map[int64]bool{c.names, c.texts} {
		_, _ = c.Strings(slices.Sorted(maps.Keys(used)), text) // what is not found stays behind
	}
	ids := slices.Sorted(maps.Keys(text))
	for _, id := range ids {
		s := text[id]
		if c.names[id] {
			s = c.mask.name(s)
		} else {
			s = c.mask.text(s)
		}
		into.BindInt64(1, id)
		into.BindText(2, s)
		if _, err := into.Step(); err != nil {
			return err
		}
		if err := into.Reset(); err != nil {
			return err
		}
	}
	c.out.Strings = int64(len(ids))
	_ = c.Rows("StringIds", nil, func(*sqlite.Stmt) error {
		c.out.StringsLeft++
		return nil
	})
	c.out.StringsLeft = max(c.out.StringsLeft-c.out.Strings, 0)
	return nil
}

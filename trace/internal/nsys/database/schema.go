package database

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"zombiezen.com/go/sqlite"
)

// table is an ordinary table. Names are found whatever their case, as in SQL.
type table struct {
	name    string            // as the file writes it
	columns map[string]column // of stored values, by their names in lower case; nil until asked for
	rowid   string            // what the number of a row is called, "" when rows have none
}

// column is what the schema says of a column.
type column struct {
	name    string
	notNull bool
	key     bool // the primary key
}

// schema lists the ordinary tables. Exports of different versions have
// different tables and columns, and a table without rows may be absent, so
// what is there is looked up, never assumed.
func (d *DB) schema() error {
	d.tables, d.odd = map[string]*table{}, map[string]bool{}
	master := &table{name: "sqlite_master", rowid: "rowid"}
	err := d.rowsOf(d.conn, "SELECT name, type, sql, rowid FROM sqlite_master", master, 3, func(s *sqlite.Stmt) error {
		name, kind := Text(s, 0, MaxText), Text(s, 1, 16)
		switch {
		case len(d.tables)+len(d.odd) >= maxTables:
		case kind == "table" && strings.EqualFold(Text(s, 2, len(createTable)), createTable):
			d.tables[strings.ToLower(name)] = &table{name: name}
		case kind == "table" || kind == "view":
			d.odd[strings.ToLower(name)] = true
		}
		return nil
	})
	if err != nil && len(d.tables) == 0 {
		return d.refusal(err)
	}
	if d.First("StringIds", "META_DATA_EXPORT", "EXPORT_META_DATA", "TARGET_INFO_SESSION_START_TIME", "CUPTI_ACTIVITY_KIND_KERNEL", "NVTX_EVENTS") != "" {
		return nil
	}
	if d.Truncated {
		return &Error{"is cut off: " + d.TruncatedBy + ", and no table of an Nsight Systems export is left", "copy it again"}
	}
	if len(d.tables) == 0 {
		return &Error{"is an SQLite database without tables", "nsys export was interrupted; " + HintExport}
	}
	return &Error{"is an SQLite database, but no Nsight Systems export", HintExport}
}

// createTable is how the engine begins the text of an ordinary table, however
// it was written.
const createTable = "CREATE TABLE "

// Tables are the names of the ordinary tables, as the file writes them.
func (d *DB) Tables() []string {
	var out []string
	for _, t := range d.tables {
		out = append(out, t.name)
	}
	slices.Sort(out)
	return out
}

// Odd says whether a name is that of a view or a virtual table, which are not
// read.
func (d *DB) Odd(name string) bool { return d.odd[strings.ToLower(name)] }

// maxTables bounds the tables listed; exports have about a hundred.
const maxTables = 4096

// table is a table with its columns; nil when there is none of the name.
func (d *DB) table(name string) *table {
	t := d.tables[strings.ToLower(name)]
	if t == nil || t.columns != nil {
		return t
	}
	t.columns = map[string]column{}
	// A table whose columns cannot be listed is read as one without columns.
	_ = d.each(d.conn, "PRAGMA table_xinfo("+Quote(t.name)+")", func(s *sqlite.Stmt) error {
		if s.ColumnInt(6) == 0 { // neither generated nor hidden
			name := s.ColumnText(1)
			t.columns[strings.ToLower(name)] = column{name: name, notNull: s.ColumnInt(3) != 0, key: s.ColumnInt(5) == 1 && strings.EqualFold(s.ColumnText(2), "INTEGER")}
		}
		return nil
	})
	for _, id := range []string{"rowid", "_rowid_", "oid"} {
		if _, taken := t.columns[id]; taken {
			continue
		}
		// A table WITHOUT ROWID says so only by refusing.
		if s, _, err := d.conn.PrepareTransient("SELECT " + id + " FROM " + Quote(t.name)); err == nil {
			_ = s.Finalize()
			t.rowid = id
		}
		break
	}
	return t
}

// First is the first of several names that is a table: tables were renamed
// over the years.
func (d *DB) First(tables ...string) string {
	for _, t := range tables {
		if d.tables[strings.ToLower(t)] != nil {
			return t
		}
	}
	return ""
}

// Has says whether there is such a table, with all of some columns that hold
// stored values.
func (d *DB) Has(table string, cols ...string) bool {
	t := d.table(table)
	for _, c := range cols {
		if t == nil {
			break
		}
		if _, ok := t.columns[strings.ToLower(c)]; !ok {
			return false
		}
	}
	return t != nil
}

// query selects columns of a table in the order of its rows; a column that is
// not there is NULL, and one with alternatives ("a|b") is the first that is. A
// last alternative may be a number, for what is NULL. The row's number comes
// behind the columns where rows have one.
func (t *table) query(cols []string) string {
	list := make([]string, len(cols))
	for i, c := range cols {
		var terms []string
		for _, name := range strings.Split(c, "|") {
			if _, err := strconv.ParseInt(name, 10, 64); err == nil {
				terms = append(terms, name)
				continue
			}
			col, ok := t.columns[strings.ToLower(name)]
			if !ok {
				continue
			}
			terms = append(terms, Quote(col.name))
			if col.notNull {
				break
			}
		}
		switch len(terms) {
		case 0:
			list[i] = "NULL"
		case 1:
			list[i] = terms[0]
		default:
			list[i] = "coalesce(" + strings.Join(terms, ", ") + ")"
		}
	}
	if t.rowid != "" {
		list = append(list, t.rowid)
	}
	return "SELECT " + strings.Join(list, ", ") + " FROM " + Quote(t.name) + " NOT INDEXED"
}

// Quote writes a name as SQL does.
func Quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// Rows hands out columns of a table in the order of its rows: none when there
// is no such table. A column is named as in Integers.
func (d *DB) Rows(table string, cols []string, row func(*sqlite.Stmt) error) error {
	t := d.table(table)
	if t == nil {
		return nil
	}
	return d.rowsOf(d.conn, t.query(cols), t, len(cols), row)
}

// rowsOf runs a query over a table and hands out its rows, whose numbers stand
// in the column at. Numbers that do not rise are of pages that point to each
// other in circles or over and over.
func (d *DB) rowsOf(conn *sqlite.Conn, sql string, t *table, at int, row func(*sqlite.Stmt) error) error {
	last, first := int64(0), true
	return d.each(conn, sql, func(s *sqlite.Stmt) error {
		if t.rowid != "" {
			id := s.ColumnInt64(at)
			if !first && id <= last {
				return errOrder
			}
			first, last = false, id
		}
		return row(s)
	})
}

// each runs a query and hands out its rows.
func (d *DB) each(conn *sqlite.Conn, sql string, row func(*sqlite.Stmt) error) error {
	s, _, err := conn.PrepareTransient(sql)
	if err != nil {
		return err
	}
	defer func() { _ = s.Finalize() }()
	for n := int64(0); ; n++ {
		more, err := s.Step()
		if err != nil || !more {
			return err
		}
		if n > d.Size/minRow {
			return errTooMany
		}
		if err := row(s); err != nil {
			return err
		}
	}
}

// minRow is the least bytes that a row takes in a database.
const minRow = 4

var (
	errTooMany = errors.New("it promises more rows than fit into the file")
	errOrder   = errors.New("its rows are not in order")
)

// Value is the text that a name-value table gives a name.
func (d *DB) Value(table, name string) (out string, ok bool) {
	d.Values(table, 256, func(n, value string) {
		if n == name {
			out, ok = value, true
		}
	})
	return out, ok
}

// Values are the pairs of a name-value table, values of at most some bytes.
func (d *DB) Values(table string, most int, pair func(name, value string)) {
	if !d.Has(table, "name", "value") {
		return
	}
	_ = d.Rows(table, []string{"name", "value"}, func(s *sqlite.Stmt) error {
		pair(Text(s, 0, 256), Text(s, 1, most))
		return nil
	})
}

// MaxText is the longest text that is read, in bytes: template instances of
// real kernels stay below 10,000.
const MaxText = 1 << 16

// Read copies a text or blob, as much of it as a name may have, into buf if it
// has room.
func Read(s *sqlite.Stmt, col int, buf []byte) []byte {
	n := min(s.ColumnLen(col), MaxText)
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	buf = buf[:n]
	return buf[:s.ColumnBytes(col, buf)]
}

// Text is a text of at most some bytes.
func Text(s *sqlite.Stmt, col, most int) string {
	b := make([]byte, min(s.ColumnLen(col), most))
	return string(b[:s.ColumnBytes(col, b)])
}

// Int is a number; ok is false where something else stands, which the engine
// reads as 0. NULL is 0.
func Int(s *sqlite.Stmt, col int) (n int64, ok bool) {
	if n = s.ColumnInt64(col); n != 0 {
		return n, true
	}
	switch s.ColumnType(col) {
	case sqlite.TypeText:
		return 0, s.ColumnText(col) == "0"
	case sqlite.TypeBlob:
		return 0, false
	}
	return 0, true
}

// Strings adds the strings of some ids, each given once, to text; twice counts
// the ids that have another string too, of which the first is taken.
func (d *DB) Strings(ids []int64, text map[int64]string) (twice int, err error) {
	if !d.Has("StringIds", "id", "value") {
		return 0, nil
	}
	t := d.table("StringIds")
	if !t.columns["id"].key {
		return d.allStrings(ids, text)
	}
	s, _, err := d.conn.PrepareTransient("SELECT value FROM " + Quote(t.name) + " WHERE id = ?")
	if err != nil {
		return 0, err
	}
	defer func() { _ = s.Finalize() }()
	for _, id := range ids {
		s.BindInt64(1, id)
		if more, err := s.Step(); err == nil && more {
			text[id] = Text(s, 0, MaxText)
		}
		_ = s.Reset()
	}
	return 0, nil
}

// allStrings is Strings for a table that has no key to find an id by.
func (d *DB) allStrings(ids []int64, text map[int64]string) (twice int, err error) {
	want := make(map[int64]bool, len(ids))
	for _, id := range ids {
		want[id] = true
	}
	err = d.Rows("StringIds", []string{"id", "value"}, func(s *sqlite.Stmt) error {
		id := s.ColumnInt64(0)
		if !want[id] {
			return nil
		}
		value := Text(s, 1, MaxText)
		if was, ok := text[id]; !ok {
			text[id] = value
		} else if was != value {
			twice++
		}
		return nil
	})
	return twice, err
}

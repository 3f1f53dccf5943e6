package database

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"zombiezen.com/go/sqlite"
)

// schema lists the ordinary tables. Exports of different versions have
// different tables and columns, and a table without rows may be absent, so
// what is there is looked up, never assumed.
func (d *DB) schema() error {
	d.tables = map[string]map[string]column{}
	err := d.Each("SELECT name FROM sqlite_master WHERE type = 'table' AND lower(substr(sql, 1, 13)) = 'create table '", func(s *sqlite.Stmt) error {
		if len(d.tables) < maxTables {
			d.tables[s.ColumnText(0)] = nil
		}
		return nil
	})
	if err != nil && len(d.tables) == 0 {
		return d.refusal(err)
	}
	for _, name := range []string{"StringIds", "META_DATA_EXPORT", "EXPORT_META_DATA", "TARGET_INFO_SESSION_START_TIME", "CUPTI_ACTIVITY_KIND_KERNEL", "NVTX_EVENTS"} {
		if _, ok := d.tables[name]; ok {
			return nil
		}
	}
	if d.Truncated {
		return &Error{"is cut off: " + d.TruncatedBy + ", and no table of an Nsight Systems export is left", "copy it again"}
	}
	if len(d.tables) == 0 {
		return &Error{"is an SQLite database without tables", "nsys export was interrupted; " + HintExport}
	}
	return &Error{"is an SQLite database, but no Nsight Systems export", HintExport}
}

// Tables are the names of the ordinary tables, sorted.
func (d *DB) Tables() []string { return slices.Sorted(maps.Keys(d.tables)) }

// maxTables bounds the tables listed; exports have about a hundred.
const maxTables = 4096

// columns are a table's columns that hold stored values; nil when there is no
// such table.
func (d *DB) columns(table string) map[string]column {
	cols, ok := d.tables[table]
	if !ok || cols != nil {
		return cols
	}
	cols = map[string]column{}
	// A table whose columns cannot be listed is read as one without columns.
	_ = d.Each("PRAGMA table_xinfo("+Quote(table)+")", func(s *sqlite.Stmt) error {
		if s.ColumnInt(6) == 0 { // neither generated nor hidden
			cols[s.ColumnText(1)] = column{notNull: s.ColumnInt(3) != 0, key: s.ColumnInt(5) == 1 && strings.EqualFold(s.ColumnText(2), "INTEGER")}
		}
		return nil
	})
	d.tables[table] = cols
	return cols
}

// First is the first of several names that is a table: tables were renamed
// over the years.
func (d *DB) First(tables ...string) string {
	for _, t := range tables {
		if _, ok := d.tables[t]; ok {
			return t
		}
	}
	return ""
}

// Has says whether there is such a table, with all of some columns that hold
// stored values.
func (d *DB) Has(table string, cols ...string) bool {
	have := d.columns(table)
	for _, c := range cols {
		if _, ok := have[c]; !ok {
			return false
		}
	}
	return have != nil
}

// Query selects columns of a table in the order of its rows; a column that is
// not there is NULL, and one with alternatives ("a|b") is the first that is. A
// last alternative may be a number, for what is NULL.
func (d *DB) Query(table string, cols ...string) string {
	have := d.columns(table)
	list := make([]string, len(cols))
	for i, c := range cols {
		var terms []string
		for _, name := range strings.Split(c, "|") {
			if _, err := strconv.ParseInt(name, 10, 64); err == nil {
				terms = append(terms, name)
				continue
			}
			col, ok := have[name]
			if !ok {
				continue
			}
			terms = append(terms, Quote(name))
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
	return "SELECT " + strings.Join(list, ", ") + " FROM " + Quote(table) + " NOT INDEXED"
}

// Quote writes a name as SQL does.
func Quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// Each runs a query and hands out its rows.
func (d *DB) Each(sql string, row func(*sqlite.Stmt) error) error {
	return d.eachOf(d.conn, sql, row)
}

func (d *DB) eachOf(conn *sqlite.Conn, sql string, row func(*sqlite.Stmt) error) error {
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

// minRow is the least bytes that a row takes in a database. Pages that point
// to each other in circles or over and over can promise more rows than that
// without end.
const minRow = 4

var errTooMany = fmt.Errorf("it promises more rows than fit into the file")

// Value is the text that a name-value table gives a name.
func (d *DB) Value(table, name string) (out string, ok bool) {
	if !d.Has(table, "name", "value") {
		return "", false
	}
	_ = d.Each("SELECT substr(value, 1, 256) FROM "+Quote(table)+" WHERE name = '"+name+"'", func(s *sqlite.Stmt) error {
		out, ok = s.ColumnText(0), true
		return nil
	})
	return out, ok
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

// Strings adds the strings of some ids, each given once, to text.
func (d *DB) Strings(ids []int64, text map[int64]string) error {
	if !d.columns("StringIds")["id"].key {
		return d.allStrings(ids, text)
	}
	s, _, err := d.conn.PrepareTransient(fmt.Sprintf("SELECT substr(value, 1, %d) FROM StringIds WHERE id = ?", MaxText))
	if err != nil {
		return err
	}
	defer func() { _ = s.Finalize() }()
	for _, id := range ids {
		s.BindInt64(1, id)
		if more, err := s.Step(); err == nil && more {
			text[id] = s.ColumnText(0)
		}
		_ = s.Reset()
	}
	return nil
}

// allStrings is Strings for a table that has no key to find an id by.
func (d *DB) allStrings(ids []int64, text map[int64]string) error {
	want := make(map[int64]bool, len(ids))
	for _, id := range ids {
		want[id] = true
	}
	return d.Each(d.Query("StringIds", "id", "value"), func(s *sqlite.Stmt) error {
		if id := s.ColumnInt64(0); want[id] {
			text[id] = s.ColumnText(1)
		}
		return nil
	})
}

package database

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"zombiezen.com/go/sqlite"
)

// made is a database of tables with the columns a and b.
func made(t *testing.T, tables ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.sqlite")
	conn, err := sqlite.OpenConn(path, sqlite.OpenReadWrite, sqlite.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append([]string{"StringIds"}, tables...) {
		if err := Execute(conn, "CREATE TABLE "+Quote(name)+" (a INTEGER, b INTEGER)"); err != nil {
			t.Fatal(err)
		}
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestEndlessList opens a database whose list of tables is pages that point to
// each other over and over, deeper than anybody would wait for, and that seems
// cut off, so that the engine is told to make the best of it.
func TestEndlessList(t *testing.T) {
	var names []string
	for i := range 200 {
		names = append(names, fmt.Sprintf("a table with a long name %d", i))
	}
	path := made(t, names...)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	if b[100] != 5 {
		t.Fatalf("the list begins in a page of type %d", b[100])
	}
	leaf := binary.BigEndian.Uint32(b[100+8:])
	for range 6 {
		// A page of 400 pointers to the one before.
		p := make([]byte, page)
		p[0] = 5
		const cells, size = 400, 5
		binary.BigEndian.PutUint16(p[3:], cells)
		binary.BigEndian.PutUint16(p[5:], page-cells*size)
		binary.BigEndian.PutUint32(p[8:], leaf)
		for i := range cells {
			at := page - (i+1)*size
			binary.BigEndian.PutUint16(p[12+2*i:], uint16(at))
			binary.BigEndian.PutUint32(p[at:], leaf)
			p[at+4] = 127
		}
		b = append(b, p...)
		leaf = uint32(len(b) / page)
	}
	binary.BigEndian.PutUint32(b[100+8:], leaf)
	binary.BigEndian.PutUint32(b[28:], leaf+1)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	defer func(was time.Duration) { openTime = was }(openTime)
	openTime = time.Second
	err = Use(context.Background(), path, Options{}, func(d *DB) error { return nil })
	var e *Error
	if !errors.As(err, &e) || e.What != "is a damaged SQLite database: its list of tables has no end" {
		t.Error(err)
	}
}

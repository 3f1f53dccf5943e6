package database

import (
	"errors"
	"math"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"

	"zombiezen.com/go/sqlite"
)

const (
	// chunkRows is how many rows a connection reads at a time.
	chunkRows = 1 << 15
	// manyChunks is from where on several connections read a table together.
	manyChunks = 4
	// rowBytes is less than what the rows of large tables take.
	rowBytes = 32
	// maxReaders is how many connections there are at most: behind them, rows
	// are taken by one.
	maxReaders = 4
)

// chunk is a run of rows of one table as integers, cols for each row.
type chunk struct {
	from, to int64 // row numbers, ends included
	values   []int64
	rows     int64
	err      error
	done     chan struct{}
}

// pool opens the connections that read large tables together. Without them one
// reads alone.
func (d *DB) openPool(path string) {
	if d.Size < d.chunk*manyChunks*rowBytes {
		return
	}
	for range min(runtime.GOMAXPROCS(0), maxReaders) {
		conn, err := d.connection(path)
		if err != nil {
			return
		}
		d.pool = append(d.pool, conn)
	}
}

func (d *DB) close() {
	for _, c := range d.pool {
		_ = c.Close()
	}
	_ = d.conn.Close()
}

// Integers reads columns of a table as numbers and hands out its rows in order.
// NULL is 0, what is neither that nor a number NoNumber. What breaks costs rows;
// lost is called for each break with the reason and how many rows of the stretch
// had come.
func (d *DB) Integers(name string, cols []string, row func(v []int64) error, lost func(err error, from, to, got int64)) error {
	t := d.table(name)
	if t == nil {
		return nil
	}
	sql, n := t.query(cols), len(cols)
	first, last := d.keys(name)
	if t.rowid == "" || len(d.pool) < 2 || last < d.chunk*manyChunks || first < 0 || last > d.Size/minRow {
		c := &chunk{from: math.MinInt64, to: math.MaxInt64}
		err := d.rowsOf(d.conn, sql, t, n, func(s *sqlite.Stmt) error {
			c.take(s, n)
			err := row(c.values)
			c.values = c.values[:0]
			return err
		})
		if err != nil {
			lost(err, 1, max(last, c.rows), c.rows)
		}
		return d.ctx.Err()
	}
	return d.together(t, sql+" WHERE "+t.rowid+" BETWEEN ", n, last, row, lost)
}

// NoNumber stands for a text or a blob where a number must be: SQLite lets any
// column hold anything.
const NoNumber = math.MinInt64

func (c *chunk) take(s *sqlite.Stmt, n int) {
	for i := range n {
		v := s.ColumnInt64(i)
		if v == 0 { // most likely what it says
			if _, ok := Int(s, i); !ok {
				v = NoNumber
			}
		}
		c.values = append(c.values, v)
	}
	c.rows++
}

// together has the pool read a table in stretches; one goroutine takes the
// rows in their order.
func (d *DB) together(t *table, sql string, n int, last int64, row func(v []int64) error, lost func(err error, from, to, got int64)) error {
	var readers sync.WaitGroup
	defer readers.Wait()
	stop := make(chan struct{})
	defer close(stop)
	// The queue keeps the order, and bounds how far readers run ahead.
	queue, tasks, free := make(chan *chunk, 2*len(d.pool)), make(chan *chunk), make(chan []int64, 3*len(d.pool))
	go d.cut(last, queue, tasks, stop)
	for _, conn := range d.pool {
		readers.Go(func() {
			for c := range tasks {
				select {
				case v := <-free:
					c.values = v[:0]
				default:
				}
				d.read(conn, t, sql, n, c)
				close(c.done)
			}
		})
	}
	for c := range queue {
		select {
		case <-c.done:
		case <-d.ctx.Done():
			return d.ctx.Err()
		}
		if err := d.ctx.Err(); err != nil {
			return err
		}
		for i := 0; i+n <= len(c.values); i += n {
			if err := row(c.values[i : i+n]); err != nil {
				return err
			}
		}
		if c.err != nil {
			lost(c.err, max(c.from, 1), min(c.to, last), c.rows)
		}
		select {
		case free <- c.values:
		default:
		}
	}
	return nil
}

// cut puts the chunks of a table of last rows into the queue, and out as tasks.
func (d *DB) cut(last int64, queue, tasks chan<- *chunk, stop <-chan struct{}) {
	defer close(tasks)
	defer close(queue)
	for from := int64(0); from <= last; from += d.chunk {
		c := &chunk{from: from, to: from + d.chunk - 1, done: make(chan struct{})}
		for _, to := range []chan<- *chunk{queue, tasks} {
			select {
			case to <- c:
			case <-stop:
				return
			}
		}
	}
}

// read reads one chunk.
func (d *DB) read(conn *sqlite.Conn, t *table, sql string, n int, c *chunk) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			c.err = errFault
		}
	}()
	c.err = d.rowsOf(conn, sql+strconv.FormatInt(c.from, 10)+" AND "+strconv.FormatInt(c.to, 10), t, n, func(s *sqlite.Stmt) error {
		if s.ColumnInt64(n) < c.from {
			return errOrder
		}
		c.take(s, n)
		return nil
	})
}

var errFault = errors.New("the engine cannot read it")

// keys are the smallest and the largest row number of a table, 0 when they
// cannot be read.
func (d *DB) keys(name string) (first, last int64) {
	t := d.table(name)
	if t == nil || t.rowid == "" {
		return 0, 0
	}
	for what, to := range map[string]*int64{"min": &first, "max": &last} {
		_ = d.each(d.conn, "SELECT "+what+"("+t.rowid+") FROM "+Quote(t.name), func(s *sqlite.Stmt) error {
			*to = s.ColumnInt64(0)
			return nil
		})
	}
	return first, last
}

// LastKey is the largest row number of a table, which is its number of rows in
// a table that nothing was deleted from; 0 when it cannot be read.
func (d *DB) LastKey(table string) int64 {
	_, last := d.keys(table)
	return min(max(last, 0), d.Size/minRow)
}

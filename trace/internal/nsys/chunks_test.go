package nsys

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"
)

// readTogether reads a database with several connections, 100 rows at a time.
func readTogether(ctx context.Context, t *testing.T, path string, sink Sink) (*Export, error) {
	t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(4))
	return readSQLite(ctx, path, Options{chunk: 100}, sink)
}

// TestTogether: rows come in the same order however many read them.
func TestTogether(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.sqlite")
	makeExport(t, path, 5000, 777)
	_, want := mustRead(t, path)
	got := newTaken()
	x, err := readTogether(context.Background(), t, path, got.sink)
	if err != nil || x.Events != 5777 || !slices.Equal(got.all, want.all) {
		t.Errorf("%v, %d rows of %d", err, len(got.all), len(want.all))
	}
}

// TestTogetherDamaged spoils pages one by one: what several connections read
// of the rest is stated, and no less than what one reads.
func TestTogetherDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.sqlite")
	makeExport(t, path, 5000, 100)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	more := 0
	for page := 8; page < len(whole)/4096; page += 23 {
		b := slices.Clone(whole)
		for i := range 64 {
			b[page*4096+i] ^= 0x5a
		}
		write(t, path, b)
		_, alone, err1 := readFile(t, path)
		got := newTaken()
		x, err2 := readTogether(context.Background(), t, path, got.sink)
		if (err1 == nil) != (err2 == nil) {
			t.Fatalf("page %d: %v, %v", page, err1, err2)
		}
		if err2 != nil {
			continue
		}
		if len(got.all) < len(alone.all) || x.Events < 5100 && (!x.Truncated || len(x.Damage) == 0 || x.Skipped == 0) {
			t.Errorf("page %d: %d rows, one alone reads %d; %+v", page, len(got.all), len(alone.all), x)
		}
		if len(got.all) > len(alone.all) {
			more++
		}
	}
	if more == 0 {
		t.Error("nothing behind a damaged page was read")
	}
}

// TestTogetherCancelled leaves no goroutine behind.
func TestTogetherCancelled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.sqlite")
	makeExport(t, path, 5000, 100)
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(context.Background())
	rows := 0
	_, err := readTogether(ctx, t, path, func(*Row) {
		if rows++; rows == 1000 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for range 100 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("%d goroutines, %d before", runtime.NumGoroutine(), before)
}

package capture

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"tokprof/trace"
)

// folder is a profiler's folder as it was before a window, so that the window's
// files can be told from older ones.
type folder struct {
	dir     string
	targets []int // whose profilers write there, by index
	before  map[string]stamp
	unmade  bool // it was not there before the window: profilers make it when they first write
	// Files found whole and torn, as they were then: each state is looked at once.
	whole, torn map[string]stamp
}

type stamp struct {
	size  int64
	mtime time.Time
}

// depth is how deep below the folder profilers nest their files.
const depth = 3

func watchFolder(dir string) (*folder, error) {
	f := &folder{dir: dir, whole: map[string]stamp{}, torn: map[string]stamp{}}
	_, err := os.Stat(dir)
	f.unmade = errors.Is(err, fs.ErrNotExist)
	f.before, err = f.list()
	return f, err
}

// list returns what a profiler may have written, by path below the folder: nothing
// before the profiler has made it.
func (f *folder) list() (map[string]stamp, error) {
	out := map[string]stamp{}
	err := filepath.WalkDir(f.dir, func(p string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(f.dir, p)
		switch {
		case errors.Is(err, fs.ErrNotExist) && (p != f.dir || f.unmade):
			return nil // a temporary file of the profiler may go while we look
		case err != nil:
			return err
		case d.IsDir() && strings.Count(rel, string(filepath.Separator)) >= depth:
			return fs.SkipDir
		case !d.Type().IsRegular() || strings.HasPrefix(d.Name(), "."):
			return nil
		}
		switch kindOf(rel) {
		case TraceFile, ProfilerTable, NsysReport:
			if st, err := d.Info(); err == nil {
				out[rel] = stamp{st.Size(), st.ModTime()}
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("the profiler's folder %s cannot be read: %w", f.dir, err)
	}
	f.unmade = f.unmade && len(out) == 0
	return out, nil
}

// stamped are names with the time of their recording, down to seconds at least. No
// later one is written under such a name.
var stamped = regexp.MustCompile(`\d{10,20}`)

// fresh returns the files of recordings since the window began: new ones, and old names
// written again. A trace of an earlier window that still grows is none.
func (f *folder) fresh() (map[string]stamp, error) {
	now, err := f.list()
	maps.DeleteFunc(now, func(p string, s stamp) bool {
		old, had := f.before[p]
		return old == s || had && stamped.MatchString(filepath.Base(p))
	})
	return now, err
}

// awaited is what a window's files are waited by.
type awaited struct {
	ranks   int  // GPU ranks expected, 0 when unknown
	replica int  // data-parallel replicas among them, at least 1
	servers int  // that write there; of several, names do not tell the ranks apart
	stopped bool // the server said that the profiler stopped

	patience time.Duration // without any change, when nothing says that all has come
	settle   time.Duration // without any change, when something whole is there
	poll     time.Duration
	progress func(string)
}

// arrived is what came.
type arrived struct {
	files   []string // below the folder, front-end traces and tables included
	damaged []string // of them those that are not whole
	missing []int    // ranks without a trace; nil when ranks are not known by name
	short   int      // ranks that are missing by count alone
	ranks   int      // expected, 0 when unknown
	reports bool     // of Nsight Systems
}

// longest, in times of the patience, is how long files may grow: one that grows
// for ever is as torn as one that does not.
const longest = 6

// wait returns when every expected rank's file is whole, or when nothing has
// changed for as long as w allows. An ended context ends the wait with what is
// there.
func (f *folder) wait(ctx context.Context, w awaited) (arrived, error) {
	tick := time.NewTicker(w.poll)
	defer tick.Stop()
	last, began := map[string]stamp{}, time.Now()
	changed := began
	for {
		now, err := f.fresh()
		if err != nil {
			return arrived{}, err
		}
		if time.Since(began) > longest*w.patience {
			a, _ := f.judge(now, w)
			return a, nil
		}
		if !maps.Equal(now, last) {
			changed = time.Now()
			w.progress(growth(now))
		} else if a, whole := f.judge(now, w); whole {
			quiet := time.Since(changed)
			// Nobody says how many reports of Nsight Systems are to come.
			known := a.short == 0 && len(a.missing) == 0 && !a.reports
			if known && w.ranks > 0 || len(a.files) > 0 && w.stopped && quiet > w.settle || quiet > w.patience {
				return a, nil
			}
		} else if time.Since(changed) > w.patience || w.stopped && len(a.files) > 0 && time.Since(changed) > 4*w.settle {
			return a, nil
		}
		last = now
		select {
		case <-ctx.Done():
			a, _ := f.judge(now, w)
			return a, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// judge sorts the files by whether they are whole and names the ranks that are
// missing. whole is false while a file is torn.
func (f *folder) judge(now map[string]stamp, w awaited) (a arrived, whole bool) {
	seen := map[int]bool{}
	count, reports, named, ranks := 0, 0, w.servers < 2, w.ranks
	for _, p := range slices.Sorted(maps.Keys(now)) {
		a.files = append(a.files, p)
		kind, name := kindOf(p), trace.ParseFileName(filepath.Base(p))
		if !f.isWhole(p, now[p]) {
			a.damaged = append(a.damaged, p)
		}
		if kind != TraceFile || name.Frontend || name.Capture {
			if kind == NsysReport {
				reports++
			}
			continue
		}
		count++
		if ranks == 0 {
			ranks = worldOf(filepath.Join(f.dir, p)) * max(w.servers, 1)
		}
		named = named && name.Rank >= 0
		seen[name.Rank+max(name.Replica, 0)*max(ranks/max(w.replica, 1), 1)] = true
	}
	if a.reports = reports > 0; a.reports {
		// One report of Nsight Systems holds every rank of its host.
		count, ranks, named = reports, reports, false
	}
	if named {
		for r := range ranks {
			if !seen[r] {
				a.missing = append(a.missing, r)
			}
		}
	}
	a.short, a.ranks = max(0, ranks-count), ranks
	return a, len(a.damaged) == 0 && count > 0
}

func (f *folder) isWhole(p string, now stamp) bool {
	if f.whole[p] != now && f.torn[p] != now {
		if complete(filepath.Join(f.dir, p), kindOf(p)) == nil {
			f.whole[p] = now
		} else {
			f.torn[p] = now
		}
	}
	return f.whole[p] == now
}

var worldIn = regexp.MustCompile(`"world_size\\?"\s*:\s*(\d+)`)

// worldOf reads the number of ranks from the head of a trace, where torch writes
// it; 0 when it is not there.
func worldOf(path string) int {
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer func() { _ = f.Close() }()
	var r io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			return 0
		}
	}
	head := make([]byte, 64<<10)
	n, _ := io.ReadFull(r, head)
	m := worldIn.FindSubmatch(head[:n])
	if m == nil {
		return 0
	}
	world, _ := strconv.Atoi(string(m[1]))
	return world
}

// complete says why a file is not whole: gzip up to its checksum, JSON up to its
// closing bracket.
func complete(path string, kind Kind) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if st.Size() == 0 {
		return errors.New("is empty")
	}
	if strings.HasSuffix(path, ".gz") {
		z, err := gzip.NewReader(f)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, z)
		return err
	}
	if kind != TraceFile {
		return nil
	}
	tail := make([]byte, min(st.Size(), 256))
	if _, err := f.ReadAt(tail, st.Size()-int64(len(tail))); err != nil {
		return err
	}
	if t := bytes.TrimSpace(tail); len(t) == 0 || t[len(t)-1] != '}' && t[len(t)-1] != ']' {
		return errors.New("does not end where JSON ends")
	}
	return nil
}

func growth(files map[string]stamp) string {
	var sum int64
	for _, s := range files {
		sum += s.size
	}
	if len(files) == 0 {
		return "no files yet"
	}
	return fmt.Sprintf("%d files, %.1f MB", len(files), float64(sum)/1e6)
}

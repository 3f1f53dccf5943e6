package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// outputs are the files of one command. Each is written beside its place and
// moved there whole when everything worked, so that an error or Ctrl-C leaves
// no half-written file and never harms an old one.
type outputs struct {
	stdout  io.Writer
	pending []pendingFile
}

type pendingFile struct{ temp, path string }

// checkPaths refuses two outputs in one place before any work is done.
func checkPaths(paths ...string) error {
	seen := map[string]bool{}
	for _, p := range paths {
		if p == "" {
			continue
		}
		if seen[p] {
			where := p
			if p == "-" {
				where = "standard output"
			}
			return usageError{fmt.Sprintf("two outputs go to %s", where), "give each its own file"}
		}
		seen[p] = true
		if p != "-" {
			if st, err := os.Stat(p); err == nil && st.IsDir() {
				return usageError{p + " is a directory", "name a file in it"}
			}
			if _, err := os.Stat(filepath.Dir(p)); err != nil {
				return usageError{fmt.Sprintf("%s cannot be written: no directory %s", p, filepath.Dir(p)), "make the directory first"}
			}
		}
	}
	return nil
}

// write gives draw a buffered writer to a path, "-" for standard output.
func (o *outputs) write(path string, draw func(io.Writer) error) error {
	if path == "-" {
		w := bufio.NewWriterSize(o.stdout, 1<<16)
		if err := draw(w); err != nil {
			return err
		}
		return w.Flush()
	}
	// A link stays a link: what it points to is written.
	place := path
	if real, err := filepath.EvalSymlinks(path); err == nil {
		place = real
	}
	if st, err := os.Stat(place); err == nil && !st.Mode().IsRegular() {
		// A device or a pipe is written into: a file moved there would take its place.
		f, err := os.OpenFile(place, os.O_WRONLY, 0)
		return fill(f, err, path, draw)
	}
	f, err := os.CreateTemp(filepath.Dir(place), "."+filepath.Base(place)+".*")
	if err == nil {
		o.pending = append(o.pending, pendingFile{f.Name(), place})
	}
	return fill(f, err, path, draw)
}

// fill writes a file that was opened for a path.
func fill(f *os.File, err error, path string, draw func(io.Writer) error) error {
	if err == nil {
		w := bufio.NewWriterSize(f, 1<<16)
		err = draw(w)
		if err == nil {
			err = w.Flush()
		}
		if e := f.Close(); err == nil {
			err = e
		}
	}
	if err != nil {
		return fmt.Errorf("%s cannot be written: %w", path, cause(err))
	}
	return nil
}

// commit moves the files into place; discard removes what was not moved.
func (o *outputs) commit() error {
	for len(o.pending) > 0 {
		p := o.pending[0]
		if err := os.Chmod(p.temp, 0o644); err != nil {
			return err
		}
		if err := os.Rename(p.temp, p.path); err != nil {
			return fmt.Errorf("%s cannot be written: %w", p.path, cause(err))
		}
		o.pending = o.pending[1:]
	}
	return nil
}

func (o *outputs) discard() {
	for _, p := range o.pending {
		_ = os.Remove(p.temp)
	}
	o.pending = nil
}

// cause drops the temporary name from a file error.
func cause(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

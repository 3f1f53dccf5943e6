package replay

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"
)

// The recorded time that files took to write is kept up to this, so that nobody
// waits long for nothing.
const longestFlush = 1500 * time.Millisecond

// pieces in which a file appears.
const pieces = 8

// flush writes a profile's files late and in pieces, as the engine does: it
// exports first, then compresses into the file of the final name.
func (s *Server) flush(n *session, f Faults) {
	took := time.Duration(float64(min(longestFlush, time.Duration(n.window.StopReturn-n.window.StopCall))) / s.speed)
	if f.SlowStop > 0 {
		took = f.SlowStop
	}
	start := s.clock.Now()
	if f.StopBeforeFiles || s.opts.Engine == VLLM && s.release.before(10, 0) {
		start = start.Add(took)
	}
	files, err := s.files(n, f)
	if err == nil {
		err = s.write(files, start, took)
	}
	if err == nil {
		err = s.tables(n)
	}
	if err != nil {
		s.note(err)
	}
	if f.PartialWrite {
		s.trickle(files)
		return
	}
	if s.ctx.Err() != nil {
		return // closed before the end: whoever waits must not take it for one
	}
	close(n.flushed)
}

// write makes the files grow until start + took.
func (s *Server) write(files []file, start time.Time, took time.Duration) error {
	for i := range pieces {
		if err := s.clock.Sleep(s.ctx, start.Add(took*time.Duration(i+2)/(pieces+1))); err != nil {
			return nil // closed: what is written stays as it is
		}
		for _, x := range files {
			if err := x.appendPart(x.until*i/pieces, x.until*(i+1)/pieces); err != nil {
				return fmt.Errorf("the engine could not write its trace: %w", err)
			}
		}
	}
	return nil
}

// trickle adds a byte at a time and never comes to the end.
func (s *Server) trickle(files []file) {
	for k := 1; ; k++ {
		if s.clock.Sleep(s.ctx, s.clock.Now().Add(20*time.Millisecond)) != nil {
			return
		}
		for _, x := range files {
			if at := x.until + k; at < len(x.data)-1 {
				if err := x.appendPart(at-1, at); err != nil {
					s.note(err)
					return
				}
			}
		}
	}
}

func (s *Server) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = errors.Join(s.failed, err)
}

// Err tells what kept the server from writing files that it should have
// written. Clients are not told, as a real engine only logs it.
func (s *Server) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// file is a trace to be written. until is less than its length where it stays cut.
type file struct {
	path  string
	data  []byte
	until int
}

func (x file) appendPart(from, to int) error {
	flags := os.O_WRONLY | os.O_CREATE | os.O_APPEND
	if from == 0 {
		flags |= os.O_TRUNC
	}
	f, err := os.OpenFile(x.path, flags, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(x.data[from:to])
	return errors.Join(err, f.Close())
}

// files prepares a profile's traces, their clocks moved by its shift.
func (s *Server) files(n *session, f Faults) ([]file, error) {
	if n.dir == "" {
		return nil, errors.New("Options.TraceDir is empty: the engine has nowhere to write its traces")
	}
	shift := n.play.shift()
	var out []file
	add := func(name string, data []byte) {
		out = append(out, file{path: filepath.Join(n.dir, name), data: data, until: len(data)})
	}
	for _, t := range s.traces(n, f.DataParallel) {
		if t.rank >= 0 && slices.Contains(f.MissingRanks, t.rank) {
			continue
		}
		data, err := s.rec.trace(t.recorded, shift, n.limit)
		if err != nil {
			return nil, err
		}
		add(t.name, data)
	}
	if k := len(out) - 1; f.HalfGzip && k >= 0 {
		out[k].until /= 2
	}
	if f.FrontendTrace {
		ns := n.started + n.window.StopCall - n.window.StartReturn
		data, err := compress(frontend(n.started))
		if err != nil {
			return nil, err
		}
		add(fmt.Sprintf("host_1000.async_llm.%d.pt.trace.json.gz", ns), data)
	}
	if f.PartialWrite {
		for i := range out {
			out[i].until /= 2
		}
	}
	return out, nil
}

// tables writes the profiler's own tables, from 0.11.1 on, where the recording has them.
func (s *Server) tables(n *session) error {
	if s.opts.Engine != VLLM || s.release.before(11, 1) || s.ctx.Err() != nil {
		return nil
	}
	for rank := range n.window.Traces {
		b, err := s.rec.File(fmt.Sprintf("profiler_out_%d.%s.txt", rank, n.window.Name))
		if err != nil {
			if b, err = s.rec.File(fmt.Sprintf("profiler_out_%d.txt", rank)); err != nil {
				continue
			}
		}
		if err := os.WriteFile(filepath.Join(n.dir, "profiler_out_"+strconv.Itoa(rank)+".txt"), b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

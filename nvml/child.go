package nvml

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Child is a sampler in a process of its own: a driver that kills the process
// that asks it, or hangs, then costs readings and not the capture. Its errors say of
// the readings why they are missing or end.
type Child struct {
	cmd    *exec.Cmd
	stderr *tail
	ready  chan struct{} // closed at the first reading
	done   chan struct{} // closed when the process and its output have ended
	once   sync.Once
	asked  bool  // to stop, by us
	err    error // why it ended, after done
}

// StartChild starts a command that writes a recording to its standard output,
// and hands its whole lines on to out, from one goroutine.
func StartChild(command []string, out io.Writer) (*Child, error) {
	c := &Child{cmd: exec.Command(command[0], command[1:]...), stderr: &tail{}, ready: make(chan struct{}), done: make(chan struct{})}
	c.cmd.Stderr = c.stderr
	c.cmd.WaitDelay = patience
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("the reader of GPU values cannot be started: %w", err)
	}
	go func() {
		defer close(c.done)
		pumped := c.pump(stdout, out)
		if pumped != nil {
			_ = c.cmd.Process.Kill()
		}
		c.err = c.verdict(c.cmd.Wait(), pumped)
	}()
	return c, nil
}

// pump hands lines on; one that the end has torn is dropped.
func (c *Child) pump(stdout io.Reader, out io.Writer) error {
	b := bufio.NewReaderSize(stdout, 1<<16)
	for {
		line, err := readLine(b)
		if err != nil {
			return nil
		}
		if len(line) >= maxLine {
			continue
		}
		if _, err := out.Write(append(line, '\n')); err != nil {
			return fmt.Errorf("they cannot be written: %w", err)
		}
		if bytes.HasPrefix(line, []byte(`{"t"`)) {
			c.once.Do(func() { close(c.ready) })
		}
	}
}

// verdict says how the process ended, in its own last words.
func (c *Child) verdict(wait, pumped error) error {
	switch {
	case pumped != nil:
		return pumped
	case wait == nil:
		return nil
	}
	words := strings.TrimPrefix(c.stderr.lastLine(), "tokprof: ")
	if words == "" {
		words = wait.Error()
	}
	return errors.New(words)
}

// Ready waits for the first reading. The error is the context's, or says why
// the process ended without one.
func (c *Child) Ready(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-c.ready:
		return nil
	case <-c.done:
	}
	select {
	case <-c.ready:
		return nil
	default:
	}
	if c.err != nil {
		return c.err
	}
	return errors.New("their reader ended before the first one")
}

// Done is closed when the process has ended, asked or not.
func (c *Child) Done() <-chan struct{} { return c.done }

// Stop asks the process to end, waits for its last lines and kills it if it
// does not. The error says that it had ended before, or how badly it ended.
func (c *Child) Stop() error {
	select {
	case <-c.done:
		if c.err == nil && !c.asked {
			return errors.New("their reader ended by itself")
		}
		return c.err
	default:
	}
	c.asked = true
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.done:
		if c.cmd.ProcessState.String() == "signal: "+syscall.SIGTERM.String() {
			return nil // it had not come to listening yet
		}
		return c.err
	case <-time.After(2 * patience): // it may itself be waiting for a GPU
	}
	_ = c.cmd.Process.Kill()
	<-c.done
	return fmt.Errorf("their reader did not end within %v and was killed", 2*patience)
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	kept []byte
}

const maxTail = 1 << 12

// Write keeps the last maxTail bytes.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.kept = append(t.kept, p...)
	t.kept = t.kept[max(0, len(t.kept)-maxTail):]
	return len(p), nil
}

func (t *tail) lastLine() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(string(t.kept)), "\n")
	for len(lines) > 1 && strings.HasPrefix(lines[len(lines)-1], "tokprof: hint:") {
		lines = lines[:len(lines)-1]
	}
	return lines[len(lines)-1]
}

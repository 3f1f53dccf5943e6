package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/term"
)

// progress draws one line on a terminal while a long file is read. Off a
// terminal, or when quiet, it draws nothing.
type progress struct {
	w     io.Writer
	name  string
	begun time.Time
	last  time.Time
	drawn bool
}

// showAfter spares short files the flicker.
const (
	showAfter = 300 * time.Millisecond
	redraw    = 100 * time.Millisecond
)

func newProgress(w io.Writer, path string, quiet bool) *progress {
	if quiet || !isTerminal(w) {
		return &progress{}
	}
	now := time.Now()
	return &progress{w: w, name: filepath.Base(path), begun: now, last: now}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// terminalWidth returns the columns of a terminal, 80 for anything else.
func terminalWidth(w io.Writer) int {
	if f, ok := w.(*os.File); ok {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil && n >= 40 {
			return n
		}
	}
	return 80
}

// update is called with the bytes read of a size (-1 when unknown).
func (p *progress) update(read, size int64) {
	if p.w == nil {
		return
	}
	now := time.Now()
	if now.Sub(p.begun) < showAfter || now.Sub(p.last) < redraw {
		return
	}
	p.last, p.drawn = now, true
	fmt.Fprintf(p.w, "\r\x1b[K%s", progressLine(p.name, read, size, now.Sub(p.begun), terminalWidth(p.w)))
}

func progressLine(name string, read, size int64, spent time.Duration, width int) string {
	rate := float64(read) / max(spent.Seconds(), 1e-9)
	s := fmt.Sprintf("%s  %s", mebibytes(read), mebibytes(int64(rate))+"/s")
	if size > 0 {
		part := min(float64(read)/float64(size), 1)
		left := time.Duration(float64(size-read) / max(rate, 1) * float64(time.Second))
		const cells = 20
		full := int(part * cells)
		s = fmt.Sprintf("[%s%s] %3.0f %%  %s of %s  %s/s  %s left", strings.Repeat("#", full), strings.Repeat(".", cells-full),
			part*100, mebibytes(read), mebibytes(size), mebibytes(int64(rate)), left.Round(time.Second))
	}
	room := width - len(s) - 3
	if room < 4 {
		return s[:min(len(s), width-1)]
	}
	if len(name) > room {
		name = name[:room-1] + "…"
	}
	return name + "  " + s
}

func mebibytes(n int64) string {
	if n < 10<<20 {
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

// done takes the line away.
func (p *progress) done() {
	if p.drawn {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

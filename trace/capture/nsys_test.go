package capture

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"tokprof/trace/serving/replay"
)

// TestNsysInterrupted: an nsys start that is cut off may have started, so it is stopped;
// and nsys runs apart from the terminal's Ctrl-C.
func TestNsysInterrupted(t *testing.T) {
	nsys := filepath.Join(t.TempDir(), "nsys")
	script := "#!/bin/sh\necho $1 >>$0.calls\nset -- $(cat /proc/$$/stat)\necho $1 $5 >$0.group\ncase $(tail -1 $0.calls) in start) exec sleep 60;; esac\n"
	if err := os.WriteFile(nsys, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	g := newGuard([]Profiler{NsysSession(nsys, "prod", t.TempDir())}, &Options{Stopping: t.Context(), Patience: time.Minute, Grace: time.Millisecond})
	err := g.start(ctx, "decode")
	var off NotStarted
	if err == nil || errors.As(err, &off) || !g.anyRunning() {
		t.Errorf("cut off: %v, running %v", err, g.anyRunning())
	}
	if _, err := g.stop(); err != nil || g.anyRunning() {
		t.Errorf("stop: %v", err)
	}
	if calls, err := os.ReadFile(nsys + ".calls"); err != nil || string(calls) != "start\nstop\n" {
		t.Errorf("calls %q, %v", calls, err)
	}
	text, err := os.ReadFile(nsys + ".group")
	if f := strings.Fields(string(text)); err != nil || len(f) != 2 || f[0] != f[1] {
		t.Errorf("process and group %q, %v: want nsys in a group of its own", text, err)
	}
}

// TestNsysSession drives a program that acts like nsys, whose session runs in another
// directory: a bundle by a relative name is found all the same.
func TestNsysSession(t *testing.T) {
	r := newRig(t, replay.Options{})
	r.only("decode")
	nsys := filepath.Join(t.TempDir(), "nsys")
	script := "#!/bin/sh\necho \"$@\" >>$0.calls\ncd \"$(dirname $0)\"\ncase $1 in start) echo \"$3\" | sed s/--output=// >$0.out;; stop) echo report >\"$(cat $0.out).nsys-rep\";; esac\n"
	if err := os.WriteFile(nsys, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	r.o.Targets[0].TraceDir = ""
	t.Chdir(t.TempDir())
	r.o.Dir = "run"
	r.o.Profilers = []Profiler{NsysSession(nsys, "prod", r.o.Dir)}
	b, err := Record(t.Context(), r.o)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(b.Windows[0].Files, []string{"decode.nsys-rep"}) || len(b.Notes) > 0 {
		t.Errorf("files %q, notes %q", b.Windows[0].Files, b.Notes)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	calls, err := os.ReadFile(nsys + ".calls")
	want := "start --session=prod --output=" + filepath.Join(here, "run", "decode") + " --force-overwrite=true --sample=none\nstop --session=prod\n"
	if err != nil || string(calls) != want {
		t.Errorf("called %q, want %q (%v)", calls, want, err)
	}
}

package nvml

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// childPart is what this test's program plays when it is started as a child.
const childPart = "TOKPROF_CHILD_PART"

func TestMain(m *testing.M) {
	part := os.Getenv(childPart)
	if part == "" {
		os.Exit(m.Run())
	}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	const lines = `{"gpu": 0, "name": "A"}` + "\n" + `{"t": 10, "gpu": 0}` + "\n"
	switch part {
	case "good":
		fmt.Print(lines + `{"t": 2`)
		<-ended
		fmt.Print("0, \"gpu\": 0}\n{\"t\": 30, \"gp")
	case "dies":
		fmt.Print(lines)
		fmt.Fprintln(os.Stderr, "tokprof: first\ntokprof: the driver is gone\ntokprof: hint: reboot")
		os.Exit(2)
	case "deaf":
		fmt.Print(lines)
		select {}
	case "quits":
	}
	os.Exit(0)
}

// output is a place for a child's lines that the test can look into.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func startChild(t *testing.T, part string) (*Child, *output) {
	t.Helper()
	t.Setenv(childPart, part)
	out := &output{}
	c, err := StartChild([]string{os.Args[0]}, out)
	if err != nil {
		t.Fatal(err)
	}
	return c, out
}

const firstLines = `{"gpu": 0, "name": "A"}` + "\n" + `{"t": 10, "gpu": 0}` + "\n"

func TestChild(t *testing.T) {
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	c, out := startChild(t, "good")
	if err := c.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(); err != nil {
		t.Error(err)
	}
	if want := firstLines + `{"t": 20, "gpu": 0}` + "\n"; out.String() != want {
		t.Errorf("the lines are %q, want %q", out, want)
	}
	if err := c.Stop(); err != nil {
		t.Errorf("stopping twice: %v", err)
	}
}

func TestChildDies(t *testing.T) {
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	c, out := startChild(t, "dies")
	<-c.Done()
	if err := c.Ready(ctx); err != nil {
		t.Errorf("the first reading did come: %v", err)
	}
	if err := c.Stop(); err == nil || err.Error() != "the driver is gone" {
		t.Errorf("the error is %v", err)
	}
	if out.String() != firstLines {
		t.Errorf("the lines are %q", out)
	}
	c, _ = startChild(t, "quits")
	if err := c.Ready(ctx); err == nil || err.Error() != "their reader ended before the first one" {
		t.Errorf("ending at once: %v", err)
	}
	if err := c.Stop(); err == nil || err.Error() != "their reader ended by itself" {
		t.Errorf("stopping what had ended: %v", err)
	}
}

// TestDeafChild has a child that does not listen: it is killed.
func TestDeafChild(t *testing.T) {
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	c, out := startChild(t, "deaf")
	if err := c.Ready(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.Stop(); err == nil || !strings.Contains(err.Error(), "was killed") || out.String() != firstLines {
		t.Errorf("%v, %q", err, out)
	}
	late, cancel := context.WithCancel(ctx)
	cancel()
	c = &Child{ready: make(chan struct{}), done: make(chan struct{})}
	if err := c.Ready(late); !errors.Is(err, context.Canceled) {
		t.Errorf("waiting with an ended context: %v", err)
	}
}

// TestChildWithoutPlace cannot write what the child says: the child is ended.
func TestChildWithoutPlace(t *testing.T) {
	t.Setenv(childPart, "good")
	c, err := StartChild([]string{os.Args[0]}, failing{})
	if err != nil {
		t.Fatal(err)
	}
	<-c.Done()
	if err := c.Stop(); !errors.Is(err, errBroken) || !strings.HasPrefix(err.Error(), "they cannot be written") {
		t.Errorf("the error is %v", err)
	}
	if _, err := StartChild([]string{"./no such program"}, failing{}); err == nil || !strings.Contains(err.Error(), "cannot be started") {
		t.Errorf("a program that is not there: %v", err)
	}
}

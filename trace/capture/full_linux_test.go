package capture

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tokprof/trace/serving"
	"tokprof/trace/serving/load"
	"tokprof/trace/serving/replay"
)

// counting counts requests.
type counting struct {
	http.RoundTripper
	n atomic.Int64
}

func (c *counting) RoundTrip(q *http.Request) (*http.Response, error) {
	c.n.Add(1)
	return c.RoundTripper.RoundTrip(q)
}

func (c *counting) CloseIdleConnections() { c.RoundTripper.(*http.Transport).CloseIdleConnections() }

// TestFullDisk: what could not be written is told, beside what else went wrong.
func TestFullDisk(t *testing.T) {
	r := newRig(t, replay.Options{})
	r.o.Windows = r.o.Windows[1:] // decode, first without the profiler
	scraped := &counting{RoundTripper: r.client.HTTPClient().Transport}
	r.client.HTTPClient().Transport = scraped
	put := r.o.Put
	broken := errors.New("the load broke")
	r.o.Put = func(ctx context.Context, window string, p load.Plan) ([]serving.Request, []string, error) {
		rows, notes, err := put(ctx, window, p)
		if window == "decode" {
			// When the second scrape begins, the first was written.
			for end, from := time.Now().Add(time.Minute), scraped.n.Load(); scraped.n.Load() < from+2 && time.Now().Before(end); {
				time.Sleep(time.Millisecond)
			}
			// A manifest cannot be put over this.
			if e := os.MkdirAll(filepath.Join(r.o.Dir, ManifestName, "x"), 0o755); e != nil {
				t.Error(e)
			}
			return rows, notes, broken
		}
		// Whatever is written to this device, no space is left on it.
		return rows, notes, errors.Join(err, os.Symlink("/dev/full", filepath.Join(r.o.Dir, "metrics.decode.during.txt")), os.Mkdir(filepath.Join(r.o.Dir, "metrics.decode.before.txt"), 0o755))
	}
	b, err := Record(t.Context(), r.o)
	r.idle(t)
	if want := "metrics.decode.during.txt is not whole: no space left on device"; !b.hasNote(want) {
		t.Errorf("no note says %q: %q", want, b.Notes)
	}
	if want := "metrics of server 0 are missing in places: is a directory"; !b.hasNote(want) {
		t.Errorf("no note says %q: %q", want, b.Notes)
	}
	var lost NotSealed
	if !errors.Is(err, broken) || !errors.As(err, &lost) || !strings.Contains(err.Error(), "its manifest is missing") {
		t.Errorf("error %v: want the load's and the manifest's", err)
	}
}

// TestHalfCopy: of a trace that did not fit, no part stays that would pass for it.
func TestHalfCopy(t *testing.T) {
	from, to := filepath.Join(t.TempDir(), "node7_42.1795400711861592576.pt.trace.json"), filepath.Join(t.TempDir(), "to")
	if err := errors.Join(os.WriteFile(from, []byte("{}"), 0o644), os.Symlink("/dev/full", to)); err != nil {
		t.Fatal(err)
	}
	err := copyFile(from, to)
	if err == nil || err.Error() != "host_42.1795400711861592576.pt.trace.json cannot be copied into the bundle: no space left on device" {
		t.Error(err)
	}
	if left, _ := filepath.Glob(to); len(left) > 0 {
		t.Errorf("left %q", left)
	}
}

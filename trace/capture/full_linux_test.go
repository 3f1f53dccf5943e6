package capture

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tokprof/trace/serving"
	"tokprof/trace/serving/load"
	"tokprof/trace/serving/replay"
)

// TestFullDisk: what could not be written is told, beside what else went wrong.
func TestFullDisk(t *testing.T) {
	r := newRig(t, replay.Options{})
	r.o.Windows = r.o.Windows[1:] // decode, first without the profiler
	put := r.o.Put
	broken := errors.New("the load broke")
	r.o.Put = func(ctx context.Context, window string, p load.Plan) ([]serving.Request, []string, error) {
		rows, notes, err := put(ctx, window, p)
		if window == "decode" {
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

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"tokprof/trace/capture"
	"tokprof/trace/serving/replay"
)

type demoOptions struct {
	*shared
	out  string
	open bool
}

func newDemo(s *shared) *cobra.Command {
	o := &demoOptions{shared: s}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show it all on a recorded server, without a GPU",
		Long: `Starts a recorded vLLM server inside this process (a Llama of 16 layers on two
H200), runs the real capture against it, and says where the page is. Needs no
GPU and no network; takes some ten seconds. The bundle goes into tokprof-demo/
unless -o names another folder.`,
		Example: `  tokprof demo
  tokprof demo -o run1 --open`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVarP(&o.out, "output", "o", "", "write the bundle to `FOLDER`")
	f.BoolVar(&o.open, "open", false, "open the page in the browser")
	return cmd
}

func (o *demoOptions) run(ctx context.Context) error {
	dir, err := o.folder()
	if err != nil {
		return err
	}
	traces, err := os.MkdirTemp("", "tokprof-demo-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(traces) }()
	rec := replay.Embedded()
	server := replay.New(rec, replay.Options{TraceDir: traces})
	// On Ctrl-C the capture still stops the profiler, so the server outlives it.
	url, err := server.Start(context.WithoutCancel(ctx))
	if err != nil {
		return err
	}
	defer server.Close()
	if !o.quiet {
		fmt.Fprintf(o.std.err, "a recorded vLLM server plays at %s\n", url)
	}
	c := newDemoCapture(o.shared, rec, server, url, traces, dir)
	if err := c.run(ctx); err != nil {
		return err
	}
	if o.open {
		return openPage(filepath.Join(dir, capture.PageName))
	}
	return nil
}

// folder is where the bundle goes: an old demo's makes room for the new one.
func (o *demoOptions) folder() (string, error) {
	if o.out != "" {
		return o.out, nil
	}
	const dir = "tokprof-demo"
	b, err := capture.Open(dir)
	if err != nil || !b.Own() {
		return dir, nil
	}
	// Only a folder that is a bundle as it was left may go.
	if added, err := b.VerifyFiles(); err != nil || len(added) > 0 {
		return dir, nil
	}
	return dir, os.RemoveAll(dir)
}

// openPage shows a file in the desktop's browser.
func openPage(path string) error {
	name := map[string]string{"darwin": "open", "windows": "explorer"}[runtime.GOOS]
	if name == "" {
		name = "xdg-open"
	}
	if err := exec.Command(name, path).Start(); err != nil {
		return fmt.Errorf("no browser could be started (%w): open %s", err, path)
	}
	return nil
}

// newDemoCapture is the capture that the demo runs: the recorded load again, with
// the recorded readings.
func newDemoCapture(s *shared, rec *replay.Recording, server *replay.Server, url, traces, dir string) *captureOptions {
	o := &captureOptions{shared: s, out: dir, traceDirs: []string{traces}, maxTime: time.Minute, patience: time.Minute, maxBytes: "1GB"}
	o.servers, o.engine = []string{url}, "auto"
	o.topology, _ = rec.File(capture.TopologyName) // a recording may lack it
	for _, w := range rec.Windows {
		o.recorded = append(o.recorded, w.Requests...)
	}
	o.readings = func(_ context.Context, path string) (func() error, error) {
		from := time.Now()
		return func() error {
			f, err := os.Create(path)
			if err != nil {
				return err
			}
			err = server.WriteReadings(f, from, time.Now())
			if e := f.Close(); err == nil {
				err = e
			}
			return err
		}, nil
	}
	return o
}

package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"tokprof/trace/capture"
	"tokprof/trace/serving"
)

type captureOptions struct {
	*shared
	serverFlags
	loadFlags
	out               string
	traceDirs         []string
	leave, noTax      bool
	steps             int
	maxTime, patience time.Duration
	maxBytes          string
	serverLog         string
	nsysSession       string
	yes, check        bool

	// What the demo sets: recorded readings instead of the GPUs', and the recorded
	// load.
	readings             func(ctx context.Context, path string) (func() error, error)
	recorded             []serving.Request
	topology             []byte
	settle, poll, scrape time.Duration
}

func newCapture(s *shared) *cobra.Command {
	o := &captureOptions{shared: s}
	cmd := &cobra.Command{
		Use:   "capture --server URL -o BUNDLE/",
		Short: "Profile a running server with sample requests",
		Long: `Starts the server's own profiler, sends sample requests, stops the profiler,
collects every rank's trace, and writes a bundle: a folder of plain files with
the page, the ticket text and all that they were made of. Two windows are
recorded, one of long prompts and one of long answers (--mixed: one of both),
each once without the profiler to tell what the profiler costs.

The profiler slows the server down while it runs, and the server stands still
while it writes its traces. What that will cost is printed first; a server that
has other requests is profiled only with --yes or after a question. The profiler
is stopped whatever happens, also on Ctrl-C.`,
		Example: `  tokprof capture --server http://localhost:8000 -o run1
  tokprof capture --server http://localhost:8000 --check
  tokprof capture --server http://node1:8000 --server http://node2:8000 \
      --trace-dir /mnt/node1/prof --trace-dir /mnt/node2/prof -o run2
  tokprof capture --server http://localhost:8000 --mixed --arrival poisson:20 \
      --input 32:900 --output-tokens 8:64 --requests 40 -o run3
  tokprof capture --server http://localhost:8000 --nsys-session prod -o run4`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Sprintf("tokprof capture takes no %q", args[0]), "name the server with --server URL and the bundle with -o"}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	f := cmd.Flags()
	f.SortFlags = false
	o.serverFlags.add(f)
	f.StringVarP(&o.out, "output", "o", "", "write the bundle to `FOLDER`, new or empty")
	f.StringArrayVar(&o.traceDirs, "trace-dir", nil, "`FOLDER` where the profiler's files appear here; once for all servers, or once for each")
	f.BoolVar(&o.leave, "leave-traces", false, "leave the traces where they are; note names and hashes")
	f.BoolVar(&o.check, "check", false, "only look: what would be done, what is missing, and the flags to start the server with")
	f.BoolVarP(&o.yes, "yes", "y", false, "profile a server that has other requests, unasked")
	o.loadFlags.add(f)
	f.BoolVar(&o.noTax, "no-tax", false, "do not run the load without the profiler as well")
	f.IntVar(&o.steps, "steps", 0, "end the recording after `N` steps, where the server can")
	f.DurationVar(&o.maxTime, "max-seconds", 60*time.Second, "end a window's load after `TIME`")
	f.StringVar(&o.maxBytes, "max-bytes", "4GB", "end a window's load when its traces will pass `SIZE`")
	f.DurationVar(&o.patience, "patience", 10*time.Minute, "give up on traces after `TIME` without a change")
	f.StringVar(&o.serverLog, "server-log", "", "`FILE` that the server logs to: what it adds goes into the bundle, private things left out")
	f.StringVar(&o.nsysSession, "nsys-session", "", "record with Nsight Systems: the `NAME` that nsys launch --session-new gave the server")
	f.StringVar(&o.nsys, "nsys", "nsys", "`PATH` of the nsys program")
	return cmd
}

func (o *captureOptions) run(ctx context.Context) error {
	if err := o.checkFlags(); err != nil {
		return err
	}
	limit, err := parseSize("--max-bytes", o.maxBytes)
	if err != nil {
		return err
	}
	t, err := o.connect(ctx)
	if err != nil {
		return err
	}
	c := &capturing{captureOptions: o, targets: t, limit: limit}
	if err := c.find(); err != nil {
		return err
	}
	c.cost = c.costs()
	if c.windows, err = o.plans(c); err != nil {
		return err
	}
	if o.check {
		c.tell(o.std.out)
		return c.ready()
	}
	if !o.quiet {
		c.tell(o.std.err)
	}
	if err := c.ready(); err != nil {
		return err
	}
	if err := c.agree(); err != nil {
		return err
	}
	return c.record(ctx)
}

func (o *captureOptions) checkFlags() error {
	switch {
	case len(o.servers) == 0:
		return usageError{"tokprof capture needs a server", "name it with --server http://HOST:PORT"}
	case o.out == "" && !o.check:
		return usageError{"tokprof capture needs a place for the bundle", "name a new folder with -o FOLDER, or only look with --check"}
	case len(o.traceDirs) > 1 && len(o.traceDirs) != len(o.servers):
		return usageError{fmt.Sprintf("%d --trace-dir for %d servers", len(o.traceDirs), len(o.servers)), "give one for all, or one for each --server in the same order"}
	}
	for _, n := range []struct {
		flag  string
		below bool
	}{
		{"--requests", o.requests < 0}, {"--concurrency", o.concurrency < 0}, {"--shared-prefix", o.sharedPrefix < 0},
		{"--steps", o.steps < 0}, {"--max-seconds", o.maxTime < 0}, {"--patience", o.patience < 0},
	} {
		if n.below {
			return usageError{n.flag + " is below 0", "leave it out for the default"}
		}
	}
	for _, d := range o.traceDirs {
		if _, err := os.ReadDir(d); err != nil {
			return fmt.Errorf("--trace-dir %s is no folder that can be read here: %w", d, cause(err))
		}
	}
	return o.loadFlags.check()
}

// capturing is a capture of servers that answered.
type capturing struct {
	*captureOptions
	targets []capture.Target
	windows []capture.WindowPlan
	limit   int64
	cost    func(steps int) capture.Cost
	dirHow  []string // how each target's folder is known
}

// find fills in where each server's traces will be, with what the log says of a
// single server.
func (c *capturing) find() error {
	if c.serverLog != "" && len(c.targets) == 1 {
		f, err := os.Open(c.serverLog)
		if err != nil {
			return fmt.Errorf("--server-log %s cannot be read: %w", c.serverLog, cause(err))
		}
		log, err := serving.ParseLog(f)
		_ = f.Close()
		if err != nil {
			return fmt.Errorf("--server-log %s: %w", c.serverLog, err)
		}
		s := c.targets[0].Server
		s.Facts.AddLog(log)
		c.targets[0].About = about(s, c.model)
	}
	for i := range c.targets {
		t := &c.targets[i]
		how := ""
		switch {
		case len(c.traceDirs) == 1:
			t.TraceDir, how = c.traceDirs[0], "--trace-dir"
		case len(c.traceDirs) > 1:
			t.TraceDir, how = c.traceDirs[i], "--trace-dir"
		default:
			t.TraceDir, how = c.findDir(t.Server)
		}
		c.dirHow = append(c.dirHow, how)
	}
	return nil
}

// findDir looks for a local server's folder where the server itself, its process
// or its log names it. Without a folder, how says why it is of no use.
func (c *capturing) findDir(s *serving.Server) (dir, how string) {
	if !capture.Loopback(s.URL()) {
		return "", ""
	}
	dir, how = s.Facts.TraceDir, s.Facts.How("trace dir")
	if st, err := os.Stat(dir); dir == "" || err != nil || !st.IsDir() {
		p, _ := capture.LocalProcess(s.URL())
		if dir, how = p.ProfilerDir, "the server process's arguments"; dir == "" {
			return "", ""
		}
	}
	switch _, err := os.ReadDir(dir); {
	case errors.Is(err, fs.ErrNotExist):
		// vLLM makes the folder at the first stop. It is the server's to make: ours
		// might be one that it cannot write to.
		return dir, how + "; the server will make it"
	case err != nil:
		return "", fmt.Sprintf("%s (%s) cannot be read here: %v", dir, how, cause(err))
	}
	return dir, how
}

// ready says what keeps the capture from running.
func (c *capturing) ready() error {
	if c.nsysSession != "" {
		if _, err := exec.LookPath(c.nsys); err != nil {
			return fmt.Errorf("%s is not on the PATH: give its place with --nsys PATH", c.nsys)
		}
		return nil
	}
	for _, t := range c.targets {
		f := t.Server.Facts
		if f.ProfileRoute == serving.RouteAbsent {
			return fmt.Errorf("%s has no profiler route: start it again with\n  %s", t.Server, serving.EnableLine(f.Version, f.Engine))
		}
	}
	return nil
}

// agree asks before a server with other requests is slowed down.
func (c *capturing) agree() error {
	var busy []string
	for _, t := range c.targets {
		if n := t.Server.Facts.Running + t.Server.Facts.Waiting; n > 0 {
			busy = append(busy, fmt.Sprintf("%s has %d requests of others", t.Server, n))
		}
	}
	if len(busy) == 0 || c.yes {
		return nil
	}
	what := strings.Join(busy, "; ")
	in, ok := c.std.in.(*os.File)
	if !ok || !isTerminal(in) {
		return usageError{what + ": profiling slows them down", "say --yes to profile it all the same"}
	}
	fmt.Fprintf(c.std.err, "%s: profiling slows them down. Go on? [y/N] ", what)
	line, _ := bufio.NewReader(in).ReadString('\n')
	if a := strings.ToLower(strings.TrimSpace(line)); a == "y" || a == "yes" {
		return nil
	}
	return errNo{"not profiled"}
}

// record makes the bundle and analyses it.
func (c *capturing) record(ctx context.Context) error {
	stopping, done := patientContext(ctx, c.std.err)
	defer done()
	o, err := c.recording(ctx, stopping)
	if err != nil {
		return err
	}
	b, err := capture.Record(ctx, o)
	if b == nil {
		return err
	}
	if b.LeftProfiling != "" {
		fmt.Fprintf(c.std.out, "THE PROFILER COULD NOT BE STOPPED and may slow the server down. Stop it by hand:\n  %s\n", strings.ReplaceAll(b.ByHand, "\n", "\n  "))
	}
	if ctx.Err() != nil {
		if lost := (capture.NotSealed{}); errors.As(err, &lost) {
			fmt.Fprintf(c.std.err, "tokprof: interrupted; what was recorded is in %s, but %v\n", c.out, lost)
		} else {
			fmt.Fprintf(c.std.err, "tokprof: interrupted; what was recorded is in %s (tokprof analyze %s)\n", c.out, quoteArg(c.out))
		}
		return errInterrupted
	}
	for _, n := range b.Notes {
		fmt.Fprintf(c.std.err, "tokprof: %s\n", n)
	}
	if err != nil {
		return fmt.Errorf("%w\nwhat was recorded is in %s", err, c.out)
	}
	files, err := b.Traces()
	if err != nil {
		return err
	}
	if len(files) == 0 && len(b.Left) == 0 {
		return c.noTraces()
	}
	if err := c.shared.finishBundle(ctx, b); err != nil {
		return err
	}
	if !c.quiet {
		fmt.Fprintf(c.std.out, "\nbundle %s\npage   %s\n", c.out, filepath.Join(c.out, capture.PageName))
	}
	if b.LeftProfiling != "" {
		return errors.New("the profiler could not be stopped")
	}
	return nil
}

// noTraces says how to finish where a profiler's folder cannot be reached. Where all can,
// and nothing came, the capture has failed.
func (c *capturing) noTraces() error {
	if c.nsysSession != "" {
		return fmt.Errorf("nsys wrote no report: does session %s record the server (nsys sessions list)?\nwhat was recorded is in %s", c.nsysSession, c.out)
	}
	var came []string
	for _, t := range c.targets {
		if t.TraceDir != "" {
			came = append(came, t.TraceDir)
			continue
		}
		from := t.Server.Facts.TraceDir
		if from == "" {
			from = "PROFILER_FOLDER"
		}
		fmt.Fprintf(c.std.out, "The traces are on the server's host. Copy them and finish with:\n  scp 'HOST:%s/*' %s/ && tokprof analyze %s\n", from, quoteArg(c.out), quoteArg(c.out))
	}
	if len(came) == len(c.targets) {
		return fmt.Errorf("no trace came into %s: is that the folder that the server's profiler writes to? What the server logged says why it wrote none\nwhat was recorded is in %s", strings.Join(came, ", "), c.out)
	}
	return nil
}

// patientContext lives on when ctx is interrupted, so that the profiler is
// stopped; a second signal ends it too.
func patientContext(ctx context.Context, stderr io.Writer) (context.Context, func()) {
	out, cancel := context.WithCancel(context.WithoutCancel(ctx))
	again := make(chan os.Signal, 1)
	end := make(chan struct{})
	go func() {
		select {
		case <-end:
			return
		case <-ctx.Done():
		}
		signal.Notify(again, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
		fmt.Fprintln(stderr, "tokprof: stopping the profiler before leaving; once more leaves at once")
		select {
		case <-again:
			cancel()
		case <-end:
		}
	}()
	return out, func() { close(end); signal.Stop(again); cancel() }
}

// errInterrupted ends the process as an interrupt whose message was printed.
var errInterrupted = interrupted{}

type interrupted struct{}

func (interrupted) Error() string { return "interrupted" }

// tlsOf returns the TLS settings of a server's client, for the load's own one.
func tlsOf(c *http.Client) *tls.Config {
	if t, ok := c.Transport.(*http.Transport); ok {
		return t.TLSClientConfig
	}
	return nil
}

package capture

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"tokprof/trace/serving"
)

// scrapeLimit bounds one scrape: a server that writes traces may not answer.
const scrapeLimit = 5 * time.Second

// scrape records /metrics of every server before a window, while it runs, and,
// when the returned function is called, after it. Servers without metrics, and
// scrapes that cannot be written, are noted, not fatal.
func (s *session) scrape(ctx context.Context, window string) (end func()) {
	series := make([]*scrapes, len(s.Targets))
	for i := range s.Targets {
		s.snapshot(ctx, window, "before", i)
		series[i] = newScrapes(filepath.Join(s.Dir, s.metricsName(window, "during", i)))
	}
	ctx, cancel := context.WithCancel(ctx)
	var wait sync.WaitGroup
	for i := range s.Targets {
		wait.Go(func() { s.follow(ctx, i, series[i]) })
	}
	return func() {
		cancel()
		wait.Wait()
		for i, f := range series {
			if err := f.close(); err != nil {
				s.note("%s is not whole: %v", s.metricsName(window, "during", i), withoutPath(err))
			}
			s.snapshot(context.WithoutCancel(ctx), window, "after", i)
		}
	}
}

// follow adds a server's metrics to its series until the context ends.
func (s *session) follow(ctx context.Context, server int, to *scrapes) {
	s.eachScrape(ctx, func() {
		if text, err := s.metrics(ctx, server); err == nil {
			to.add(text)
		}
	})
}

// eachScrape does something at the time of each scrape until the context ends.
func (s *session) eachScrape(ctx context.Context, do func()) {
	tick := time.NewTicker(s.Scrape)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		do()
	}
}

// metrics asks a server once, and notes how many steps it has run.
func (s *session) metrics(ctx context.Context, server int) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, scrapeLimit)
	defer cancel()
	text, m, err := s.Targets[server].Server.Metrics(ctx)
	if h, ok := m.Histogram(serving.StepTokens); ok && err == nil {
		s.stepsNow[server].Store(int64(h.Count))
	}
	return text, err
}

// scrapes is a file of one server's metrics over a window. The first error ends it and
// stays: a torn scrape in the middle could not be read past.
type scrapes struct {
	f   *os.File
	any bool
	err error
}

func newScrapes(path string) *scrapes {
	f, err := os.Create(path)
	return &scrapes{f: f, err: err}
}

func (c *scrapes) add(text []byte) {
	if c.err == nil {
		c.any = true
		_, c.err = c.f.Write(serving.AppendScrape(nil, time.Now().UnixNano(), text))
	}
}

// close removes a file into which nothing came.
func (c *scrapes) close() error {
	if c.f == nil {
		return c.err
	}
	if err := c.f.Close(); c.err == nil {
		c.err = err
	}
	if !c.any {
		_ = os.Remove(c.f.Name())
	}
	return c.err
}

// snapshot writes one scrape of one server.
func (s *session) snapshot(ctx context.Context, window, when string, server int) {
	text, err := s.metrics(ctx, server)
	switch {
	case err == nil:
		err = os.WriteFile(filepath.Join(s.Dir, s.metricsName(window, when, server)), text, 0o644)
		if err != nil {
			s.note("metrics of server %d are missing in places: %v", server, withoutPath(err))
		}
	case ctx.Err() == nil:
		s.note("metrics of server %d are missing in places: %s", server, s.Targets[server].Server.Nameless(err))
	}
}

func (s *session) metricsName(window, when string, server int) string {
	if len(s.Targets) > 1 {
		return fmt.Sprintf("metrics.%s.server%d.%s.txt", window, server, when)
	}
	return fmt.Sprintf("metrics.%s.%s.txt", window, when)
}

// withoutPath is an error of a file without the file's place on this machine, for notes:
// they are handed on.
func withoutPath(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

package capture

import (
	"context"
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
// when the returned function is called, after it. Servers without metrics are
// noted, not fatal.
func (s *session) scrape(ctx context.Context, window string) (end func()) {
	files := make([]*os.File, len(s.Targets))
	for i := range s.Targets {
		s.snapshot(ctx, window, "before", i)
		f, err := os.Create(filepath.Join(s.Dir, s.metricsName(window, "during", i)))
		if err == nil {
			files[i] = f
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	var wait sync.WaitGroup
	for i, t := range s.Targets {
		if files[i] == nil {
			continue
		}
		wait.Go(func() {
			tick := time.NewTicker(s.Scrape)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				one, cancel := context.WithTimeout(ctx, scrapeLimit)
				text, m, err := t.Server.Metrics(one)
				cancel()
				if err == nil {
					_, _ = files[i].Write(serving.AppendScrape(nil, time.Now().UnixNano(), text))
					if h, ok := m.Histogram(serving.StepTokens); ok {
						s.stepsNow[i].Store(int64(h.Count))
					}
				}
			}
		})
	}
	return func() {
		cancel()
		wait.Wait()
		for i, f := range files {
			if f == nil {
				continue
			}
			empty := true
			if st, err := f.Stat(); err == nil {
				empty = st.Size() == 0
			}
			_ = f.Close()
			if empty {
				_ = os.Remove(f.Name())
			}
			s.snapshot(context.WithoutCancel(ctx), window, "after", i)
		}
	}
}

// snapshot writes one scrape of one server.
func (s *session) snapshot(ctx context.Context, window, when string, server int) {
	one, cancel := context.WithTimeout(ctx, scrapeLimit)
	defer cancel()
	from := s.Targets[server].Server
	text, m, err := from.Metrics(one)
	if h, ok := m.Histogram(serving.StepTokens); ok && err == nil {
		s.stepsNow[server].Store(int64(h.Count))
	}
	switch {
	case err == nil:
		err = os.WriteFile(filepath.Join(s.Dir, s.metricsName(window, when, server)), text, 0o644)
		if err != nil {
			s.note("metrics of server %d are missing in places: %v", server, err)
		}
	case ctx.Err() == nil:
		s.note("metrics of server %d are missing in places: %s", server, from.Nameless(err))
	}
}

func (s *session) metricsName(window, when string, server int) string {
	if len(s.Targets) > 1 {
		return fmt.Sprintf("metrics.%s.server%d.%s.txt", window, server, when)
	}
	return fmt.Sprintf("metrics.%s.%s.txt", window, when)
}

// Package load puts a described load on a server and measures what its users
// feel: the time to the first token (TTFT), the time per output token (TPOT), the
// gaps between tokens (ITL) and the time to the last one (E2E).
//
// A Plan says which requests are due when. It comes from a Shape with an Arrival,
// from a ShareGPT file or from the rows of an earlier run, and is the same for the
// same seed. Run sends it and returns one serving.Request a request; Summarize adds
// rows up. Latencies count from the moment at which a request was due, so that
// neither a stalled client nor a full server hides the waiting that it caused.
package load

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"tokprof/trace/serving"
)

// Options bound a load and show its progress. The zero value sends the whole plan.
type Options struct {
	// Concurrency is how many requests run at most at a time; those due beyond it wait
	// in order and keep their due time. 0 means MaxRunning.
	Concurrency int
	// MaxRequests ends the plan after so many requests; 0 sends all.
	MaxRequests int
	// Deadline, from the start, after which nothing is sent any more; 0 is none. What
	// runs then has Grace to end.
	Deadline time.Duration
	Grace    time.Duration
	// Timeout bounds one request from sending to its end; 0 means DefaultTimeout.
	Timeout time.Duration
	// OnToken is told of each chunk of tokens as it comes. It is called by the
	// goroutines of the requests, many at a time, and must not block.
	OnToken  func(t Token)
	Progress *Progress // counters to read while the load runs
}

// MaxRunning is how many requests run at a time where Options.Concurrency is 0: enough
// for any server, and within the open files that systems allow a process.
const MaxRunning = 4096

// DefaultTimeout is the limit of one request: a server that flushes a profile answers
// nothing for many minutes.
const DefaultTimeout = 30 * time.Minute

// Token is what Options.OnToken is told: request ID got Count tokens at UnixNS.
type Token struct {
	ID, Server, Count int
	UnixNS            int64
}

// Progress counts what a running load has done; read it at any time.
type Progress struct {
	Sent, Running, Done, Failed, Tokens atomic.Int64
}

// Result is what a load left.
type Result struct {
	// Rows holds one row for every request that was due, in the order of the due times:
	// the failed ones and those that waited for a slot in vain (SentUnixNS 0) too.
	Rows []serving.Request
	// NotDue counts the planned requests whose time had not come when the load ended.
	NotDue int
	// StartUnixNS is the time from which due offsets count; at EndUnixNS nothing ran any
	// more.
	StartUnixNS, EndUnixNS int64
	// Notes say what was done differently than planned, one sentence each.
	Notes []string
}

// load is a running load.
type load struct {
	target    *Target
	endpoints []string
	client    *http.Client
	secrets   serving.Secrets
	fields    atomic.Uint32 // those that the server has not refused
	run       string        // tells this run's salts from others'
	clock     clock
	timeout   time.Duration
	onToken   func(Token)
	progress  *Progress
	panicked  atomic.Pointer[any] // of the first request that panicked
}

// Run sends a plan and waits for its end. It never stops early because requests
// fail: that stands in their rows. The error says why nothing could be sent, or is the
// context's when that was cancelled; the result then holds the rows so far. A panic
// in a request ends the load and is passed on here. No goroutine and no request is
// left when it returns.
func Run(ctx context.Context, t Target, plan Plan, o Options) (Result, error) {
	endpoints, err := t.endpoints()
	if err != nil {
		return Result{}, err
	}
	if err := plan.check(len(endpoints)); err != nil {
		return Result{}, err
	}
	if o.Concurrency < 0 || o.MaxRequests < 0 || o.Deadline < 0 || o.Grace < 0 || o.Timeout < 0 {
		return Result{}, fmt.Errorf("load: a limit below 0: %+v", o)
	}
	planned := plan.sorted(o.MaxRequests)
	slots := o.Concurrency
	if slots == 0 {
		slots = MaxRunning
	}
	l := &load{target: &t, endpoints: endpoints, secrets: serving.SecretsOf(t.Header), timeout: o.Timeout, onToken: o.OnToken, progress: o.Progress}
	if l.timeout == 0 {
		l.timeout = DefaultTimeout
	}
	if l.progress == nil {
		l.progress = new(Progress)
	}
	if t.Fields == 0 {
		t.Fields = VLLMFields
	}
	l.fields.Store(uint32(t.Fields))
	var done func()
	l.client, done = t.client(min(slots, len(planned)))
	defer done()
	l.clock = startClock()
	l.run = strconv.FormatInt(l.clock.unix, 36)
	return l.send(ctx, plan.Window, planned, slots, o)
}

// send sends each request when it is due and a slot is free.
func (l *load) send(ctx context.Context, window string, planned []Planned, slots int, o Options) (Result, error) {
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	sending, end := context.WithCancelCause(running)
	defer end(nil)
	if o.Deadline > 0 {
		defer time.AfterFunc(o.Deadline, func() { end(errDeadline) }).Stop()
		defer time.AfterFunc(o.Deadline+o.Grace, func() { stop(errDeadline) }).Stop()
	}
	rows := make([]serving.Request, len(planned))
	slot := make(chan struct{}, slots)
	var requests sync.WaitGroup
	sent := 0
	full := false
	for ; sent < len(planned) && l.wait(sending, planned[sent].Due); sent++ {
		full = take(sending, slot) || full
		if sending.Err() != nil {
			break
		}
		p, row := &planned[sent], &rows[sent]
		l.open(row, window, sent, p)
		l.progress.Sent.Add(1)
		l.progress.Running.Add(1)
		requests.Go(func() {
			// A panic on a goroutine of its own would end the process before the
			// caller can clean up what it has started on a server.
			defer func() {
				if v := recover(); v != nil {
					l.panicked.CompareAndSwap(nil, &v)
					stop(errPanicked)
				}
			}()
			l.request(running, p, row, func() {
				l.close(row)
				<-slot
			})
		})
	}
	ended := l.clock.now()
	requests.Wait()
	if v := l.panicked.Load(); v != nil {
		panic(*v)
	}
	res := Result{StartUnixNS: l.clock.unix, EndUnixNS: l.clock.now()}
	for ; sent < len(planned) && l.clock.unix+int64(planned[sent].Due) <= ended; sent++ {
		row := &rows[sent]
		l.open(row, window, sent, &planned[sent])
		row.EndUnixNS = ended
		row.Error = "not sent: " + l.reason(sending, nil)
		l.progress.Failed.Add(1)
	}
	res.Rows, res.NotDue = rows[:sent], len(planned)-sent
	res.Notes = l.notes(full && o.Concurrency == 0)
	if n := l.shortNote(window, res.Rows, planned); n != "" {
		res.Notes = append(res.Notes, n)
	}
	return res, context.Cause(ctx)
}

// take takes a slot, or gives up when the context ends. full says that none was
// free at once.
func take(ctx context.Context, slot chan<- struct{}) (full bool) {
	select {
	case slot <- struct{}{}:
		return false
	default:
	}
	select {
	case slot <- struct{}{}:
	case <-ctx.Done():
	}
	return true
}

// notes say what was not as planned; full is whether MaxRunning held requests back.
func (l *load) notes(full bool) []string {
	out := fieldNotes(Fields(^l.fields.Load()) & l.target.Fields)
	if full {
		out = append(out, fmt.Sprintf("More than %d requests were due at a time: those beyond waited, which their latencies show.", MaxRunning))
	}
	if l.target.Chat {
		out = append(out, "Prompts were sent as chat messages: their length is what the server counted, not what was planned.")
	}
	return out
}

// wait sleeps until a request is due, or until nothing is to be sent any more.
func (l *load) wait(ctx context.Context, due time.Duration) bool {
	d := due - time.Since(l.clock.base)
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (l *load) open(row *serving.Request, window string, id int, p *Planned) {
	*row = serving.Request{
		Window: window, ID: id, Server: p.Server, PromptTokens: p.PromptTokens, MaxTokens: p.MaxTokens,
		DueUnixNS: l.clock.unix + int64(p.Due), TokenUnixNS: []int64{},
	}
}

func (l *load) close(row *serving.Request) {
	l.progress.Running.Add(-1)
	l.progress.Done.Add(1)
	if row.Failed() {
		l.progress.Failed.Add(1)
	}
}

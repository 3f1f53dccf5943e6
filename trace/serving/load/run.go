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

// load is a running load.
type load struct {
	target    *Target
	endpoints []string
	client    *http.Client
	fields    atomic.Uint32 // those that the server has not refused
	run       string        // tells this run's salts from others'
	clock     clock
	timeout   time.Duration
	onToken   func(Token)
	progress  *Progress
}

// Run sends a plan and waits for its end. It never stops early because requests
// fail: that stands in their rows. The error says why nothing could be sent, or is the
// context's when that was cancelled; the result then holds the rows so far. No
// goroutine and no request is left when it returns.
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
	l := &load{target: &t, endpoints: endpoints, timeout: o.Timeout, onToken: o.OnToken, progress: o.Progress}
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
	for ; sent < len(planned); sent++ {
		if !l.wait(sending, planned[sent].Due) {
			break
		}
		select {
		case slot <- struct{}{}:
		default:
			full = true
			select {
			case slot <- struct{}{}:
			case <-sending.Done():
			}
		}
		if sending.Err() != nil {
			break
		}
		p, row := &planned[sent], &rows[sent]
		l.open(row, window, sent, p)
		l.progress.Sent.Add(1)
		l.progress.Running.Add(1)
		requests.Go(func() {
			l.request(running, p, row, func() {
				l.close(row)
				<-slot
			})
		})
	}
	ended := l.clock.now()
	requests.Wait()
	res := Result{StartUnixNS: l.clock.unix, EndUnixNS: l.clock.now()}
	for ; sent < len(planned) && l.clock.unix+int64(planned[sent].Due) <= ended; sent++ {
		row := &rows[sent]
		l.open(row, window, sent, &planned[sent])
		row.EndUnixNS = ended
		row.Error = "not sent: " + reason(sending, nil)
		l.progress.Failed.Add(1)
	}
	res.Rows, res.NotDue = rows[:sent], len(planned)-sent
	res.Notes = l.notes(full && o.Concurrency == 0)
	return res, context.Cause(ctx)
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
		DueUnixNS: l.clock.unix + int64(p.Due),
	}
}

func (l *load) close(row *serving.Request) {
	l.progress.Running.Add(-1)
	l.progress.Done.Add(1)
	if row.Failed() {
		l.progress.Failed.Add(1)
	}
}

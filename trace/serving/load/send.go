package load

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"tokprof/trace/serving"
)

// maxAnswer bounds an answer that is no stream.
const maxAnswer = 64 << 20

// maxErrorBody bounds what is read of an answer that is no success.
const maxErrorBody = 64 << 10

// drainWait is how long a connection gets to end a stream behind its last event, so that
// it can be used again.
const drainWait = 100 * time.Millisecond

// errEarlyEnd is a stream that ended, in good order, before the answer did.
var errEarlyEnd = errors.New("the stream ended before the answer did")

// clock gives Unix nanoseconds by the monotonic clock: a step of the wall clock during
// a load moves no latency.
type clock struct {
	base time.Time
	unix int64
}

func startClock() clock {
	now := time.Now()
	return clock{now, now.UnixNano()}
}

func (c clock) now() int64 { return c.unix + int64(time.Since(c.base)) }

// request sends one planned request and fills its row, but for the time it was due.
// free is called when the answer has ended, before the connection is readied for the next.
func (l *load) request(ctx context.Context, p *Planned, row *serving.Request, free func()) {
	ctx, cancel := context.WithTimeoutCause(ctx, l.timeout, timeoutError(l.timeout))
	defer cancel()
	res, err := l.post(ctx, p, row)
	if err == nil {
		err = l.answer(res, p, row)
	}
	row.EndUnixNS = l.clock.now()
	if err != nil {
		row.Error = l.reason(ctx, err)
	}
	free()
	if res != nil {
		stop := time.AfterFunc(drainWait, cancel)
		io.Copy(io.Discard, io.LimitReader(res.Body, maxErrorBody)) // what remains says nothing
		stop.Stop()
		res.Body.Close()
	}
}

// post sends the request and returns the answer's begin: a success. It leaves out the
// fields that the server refuses, and tries again.
func (l *load) post(ctx context.Context, p *Planned, row *serving.Request) (*http.Response, error) {
	for {
		fields := Fields(l.fields.Load())
		body := appendBody(nil, p, l.target, fields, l.run)
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.endpoints[p.Server], bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		for k, v := range l.target.Header {
			req.Header[k] = v
		}
		req.Header.Set("Content-Type", "application/json")
		if req.Header.Get("User-Agent") == "" {
			req.Header.Set("User-Agent", "tokprof")
		}
		row.SentUnixNS, row.Status = l.clock.now(), 0
		res, err := l.client.Do(req)
		if err != nil {
			return nil, err
		}
		if row.Status = res.StatusCode; res.StatusCode == http.StatusOK {
			return res, nil
		}
		answer, _ := io.ReadAll(io.LimitReader(res.Body, maxErrorBody)) // the status says enough
		res.Body.Close()
		if res.StatusCode == http.StatusBadRequest || res.StatusCode == http.StatusUnprocessableEntity {
			if f := refused(answer, fields); f != 0 {
				l.fields.And(^uint32(f))
				continue
			}
		}
		return nil, &statusError{res.StatusCode, answer}
	}
}

// answer reads the answer into the row, a stream token by token.
func (l *load) answer(res *http.Response, p *Planned, row *serving.Request) error {
	kind, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if !p.NoStream && kind != "application/json" {
		return l.stream(res.Body, p, row)
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	if err != nil {
		return err
	}
	if len(b) > maxAnswer {
		return errors.New("the answer is longer than 64 MiB")
	}
	c, err := parseChunk(b, true)
	if err != nil {
		return err
	}
	if c.failed {
		return errors.New(c.message)
	}
	t := tokens{row: row, most: p.MaxTokens}
	t.note(&c)
	l.progress.Tokens.Add(int64(row.CompletionTokens))
	if !c.choices || l.cutShort(p, row) {
		return errEarlyEnd
	}
	return nil
}

// stream reads the events of an answer up to [DONE].
func (l *load) stream(body io.Reader, p *Planned, row *serving.Request) error {
	events := newEventReader(body, l.clock.now)
	t := tokens{row: row, most: p.MaxTokens, chat: l.target.Chat}
	for {
		data, at, err := events.event()
		switch {
		case err == io.EOF && row.Finish != "":
			return nil
		case err == io.EOF:
			return errEarlyEnd
		case err != nil:
			return err
		case string(data) == "[DONE]":
			if row.Finish == "" && len(row.TokenUnixNS) == 0 || l.cutShort(p, row) {
				return errEarlyEnd
			}
			return nil
		case len(data) == 0:
			continue
		}
		c, err := parseChunk(data, row.RequestID == "")
		if err != nil && events.ended() {
			return errEarlyEnd // in the middle of a chunk
		}
		if err != nil {
			return err
		}
		if c.failed {
			return errors.New("error in the stream: " + c.message)
		}
		n, err := t.add(&c, at)
		if err != nil {
			return err
		}
		if n > 0 {
			l.progress.Tokens.Add(int64(n))
			if l.onToken != nil {
				l.onToken(Token{ID: row.ID, Server: row.Server, Count: n, UnixNS: at})
			}
		}
	}
}

// tokens counts a stream's tokens into its row.
type tokens struct {
	row  *serving.Request
	most int // tokens asked for
	chat bool
}

// add gives a chunk's tokens its time and returns how many those are. They are what the
// server's count grew by; a chunk without a count is one token if it brings anything.
func (t *tokens) add(c *chunk, at int64) (int, error) {
	t.note(c)
	have, n := len(t.row.TokenUnixNS), 0
	switch {
	case !c.choices:
		// the usage at the end
	case c.usage && c.output > 0:
		n = max(c.output-have, 0)
	case c.text:
		n = 1
	case t.chat:
		// the chunk that names the role, or the one that only says why it ended
	case c.finish == "":
		n = 1 // an incomplete character, or a token without text
	case c.finish == "length" && have < t.most:
		n = 1
	}
	if max(have+n, c.output) > 2*t.most+64 {
		return 0, errors.New("the server sends more than the " + strconv.Itoa(t.most) + " tokens asked for")
	}
	if n > 0 && cap(t.row.TokenUnixNS) == 0 {
		t.row.TokenUnixNS = make([]int64, 0, min(t.most, 4096))
	}
	for range n {
		t.row.TokenUnixNS = append(t.row.TokenUnixNS, at)
	}
	t.row.Bundled += max(n-1, 0)
	return n, nil
}

// note keeps what a chunk says beside its tokens.
func (t *tokens) note(c *chunk) {
	if c.id != "" {
		t.row.RequestID = c.id
	}
	if c.finish != "" {
		t.row.Finish = c.finish
	}
	if c.usage {
		t.row.CompletionTokens = max(t.row.CompletionTokens, c.output)
		if c.prompt > 0 {
			t.row.PromptTokens = c.prompt
		}
		t.row.CachedTokens = max(t.row.CachedTokens, c.cached)
	}
}

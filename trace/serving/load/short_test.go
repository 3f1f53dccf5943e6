package load

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// TestShortAnswers: an answer that ends before the length asked for is told, by what the
// server said of it; one that ended without a word is a failed request.
func TestShortAnswers(t *testing.T) {
	stop := `data: {"choices":[],"usage":{"prompt_tokens":40,"completion_tokens":%d}}` + "\n\n" + done
	for _, c := range []struct {
		name   string
		fields Fields
		answer func(w http.ResponseWriter, n int) // the nth of four requests for 3 tokens
		failed int
		notes  []string
	}{
		{"whole", 0, func(w http.ResponseWriter, _ int) {
			token(w, "a", "null", 1)
			token(w, "b", `"length"`, 3)
			say(w, done)
		}, 0, nil},
		{"chunks of several tokens, uncounted", 0, func(w http.ResponseWriter, _ int) {
			say(w, `data: {"choices":[{"text":"abc","finish_reason":"length"}]}`+"\n\n"+done)
		}, 0, nil},
		{"no word", 0, func(w http.ResponseWriter, n int) {
			token(w, "a", "null", 1)
			if n > 0 {
				token(w, "b", `"length"`, 3)
			}
			say(w, done)
		}, 1, []string{"window w: 1 of 4 answers ended before the length asked for: 1 by a stream that ended without a reason"}},
		{"no word and no end", 0, func(w http.ResponseWriter, n int) {
			token(w, "a", "null", 1)
		}, 4, []string{"window w: 4 of 4 answers ended before the length asked for: 4 by a stream that ended without a reason"}},
		{"own end", 0, func(w http.ResponseWriter, n int) {
			token(w, "a", "null", 1)
			token(w, "", []string{`"stop"`, `"stop"`, `"abort"`, `"length"`}[n], 1+n/3*2)
			say(w, done)
		}, 0, []string{`window w: 3 of 4 answers ended before the length asked for: 2 by finish_reason "stop" (the server does not keep to ignore_eos), 1 by finish_reason "abort"`}},
		{"full", 0, func(w http.ResponseWriter, _ int) {
			say(w, `data: {"choices":[{"text":"a","finish_reason":"length"}]}`+"\n\n"+fmt.Sprintf(stop, 1))
		}, 0, []string{`window w: 4 of 4 answers ended before the length asked for: 4 by finish_reason "length"`}},
		{"unbound", OpenAIFields, func(w http.ResponseWriter, n int) {
			token(w, "a", []string{"null", `"stop"`, `"stop"`, `"stop"`}[n], 1)
			say(w, done)
		}, 0, []string{`window w: 4 of 4 answers ended before the length asked for: 3 by finish_reason "stop" (the model's own end: this server was not asked to ignore it), 1 by a stream that ended without a reason`}},
		{"not streamed", 0, func(w http.ResponseWriter, n int) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"choices":[{"text":"a","finish_reason":%s}],"usage":{"prompt_tokens":40,"completion_tokens":1}}`, []string{"null", `"stop"`, `"stop"`, `"stop"`}[n])
		}, 1, []string{`window w: 4 of 4 answers ended before the length asked for: 3 by finish_reason "stop" (the server does not keep to ignore_eos), 1 by a stream that ended without a reason`}},
		{"many words", 0, func(w http.ResponseWriter, n int) {
			token(w, "a", `"`+strings.Repeat(string(rune('a'+n)), 50)+`"`, 1)
			say(w, done)
		}, 0, []string{`window w: 4 of 4 answers ended before the length asked for: ` + strings.Join(each(4, func(n int) string {
			return `1 by finish_reason "` + strings.Repeat(string(rune('a'+n)), 40) + `…"`
		}), ", ")}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked atomic.Int64
			target := serve(t, func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				c.answer(w, int(asked.Add(1)-1))
			})
			target.Fields = c.fields
			res := run(t, target, plan(t, 4, 3), Options{Concurrency: 1})
			failed := 0
			for _, r := range res.Rows {
				if r.Failed() {
					failed++
				}
			}
			if failed != c.failed || !slices.Equal(res.Notes, c.notes) {
				t.Errorf("%d failed, want %d; notes\n got %q\nwant %q", failed, c.failed, res.Notes, c.notes)
			}
		})
	}
}

func each(n int, f func(int) string) (out []string) {
	for i := range n {
		out = append(out, f(i))
	}
	return out
}

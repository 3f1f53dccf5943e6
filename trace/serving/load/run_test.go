package load

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestRun(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 5 {
			fmt.Fprintf(w, "data: {\"id\":\"cmpl-1\",\"choices\":[{\"index\":0,\"text\":\"a\",\"finish_reason\":null}],\"usage\":{\"prompt_tokens\":40,\"completion_tokens\":%d}}\n\n", i+1)
			w.(http.Flusher).Flush()
			time.Sleep(5 * time.Millisecond)
		}
		fmt.Fprintf(w, "data: {\"id\":\"cmpl-1\",\"choices\":[{\"index\":0,\"text\":\"a\",\"finish_reason\":\"length\"}],\"usage\":{\"prompt_tokens\":40,\"completion_tokens\":8}}\n\ndata: [DONE]\n\n")
	}))
	defer s.Close()
	p, err := Shape{Window: "w", Requests: 4, Input: Range{40, 40}, Output: Range{8, 8}}.Plan(Arrival{Rate: 100})
	if err != nil {
		t.Fatal(err)
	}
	res, err := Run(context.Background(), Target{URLs: []string{s.URL}, Model: "m"}, p, Options{})
	if err != nil {
		t.Fatal(err)
	}
	sum := Summarize(res.Rows)
	if sum.Completed != 4 || sum.OutputTokens != 32 || sum.BundledTokens != 8 || sum.InputTokens != 160 {
		t.Errorf("%+v", sum)
	}
}

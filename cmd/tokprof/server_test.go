package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestModelListed: a model that the server does not list is refused by name, before
// anything is sent; adapters are models, and a closed list says nothing.
func TestModelListed(t *testing.T) {
	many := strings.Repeat(`{"id":"other","owned_by":"vllm"},`, 11)
	for _, c := range []struct {
		models, model, through string
		status                 int
		want                   string // of the hint, "" where it is taken
	}{
		{`{"id":"base","owned_by":"vllm"},{"id":"sql","owned_by":"vllm","parent":"base"}`, "sql", "", 200, ""},
		{`{"id":"base","owned_by":"vllm"},{"id":"sql","owned_by":"vllm","parent":"base"}`, "base", "", 200, ""},
		{`{"id":"sql","owned_by":"vllm","parent":"base"},{"id":"base","owned_by":"vllm"}`, "Base", "", 200, `it lists "base", "sql" (an adapter)`},
		{`{"id":"base","owned_by":"vllm"}`, "base:sql", "", 200, `it lists "base"`},
		{`{"id":"base","owned_by":"sglang"}`, "base:sql", "", 200, ""},
		{`{"id":"base","owned_by":"sglang"}`, "my/base:sql", "", 200, `it lists "base"`},
		{many + `{"id":"m\u001b[2J","owned_by":"vllm"}`, "x", "", 200, `it lists ` + strings.Repeat(`"other", `, 10) + "2 more"},
		{`{"id":"m\u001b[2J","owned_by":"vllm"}`, "x", "", 200, `it lists "m\x1b[2J"`},
		{`{"id":"base","owned_by":"vllm"}`, "alias", "http://router:1", 200, ""},
		{"", "anything", "", 404, ""},
		{`{"id":"base","owned_by":"vllm"}`, "", "", 200, ""},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/v1/models":
				w.WriteHeader(c.status)
				fmt.Fprintf(w, `{"data":[%s]}`, c.models)
			case "/version":
				io.WriteString(w, `{"version":"0.20.2"}`)
			case "/health":
			default:
				w.WriteHeader(404)
			}
		}))
		f := serverFlags{servers: []string{s.URL}, engine: "auto", model: c.model, through: c.through}
		targets, err := f.connect(t.Context())
		s.Close()
		refused, _ := err.(usageError)
		if c.want == "" && (err != nil || targets[0].About.Model != c.model && c.model != "") || refused.hint != c.want {
			t.Errorf("model %q of %s: %v %q, want %q", c.model, c.models, err, refused.hint, c.want)
		}
	}
}

package serving

import (
	"net/http"
	"testing"
)

// TestSecrets: whatever part of a header a server repeats, its secret is hidden.
func TestSecrets(t *testing.T) {
	h := http.Header{"Authorization": {"Bearer key-0123"}, "X-Gateway-Token": {"gate 77"}, "X-Short": {"on"}}
	basic := http.Header{}
	q := http.Request{Header: basic}
	q.SetBasicAuth("me", "pass word")
	for _, c := range []struct {
		h          http.Header
		text, want string
	}{
		{h, "no key-0123 here", "no <secret> here"},
		{h, "Authorization: Bearer key-0123!", "Authorization: <secret>!"},
		{h, "token gate 77, gate 7", "token <secret>, gate 7"},
		{h, "goes on", "goes on"},
		{basic, "me:pass word " + basic.Get("Authorization"), "me:<secret> <secret>"},
		{basic, basic.Get("Authorization")[len("Basic "):], "<secret>"},
		{nil, "plain", "plain"},
	} {
		if got := SecretsOf(c.h).Hide(c.text); got != c.want {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
	}
}

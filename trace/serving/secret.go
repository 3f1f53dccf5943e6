package serving

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
)

// shortestSecret is how long a word must be to be hidden: shorter ones stand in
// every text.
const shortestSecret = 4

// Secrets are the words that authorise requests, longest first.
type Secrets []string

// SecretsOf returns what the headers of requests give away: their values, and of
// Authorization also what stands behind its scheme, a Basic one's password in plain.
// A server that refuses a request may repeat any of these.
func SecretsOf(h http.Header) Secrets {
	var out Secrets
	for name, values := range h {
		for _, v := range values {
			out = append(out, v)
			scheme, rest, ok := strings.Cut(v, " ")
			if !ok || !strings.HasSuffix(http.CanonicalHeaderKey(name), "Authorization") {
				continue
			}
			rest = strings.TrimSpace(rest)
			out = append(out, rest)
			if plain, err := base64.StdEncoding.DecodeString(rest); err == nil && strings.EqualFold(scheme, "Basic") {
				_, password, _ := strings.Cut(string(plain), ":")
				out = append(out, password)
			}
		}
	}
	out = slices.DeleteFunc(out, func(s string) bool { return len(s) < shortestSecret })
	slices.SortFunc(out, func(a, b string) int { return len(b) - len(a) })
	return out
}

// Hide is text without the secrets.
func (s Secrets) Hide(text string) string {
	for _, secret := range s {
		text = strings.ReplaceAll(text, secret, "<secret>")
	}
	return text
}

// Package serving is one inference server as seen over HTTP and in its log: what
// it is, its profile routes, its metrics and log lines, and what one request got
// from it. It knows no GPU, no kernel and no file of a profiler.
package serving

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Options says which server, and how to talk to it.
type Options struct {
	// URL is host:port or a URL, with or without a path prefix; a final /v1 is
	// not part of the prefix. Without a scheme it is http, https at port 443.
	URL    string
	Engine string      // auto (or ""), vllm, sglang, trtllm
	Header http.Header // sent with every request, for gateways
	// APIKey is sent as a bearer token. No error, log or String shows it.
	APIKey string
	CAFile string         // PEM file of authorities to trust beside the system's
	CAPool *x509.CertPool // authorities to trust instead
	// HTTPClient replaces the client, and with it CAFile and CAPool.
	HTTPClient *http.Client
	// Timeout bounds one request of Connect and Metrics; 0 is 10 s. Calls of the
	// profiler have no bound but their context.
	Timeout time.Duration
}

// What a server can refuse us with. The errors themselves are sentences that say
// where and what to do; these tell them apart with errors.Is.
var (
	ErrUnreachable  = errors.New("server not reachable")
	ErrTLS          = errors.New("TLS connection refused")
	ErrUnauthorized = errors.New("server wants a key")
	ErrNotInference = errors.New("not an inference server")
	ErrStarting     = errors.New("server is still starting")
	ErrEngineDead   = errors.New("engine has died")
	ErrNoProfiler   = errors.New("server has no profiler route")
	// ErrAlreadyProfiling: somebody's recording runs; nothing was started.
	ErrAlreadyProfiling = errors.New("server is already profiling")
	// ErrMayBeProfiling: the start call broke off, so a recording may run: stop it.
	ErrMayBeProfiling = errors.New("server may be profiling")
)

// sentence is an error that reads as one sentence and is of several kinds.
type sentence struct {
	text string
	is   []error
}

func (s *sentence) Error() string   { return s.text }
func (s *sentence) Unwrap() []error { return s.is }

// Server is one inference server. Its methods may be called from several
// goroutines; Facts are those of Connect.
type Server struct {
	Facts Facts

	base    *url.URL
	client  *http.Client
	header  http.Header
	secrets Secrets
	caFile  string
	bearer  bool
	timeout time.Duration
	pause   time.Duration // before a lost stop call is repeated

	mu      sync.Mutex
	bounded bool // the recording started last ends by itself
}

// String is the engine, its version and where it is.
func (s *Server) String() string {
	if s.Facts.Version.Text == "" {
		return s.Facts.Engine.String() + " at " + s.base.Host
	}
	return s.Facts.Engine.String() + " " + s.Facts.Version.Text + " at " + s.base.Host
}

// URL is where the server is, without credentials.
func (s *Server) URL() string { return s.base.String() }

// HTTPClient is the client for this server: its authorities, no timeout.
func (s *Server) HTTPClient() *http.Client { return s.client }

// Close gives idle connections back; the server may still be used.
func (s *Server) Close() { s.client.CloseIdleConnections() }

// NewRequest makes a request for a path below the server's URL, with its key and
// headers. A body is JSON.
func (s *Server) NewRequest(ctx context.Context, method, path string, body []byte) (*http.Request, error) {
	var r io.Reader
	if body != nil {
		r = bytes.NewReader(body)
	}
	q, err := http.NewRequestWithContext(ctx, method, s.base.String()+path, r)
	if err != nil {
		return nil, err
	}
	for k, v := range s.header {
		q.Header[k] = v
	}
	if body != nil {
		q.Header.Set("Content-Type", "application/json")
	}
	return q, nil
}

func newServer(o Options) (*Server, error) {
	base, user, err := parseURL(o.URL)
	if err != nil {
		return nil, err
	}
	s := &Server{base: base, header: http.Header{}, caFile: o.CAFile, timeout: o.Timeout, pause: stopPause}
	if s.timeout <= 0 {
		s.timeout = 10 * time.Second
	}
	for k, values := range o.Header {
		s.header[http.CanonicalHeaderKey(k)] = values
	}
	if user != nil {
		q := http.Request{Header: s.header}
		password, _ := user.Password()
		q.SetBasicAuth(user.Username(), password)
	}
	if o.APIKey != "" {
		s.bearer = true
		s.header.Set("Authorization", "Bearer "+o.APIKey)
	}
	s.secrets = SecretsOf(s.header)
	if s.client, err = newClient(o); err != nil {
		return nil, err
	}
	s.Facts.URL = base.String()
	return s, nil
}

// parseURL is the base URL without credentials, and those.
func parseURL(text string) (*url.URL, *url.Userinfo, error) {
	bare := !strings.Contains(text, "://")
	if bare {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || (u.Scheme != "http" && u.Scheme != "https") {
		// The text may hold a password, so it is not repeated.
		return nil, nil, errors.New("the server's URL cannot be read: write host:port or http://host:port")
	}
	if u.RawQuery != "" {
		return nil, nil, errors.New("the server's URL has a query: give a key with --api-key-env and leave the query out")
	}
	if bare && u.Port() == "443" {
		u.Scheme = "https"
	}
	user := u.User
	path := strings.TrimSuffix(strings.TrimRight(u.Path, "/"), "/v1")
	return &url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimRight(path, "/")}, user, nil
}

func newClient(o Options) (*http.Client, error) {
	var c http.Client
	switch {
	case o.HTTPClient != nil:
		c = *o.HTTPClient
	default:
		t := http.DefaultTransport.(*http.Transport).Clone()
		pool := o.CAPool
		if o.CAFile != "" {
			pem, err := os.ReadFile(o.CAFile)
			if err != nil {
				return nil, fmt.Errorf("the file of --ca cannot be read: %w", err)
			}
			if pool == nil {
				if pool, err = x509.SystemCertPool(); err != nil {
					pool = x509.NewCertPool()
				}
			} else {
				pool = pool.Clone()
			}
			if !pool.AppendCertsFromPEM(pem) {
				return nil, fmt.Errorf("%s holds no certificate in PEM form: --ca takes the authority that signed the server's", o.CAFile)
			}
		}
		t.TLSClientConfig = &tls.Config{RootCAs: pool}
		c.Transport = t
	}
	c.Timeout = 0
	// Followed, a redirected POST would become a GET, and a key could reach
	// another host.
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c, nil
}

// reply is a server's whole answer.
type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r reply) ok() bool { return r.status == http.StatusOK }

// page says that the answer is a web page: a gateway's login, which no engine sends.
func (r reply) page() bool { return bytes.HasPrefix(bytes.TrimSpace(r.body), []byte("<")) }

// maxReply bounds the memory of an answer; the largest real ones, metrics of
// large deployments, have a few MB.
const maxReply = 64 << 20

// ask makes one request that is answered at once.
func (s *Server) ask(ctx context.Context, method, path string, body []byte) (reply, error) {
	inTime, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	r, err := s.do(inTime, method, path, body)
	if err != nil && ctx.Err() != nil {
		return r, ctx.Err()
	}
	return r, err
}

// do makes one request within the context.
func (s *Server) do(ctx context.Context, method, path string, body []byte) (reply, error) {
	q, err := s.NewRequest(ctx, method, path, body)
	if err != nil {
		return reply{}, s.plain(err)
	}
	a, err := s.client.Do(q)
	if err != nil {
		return reply{}, s.plain(err)
	}
	defer a.Body.Close()
	b, err := io.ReadAll(io.LimitReader(a.Body, maxReply))
	if err != nil {
		return reply{}, s.plain(err)
	}
	return reply{a.StatusCode, a.Header, b}, nil
}

// plain says a failed exchange in one sentence.
func (s *Server) plain(err error) error {
	at := s.base.String()
	kind := ErrUnreachable
	var text string
	var timeout net.Error
	var dns *net.DNSError
	var record tls.RecordHeaderError
	var unverified *tls.CertificateVerificationError
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err
	}
	switch {
	case errors.Is(err, context.Canceled):
		kind, text = context.Canceled, at+": the request was cancelled"
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		text = fmt.Sprintf("%s does not answer in time: is the server overloaded, or is a firewall between?", at)
	case errors.As(err, &record), strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		kind, text = ErrTLS, at+" does not speak TLS: write http:// instead of https://"
	case errors.As(err, &unverified):
		kind, text = ErrTLS, fmt.Sprintf("the certificate of %s is not trusted (%v): give its authority with --ca FILE", at, unverified.Err)
	case strings.Contains(err.Error(), "tls: "):
		kind, text = ErrTLS, fmt.Sprintf("no TLS connection to %s: %v", at, err)
	case errors.As(err, &dns):
		text = fmt.Sprintf("%s is not reachable: no address for host %s", at, dns.Name)
	case errors.Is(err, syscall.ECONNREFUSED):
		text = at + " is not reachable: nothing listens there; is the server running, and is this its port?"
	default:
		text = fmt.Sprintf("%s is not reachable: %v", at, err)
	}
	return &sentence{s.secrets.Hide(text), []error{kind, err}}
}

// said quotes the start of an answer for an error.
func (s *Server) said(r reply) string {
	return printable(ScrubLog(s.secrets.Hide(string(r.body[:min(len(r.body), 2000)]))), 200)
}

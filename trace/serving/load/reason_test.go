package load

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"syscall"
	"testing"
	"time"
)

// TestReason: errors lose the names and addresses of machines.
func TestReason(t *testing.T) {
	get := func(err error) error {
		return &url.Error{Op: "Post", URL: "http://node7.example:8000/v1/completions", Err: err}
	}
	dial := &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IP{192, 0, 2, 1}}, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	for _, c := range []struct {
		err  error
		want string
	}{
		{get(dial), "dial: connection refused"},
		{get(&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "node7.example", IsNotFound: true}}), "the server's name does not resolve"},
		{get(io.EOF), "connection lost"},
		{io.ErrUnexpectedEOF, "connection lost"},
		{get(errors.New("malformed answer from node7.example:8000")), "malformed answer from server"},
		{get(&tls.CertificateVerificationError{Err: x509.HostnameError{Host: "node7.example"}}), "the server's TLS certificate is not trusted"},
		{errLongLine, errLongLine.Error()},
	} {
		if got := (&load{}).reason(context.Background(), c.err); got != c.want {
			t.Errorf("%v: %q, want %q", c.err, got, c.want)
		}
	}
	ctx, stop := context.WithCancelCause(context.Background())
	stop(errDeadline)
	if got := (&load{}).reason(ctx, get(context.Canceled)); got != errDeadline.Error() {
		t.Errorf("the cause is lost: %q", got)
	}
	late, stopLate := context.WithDeadline(context.Background(), time.Unix(0, 0))
	defer stopLate()
	if got := (&load{}).reason(late, get(context.DeadlineExceeded)); got != "context deadline exceeded" {
		t.Errorf("%q", got)
	}
}

// TestTLS: the target's TLS settings decide whom to trust; the stream stays HTTP/1.1.
func TestTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if r.ProtoMajor != 1 {
			w.WriteHeader(505)
			return
		}
		token(w, "a", `"length"`, 1)
	}))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // the handshake that is refused below
	s.StartTLS()
	defer s.Close()
	target := Target{URLs: []string{s.URL}}
	if r := run(t, target, plan(t, 1, 1), Options{}).Rows[0]; r.Error != "the server's TLS certificate is not trusted" {
		t.Errorf("%+v", r)
	}
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	target.TLS = &tls.Config{RootCAs: roots}
	if r := run(t, target, plan(t, 1, 1), Options{}).Rows[0]; r.Failed() {
		t.Errorf("%+v", r)
	}
	if r := run(t, Target{URLs: target.URLs, Client: s.Client()}, plan(t, 1, 1), Options{}).Rows[0]; r.Status != 505 {
		t.Errorf("the client given was not used: %+v", r)
	}
}

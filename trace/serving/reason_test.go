package serving

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"syscall"
	"testing"
)

// TestNameless: what is handed on names no machine and no key, however an exchange failed.
func TestNameless(t *testing.T) {
	s, err := newServer(Options{URL: "http://node7.example:8000/x", APIKey: "sesame-7"})
	if err != nil {
		t.Fatal(err)
	}
	get := func(err error) error {
		return s.plain(&url.Error{Op: "Get", URL: "http://node7.example:8000/x/metrics", Err: err})
	}
	refused := &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IP{192, 0, 2, 1}}, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	for _, c := range []struct {
		err  error
		want string
	}{
		{get(refused), "dial: connection refused"},
		{get(&net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "node7.example", IsNotFound: true}}), "the server's name does not resolve"},
		{get(io.EOF), "connection lost"},
		{get(context.DeadlineExceeded), "the server does not answer in time: is the server overloaded, or is a firewall between?"},
		{get(errors.New("malformed answer from node7.example:8000")), "the server is not reachable: malformed answer from the server"},
		{fmt.Errorf("%s answered 500 to GET /metrics: no sesame-7 at node7.example", s.URL()), "the server answered 500 to GET /metrics: no <secret> at the server"},
	} {
		if got := s.Nameless(c.err); got != c.want {
			t.Errorf("%v:\n got %q\nwant %q", c.err, got, c.want)
		}
	}
}

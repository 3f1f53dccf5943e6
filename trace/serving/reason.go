package serving

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
)

// Lost says in a few words why an exchange did not come about, without the names and
// addresses of machines that such errors hold; "" for an error of another kind.
func Lost(err error) string {
	var dns *net.DNSError
	var op *net.OpError
	var cert *tls.CertificateVerificationError
	switch {
	case errors.As(err, &dns):
		return "the server's name does not resolve"
	case errors.As(err, &cert):
		return "the server's TLS certificate is not trusted"
	case errors.As(err, &op):
		return op.Op + ": " + bottom(op.Err).Error()
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return "connection lost"
	}
	return ""
}

// bottom is the innermost of wrapped errors: the system's own.
func bottom(err error) error {
	for {
		in := errors.Unwrap(err)
		if in == nil {
			return err
		}
		err = in
	}
}

// Nameless is the text of an error of this server for what is handed on to others:
// without the names and addresses of machines.
func (s *Server) Nameless(err error) string {
	if lost := Lost(err); lost != "" {
		return lost
	}
	text := err.Error()
	var u *url.Error
	if errors.As(err, &u) {
		text = strings.ReplaceAll(text, u.URL, "the server")
	}
	for _, name := range []string{s.URL(), s.base.Host, s.base.Hostname()} {
		text = strings.ReplaceAll(text, name, "the server")
	}
	return printable(s.secrets.Hide(text), 300)
}

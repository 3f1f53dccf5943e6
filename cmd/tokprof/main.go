// Command tokprof says where the GPU time of a language-model server goes. It
// turns a command line into calls and an exit code; what it knows of traces,
// kernels and drawings stands in the packages below it.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// A second signal ends the process as it would any other: some calls cannot be
	// interrupted (a file on a server that is gone).
	context.AfterFunc(ctx, stop)
	code := run(ctx, os.Args[1:], streams{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// streams are the process's three, so that tests can pass buffers.
type streams struct {
	in  io.Reader
	out io.Writer
	err io.Writer
}

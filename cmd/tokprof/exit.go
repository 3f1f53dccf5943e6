package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"syscall"
)

// Exit codes: done (also with a partial answer), the answer is no, could not,
// interrupted.
const (
	exitDone        = 0
	exitNo          = 1
	exitCouldNot    = 2
	exitInterrupted = 130
)

// errNo is an answer, not a failure: a gate such as --strict said no.
type errNo struct{ what string }

func (e errNo) Error() string { return e.what }

// usageError is a command line that cannot be meant.
type usageError struct{ what, hint string }

func (e usageError) Error() string { return e.what }

// exitCode prints an error, once, and says what the process ends with.
func exitCode(err error, stderr io.Writer) int {
	if err == nil || errors.Is(err, syscall.EPIPE) {
		return exitDone
	}
	if errors.Is(err, errInterrupted) {
		return exitInterrupted
	}
	if errors.Is(err, context.Canceled) {
		fmt.Fprintln(stderr, "tokprof: interrupted; nothing was written")
		return exitInterrupted
	}
	fmt.Fprintf(stderr, "tokprof: %s\n", err)
	var no errNo
	if errors.As(err, &no) {
		return exitNo
	}
	var usage usageError
	if errors.As(err, &usage) && usage.hint != "" {
		fmt.Fprintf(stderr, "tokprof: hint: %s\n", usage.hint)
	}
	return exitCouldNot
}

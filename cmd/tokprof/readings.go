package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"tokprof/trace/capture"
)

// childPatience is how long a child process may take to begin or to end.
const childPatience = 5 * time.Second

// gpuReadings records the GPUs' readings in a child process of ourselves: a bad
// driver can take that down, not the capture.
func gpuReadings(ctx context.Context, path string) (end func() error, err error) {
	if err := askGPUs(ctx); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	// The capture ends the child itself, interrupted or not.
	child := exec.Command(self, "gpus", "--record", path)
	var said strings.Builder
	child.Stderr = &said
	// A process group of its own: Ctrl-C is for the capture.
	child.SysProcAttr = apart()
	if err := child.Start(); err != nil {
		return nil, err
	}
	done := make(chan error, 1)
	go func() { done <- child.Wait() }()
	return func() error {
		_ = child.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-done:
			return childError(err, said.String())
		case <-time.After(childPatience):
			_ = child.Process.Kill()
			<-done
			return errors.New("the process that read the GPUs did not end and was killed")
		}
	}, nil
}

// askGPUs says why there are no GPUs to read, in a child as well.
func askGPUs(ctx context.Context) error {
	_, err := gpuText(ctx, "--json")
	return err
}

// gpuText runs tokprof gpus and returns what it prints.
func gpuText(ctx context.Context, args ...string) ([]byte, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 4*childPatience)
	defer cancel()
	child := exec.CommandContext(ctx, self, append([]string{"gpus"}, args...)...)
	var said strings.Builder
	child.Stderr = &said
	child.SysProcAttr = apart()
	out, err := child.Output()
	return out, childError(err, said.String())
}

// childError is a child's own sentence, or how it died.
func childError(err error, said string) error {
	if err == nil {
		return nil
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && !exit.Exited() && said == "" {
		return fmt.Errorf("the process that reads the GPUs died (%s): the driver may be broken", exit.ProcessState)
	}
	first, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(said), "tokprof: "), "\n")
	if first == "" {
		return err
	}
	return errors.New(first)
}

// extras writes topology, the model's config and the log's tail into a bundle.
func (c *capturing) extras(ctx context.Context, log *capture.LogTail) func(dir string, began time.Time) []string {
	return func(dir string, _ time.Time) (notes []string) {
		if c.readings == nil {
			if text, err := gpuText(ctx, "--plain-topology"); err == nil {
				notes = append(notes, capture.WriteExtra(dir, capture.TopologyName, text)...)
			}
		}
		for _, t := range c.targets {
			notes = append(notes, capture.CopyModelConfig(dir, t.Server)...)
		}
		if log != nil {
			notes = append(notes, log.WriteInto(dir)...)
		}
		return notes
	}
}

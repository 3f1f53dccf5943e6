package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"tokprof/nvml"
	"tokprof/trace/capture"
)

// childPatience is how long a child process may take to begin or to end.
const childPatience = 5 * time.Second

// gpuReadings records the GPUs' readings in a child process of ourselves: a bad
// driver can take that down, not the capture.
func gpuReadings(ctx context.Context, path string) (end func() error, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	none := func(err error) (func() error, error) {
		_ = f.Close()
		_ = os.Remove(path)
		return nil, err
	}
	child, err := nvml.StartChild([]string{self, "gpus", "--record", "-"}, f)
	if err != nil {
		return none(err)
	}
	ready, cancel := context.WithTimeout(ctx, 2*childPatience)
	defer cancel()
	if err := child.Ready(ready); err != nil {
		_ = child.Stop()
		return none(err)
	}
	return func() error {
		err := child.Stop()
		if e := f.Close(); err == nil {
			err = e
		}
		return err
	}, nil
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
		text := c.topology
		if c.readings == nil {
			text, _ = gpuText(ctx, "--links") // why there is none, the readings say
		}
		if len(text) > 0 {
			notes = append(notes, capture.WriteExtra(dir, capture.TopologyName, text)...)
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

package main

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"strings"

	"tokprof/nvml"
)

// readReadings reads a recording of GPU readings, plain or .gz; nil without one.
func readReadings(path string) (rec *nvml.Recording, err error) {
	err = readHostFile("--readings", path, func(r io.Reader) error {
		rec, err = nvml.ReadRecording(r)
		return err
	})
	return rec, err
}

// readTopology reads a matrix of links; nil without one.
func readTopology(path string) (t *nvml.Topology, err error) {
	err = readHostFile("--topo", path, func(r io.Reader) error {
		text, err := io.ReadAll(io.LimitReader(r, maxMatrix))
		if err == nil {
			t, err = nvml.ParseTopology(string(text))
		}
		return err
	})
	return t, err
}

func readHostFile(flag, path string, read func(io.Reader) error) error {
	if path == "" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("%s %s cannot be read: %w", flag, path, cause(err))
	}
	defer func() { _ = f.Close() }()
	var r io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			return fmt.Errorf("%s %s is no gzip file: %w", flag, path, err)
		}
	}
	if err := read(r); err != nil {
		return fmt.Errorf("%s %s: %w", flag, path, err)
	}
	return nil
}

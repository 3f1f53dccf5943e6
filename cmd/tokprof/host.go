package main

import (
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"strings"

	"tokprof/nvml"
)

// readReadings reads a recording of GPU readings, packed or not.
func readReadings(stdin io.Reader, path string) (*nvml.Recording, error) {
	return readHostFile(stdin, path, nvml.ReadRecording)
}

// maxMatrix is far above any matrix that nvidia-smi draws.
const maxMatrix = 4 << 20

// readTopology reads a matrix of links as nvidia-smi or tokprof gpus draws it; a
// .gz is unpacked.
func readTopology(stdin io.Reader, path string) (*nvml.Topology, error) {
	return readHostFile(stdin, path, func(r io.Reader) (*nvml.Topology, error) {
		if strings.HasSuffix(path, ".gz") {
			z, err := gzip.NewReader(r)
			if err != nil {
				return nil, err
			}
			r = z
		}
		text, err := io.ReadAll(io.LimitReader(r, maxMatrix))
		if err != nil {
			return nil, err
		}
		return nvml.ParseTopology(string(text))
	})
}

// readHostFile reads what a host said of its GPUs; "-" is standard input.
func readHostFile[T any](stdin io.Reader, path string, read func(io.Reader) (*T, error)) (*T, error) {
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("%s cannot be read: %w", path, cause(err))
		}
		defer func() { _ = f.Close() }()
		stdin = f
	}
	v, err := read(stdin)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, cause(err))
	}
	return v, nil
}

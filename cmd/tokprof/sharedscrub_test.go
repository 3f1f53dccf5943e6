//go:build shared

package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestSharedScrub scrubs every export of the captures: no secret planted in
// them is in the copy, and the copy's analysis is the original's.
func TestSharedScrub(t *testing.T) {
	for path := range nsysForms(t) {
		for _, suffix := range []string{"", ".gz"} {
			out := filepath.Join(t.TempDir(), strings.TrimSuffix(filepath.Base(path), ".gz")+suffix)
			canaries(t, path, scrubTo(t, path, out))
			sameAnalysis(t, path, out)
		}
	}
}

// TestSharedScrubSums scrubs the sums that nsys stats made.
func TestSharedScrubSums(t *testing.T) {
	sums, err := filepath.Glob(filepath.Join(*sharedDir, "captures", "*nsys*", "*", "cuda_gpu_*sum.*.gz"))
	if err != nil || len(sums) < 16 {
		t.Fatalf("%d sums, %v", len(sums), err)
	}
	for _, path := range sums {
		canaries(t, path, scrubTo(t, path, filepath.Join(t.TempDir(), "sum")))
	}
}

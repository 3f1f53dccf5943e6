package main

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestReadmeSession holds the README's session against what the program says.
func TestReadmeSession(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(readme), "```\n$ go run ./cmd/tokprof analyze ")
	block, _, ok := strings.Cut(rest, "\n…\n```")
	line, want, found := strings.Cut(block, "\n")
	if !ok || !found {
		t.Fatal("the README has no session that ends in …")
	}
	cmd := exec.Command(build(t), append([]string{"analyze"}, strings.Fields(line)...)...)
	cmd.Dir = "../.."
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(out), want+"\n") {
		t.Errorf("the README shows\n%s\nthe program says\n%s", want, out)
	}
}

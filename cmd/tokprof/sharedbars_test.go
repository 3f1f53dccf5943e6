//go:build shared

package main

import (
	"bufio"
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var sharedDir = flag.String("shared", "", "folder with captures/, kernels/ and traces/")

// TestSharedTruth is TestTruth over whole captures.
func TestSharedTruth(t *testing.T) { checkTruth(t, filepath.Join(*sharedDir, "captures")) }

func TestSharedNsysTwins(t *testing.T) { checkTwins(t, filepath.Join(*sharedDir, "captures")) }

// TestSharedNames holds the rules against the labelled kernel names: 99 % by
// group, 95 % by subgroup, and nothing called a collective that is none.
func TestSharedNames(t *testing.T) {
	f, err := os.Open(filepath.Join(*sharedDir, "kernels", "kernel_names.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	sc.Scan()
	var names strings.Builder
	var want [][]string
	for sc.Scan() {
		row := strings.Split(sc.Text(), "\t")
		want = append(want, row)
		names.WriteString(row[0] + "\n")
	}
	var out, errs bytes.Buffer
	if code := run(t.Context(), []string{"explain", "--names", "-", "--csv"}, streams{strings.NewReader(names.String()), &out, &errs}); code != 0 {
		t.Fatalf("exit %d: %s", code, errs.String())
	}
	got := readCSV(t, &out)
	if len(got) != len(want) {
		t.Fatalf("%d rows for %d names", len(got), len(want))
	}
	group, sub := 0, 0
	for i, g := range got {
		if g["group"] == want[i][1] {
			group++
		} else {
			t.Logf("%.80s: %s, label says %s", g["name"], g["group"], want[i][1])
		}
		if g["group"] == want[i][1] && g["subgroup"] == want[i][2] {
			sub++
		}
		if g["group"] == "comm" && want[i][1] != "comm" {
			t.Errorf("%s is no collective", g["name"])
		}
	}
	t.Logf("%d names: group %d, subgroup %d right", len(want), group, sub)
	if float64(group) < 0.99*float64(len(want)) || float64(sub) < 0.95*float64(len(want)) {
		t.Errorf("of %d names %d right by group, %d by subgroup", len(want), group, sub)
	}
}

// TestSharedPublic reads other people's traces: each gives an answer or one
// sentence, never a panic.
func TestSharedPublic(t *testing.T) {
	var files []string
	for _, dir := range []string{"chrome", "quirks"} {
		found, err := filepath.Glob(filepath.Join(*sharedDir, "traces", "public", dir, "*.json*"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) == 0 {
		t.Fatalf("no public traces in %s", *sharedDir)
	}
	for _, f := range files {
		var out, errs bytes.Buffer
		code := run(t.Context(), []string{"analyze", f, "--json", "-"}, streams{nil, &out, &errs})
		switch {
		case code == 0 && out.Len() > 0:
		case code == 2 && strings.Count(errs.String(), "\n") == 1 && out.Len() == 0:
		default:
			t.Errorf("%s: exit %d, %d bytes of answer, stderr %q", f, code, out.Len(), errs.String())
		}
	}
}

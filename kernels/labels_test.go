package kernels

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// labelled is a kernel name with what it is.
type labelled struct {
	name string
	want Category
}

// labels reads a fixture of names: name, group, subgroup.
func labels(t testing.TB, name string) []labelled {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []labelled
	for s := bufio.NewScanner(f); s.Scan(); {
		cells := strings.Split(s.Text(), "\t")
		if len(cells) != 3 {
			t.Fatalf("%s: %d cells in %q", name, len(cells), s.Text())
		}
		if cells[0] != "name" {
			all = append(all, labelled{cells[0], Category{Group: cells[1], Subgroup: cells[2]}})
		}
	}
	return all
}

func newClassifier(t testing.TB, user ...Rule) *Classifier {
	t.Helper()
	c, err := NewClassifier(user)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ruleTable parses rules written one a line with " | " between the columns.
func ruleTable(t testing.TB, lines ...string) []Rule {
	t.Helper()
	text := strings.ReplaceAll(strings.Join(lines, "\n"), " | ", "\t")
	rules, err := ParseRules(strings.NewReader(text), "mine.tsv")
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

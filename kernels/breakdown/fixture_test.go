package breakdown

import (
	"path/filepath"
	"strings"
	"testing"
)

const fixtures = "../../fixtures/traces"

// fixtureFiles lists the workers' traces, which are those with a truth.
func fixtureFiles(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(fixtures, "*", "*.truth.tsv.gz"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for i, f := range files {
		files[i] = strings.TrimSuffix(f, ".truth.tsv.gz") + ".pt.trace.json.gz"
	}
	return files
}

// fixtureName is a fixture's run and rank.
func fixtureName(path string) string {
	return filepath.Base(filepath.Dir(path)) + "/" + strings.TrimSuffix(filepath.Base(path), ".pt.trace.json.gz")
}

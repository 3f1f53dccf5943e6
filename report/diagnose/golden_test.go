package diagnose

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"tokprof/fixtures/golden"
)

// TestGolden holds every word of the findings about the modelled captures.
func TestGolden(t *testing.T) {
	var s strings.Builder
	all := captured()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&s, "== %s\n", name)
		for _, fd := range Diagnose(all[name]) {
			fmt.Fprintf(&s, "[%s] %s (%s, %.3f of all steps)\n  %s\n", fd.Severity, fd.ID, fd.Phase, fd.GainShare, fd.Title)
			for _, e := range fd.Evidence {
				fmt.Fprintf(&s, "  - %s\n", e)
			}
			fmt.Fprintf(&s, "  gain: %s\n", fd.MaxGain)
			for line := range strings.Lines(fd.Remedy) {
				fmt.Fprintf(&s, "  > %s\n", strings.TrimSuffix(line, "\n"))
			}
			fmt.Fprintf(&s, "  confirm: %s\n", fd.Confirm)
		}
	}
	golden.Check(t, "findings.golden", []byte(s.String()))
}

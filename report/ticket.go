package report

import (
	"fmt"
	"slices"
	"strings"

	"tokprof/report/document"
)

// The middle of the ticket: notes, top kernels and findings share what lines
// the rest leaves.

// ticketPlan is how many lines each gets.
type ticketPlan struct {
	kernels int   // rows of the kernel table; without it they are one note
	details []int // evidence lines of each finding with details, worst first
	titles  int   // of the other findings
}

// ticketPlans are tried from the fullest on, until one fits: the kernels, which
// the page lists, give way first, then evidence, then whole findings.
var ticketPlans = []ticketPlan{
	{ticketKernels, []int{3, 3, 3}, 6}, {3, []int{3, 3, 3}, 6}, {0, []int{3, 3, 3}, 6}, {0, []int{3, 2, 2}, 6}, {0, []int{3, 2, 1}, 6},
	{0, []int{2, 1, 1}, 6}, {0, []int{2, 1, 0}, 6}, {0, []int{2, 0, 0}, 6}, {0, []int{1, 0, 0}, 6}, {0, []int{1, 0, 0}, 3},
	{0, []int{3, 2}, 4}, {0, []int{2, 1}, 4}, {0, []int{1, 0}, 3}, {0, []int{3}, 4}, {0, []int{1}, 3}, {0, nil, 3},
}

// ticketRemedy bounds the lines of one remedy.
const ticketRemedy = 8

// mdMiddle is the middle of the ticket in at most room lines, if the last plan
// fits in them.
func mdMiddle(a *document.Analysis, room int) []string {
	var lines []string
	for _, p := range ticketPlans {
		lines = slices.Concat(mdNotes(a, p.kernels == 0), mdKernels(a, p.kernels), mdFindings(a, p))
		if len(lines) <= room {
			break
		}
	}
	return lines
}

// mdFindings are the findings, the first ones with details.
func mdFindings(a *document.Analysis, p ticketPlan) []string {
	found := topFindings(a)
	if len(found) == 0 {
		return nil
	}
	lines := []string{"**Findings**", ""}
	shown := len(p.details) + p.titles
	for i := range found {
		if left := len(found) - i; i == shown-1 && left > 1 {
			lines = append(lines, fmt.Sprintf("%d. … and %d more", i+1, left))
			break
		}
		f := &found[i]
		title := fmt.Sprintf("%d. **%s** (%s)", i+1, mdText(f.Title), f.Severity)
		if i >= len(p.details) {
			lines = append(lines, title)
			continue
		}
		if f.MaxGain != "" {
			title += ": " + mdProse(f.MaxGain)
		}
		lines = append(append(lines, title), mdDetails(f, p.details[i])...)
	}
	return append(lines, "")
}

// mdDetails is the evidence of a finding as nested bullets, what to paste, and
// how to confirm.
func mdDetails(f *document.Finding, evidence int) []string {
	var lines []string
	for _, e := range f.Evidence[:min(evidence, len(f.Evidence))] {
		lines = append(lines, "   - "+mdProse(e))
	}
	if f.Remedy != "" {
		for _, l := range mdFence(f.Remedy) {
			lines = append(lines, "   "+l)
		}
	}
	if f.Confirm != "" {
		lines = append(lines, "   Confirm: "+mdProse(f.Confirm))
	}
	return lines
}

// mdFence is a fenced code block of the lines of s, to be pasted as they are.
// Its fence is longer than any run of backticks inside.
func mdFence(s string) []string {
	code := strings.Split(strings.TrimRight(s, "\n"), "\n")
	if left := len(code) - ticketRemedy; left > 0 {
		code = append(code[:ticketRemedy-1:ticketRemedy-1], fmt.Sprintf("# … %d more lines", left+1))
	}
	fence := "```"
	for i := range code {
		code[i] = strings.TrimRight(cutCells(code[i], proseCells), " ")
		for strings.Contains(code[i], fence) {
			fence += "`"
		}
	}
	return slices.Concat([]string{fence}, code, []string{fence})
}

package report

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"tokprof/report/compare"
	"tokprof/report/figures"
)

// Rows that the ticket of a comparison shows.
const (
	pairedKernels = 15
	pairedShares  = 8
	pairedMissed  = 8
)

// WriteReconciliationMarkdown writes a comparison as text for a ticket. Text
// from traces is escaped; file names stay out, their hashes say which they
// were. It returns errors of w only.
func WriteReconciliationMarkdown(w io.Writer, r *compare.Reconciliation) error {
	var parts []string
	for i := range r.Windows {
		parts = append(parts, strings.Join(pairedMarkdown(&r.Windows[i]), "\n")+"\n")
	}
	text := strings.Join(parts, "\n---\n\n")
	if r.Version != "" {
		text += "\ntokprof " + mdText(r.Version) + "\n"
	}
	_, err := io.WriteString(w, text)
	return err
}

func pairedMarkdown(w *compare.Window) []string {
	lines := []string{"# Torch profiler and Nsight Systems: " + mdText(reconciledTitle(w)), "", mdProse(w.Verdict), ""}
	if rows := stepPairs(w); rows != nil {
		for i, r := range rows {
			for n := range r {
				r[n] = mdText(r[n])
			}
			lines = append(lines, "| "+strings.Join(r, " | ")+" |")
			if i == 0 {
				lines = append(lines, "|---|---:|---:|---:|---:|")
			}
		}
		lines = append(lines, "")
	}
	lines = append(lines, "| role | kernel | launches torch | nsys | median torch | nsys | change | total torch | nsys |", "|---|---|---:|---:|---:|---:|---:|---:|---:|")
	for i := range w.Kernels[:min(pairedKernels, len(w.Kernels))] {
		lines = append(lines, pairedRow(&w.Kernels[i]))
	}
	if n := len(w.Kernels) - pairedKernels; n > 0 {
		lines = append(lines, "", fmt.Sprintf("%d more rows are in the CSV.", n))
	}
	if len(w.Batches) > 0 {
		b := &w.Batches[0]
		lines = append(lines, "", "| share of the time outside collectives, decode of "+compare.SizeWords(b.Requests, b.Tokens)+" | torch | nsys | points |", "|---|---:|---:|---:|")
		for _, s := range b.Shares[:min(pairedShares, len(b.Shares))] {
			lines = append(lines, fmt.Sprintf("| %s | %s | %s | %s |", mdText(s.Role), figures.Percent(s.Torch), figures.Percent(s.Nsys),
				strings.Replace(fmt.Sprintf("%+.1f", s.Difference*100), "-", "−", 1)))
		}
	}
	lines = append(lines, "")
	for _, m := range missed(w, pairedMissed) {
		lines = append(lines, "- "+mdText(m))
	}
	for _, n := range w.Notes {
		lines = append(lines, "- "+mdText(n.Side+": "+n.Message))
	}
	for _, s := range []struct {
		name string
		side *compare.Side
	}{{"torch", &w.Torch}, {"nsys", &w.Nsys}} {
		for _, src := range s.side.Sources {
			if src.SHA256 != "" {
				lines = append(lines, fmt.Sprintf("- %s rank %d: %s, sha256 %s", s.name, src.Rank, mdText(src.Format), mdCode(src.SHA256)))
			}
		}
	}
	return lines
}

func pairedRow(k *compare.Kernel) string {
	x, y, change := "", "", ""
	if m := headMedians(k); m != nil {
		x, y, change = figures.Dur(m.TorchNS), figures.Dur(m.NsysNS), figures.Change(m.Change)
		if m.TransferOnly {
			change += " (moving data)"
		}
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s | %s | %s |", mdText(pairRole(k)), mdText(cutMiddle(cmp.Or(printable(k.ShortName), "(no name)"), 60)),
		countOrDash(k.Torch.Launches), countOrDash(k.Nsys.Launches), x, y, change, durOrDash(k.Torch), durOrDash(k.Nsys))
}

// durOrDash is the time of a side that has launches.
func durOrDash(s compare.Sum) string {
	if s.Launches == 0 {
		return "-"
	}
	return figures.Dur(s.TotalNS)
}

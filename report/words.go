package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"tokprof/report/document"
	"tokprof/report/figures"
)

// The words that the terminal and the ticket share: doubts, roles, idle time.

// bandwidth is what the GPU's memory can carry in B/s, as the roles' work was
// measured against it; 0 when unknown.
func bandwidth(a *document.Analysis) float64 {
	var best document.Work
	for i := range a.Roles {
		if w := a.Roles[i].Work; w != nil && w.BytesPerS > 0 && w.MemoryShare > best.MemoryShare {
			best = *w
		}
	}
	if best.MemoryShare <= 0 {
		return 0
	}
	return best.BytesPerS / best.MemoryShare
}

// idleSummary is the idle time of the devices, its share of the window, and
// its causes in words, largest first; zeros when they never were idle.
func idleSummary(a *document.Analysis) (ns int64, share float64, causes []string) {
	var span int64
	byCause := map[string]int64{}
	for _, d := range a.Devices {
		ns += d.IdleNS
		span += d.BusyNS + d.GraphNS + d.IdleNS
		for _, c := range d.IdleCauses {
			byCause[c.Cause] += c.TimeNS
		}
	}
	if ns <= 0 || span <= 0 {
		return 0, 0, nil
	}
	names := slices.Sorted(maps.Keys(byCause))
	slices.SortStableFunc(names, func(x, y string) int { return cmp.Compare(byCause[y], byCause[x]) })
	for _, n := range names {
		if byCause[n] > 0 {
			of := figures.Percent(float64(byCause[n]) / float64(ns))
			causes = append(causes, fmt.Sprintf("%s (%s of it)", cmp.Or(document.CauseName(n), printable(n)), of))
		}
	}
	return ns, float64(ns) / float64(span), causes
}

// unclassifiedText says what no rule knows; "" when there is nothing.
func unclassifiedText(a *document.Analysis) string {
	ns, share, names := unclassified(a)
	if ns <= 0 {
		return ""
	}
	plural := "s"
	if names == 1 {
		plural = ""
	}
	return fmt.Sprintf("unclassified: %s, %s of the GPU time, %d kernel name%s", figures.Dur(ns), figures.Percent(share), names, plural)
}

// unclassified adds up what no rule knows: its time, its share of the GPU
// time, and how many kernel names it has.
func unclassified(a *document.Analysis) (ns int64, share float64, names int) {
	for i := range a.Kernels {
		k := &a.Kernels[i]
		if k.Subgroup == "unclassified" || k.Group == "unclassified" || k.Group == "" {
			ns += k.TotalNS
			share += k.Share
			names++
		}
	}
	return ns, share, names
}

// kernelCategory is "attention.decode"; "unclassified" when nothing is known.
func kernelCategory(k *document.Kernel) string {
	switch {
	case k.Group == "":
		return "unclassified"
	case k.Subgroup == "":
		return printable(k.Group)
	}
	return printable(k.Group + "." + k.Subgroup)
}

// kernelShort is the short name of a kernel, printable and never empty.
func kernelShort(k *document.Kernel) string {
	return cmp.Or(printable(k.ShortName), printable(k.Name), "(no name)")
}

// severityRank orders severities, mildest first; an unknown one is a warning.
// A note beside an "ok" does not take it back.
func severityRank(s document.Severity) int {
	if i := slices.Index([]document.Severity{document.Info, document.OK, document.Warning, document.Error}, s); i >= 0 {
		return i
	}
	return 2
}

// trustCodes are the doubts that touch most numbers, in the order of the trust
// line; others follow.
var trustCodes = []string{"profiler_tax", "unclassified", "unattributed", "estimated_split", "missing_ranks", "model", "model_mismatch"}

// quietCodes explain files that lie beside the ranks, and how readings were
// joined, which stands beside these: no doubt about a number of steps.
var quietCodes = []string{"graph_capture_trace", "frontend_trace", "gpu_set", "no_energy", "link_bytes"}

// trustLine is the worst severity and what it rests on.
func trustLine(a *document.Analysis) (document.Severity, string) {
	severity, msgs := trustMessages(a)
	return severity, strings.Join(msgs, "; ")
}

// trustMessages are the worst severity and the messages: worst first, then by
// trustCodes. "ok" goes with how the roles are known.
func trustMessages(a *document.Analysis) (worst document.Severity, msgs []string) {
	sorted := slices.DeleteFunc(slices.Clone(a.Trust), func(t document.Trust) bool { return slices.Contains(quietCodes, t.Code) })
	if len(sorted) == 0 {
		return document.Info, []string{"not checked"}
	}
	order := func(t document.Trust) int {
		if i := slices.Index(trustCodes, t.Code); i >= 0 {
			return i
		}
		return len(trustCodes)
	}
	slices.SortStableFunc(sorted, func(x, y document.Trust) int {
		return cmp.Or(cmp.Compare(severityRank(y.Severity), severityRank(x.Severity)), cmp.Compare(order(x), order(y)))
	})
	worst = sorted[0].Severity
	for i, t := range sorted {
		msgs = append(msgs, strings.TrimSuffix(cutCells(t.Message, proseCells), "."))
		if roles := rolesText(a); i == 0 && worst == document.OK && roles != "" {
			msgs = append(msgs, roles)
		}
	}
	return worst, msgs
}

// rolesText says for how much of the time that should have a role it is known,
// and by which evidence: "roles 100 % (73 % capture, 21 % shape)". Empty when
// none is known.
func rolesText(a *document.Analysis) string {
	const shown = 3
	var known []document.Provenance
	var sum, missing float64
	for _, p := range a.Provenance {
		switch {
		case p.Provenance == "none":
			missing += p.Share
		case p.Share > 0:
			known = append(known, p)
			sum += p.Share
		}
	}
	if len(known) == 0 {
		return ""
	}
	slices.SortStableFunc(known, func(x, y document.Provenance) int { return cmp.Compare(y.Share, x.Share) })
	text := figures.Percent(sum)
	if missing > 0 && text == figures.Percent(1) {
		text = ">99 %"
	}
	text = "roles " + text
	for i, p := range known[:min(shown, len(known))] {
		sep := ", "
		if i == 0 {
			sep = " ("
		}
		text += sep + figures.Percent(p.Share) + " " + printable(p.Provenance)
	}
	return text + ")"
}

// kernelRole is what a kernel does in the pass, in at most n cells: its roles,
// largest first, or its category where most of its time has none.
func kernelRole(k *document.Kernel, n int) string {
	// A role below a twentieth of a kernel's time is not what it is there for.
	const minor = 20
	var names []string
	var sum int64
	for _, r := range sortedRoles(k) {
		sum += r.TimeNS
		if r.TimeNS*minor >= k.TotalNS {
			names = append(names, printable(r.Role))
		}
	}
	if len(names) == 0 || sum*2 < k.TotalNS {
		return kernelCategory(k)
	}
	for shown := len(names); ; shown-- {
		text := strings.Join(names[:shown], " + ")
		if rest := len(names) - shown; rest > 0 {
			text += fmt.Sprintf(" +%d", rest)
		}
		if shown == 1 || cellWidth(text) <= n {
			return text
		}
	}
}

// sortedRoles are the roles of a kernel, largest first.
func sortedRoles(k *document.Kernel) []document.KernelRole {
	roles := slices.Clone(k.Roles)
	slices.SortStableFunc(roles, func(x, y document.KernelRole) int { return cmp.Compare(y.TimeNS, x.TimeNS) })
	return slices.DeleteFunc(roles, func(r document.KernelRole) bool { return r.TimeNS <= 0 || r.Role == "" })
}

// floorText is the least time of a step, in at most n cells: of the first
// column's phase, and of others where it differs. Empty when it is unknown or
// does not fit.
func floorText(a *document.Analysis, cols []column, n int) string {
	how := ": weights read once"
	if rate := how + " at " + figures.Rate(bandwidth(a)); bandwidth(a) > 0 && cellWidth(rate)+24 <= n {
		how = rate
	}
	var text string
	var first int64
	for i := range cols {
		p := document.PhaseNamed(a, cols[i].Phase)
		if p == nil || p.WeightReadFloorNS <= 0 {
			continue
		}
		least := p.WeightReadFloorNS
		switch next := fmt.Sprintf("%s, %s %s", text, printable(p.Phase), figures.Dur(least)); {
		case text == "":
			text, first = fmt.Sprintf("%s floor %s", printable(p.Phase), figures.Dur(least)), least
		case max(least-first, first-least)*100 > first && cellWidth(next+how) <= n:
			// A hundredth is an embedding's rows for more tokens, no news.
			text = next
		}
	}
	if text == "" || cellWidth(text+how) > n {
		return ""
	}
	return text + how
}

// topFindings are the findings, worst first.
func topFindings(a *document.Analysis) []document.Finding {
	f := slices.Clone(a.Findings)
	slices.SortStableFunc(f, func(x, y document.Finding) int {
		return cmp.Compare(severityRank(y.Severity), severityRank(x.Severity))
	})
	return f
}

// requestsText says what the clients saw, in at most n cells: how many, the
// median request's way to its first token, the median time per token after it,
// and how many tokens have a step. The last and the way give way first. Empty
// without requests.
func requestsText(a *document.Analysis, n int) string {
	q := a.Requests
	if q == nil {
		return ""
	}
	text := fmt.Sprintf("requests %s ok", figures.Count(q.Count-q.Failed-q.Damaged))
	if q.Failed > 0 {
		text += fmt.Sprintf(", %s failed", figures.Count(q.Failed))
	}
	if q.Damaged > 0 {
		text += fmt.Sprintf(", %s damaged", figures.Count(q.Damaged))
	}
	tpot, joined := "", ""
	if q.TPOTNS.Median > 0 {
		tpot = " · TPOT " + figures.Dur(q.TPOTNS.Median)
	}
	switch j := q.Join; {
	case j.Joined > 0 && j.Outside == 0:
		joined = "; " + figures.Percent(j.Share) + " of tokens joined with steps"
	case j.Joined > 0:
		joined = fmt.Sprintf("; %s of %s tokens joined with steps", figures.Count(j.Joined), figures.Count(q.OutputTokens))
	}
	ttft := ""
	if q.TTFTNS.Median > 0 {
		ttft = " · TTFT " + figures.Dur(q.TTFTNS.Median)
	}
	way, rough := ttft, ttft
	if r := q.Typical(); r != nil {
		way = " · TTFT " + figures.Dur(r.TTFTNS) + wayText(r.TTFTNS, r.FirstToken, 1)
		rough = " · TTFT " + figures.Dur(r.TTFTNS) + wayText(r.TTFTNS, r.FirstToken, 0)
	}
	for _, s := range []string{way + tpot + joined, way + tpot, rough + tpot, ttft + tpot} {
		if cellWidth(text+s) <= n {
			return text + s
		}
	}
	return cutCells(text+ttft+tpot, n)
}

// wayText is the way to a first token in its unit, numbers under ten with some
// digits: " (queue 1.2, prefill 31, delivery 6.0)".
func wayText(ttft int64, f *document.FirstToken, digits int) string {
	_, unit, _ := strings.Cut(figures.Dur(ttft), " ")
	size := map[string]float64{"ns": 1, "µs": 1e3, "ms": 1e6, "s": 1e9}[unit]
	short := func(ns int64) string {
		v := float64(ns) / size
		if v >= 9.95 {
			return strconv.FormatFloat(v, 'f', 0, 64)
		}
		return strconv.FormatFloat(v, 'f', digits, 64)
	}
	return fmt.Sprintf(" (queue %s, prefill %s, delivery %s)", short(f.QueueNS), short(f.PrefillNS), short(f.DeliveryNS))
}

// slowText is the slowest token, "" without one.
func slowText(a *document.Analysis) string {
	if a.Requests == nil || len(a.Requests.Slowest) == 0 {
		return ""
	}
	s := a.Requests.Slowest[0]
	return fmt.Sprintf("slowest token: %s after the one before, token %d of request %d (%s)", figures.Dur(s.GapNS), s.Position, s.Request, printable(s.Why))
}

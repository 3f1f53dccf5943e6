package compose

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"tokprof/kernels/breakdown"
	"tokprof/report/document"
	"tokprof/report/engines"
	"tokprof/report/figures"
	"tokprof/trace"
)

// Bounds of the trust lines: below them a doubt is information, not a warning.
const (
	// unclassifiedWarn is the share of GPU time without a category that can
	// hide a wrong headline.
	unclassifiedWarn = 0.01
	// lostLaunchWarn is the share of GPU events whose launch is missing: their
	// step and their idle cause are then taken from their neighbours.
	lostLaunchWarn = 0.02
	// stoppedEarly is how long the host may go on launching after the last
	// recorded GPU event before the recording counts as cut.
	stoppedEarly = 50 * trace.Time(1000_000)
)

// trust states every doubt about the numbers, worst first; without any it says so.
func (b *builder) trust() {
	for i, r := range b.ranks {
		b.damage(b.label(i), r)
		b.recording(b.label(i), r)
		b.rangesInNames(r.Info)
		b.sumsBeside(r.Info)
	}
	if b.copiesAlone() {
		how := ""
		if strings.HasPrefix(b.ranks[0].Info.Format, "nsys") {
			how = " with nsys profile --trace=cuda,nvtx --cuda-graph-trace=node"
		}
		b.doubt("copies_only", document.Warning, []string{"busy_ns", "idle_ns", "kernels", "steps"},
			"copies and memsets are the only GPU events: where kernels ran, their time stands as idle; record again%s", how)
	}
	b.rankTrust()
	b.shares()
	b.stepTrust()
	b.splitTrust()
	b.clock()
	b.a.Trust = append(b.a.Trust, engines.Trust(b.a.Requests, b.a.Tax)...)
	b.a.Trust = append(b.a.Trust, b.gpus.Trust()...)
	for _, r := range b.beside {
		b.side(r)
	}
	b.unread()
	for _, name := range b.repeats {
		b.doubt("duplicate_file", document.Info, nil, "%s has the same bytes as another input: counted once", name)
	}
	if !slices.ContainsFunc(b.a.Trust, func(t document.Trust) bool { return t.Severity == document.Warning || t.Severity == document.Error }) {
		b.doubt("ok", document.OK, nil, "all %s GPU events read", figures.Count(b.events()))
	}
	b.ofEachRank()
	sortTrust(b.a.Trust)
}

// ofEachRank tells once what is said of every rank alike: the ranks of one
// export share its doubts.
func (b *builder) ofEachRank() {
	type doubt struct {
		code, rest string
		severity   document.Severity
	}
	said := func(t document.Trust) (d doubt, ok bool) {
		for i := range b.ranks {
			rest, of := strings.CutPrefix(t.Message, b.label(i))
			if of && (strings.HasPrefix(rest, " ") || strings.HasPrefix(rest, ":")) {
				return doubt{t.Code, rest, t.Severity}, true
			}
		}
		return doubt{}, false
	}
	count := map[doubt]int{}
	for _, t := range b.a.Trust {
		if d, ok := said(t); ok {
			count[d]++
		}
	}
	told := map[doubt]bool{}
	b.a.Trust = slices.DeleteFunc(b.a.Trust, func(t document.Trust) bool {
		d, _ := said(t)
		again := told[d]
		told[d] = count[d] > 1 && count[d] == len(b.ranks)
		return again
	})
	for i, t := range b.a.Trust {
		if d, _ := said(t); told[d] {
			b.a.Trust[i].Message = "each rank" + d.rest
		}
	}
}

// sortTrust puts the worst first.
func sortTrust(list []document.Trust) {
	rank := map[document.Severity]int{document.Error: 0, document.Warning: 1, document.OK: 2, document.Info: 3}
	slices.SortStableFunc(list, func(x, y document.Trust) int { return cmp.Compare(rank[x.Severity], rank[y.Severity]) })
}

// unread is about inputs that are in no number.
func (b *builder) unread() {
	for _, u := range b.o.Unread {
		switch {
		case u.For != "": // told by aside
		case u.Frontend:
			b.doubt("frontend_trace", document.Info, nil, "%s, a front-end trace, %s; it would add no GPU time", u.Name, u.Why)
		case u.Summary:
			b.doubt("summary_beside", document.Info, nil, "%s %s: the other inputs hold single events and count instead", u.Name, u.Why)
		default:
			b.doubt("unread_file", document.Error, []string{"devices", "collectives"}, "%s %s; it is in no number", u.Name, u.Why)
		}
	}
	b.aside()
}

func (b *builder) doubt(code string, s document.Severity, touches []string, format string, args ...any) {
	b.a.Trust = append(b.a.Trust, document.Doubt(code, s, touches, format, args...))
}

func (b *builder) label(i int) string {
	if len(b.ranks) == 1 {
		return "the trace"
	}
	return fmt.Sprintf("rank %d", b.number[i])
}

func (b *builder) events() (n int64) {
	for _, d := range b.a.Devices {
		n += d.Events
	}
	return n
}

// damage is what reading lost.
func (b *builder) damage(who string, r *breakdown.Rank) {
	all := []string{"sum_ns", "busy_ns", "kernels", "steps"}
	if r.Info.Truncated {
		b.doubt("truncated", document.Error, all, "%s is cut at byte %d of its text (%s): later events are in no number%s",
			who, r.Info.TruncatedAt, r.Info.TruncatedBy, lost(r))
	}
	if r.Info.ChecksumFailed {
		b.doubt("checksum", document.Error, all, "%s does not match its own checksum: bytes changed on the way, so any value may be wrong; copy it again", who)
	}
	if r.Info.Skipped > 0 {
		where := ""
		if len(r.Info.Damage) > 0 {
			where = fmt.Sprintf("; first at byte %d: %s", r.Info.Damage[0].Offset, r.Info.Damage[0].What)
		}
		b.doubt("skipped_events", document.Warning, all, "%s: %s of %s rows are damaged and left out%s",
			who, figures.Count(r.Info.Skipped), figures.Count(r.Info.Events+r.Info.Skipped), where)
	} else if len(r.Info.Damage) > 0 && !r.Info.Truncated && !r.Info.ChecksumFailed {
		b.doubt("repaired", document.Info, nil, "%s is damaged at byte %d (%s) and was read all the same; no row was left out", who, r.Info.Damage[0].Offset, r.Info.Damage[0].What)
	}
	if r.Ambiguous > 0 {
		b.doubt("merged_ranks", document.Error, []string{"devices", "idle_causes", "steps", "launches"},
			"%s holds several ranks (processes %s use the same correlation numbers): kernels cannot be told apart; analyse each rank's own file",
			who, strings.Join(r.AmbiguousPids, ", "))
	}
}

// lost is what a cut took, as far as the file can tell: annotations stand
// before the calls, and calls before the end of the GPU rows.
func lost(r *breakdown.Rank) string {
	var calls, steps, empty int64
	for _, d := range r.Devices {
		calls += d.Launches.Calls
	}
	for _, s := range r.Steps {
		if s.Label.Phase != trace.Dummy {
			steps++
			if !s.Ran() {
				empty++
			}
		}
	}
	out := ""
	if empty > 0 {
		out += fmt.Sprintf("; %d of %d steps have no GPU event", empty, steps)
	}
	if r.Unanswered > 0 {
		out += fmt.Sprintf("; %s of the launches lost it", figures.Percent(figures.Share(r.Unanswered, calls+r.Unanswered)))
	}
	return out
}

// WholePart is about an Nsight export without the kernels inside its graphs.
func (b *builder) WholePart(who string, r *breakdown.Rank) {
	var runs int64
	var graph, all trace.Time
	for _, g := range r.Graphs {
		if g.Events == 0 {
			runs += g.Replays
		}
	}
	for _, d := range r.Devices {
		graph += d.Graph
		all += d.Graph + d.Busy
	}
	if runs > 0 {
		b.doubt("graph_mode", document.Error, []string{"kernels", "groups", "parts", "roles", "steps", "layers"},
			"%s holds CUDA graphs as a whole: record again with nsys profile --cuda-graph-trace=node; %s replays, %s of the GPU's work, are in no kernel row",
			who, figures.Count(runs), figures.Percent(figures.Share(int64(graph), int64(all))))
	}
}

// recording is what the profiler did not record.
func (b *builder) recording(who string, r *breakdown.Rank) {
	b.WholePart(who, r)
	var events, orphans int64
	for _, d := range r.Devices {
		events += d.Events
		orphans += d.Launches.WithoutLaunch
	}
	if strings.HasPrefix(r.Info.Format, "nsys.stats") && orphans == events {
		b.doubt("no_launch", document.Warning, []string{"steps", "idle_causes", "idle_ns", "busy_ns", "launches"},
			"%s is from a table of nsys stats, without launches or whole CUDA graphs, which would count as idle: the report's .sqlite has both", who)
	} else if orphans > 0 {
		sev := document.Info
		if figures.Share(orphans, events) > lostLaunchWarn {
			sev = document.Warning
		}
		b.doubt("no_launch", sev, []string{"steps", "idle_causes", "launches"},
			"%s lacks the launch of %s of its %s GPU events (%s): they count for the step of the event before them on the stream",
			who, figures.Count(orphans), figures.Count(events), figures.Percent(figures.Share(orphans, events)))
	}
	if late := r.LastLaunch - r.End; late > stoppedEarly && r.Unanswered > 0 {
		b.doubt("recording_stopped", document.Error, []string{"busy_ns", "sum_ns", "kernels"},
			"%s has no GPU event for its last %s of launches (%s calls): the profiler probably ran out of buffers; capture fewer steps",
			who, figures.Dur(int64(late)), figures.Count(r.Unanswered))
	} else if r.Unanswered > 0 && !r.Info.Truncated {
		b.doubt("no_kernel", document.Info, []string{"launches"}, "%s lacks the GPU events of %s of its launches: in flight at the end, empty, or captured into a graph",
			who, figures.Count(r.Unanswered))
	}
	var short, replays int64
	for _, g := range r.Graphs {
		replays += g.Replays
		if g.Short {
			short += g.Replays
		}
	}
	if short > 0 {
		b.doubt("short_replays", document.Warning, []string{"kernels", "groups", "steps"},
			"%s of %s CUDA-graph replays of %s end where another one goes on: their last kernels were not recorded",
			figures.Count(short), figures.Count(replays), who)
	}
}

// rankTrust is about files that should be there.
func (b *builder) rankTrust() {
	known := map[int]bool{}
	unknown := 0
	for i, r := range b.ranks {
		if r.Info.Rank < 0 {
			unknown++
		}
		known[b.number[i]] = true
	}
	if missing, world := b.missing(known); len(missing) > 0 {
		b.doubt("missing_ranks", document.Info, []string{"collectives", "devices"}, "no file of rank %s (%d of %d ranks): waiting for it can only be estimated",
			figures.Ranges(missing), world-len(missing), world)
	}
	if unknown > 0 && len(b.ranks) > 1 {
		b.doubt("unknown_ranks", document.Warning, []string{"devices"}, "%d of %d files do not say which rank they are and are numbered in the order given", unknown, len(b.ranks))
	}
}

// missing lists the ranks without a file, of the worlds that have one.
func (b *builder) missing(known map[int]bool) (ranks []int, all int) {
	first := map[int]int{} // of each world, and its size
	for i, r := range b.ranks {
		if r.Info.Rank >= 0 && r.Info.WorldSize > 1 {
			first[b.number[i]-r.Info.Rank] = r.Info.WorldSize
		}
	}
	for n, size := range first {
		all += size
		for rank := n; rank < n+size; rank++ {
			if !known[rank] {
				ranks = append(ranks, rank)
			}
		}
	}
	slices.Sort(ranks)
	return ranks, all
}

// shares are the parts of GPU time that the names could not explain.
func (b *builder) shares() {
	of := "GPU time"
	if b.graphsWhole() {
		of = "GPU time outside whole graphs"
	}
	for _, r := range b.a.Categories {
		if r.Phase == "all" && r.Name == "other.unclassified" {
			sev := document.Info
			if r.Share > unclassifiedWarn {
				sev = document.Warning
			}
			b.doubt("unclassified", sev, []string{"groups", "categories"}, "%s of %s is in kernels that no rule knows; tokprof explain NAME shows how to add one", figures.Percent(r.Share), of)
		}
	}
	for _, r := range b.a.Parts {
		if r.Phase == "all" && r.Name == "unattributed" {
			b.doubt("unattributed", document.Info, []string{"parts", "roles"}, "%s of %s is in matrix products whose place in the pass is unclear: they keep no role", figures.Percent(r.Share), of)
		}
	}
}

// stepTrust is about steps that nothing marks, and roles in doubt.
func (b *builder) stepTrust() {
	landmarks, conflicts := false, int64(0)
	for _, r := range b.ranks {
		landmarks = landmarks || r.Landmarks
		conflicts += r.Disagreements
	}
	switch {
	case len(b.a.Steps) == 0:
		b.doubt("no_steps", document.Info, []string{"phases", "steps"}, "no step annotations and no attention kernels: time is not split into steps and phases")
	case landmarks:
		b.doubt("landmark_steps", document.Info, []string{"phases", "steps"}, "no step annotations: steps are cut at sampling, embedding and slot mapping; phases are known only where kernels, or the shapes of their attention, tell")
	}
	if conflicts > 0 {
		b.doubt("role_conflict", document.Warning, []string{"roles", "parts", "layers"}, "the module and the place in the pass give %s products different roles; the module was believed", figures.Count(conflicts))
	}
}

// splitTrust is about time inside collectives.
func (b *builder) splitTrust() {
	var unmatched int64
	estimated := false
	for _, c := range b.a.Collectives {
		if c.Estimated {
			estimated = estimated || c.TransferSumNS > 0
		} else {
			unmatched += c.Unmatched
		}
	}
	touches := []string{"collectives", "parts"}
	if estimated {
		b.doubt("estimated_split", document.Info, touches, "transfer and waiting are estimated from one rank's file: the shortest tenth of equal collectives counts as transfer")
	}
	if unmatched > 0 {
		b.doubt("unmatched_collectives", document.Info, touches, "%s runs of collectives have no partner in another rank's file: their time is comm, not split", figures.Count(unmatched))
	}
}

// clock is about what the timestamps can carry.
func (b *builder) clock() {
	for i, r := range b.ranks {
		if r.Info.IntegerTS {
			b.doubt("integer_timestamps", document.Warning, []string{"min_ns", "median_ns", "busy_ns", "idle_causes"},
				"%s has whole-microsecond timestamps (a profiler before 2024-03): kernels and gaps are rounded, those under 1 µs may count as 0", b.label(i))
		}
		if r.Info.UnpaddedFraction {
			b.doubt("unpadded_timestamps", document.Info, nil, "%s is by a profiler of early 2024 that drops leading zeros of nanoseconds; they were put back", b.label(i))
		}
		if !r.Info.Epoch {
			b.doubt(document.NoEpoch, document.Info, []string{"start_unix_ns"}, "%s counts time from an unknown start, not in Unix time", b.label(i))
		}
	}
}

// side explains a file that stands beside the ranks.
func (b *builder) side(r *breakdown.Rank) {
	switch in := r.Info; {
	case r.Role == breakdown.Frontend && in.Truncated && !trace.ParseFileName(in.Name).Frontend:
		b.doubt("unread_file", document.Error, []string{"devices", "collectives"},
			"%s is cut at byte %d (%s), before any GPU row; it is in no number", in.Name, in.TruncatedAt, in.TruncatedBy)
	case r.Role == breakdown.Frontend:
		b.doubt("frontend_trace", document.Info, nil, "%s is a front-end trace without GPU work: not counted", r.Info.Name)
	case r.Role == breakdown.GraphCapture:
		b.doubt("graph_capture_trace", document.Info, nil, "%s was recorded while CUDA graphs were captured: its kernels are warm-ups and not counted", r.Info.Name)
	}
}

package compose

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"tokprof/kernels"
	"tokprof/kernels/attribution"
	"tokprof/kernels/breakdown"
	"tokprof/kernels/role"
	"tokprof/report/document"
	"tokprof/report/engines"
	"tokprof/report/figures"
	"tokprof/report/verdict"
	"tokprof/trace"
)

// BuildSummaries says what summaries tell: one document for each run that they
// are of.
func BuildSummaries(list []*trace.Summary, c *kernels.Classifier, o Options) *document.Set {
	s := &document.Set{Schema: document.SchemaAnalysisSet, Analyses: []*document.Analysis{}}
	runs := trace.SummedRuns(list)
	for n := range runs {
		b := &builder{o: o, a: newAnalysis(o)}
		b.a.Window.Name = engines.NumberedName(n)
		b.summary(&runs[n], c)
		s.Analyses = append(s.Analyses, b.a)
	}
	return s
}

func (b *builder) summary(s *trace.SummedRun, c *kernels.Classifier) {
	for _, p := range s.Parts {
		in := p.Info
		b.a.Sources = append(b.a.Sources, document.Source{
			Path: in.Name, Format: in.Format, SHA256: in.SHA256, Bytes: in.FileBytes, RawBytes: in.RawBytes,
			Events: int64(len(p.Kernels)), SkippedEvents: in.Skipped, Truncated: in.Truncated, Rank: -1, Role: document.SummaryRole,
		})
	}
	for _, k := range s.Kernels {
		b.sum += int64(k.Total)
	}
	for _, k := range s.Kernels {
		b.a.Kernels = append(b.a.Kernels, b.summedKernel(k, c.Classify(k.Name)))
	}
	slices.SortStableFunc(b.a.Kernels, func(x, y document.Kernel) int {
		return cmp.Or(cmp.Compare(y.TotalNS, x.TotalNS), cmp.Compare(x.Name, y.Name))
	})
	b.summaryRows()
	b.summaryTrust(s)
	b.a.Verdict = verdict.OfSums(b.a, b.sum)
}

func (b *builder) summedKernel(k trace.SummedKernel, m kernels.Match) document.Kernel {
	out := document.Kernel{
		Name: k.Name, ShortName: m.Short, Group: m.Group, Subgroup: m.Subgroup, Rule: m.Rule, Tags: append([]string{}, m.Tags...),
		Launches: k.Launches, TotalNS: int64(k.Total), Share: figures.Share(int64(k.Total), b.sum),
		MinNS: max(0, int64(k.Min)), MedianNS: max(0, int64(k.Median)), MaxNS: max(0, int64(k.Max)),
		Roles: []document.KernelRole{}, Phases: []document.PhaseTime{},
	}
	if r := attribution.RoleOfName(m.Group, m.Subgroup); r != role.Unknown {
		out.Roles = append(out.Roles, document.KernelRole{Role: r.String(), TimeNS: out.TotalNS})
	}
	return out
}

// summaryRows adds the kernels up by group, by category, by the roles that
// names alone prove, and by direction of copies.
func (b *builder) summaryRows() {
	groups, categories, roles := map[rowKey]*document.Row{}, map[rowKey]*document.Row{}, map[rowKey]*document.Row{}
	copies := map[string]*document.Copy{}
	var named, unnamed int64
	for i := range b.a.Kernels {
		k := &b.a.Kernels[i]
		cell := breakdown.Cell{Time: trace.Time(k.TotalNS), Launches: k.Launches}
		cat := kernels.Category{Group: k.Group, Subgroup: k.Subgroup}
		addRow(groups, "all", k.Group, cell)
		addRow(categories, "all", cat.String(), cell)
		switch {
		case len(k.Roles) > 0:
			addRow(roles, "all", k.Roles[0].Role, cell)
			named += k.TotalNS
		case k.Group == "gemm":
			addRow(roles, "all", "unattributed", cell)
			unnamed += k.TotalNS
		case k.Group == "memory":
			c := copies[k.Subgroup]
			if c == nil {
				c = &document.Copy{Kind: k.Subgroup}
				copies[k.Subgroup] = c
			}
			c.Count, c.Unsized, c.TimeNS = c.Count+k.Launches, c.Unsized+k.Launches, c.TimeNS+k.TotalNS
		}
	}
	totals := map[string]int64{"all": b.sum}
	b.a.Groups, b.a.Categories, b.a.Roles = sortRows(groups, totals), sortRows(categories, totals), sortRows(roles, totals)
	for _, c := range copies {
		b.a.Copies = append(b.a.Copies, *c)
	}
	slices.SortFunc(b.a.Copies, func(x, y document.Copy) int { return cmp.Compare(x.Kind, y.Kind) })
	for p, t := range map[attribution.Provenance]int64{attribution.ByName: named, attribution.ByNothing: unnamed} {
		if t > 0 {
			b.a.Provenance = append(b.a.Provenance, document.Provenance{Provenance: p.String(), TimeNS: t, Share: figures.Share(t, named+unnamed)})
		}
	}
	slices.SortFunc(b.a.Provenance, func(x, y document.Provenance) int { return cmp.Compare(x.Provenance, y.Provenance) })
}

func (b *builder) summaryTrust(s *trace.SummedRun) {
	untold := []string{"devices", "streams", "parts", "phases", "steps", "layers", "collectives", "exposed_ns", "p99_ns", "in_graph_ns", "bytes"}
	for _, f := range []struct {
		name string
		of   func(*document.Kernel) int64
	}{{"min_ns", func(k *document.Kernel) int64 { return k.MinNS }}, {"median_ns", func(k *document.Kernel) int64 { return k.MedianNS }}, {"max_ns", func(k *document.Kernel) int64 { return k.MaxNS }}} {
		if slices.ContainsFunc(b.a.Kernels, func(k document.Kernel) bool { return f.of(&k) == 0 }) {
			untold = append(untold, f.name)
		}
	}
	b.doubt("summary_only", document.Warning, untold,
		"the file sums kernels up by name: steps, phases, streams, idle time, overlap, most roles and CUDA graphs recorded as a whole are n/a; nsys export --type sqlite writes single events")
	for _, p := range s.Parts {
		who := "the summary"
		if len(s.Parts) > 1 {
			who = p.Info.Name
		}
		b.damage(who, &breakdown.Rank{Info: p.Info})
	}
	if len(s.Parts) > 1 {
		b.doubt("joined_summaries", document.Info, []string{"share"}, "kernels are from %s, copies from %s: one run, as their names tell", s.Parts[0].Info.Name, s.Parts[1].Info.Name)
	}
	if len(s.Again) > 0 {
		var names []string
		for _, p := range s.Again {
			names = append(names, p.Info.Name)
		}
		b.doubt("same_summary", document.Info, nil, "%s of the same run as %s, and counted once: %s", filesWord(len(names)), s.Parts[0].Info.Name, listed(names))
		b.ofFiles(names)
	}
	for _, p := range s.Parts {
		b.rangesInNames(p.Info)
	}
	if slices.ContainsFunc(s.Kernels, func(k trace.SummedKernel) bool { return k.Digit > 1 }) {
		b.doubt("rounded", document.Info, []string{"total_ns", "share"}, "times were printed with fewer digits than nanoseconds: sums are as exact as the table")
	}
	b.shares()
	b.unread()
	sortTrust(b.a.Trust)
}

// aside names the inputs that were left aside for fuller ones, a line for each
// of these.
func (b *builder) aside() {
	var order []string
	names := map[string][]string{}
	for _, u := range b.o.Unread {
		if u.For == "" || !slices.ContainsFunc(b.a.Sources, func(s document.Source) bool { return s.Path == u.For }) {
			continue // of no window, or of another
		}
		if names[u.For] == nil {
			order = append(order, u.For)
		}
		names[u.For] = append(names[u.For], u.Name)
	}
	for _, f := range order {
		b.doubt("left_aside", document.Info, nil, "%s left aside for %s, which holds as much or more: %s", filesWord(len(names[f])), f, listed(names[f]))
		b.ofFiles(names[f])
	}
}

// rangesInNames is about a table of nsys stats that was written with nvtx-name.
func (b *builder) rangesInNames(in trace.Info) {
	if n := in.Counts[trace.NamesBehindRanges]; n > 0 {
		b.doubt("ranges_in_names", document.Info, []string{"kernels"}, "%s names of %s stood behind those of NVTX ranges, which are left out: a kernel is summed up over all its ranges", figures.Count(n), in.Name)
	}
}

// sumsBeside is about sums of nsys stats behind the single events of one text.
func (b *builder) sumsBeside(in trace.Info) {
	if n := in.Counts[trace.SumsRead]; n > 0 {
		b.doubt("summary_beside", document.Info, nil, "%s also sums up %s names: its single events count instead", in.Name, figures.Count(n))
	}
}

// listed joins names, as many as a sentence bears.
func listed(names []string) string {
	const most = 2
	if n := len(names) - most; n > 0 {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", n)
	}
	return strings.Join(names, ", ")
}

func filesWord(n int) string {
	if n == 1 {
		return "1 file"
	}
	return fmt.Sprintf("%d files", n)
}

// ofFiles gives the last line of trust the names that its sentence counts.
func (b *builder) ofFiles(names []string) { b.a.Trust[len(b.a.Trust)-1].Files = names }

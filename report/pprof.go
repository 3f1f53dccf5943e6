package report

import (
	"cmp"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/google/pprof/profile"

	"tokprof/report/document"
	"tokprof/report/figures"
)

// profileKey is what the samples of a profile differ by.
type profileKey struct {
	window string
	node   int32
	kernel uint64 // location
	group  string
	cat    string
	rank   int
	device int
	stream int64
	phase  string
	role   string
	part   string
	graph  bool
}

// profileBuilder fills a profile, one window after the other.
type profileBuilder struct {
	p         *profile.Profile
	functions map[functionKey]*profile.Function
	locations map[locationKey]*profile.Location
}

type functionKey struct{ name, system, file string }

type locationKey struct {
	function uint64
	line     int64
}

// WriteProfile writes Profile as gzip-compressed protobuf. It returns errors
// of w and those of Profile.
func WriteProfile(w io.Writer, s *document.Set) error {
	p, err := Profile(s)
	if err != nil {
		return err
	}
	return p.Write(w)
}

// Profile is the pprof profile of the windows. Sample types are gpu_time (the
// default) and exposed_time in nanoseconds, and launches. Stacks are Python
// frames and operators where they are known, and synthetic frames where they
// are not; the kernel is the innermost frame. CUDA graphs recorded as a whole
// are samples too, so that the profile holds all work of the GPU; no kernel's
// sample holds any of that time, and the group "graphs" tells the two apart.
// The labels group, category,
// device, stream, rank, graph, phase, role and part have values that pprof cannot take for
// numbers. Several windows are kept apart by an outermost frame and a label.
// The error says that the document's stack tree is broken.
func Profile(s *document.Set) (*profile.Profile, error) {
	gpuTime := &profile.ValueType{Type: "gpu_time", Unit: "nanoseconds"}
	b := &profileBuilder{
		p: &profile.Profile{
			SampleType: []*profile.ValueType{
				gpuTime,
				{Type: "exposed_time", Unit: "nanoseconds"},
				{Type: "launches", Unit: "count"},
			},
			DefaultSampleType: gpuTime.Type,
			PeriodType:        &profile.ValueType{Type: gpuTime.Type, Unit: gpuTime.Unit},
			Period:            1,
			Mapping: []*profile.Mapping{{
				ID: 1, File: "[gpu]", HasFunctions: true, HasFilenames: true, HasLineNumbers: true,
			}},
		},
		functions: map[functionKey]*profile.Function{},
		locations: map[locationKey]*profile.Location{},
	}
	for i, a := range s.Analyses {
		if err := checkStacks(a); err != nil {
			return nil, err
		}
		if a.UnixClock() && (b.p.TimeNanos == 0 || a.Window.StartUnixNS < b.p.TimeNanos) {
			b.p.TimeNanos = a.Window.StartUnixNS
		}
		b.p.DurationNanos += a.Window.DurNS
		window := ""
		if len(s.Analyses) > 1 {
			window = windowFrame(a, i)
		}
		b.comment(a, window)
		b.addWindow(a, window)
	}
	if err := b.p.CheckValid(); err != nil {
		return nil, fmt.Errorf("report: profile: %w", err)
	}
	return b.p, nil
}

// comment adds what every pprof header shows.
func (b *profileBuilder) comment(a *document.Analysis, window string) {
	if window != "" {
		window += ": "
	}
	add := func(s string) {
		if s = window + cutCells(s, frameNameCells); !slices.Contains(b.p.Comments, s) {
			b.p.Comments = append(b.p.Comments, s)
		}
	}
	add("tokprof " + cmp.Or(a.Version, "(unknown version)"))
	if model := a.ModelWords(); model != "" {
		add("model: " + model)
	}
	add("engine: " + cmp.Or(printable(a.EngineWords()), joinDistinct(a, func(s document.Source) string { return s.Engine }), "unknown"))
	add("gpu: " + gpusOf(a))
	if events, _, whole, runs := a.Stacks.Totals(); runs > 0 {
		add(fmt.Sprintf("gpu_time: %s in kernels and copies + %s in %s whole CUDA graphs (kernels not recorded; -tagignore=group=%s leaves them out)",
			figures.Dur(events), figures.Dur(whole), figures.Count(runs), wholeGroup))
	}
	for _, t := range a.Trust {
		if severityRank(t.Severity) >= severityRank(document.Warning) {
			add(string(t.Severity) + ": " + withoutFileNames(a, t.Message))
		}
	}
}

// addWindow adds the samples of one window, equal ones added up.
func (b *profileBuilder) addWindow(a *document.Analysis, window string) {
	frames := make([]*profile.Location, len(a.Stacks.Nodes))
	for i := 1; i < len(frames); i++ {
		n := a.Stacks.Nodes[i]
		frames[i] = b.location(stackFrameName(n), "", relativeFile(n.File), n.Line)
	}
	canon := canonicalNodes(a.Stacks.Nodes, func(i int) uint64 { return frames[i].ID })
	kernels := make([]*profile.Location, len(a.Kernels))
	for i := range a.Kernels {
		k := &a.Kernels[i]
		kernels[i] = b.location(kernelFrame(k), strings.ToValidUTF8(k.Name, "\uFFFD"), "", 0)
	}
	var outer *profile.Location
	if window != "" {
		outer = b.location(window, "", "", 0)
	}
	seen := map[profileKey]*profile.Sample{}
	add := func(key profileKey, values [3]int64, stack func() []*profile.Location) {
		sample := seen[key]
		if sample == nil {
			sample = &profile.Sample{Value: make([]int64, 3), Label: key.labels(), Location: stack()}
			if outer != nil {
				sample.Location = append(sample.Location, outer)
			}
			seen[key] = sample
			b.p.Sample = append(b.p.Sample, sample)
		}
		for i, v := range values {
			sample.Value[i] += v
		}
	}
	for _, s := range a.Stacks.Samples {
		k := &a.Kernels[s.Kernel]
		key := profileKey{
			window: window, node: canon[s.Node], kernel: kernels[s.Kernel].ID, group: labelText(cmp.Or(k.Group, "unclassified")),
			cat: labelText(kernelCategory(k)), rank: s.Rank, device: s.Device, stream: s.Stream, phase: labelText(s.Phase), graph: s.Graph,
			role: s.Role, part: s.Part,
		}
		add(key, [3]int64{s.TimeNS, s.ExposedNS, s.Launches}, func() []*profile.Location {
			stack := []*profile.Location{kernels[s.Kernel]}
			for n := key.node; n > 0; n = a.Stacks.Nodes[n].Parent {
				stack = append(stack, frames[n])
			}
			return stack
		})
	}
	for i := range a.Stacks.Whole {
		w := &a.Stacks.Whole[i]
		stack := []*profile.Location{b.location(wholeFrame(a, w), "", "", 0), b.location(document.WholeFrame, "", "", 0), b.location(stackFrameName(document.Frame{Name: w.Phase}), "", "", 0)}
		add(profileKey{
			window: window, kernel: stack[0].ID, group: wholeGroup, cat: wholeGroup + ".whole", rank: w.Rank, device: w.Device, stream: w.Stream,
			phase: labelText(w.Phase), graph: true, part: wholeGroup,
		}, [3]int64{w.TimeNS, w.ExposedNS, w.Runs}, func() []*profile.Location { return stack })
	}
}

// labelText makes text a label value that pprof cannot take for a number: a
// bare number in a tag filter is a range, and matches no text.
func labelText(s string) string {
	if s = cutCells(s, frameNameCells); s != "" && strings.ContainsRune("+-.:0123456789", rune(s[0])) {
		return "_" + s
	}
	return s
}

// labels are the string labels of a sample.
func (k *profileKey) labels() map[string][]string {
	l := map[string][]string{
		"group":    {k.group},
		"category": {k.cat},
		"device":   {fmt.Sprintf("gpu%d", k.device)},
		"stream":   {fmt.Sprintf("s%d", k.stream)},
		"graph":    {fmt.Sprint(k.graph)},
	}
	if k.rank >= 0 {
		l["rank"] = []string{fmt.Sprintf("r%d", k.rank)}
	}
	if k.phase != "" {
		l["phase"] = []string{k.phase}
	}
	if k.role != "" {
		l["role"] = []string{k.role}
	}
	if k.part != "" {
		l["part"] = []string{k.part}
	}
	if k.window != "" {
		l["window"] = []string{k.window}
	}
	return l
}

// location is the location of a function at a line, made on first use.
func (b *profileBuilder) location(name, system, file string, line int64) *profile.Location {
	fk := functionKey{name, system, file}
	f := b.functions[fk]
	if f == nil {
		// Equal names invite pprof to demangle; our names are final.
		f = &profile.Function{ID: uint64(len(b.p.Function) + 1), Name: name, SystemName: system, Filename: file}
		b.functions[fk] = f
		b.p.Function = append(b.p.Function, f)
	}
	lk := locationKey{f.ID, line}
	l := b.locations[lk]
	if l == nil {
		l = &profile.Location{ID: uint64(len(b.p.Location) + 1), Mapping: b.p.Mapping[0], Line: []profile.Line{{Function: f, Line: line}}}
		b.locations[lk] = l
		b.p.Location = append(b.p.Location, l)
	}
	return l
}

// relativeFile takes the machine out of the path of a source file: what
// follows the package directory stays, of other absolute paths the last name.
func relativeFile(file string) string {
	file = strings.ReplaceAll(printable(file), `\`, "/")
	for _, dir := range []string{"/site-packages/", "/dist-packages/"} {
		if i := strings.LastIndex(file, dir); i >= 0 {
			return file[i+len(dir):]
		}
	}
	if strings.HasPrefix(file, "/") || strings.Contains(file, ":/") || strings.HasPrefix(file, "~") {
		file = path.Base(file)
		return strings.Trim(file, "/.")
	}
	return file
}

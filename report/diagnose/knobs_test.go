package diagnose

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// servers are engines and versions from before every knob to after every one.
var servers = map[string][]string{
	vLLM:     {"", "0.6.3", "0.8.5.post1", "0.9.2", "0.10.0", "0.10.2", "0.11.0", "0.11.1", "0.12.0", "0.13.0", "0.14.0", "0.16.0", "0.17.0", "0.18.0", "0.20.2", "0.22.0", "0.28.0", "0.33.0"},
	sgLang:   {"", "0.3.0", "0.4.3.post2", "0.4.6", "0.5.1", "0.5.3", "0.5.6", "0.5.9", "0.5.15", "0.5.23"},
	tensorRT: {"", "0.21.0", "1.0.0", "1.2.0rc4"},
	"":       {"", "0.20.2"},
	"LMX":    {"1.0"},
}

// setting is anything in a text that looks like a flag, an environment
// variable or a key of a configuration object.
var setting = regexp.MustCompile(`--[a-z][a-z0-9-]+|\bVLLM_[A-Z_]+|\b(?:enable|fuse|compile|cudagraph|cuda_graph|disable|allreduce|max_num)_[a-z_]+`)

// everyFinding calls visit with the findings of all crafted facts on all
// servers.
func everyFinding(visit func(f *Facts, fd *Finding)) {
	var facts []*Facts
	for _, c := range cases {
		f := healthy()
		c.fires(f)
		facts = append(facts, f)
	}
	for _, f := range captured() {
		facts = append(facts, &f)
	}
	wide := healthy()
	all(twoRanks, part(0, "transfer", 2_100_000), part(1, "transfer", 2_100_000))(wide)
	facts = append(facts, wide)
	for engine, versions := range servers {
		for _, v := range versions {
			for _, f := range facts {
				g := *f
				g.Engine, g.Version = engine, v
				for _, fd := range Diagnose(g) {
					visit(&g, &fd)
				}
			}
		}
	}
}

// TestNoUnknownSettings: every setting that a finding names is in the table,
// and the server's version has it; every knob of the table is used.
func TestNoUnknownSettings(t *testing.T) {
	used, told := map[string]bool{}, map[string]bool{}
	everyFinding(func(f *Facts, fd *Finding) {
		for _, text := range append([]string{fd.Title, fd.MaxGain, fd.Remedy, fd.Confirm}, fd.Evidence...) {
			for _, name := range setting.FindAllString(text, -1) {
				k := named(f, strings.Replace(name, "--no-", "--", 1))
				if id := f.Engine + f.Version + name; k == nil && !told[id] {
					told[id] = true
					t.Errorf("%s %s, %s names %s, which it is not known to have:\n%s", f.Engine, f.Version, fd.ID, name, text)
				}
			}
		}
		for _, k := range knobs {
			if strings.Contains(fd.Remedy, k.versions()) && mentions(fd.Remedy, k) || k.check != "" && strings.Contains(fd.Remedy, k.check) {
				used[k.engine+k.name] = true
			}
		}
	})
	for _, k := range knobs {
		if !used[k.engine+k.name] {
			t.Errorf("no finding names %s of %s", k.name, k.engine)
		}
	}
}

// mentions reports whether a remedy has the knob's line, whatever its number.
func mentions(remedy string, k *knob) bool {
	start, _, _ := strings.Cut(k.line, "%d")
	return strings.Contains(remedy, start)
}

func named(f *Facts, name string) *knob {
	// The profiler's dotted form and the tuning script are no settings of their own.
	if name == "--tune" {
		name = "VLLM_TUNED_CONFIG_FOLDER"
	}
	if name == "--compilation-config" && f.Engine != sgLang && f.Engine != tensorRT {
		return &knob{}
	}
	for _, k := range knobs {
		if (f.Engine == "" || k.engine == f.Engine) && (f.Engine == "" || k.has(f.Version)) && slices.Contains(strings.Fields(k.name), name) {
			return k
		}
	}
	return nil
}

// TestTable: the ranges are ordered, and the names are what lines name.
func TestTable(t *testing.T) {
	for _, k := range knobs {
		if k.until != "" && !before(k.since, k.until) {
			t.Errorf("%s: since %s until %s", k.name, k.since, k.until)
		}
		if k.defaultSince != "" && (k.check == "" || before(k.defaultSince, k.since)) {
			t.Errorf("%s: default since %s without a check or before it exists", k.name, k.defaultSince)
		}
		for _, name := range strings.Fields(k.name) {
			if !strings.Contains(k.line+k.note, name) {
				t.Errorf("line %q does not name %s", k.line, name)
			}
		}
	}
}

func TestRemedy(t *testing.T) {
	for _, c := range []struct{ engine, version, want string }{
		{vLLM, "0.9.2", "# no flag of vLLM 0.9.2 is known to do this; 0.10.0 and later have one"},
		{vLLM, "0.10.0", "--async-scheduling  # vLLM 0.10.0 and later, default since 0.14.0"},
		{vLLM, "0.13.1.dev3+gabc", "--async-scheduling  # vLLM 0.10.0 and later, default since 0.14.0"},
		{vLLM, "", "--async-scheduling  # vLLM 0.10.0 and later, default since 0.14.0"},
		{vLLM, "v0.14.0", `# default since vLLM 0.14.0: drop --no-async-scheduling; the log must say "Asynchronous scheduling is enabled"`},
		{sgLang, "0.5.3", "remove --disable-overlap-schedule  # SGLang 0.4.3 and later"},
		{tensorRT, "0.21.0", "# no flag of TensorRT-LLM 0.21.0 is known to do this"},
		{"", "0.9.2", "--async-scheduling  # vLLM 0.10.0 and later, default since 0.14.0\nremove --disable-overlap-schedule  # SGLang 0.4.3 and later"},
	} {
		f := Facts{Engine: c.engine, Version: c.version}
		if got := f.remedy("", asyncScheduling, sgOverlap); got != c.want {
			t.Errorf("%s %s:\n got %s\nwant %s", c.engine, c.version, got, c.want)
		}
	}
	f := Facts{Engine: vLLM, Version: "0.13.0"}
	if got := f.remedy("", normQuantFusion, ropeFusion); !strings.Contains(got, "merge the objects") {
		t.Errorf("two configuration objects without a warning:\n%s", got)
	}
}

func TestBefore(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"0.9.2", "0.10.0", true}, {"0.10.0", "0.9.2", false}, {"0.10.1.1", "0.10.1", false}, {"0.8.5.post1", "0.8.5", false},
		{"0.20.2rc1", "0.20.2", false}, {"v0.11.0", "0.11.1", true}, {"1.0", "1.0.0", false}, {"nightly", "0.10.0", true}, {"", "0.1.0", true},
	} {
		if got := before(c.a, c.b); got != c.want {
			t.Errorf("before(%q, %q) = %v", c.a, c.b, got)
		}
	}
}

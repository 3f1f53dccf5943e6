package report

import (
	"bytes"
	"fmt"
	"math/rand"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/pprof/profile"

	"tokprof/fixtures/golden"
	"tokprof/report/document"
)

func TestProfileGolden(t *testing.T) {
	p, err := Profile(setOf(fixture()))
	if err != nil {
		t.Fatal(err)
	}
	golden.Check(t, "profile.golden", []byte(p.String()))
}

func TestProfileReadsBack(t *testing.T) {
	rng := rand.New(rand.NewSource(7))
	for i := range 100 {
		s := setOf(random(rng, hostile(rng)))
		if i%4 == 0 {
			s.Analyses = append(s.Analyses, random(rng, hostile(rng)))
		}
		var b bytes.Buffer
		if err := WriteProfile(&b, s); err != nil {
			t.Fatal(err)
		}
		p, err := profile.Parse(&b)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.CheckValid(); err != nil {
			t.Fatal(err)
		}
		checkProfile(t, p)
	}
}

// number is what pprof takes for a range of numeric labels.
var number = regexp.MustCompile(`^[-:0-9.]+[a-zA-Z]*$`)

func checkProfile(t *testing.T, p *profile.Profile) {
	t.Helper()
	var types []string
	for _, v := range p.SampleType {
		types = append(types, v.Type+"/"+v.Unit)
	}
	if got := strings.Join(types, " "); got != "gpu_time/nanoseconds exposed_time/nanoseconds launches/count" {
		t.Errorf("sample types %s", got)
	}
	if p.DefaultSampleType != "gpu_time" || p.Period != 1 || p.PeriodType.Type != "gpu_time" || len(p.Mapping) != 1 {
		t.Errorf("header: default %q, period %d %v, %d mappings", p.DefaultSampleType, p.Period, p.PeriodType, len(p.Mapping))
	}
	seen := map[string]bool{}
	for _, s := range p.Sample {
		key := fmt.Sprint(s.Label)
		for _, l := range s.Location {
			key += fmt.Sprint(" ", l.ID)
		}
		if seen[key] {
			t.Errorf("two samples of %s", key)
		}
		seen[key] = true
		for _, want := range []string{"group", "category", "device", "stream", "graph", "phase", "rank"} {
			if v := s.Label[want]; len(v) != 1 || number.MatchString(v[0]) {
				t.Errorf("label %s = %q", want, v)
			}
		}
	}
	for _, f := range p.Function {
		if f.Name != printable(f.Name) || f.Name == "" || f.SystemName == f.Name || strings.HasPrefix(f.Filename, "/") {
			t.Errorf("function %+v", f)
		}
	}
}

func TestProfileAddsUpEqualStacks(t *testing.T) {
	a := fixture()
	want := len(mustProfile(t, a).Sample)
	// The same frames under another node number are the same stack.
	a.Stacks.Nodes = append(a.Stacks.Nodes, a.Stacks.Nodes[1])
	twin := a.Stacks.Samples[len(a.Stacks.Samples)-1]
	twin.Node = int32(len(a.Stacks.Nodes))
	cat := a.Stacks.Nodes[a.Stacks.Samples[len(a.Stacks.Samples)-1].Node]
	cat.Parent = int32(len(a.Stacks.Nodes) - 1)
	a.Stacks.Nodes = append(a.Stacks.Nodes, cat)
	a.Stacks.Samples = append(a.Stacks.Samples, twin)
	if got := len(mustProfile(t, a).Sample); got != want {
		t.Errorf("%d samples, want %d", got, want)
	}
}

func mustProfile(t *testing.T, a *document.Analysis) *profile.Profile {
	t.Helper()
	p, err := Profile(setOf(a))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRelativeFile(t *testing.T) {
	for in, want := range map[string]string{
		"vllm/v1/worker.py": "vllm/v1/worker.py",
		"/home/alice/venv/lib/python3.12/site-packages/vllm/v1/worker.py": "vllm/v1/worker.py",
		"/home/alice/run.py":            "run.py",
		`C:\Users\alice\run.py`:         "run.py",
		"~/run.py":                      "run.py",
		"":                              "",
		"<frozen importlib._bootstrap>": "<frozen importlib._bootstrap>",
	} {
		if got := relativeFile(in); got != want {
			t.Errorf("relativeFile(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestGoToolPprof reads the profile with the tool that readers use.
func TestGoToolPprof(t *testing.T) {
	if testing.Short() {
		t.Skip("starts go tool pprof")
	}
	goTool, err := exec.LookPath("go")
	if err != nil || exec.Command(goTool, "tool", "-n", "pprof").Run() != nil {
		t.Skip("no go tool pprof")
	}
	file := filepath.Join(t.TempDir(), "gpu.pb.gz")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteProfile(f, setOf(fixture())); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		cmd := exec.Command(goTool, append(append([]string{"tool", "pprof"}, args...), file)...)
		cmd.Env = append(os.Environ(), "PPROF_TMPDIR="+t.TempDir())
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("go tool pprof %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-top"}, "gemm.dense.cutlass::device_kernel"},
		{[]string{"-top", "-tagfocus=device=gpu0"}, "Type: gpu_time"},
		{[]string{"-top", "-sample_index=launches"}, "Type: launches"},
		{[]string{"-tags"}, "attention.decode"},
		{[]string{"-traces"}, "GPUModelRunner.execute_model"},
	} {
		if out := run(c.args...); !strings.Contains(out, c.want) {
			t.Errorf("%v: no %q in\n%s", c.args, c.want, out)
		}
	}
}

// TestProfileTime has no moment for traces that count time from a start of
// their own.
func TestProfileTime(t *testing.T) {
	a := fixture()
	a.Window.StartUnixNS = 5
	if p := mustProfile(t, a); p.TimeNanos != 5 {
		t.Errorf("at %d", p.TimeNanos)
	}
	a.Trust = append(a.Trust, document.Trust{Code: document.NoEpoch, Severity: document.Info})
	if p := mustProfile(t, a); p.TimeNanos != 0 {
		t.Errorf("at %d", p.TimeNanos)
	}
}

package main

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"tokprof/kernels"
)

// version is set by -ldflags "-X main.version=v1.2.3"; a plain build takes the
// module's own.
var version = ""

func versionText() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" || v == "(devel)" {
		v = "devel"
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				v += " " + s.Value[:12]
			}
		}
	}
	return v
}

// run is the whole program: it returns the exit code.
func run(ctx context.Context, args []string, std streams) int {
	root := newRoot(std)
	root.SetArgs(args)
	return exitCode(root.ExecuteContext(ctx), std.err)
}

// shared are the flags of every command.
type shared struct {
	std   streams
	rules string
	quiet bool
	nsys  string // the program that reads .nsys-rep, looked up on PATH
}

// nsysFlag is for commands that read traces. All have the same default: the
// last one to be made sets it for all.
func (s *shared) nsysFlag(f *pflag.FlagSet) {
	f.StringVar(&s.nsys, "nsys", "nsys", "`PATH` of the nsys program, which reads .nsys-rep")
}

func newRoot(std streams) *cobra.Command {
	s := &shared{std: std}
	root := &cobra.Command{
		Use:   "tokprof",
		Short: "Says where the GPU time of a language-model server goes",
		Long: `tokprof reads torch-profiler traces and Nsight Systems exports of inference
servers (vLLM, SGLang, TensorRT-LLM), says what every GPU kernel is, and adds
the time up.

Exit codes: 0 done (also with a partial answer, which says so), 1 the answer is
no (--strict), 2 could not (bad input), 130 interrupted.`,
		Example: `  tokprof analyze trace.json.gz
  tokprof analyze report1.sqlite
  tokprof analyze traces/ -o page.html --pprof gpu.pb.gz
  tokprof pprof trace.json.gz -top
  tokprof explain nvjet_tst_128x64_64x8_2x1_v_bz_TNT`,
		Version:       versionText(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return usageError{fmt.Sprintf("unknown command %q", args[0]), suggest(cmd, args[0])}
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SuggestionsMinimumDistance = 2
	root.SetIn(std.in)
	root.SetOut(std.out)
	root.SetErr(std.err)
	root.SetVersionTemplate("tokprof {{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{err.Error(), "see " + cmd.CommandPath() + " --help"}
	})
	cobra.AddTemplateFunc("wrapped", func(f *pflag.FlagSet) string { return f.FlagUsagesWrapped(helpWidth) })
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages ", " | wrapped "))
	f := root.PersistentFlags()
	f.StringVar(&s.rules, "rules", "", "`FILE` of kernel rules to try before the built-in ones")
	f.BoolVarP(&s.quiet, "quiet", "q", false, "say nothing but errors")
	root.AddCommand(newDemo(s), newCapture(s), newVerify(s), newAnalyze(s), newEvents(s), newExplain(s), newGPUs(s), newPprof(s), newReconcile(s), newScrub(s), newTrim(s))
	return root
}

// helpWidth is the terminal that help is laid out for.
const helpWidth = 80

func suggest(cmd *cobra.Command, arg string) string {
	if near := cmd.SuggestionsFor(arg); len(near) > 0 {
		return "did you mean " + strings.Join(near, " or ") + "?"
	}
	if strings.Contains(arg, ".json") {
		return "to read a trace: tokprof analyze " + arg
	}
	return "see tokprof --help"
}

// classifier returns the rules in force.
func (s *shared) classifier() (*kernels.Classifier, error) {
	if s.rules == "" {
		return kernels.NewClassifier(nil)
	}
	rules, err := readRules(s.rules, s.std.in)
	if err != nil {
		return nil, err
	}
	return kernels.NewClassifier(rules)
}

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/pprof/driver"
	"github.com/google/pprof/profile"
	"github.com/spf13/cobra"

	"tokprof/kernels/breakdown"
	"tokprof/report"
	"tokprof/report/compose"
	"tokprof/trace"
)

func newPprof(s *shared) *cobra.Command {
	return &cobra.Command{
		Use:   "pprof FILE... [flags of go tool pprof]",
		Short: "Explore a trace with pprof's own commands and web page",
		Long: `Runs pprof itself, built in, on traces read directly: every flag of
go tool pprof works (-top, -peek, -tags, -tagfocus, -diff_base, -http …), and
profiles (.pb.gz) are taken as well. Without a flag it starts pprof's prompt.
Sample types: gpu_time, exposed_time, launches. Labels: group, category, phase,
device, stream, rank, graph.`,
		Example: `  tokprof pprof trace.json.gz -top
  tokprof pprof -http=:0 trace.json.gz
  tokprof pprof trace.json.gz -tagfocus=phase=decode -peek 'gemm'
  tokprof pprof -top -diff_base before.json.gz after.json.gz`,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError{"tokprof pprof needs a trace file", "see tokprof pprof --help"}
			}
			if args[0] == "--help" || args[0] == "-h" || args[0] == "help" {
				return cmd.Help()
			}
			return runPprof(cmd.Context(), s, args)
		},
	}
}

func runPprof(ctx context.Context, s *shared, args []string) error {
	args, err := s.takeRules(args)
	if err != nil {
		return err
	}
	if args, err = freePort(args); err != nil {
		return err
	}
	err = driver.PProf(&driver.Options{
		Flagset: &pprofFlags{FlagSet: flag.NewFlagSet("tokprof pprof", flag.ContinueOnError), args: args},
		Fetch:   &traceFetcher{ctx: ctx, s: s},
		Sym:     noSymbols{},
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && errors.Is(err, flag.ErrHelp) {
		return nil
	}
	return err
}

// takeRules lifts our own flags out of pprof's.
func (s *shared) takeRules(args []string) ([]string, error) {
	var rest []string
	for i := 0; i < len(args); i++ {
		switch a := args[i]; {
		case a == "--rules" && i+1 < len(args):
			i++
			s.rules = args[i]
		case strings.HasPrefix(a, "--rules="):
			s.rules = strings.TrimPrefix(a, "--rules=")
		case a == "--quiet" || a == "-q":
			s.quiet = true
		case a == "--rules":
			return nil, usageError{"--rules needs a file", ""}
		default:
			rest = append(rest, a)
		}
	}
	return rest, nil
}

// freePort turns port 0 of -http into a free one: pprof would listen on one and
// tell the reader to open port 0.
func freePort(args []string) ([]string, error) {
	for i, a := range args {
		name, value, joined := strings.Cut(a, "=")
		if strings.TrimLeft(name, "-") != "http" {
			continue
		}
		if !joined {
			if i+1 == len(args) {
				return args, nil
			}
			value = args[i+1]
		}
		host, port, err := net.SplitHostPort(value)
		if err != nil || port != "0" {
			return args, nil
		}
		if host == "" {
			host = "localhost"
		}
		l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			return nil, err
		}
		address := l.Addr().String()
		if err := l.Close(); err != nil {
			return nil, err
		}
		_, port, err = net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		args = slices.Clone(args)
		if joined {
			args[i] = name + "=" + net.JoinHostPort(host, port)
		} else {
			args[i+1] = net.JoinHostPort(host, port)
		}
	}
	return args, nil
}

// traceFetcher makes a profile of a trace; what is no trace is left to pprof.
type traceFetcher struct {
	ctx context.Context
	s   *shared
}

func (f *traceFetcher) Fetch(src string, _, _ time.Duration) (*profile.Profile, string, error) {
	if strings.Contains(src, "://") || isProfile(src) {
		return nil, "", nil
	}
	ranks, unread, err := f.s.reduceAll(f.ctx, []string{src}, breakdown.Options{ExcerptTo: -1})
	var bad *trace.Error
	if errors.As(err, &bad) {
		// pprof puts the name in front.
		return nil, "", errors.New(bad.Reason())
	}
	if err != nil {
		return nil, "", err
	}
	set := compose.Build(ranks, compose.Options{Version: versionText(), Unread: unread})
	if len(set.Analyses) > 1 {
		fmt.Fprintf(f.s.std.err, "tokprof: %s holds %d windows; pprof shows their sum\n", src, len(set.Analyses))
	}
	p, err := report.Profile(set)
	return p, src, err
}

// isProfile tells a pprof file, which is protobuf, from a trace, which is text.
func isProfile(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	p, err := profile.Parse(f)
	return err == nil && len(p.SampleType) > 0
}

// noSymbols keeps pprof from looking for the binary "[gpu]".
type noSymbols struct{}

func (noSymbols) Symbolize(string, driver.MappingSources, *profile.Profile) error { return nil }

// pprofFlags serves pprof's flags from our arguments. Flags may stand behind
// the file names too, which the flag package alone does not allow.
type pprofFlags struct {
	*flag.FlagSet
	args  []string
	usage []string
}

func (p *pprofFlags) StringList(name, def, usage string) *[]*string {
	return &[]*string{p.String(name, def, usage)}
}

func (p *pprofFlags) ExtraUsage() string { return strings.Join(p.usage, "\n") }

func (p *pprofFlags) AddExtraUsage(eu string) { p.usage = append(p.usage, eu) }

func (p *pprofFlags) Parse(usage func()) []string {
	p.Usage = usage
	var files []string
	args := p.args
	for len(args) > 0 {
		if err := p.FlagSet.Parse(args); err != nil {
			return nil
		}
		args = p.Args()
		if len(args) > 0 {
			files = append(files, args[0])
			args = args[1:]
		}
	}
	if len(files) == 0 {
		usage()
	}
	return files
}

package capture

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Loopback says whether a URL's host is this machine by its address alone.
func Loopback(rawURL string) bool {
	u, err := url.Parse(rawURL)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// Process is a server's process on this machine, as far as it is needed to find
// its profiler's folder. Nothing of it goes into a bundle.
type Process struct {
	Args []string
	Dir  string // its working directory
	// VisibleDevices is its CUDA_VISIBLE_DEVICES, which says what GPU an ordinal in
	// its traces is; "" without one.
	VisibleDevices string
	// ProfilerDir is the folder that its arguments or its one variable for it name;
	// "" when they name none.
	ProfilerDir string
}

// profilerVariables name the profiler's folder in a server's environment: vLLM up
// to 0.15, SGLang.
var profilerVariables = []string{"VLLM_TORCH_PROFILER_DIR", "SGLANG_TORCH_PROFILER_DIR"}

// visibleDevices is the variable that picks and orders a process's GPUs.
const visibleDevices = "CUDA_VISIBLE_DEVICES"

// LocalProcess finds the process that listens where a loopback URL points, on
// Linux and as far as this user may look; ok is false otherwise.
func LocalProcess(rawURL string) (p Process, ok bool) {
	u, err := url.Parse(rawURL)
	if err != nil || !Loopback(rawURL) {
		return p, false
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		return p, false
	}
	sockets := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		if f, err := os.Open(table); err == nil {
			listeners(f, port, sockets)
			_ = f.Close()
		}
	}
	dir := holder(sockets)
	if dir == "" {
		return p, false
	}
	raw, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil {
		return p, false
	}
	p.Args = strings.Split(strings.TrimRight(string(raw), "\x00"), "\x00")
	p.Dir, _ = os.Readlink(filepath.Join(dir, "cwd"))
	p.ProfilerDir = profilerDir(p.Args)
	if env, err := os.ReadFile(filepath.Join(dir, "environ")); err == nil {
		p.VisibleDevices = variable(env, visibleDevices)
		for _, name := range profilerVariables {
			p.ProfilerDir = cmp.Or(p.ProfilerDir, variable(env, name))
		}
	}
	if p.ProfilerDir != "" && !filepath.IsAbs(p.ProfilerDir) && p.Dir != "" {
		p.ProfilerDir = filepath.Join(p.Dir, p.ProfilerDir)
	}
	return p, true
}

// listeners collects the socket inodes that listen on a port, from the kernel's
// table (proc(5): local_address in hex, state 0A, inode in the tenth column).
func listeners(r io.Reader, port int, into map[string]bool) {
	want := fmt.Sprintf(":%04X", port)
	for s := bufio.NewScanner(r); s.Scan(); {
		f := strings.Fields(s.Text())
		if len(f) > 9 && f[3] == "0A" && strings.HasSuffix(f[1], want) {
			if _, err := hex.DecodeString(strings.TrimSuffix(f[1], want)); err == nil {
				into["socket:["+f[9]+"]"] = true
			}
		}
	}
}

// holder returns the /proc folder of a process that holds one of the sockets.
func holder(sockets map[string]bool) string {
	if len(sockets) == 0 {
		return ""
	}
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range procs {
		fds, err := os.ReadDir(filepath.Join(p, "fd"))
		if err != nil {
			continue
		}
		for _, fd := range fds {
			if to, err := os.Readlink(filepath.Join(p, "fd", fd.Name())); err == nil && sockets[to] {
				return p
			}
		}
	}
	return ""
}

// profilerDir reads vLLM's --profiler-config, as JSON or with dots.
func profilerDir(args []string) string {
	for i, a := range args {
		key, value, joined := strings.Cut(a, "=")
		if !joined && i+1 < len(args) {
			value = args[i+1]
		}
		switch strings.ReplaceAll(key, "_", "-") {
		case "--profiler-config.torch-profiler-dir":
			return value
		case "--profiler-config":
			var c struct {
				Dir string `json:"torch_profiler_dir"`
			}
			if json.Unmarshal([]byte(value), &c) == nil {
				return c.Dir
			}
		}
	}
	return ""
}

// variable is one variable of an environment; the others are not looked at.
func variable(env []byte, name string) string {
	for v := range bytes.SplitSeq(env, []byte{0}) {
		if k, value, ok := strings.Cut(string(v), "="); ok && k == name {
			return value
		}
	}
	return ""
}

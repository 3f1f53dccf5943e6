package serving

import (
	"bytes"
	"io"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// rewrite is one pattern of what is private and what stands in its place.
type rewrite struct {
	find *regexp.Regexp
	with func(groups []string) string
}

func literal(s string) func([]string) string { return func([]string) string { return s } }

// The names below end where a value begins: 'key': 'value', key=value, key: value.
const (
	isSet = `(['"]?\s*[:=]\s*)`
	value = `(\[[^\]]*\]?|'[^']*'?|"[^"]*"?|[^\s,;)}\]]+)`
)

// rewrites run in this order: what holds other private things goes first.
var rewrites = []rewrite{
	// What users wrote and got, up to the end of the line: vLLM's "Received
	// request" and "Generated response", SGLang's "Receive:" and "Finish:".
	{regexp.MustCompile(`((?:Received request|Generated response|Generated streaming response)\s+[\w.-]+)\W.*`), func(g []string) string { return g[1] + ": <prompt>" }},
	{regexp.MustCompile(`\b(Receive(?:d)?: obj|Finish(?:ed)?: obj)\b.*`), func(g []string) string { return g[1] + " <prompt>" }},
	{regexp.MustCompile(`\b(prompts?|text|messages|content|output|output_text|prompt_token_ids|input_ids|token_ids|prompt_embeds)(['"]?\s*[:=]\s*)[\[{'"].*`), func(g []string) string { return g[1] + g[2] + "<prompt>" }},
	// Keys.
	{regexp.MustCompile(`\bBearer\s+[^\s'",]+`), literal("Bearer <secret>")},
	{regexp.MustCompile(`\b(?:sk-[\w-]{6,}|hf_\w{6,}|gh[pousr]_\w{10,}|glpat-[\w-]{10,}|xox[a-z]-[\w-]{6,}|AKIA[0-9A-Z]{12,}|eyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]+)?)`), literal("<secret>")},
	{regexp.MustCompile(`(--(?:[\w-]*-)?(?:api-key|admin-key|hf-token|token|password|secret)\b)([= ]\s*)` + value), func(g []string) string { return g[1] + g[2] + "<secret>" }},
	{regexp.MustCompile(`(?i)\b((?:\w*[-_])?(?:api[-_]?keys?|(?:hf|access|auth|api|refresh|session|hub)[-_]?token|secret(?:[-_]\w+)?|passw(?:or)?d|password|credentials?|authorization))` + isSet + value), keepEmpty("<secret>")},
	{regexp.MustCompile(`(?i)\b(user(?:[-_]?name)?|login)` + isSet + value), keepEmpty("<user>")},
	// Environment variables; numbers and switches tell nothing.
	{regexp.MustCompile(`\b([A-Z][A-Z0-9]*_[A-Z0-9_]+)(=)` + value), keepEmpty("<env>")},
	// Places in the network.
	{regexp.MustCompile(`\b([a-zA-Z][a-zA-Z0-9+.-]*)://[^\s'"<>,)\]}]*`), scrubURI},
	{regexp.MustCompile(`\b[\w.+-]+@[\w-]+(?:\.[\w-]+)*`), literal("<user>@<host>")},
	{regexp.MustCompile(`(?i)\b((?:\w*_)?(?:host|hostname|nodename|node_ip|addr|address|ip))` + isSet + `(['"]?[^\s'",;)}\]]+['"]?)`), keepEmpty("<host>")},
	{regexp.MustCompile(`\b\d{1,3}(?:\.\d{1,3}){3}\b`), scrubIP},
	{regexp.MustCompile(`[0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f.:]*`), scrubIP},
	{regexp.MustCompile(`\b(?:GPU-|MIG-)?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`), literal("<uuid>")},
	// Places on disk, quoted or not, but not the routes of a server.
	{regexp.MustCompile(`(['"])((?:~|/|[A-Za-z]:\\)[^'"]*)(['"])`), func(g []string) string { return g[1] + scrubPath(g[2]) + g[3] }},
	{regexp.MustCompile(`(^|[\s=(\[{,:;<>|'"])((?:~[\w.-]*)?/[\w.~+@%-][^\s'",;:)\]}<>]*|[A-Za-z]:\\[^\s'",;)\]}]+)`), func(g []string) string { return g[1] + scrubPath(g[2]) }},
}

// nothing is a value that tells nothing about anybody.
var nothing = regexp.MustCompile(`^['"\[]*(?:None|null|True|False|true|false|local|localhost|127\.0\.0\.1|0\.0\.0\.0|::1?|\d{1,7}|<[a-z]+>|)['"\]]*$`)

func keepEmpty(with string) func([]string) string {
	return func(g []string) string {
		if nothing.MatchString(g[3]) {
			return g[0]
		}
		return g[1] + g[2] + with
	}
}

func scrubURI(g []string) string {
	rest := g[0][len(g[1])+3:]
	at := strings.IndexAny(rest, "/?#")
	if at < 0 {
		at = len(rest)
	}
	switch host := rest[:at]; {
	case host == "":
		return g[1] + "://<path>"
	case strings.HasPrefix(host, "127.0.0.1") || strings.HasPrefix(host, "0.0.0.0") || strings.HasPrefix(host, "localhost"):
		return g[1] + "://" + host
	}
	return g[1] + "://<host>"
}

func scrubIP(g []string) string {
	text, tail := g[0], ""
	if trimmed := strings.TrimRight(text, ".:"); !strings.HasSuffix(text, "::") {
		text, tail = trimmed, text[len(trimmed):]
	}
	a, err := netip.ParseAddr(text)
	if err != nil || a.IsLoopback() || a.IsUnspecified() {
		return g[0]
	}
	return "<ip>" + tail
}

// routes are paths of servers: an unquoted one of these is no place on a disk.
var routes = regexp.MustCompile(`^/(?:v[12]|health|health_generate|ping|version|metrics|prometheus/metrics|load|tokenize|detokenize|start_profile|stop_profile|engine/(?:start|stop)_profile|collective_rpc|server_info|get_server_info|model_info|get_model_info|generate|flush_cache|reset_prefix_cache|openapi\.json|docs|redoc|perf_metrics|inference)(?:/[\w./-]*)?$`)

func scrubPath(p string) string {
	if route, _, _ := strings.Cut(p, "?"); routes.MatchString(route) {
		return route
	}
	return "<path>"
}

// logStart is where a line of vLLM or SGLang begins: what a container runtime or
// journal wrote before it names the host.
var logStart = regexp.MustCompile(`^[^|\]]{0,200}?(?:\||\w\[\d+\]:)\s+(\(\w[^()]*pid=\d+[^()]*\)|(?:INFO|WARNING|ERROR|DEBUG) \d\d-\d\d|\[20\d\d-\d\d-\d\d )`)

// ScrubLog is a line of a log without what is private: paths, hosts, addresses,
// users, keys, variables, and the text of requests. Loopback addresses, routes,
// numbers and names of models stay.
func ScrubLog(line string) string { return scrub(line) }

func scrub(line string) string {
	line = strings.ToValidUTF8(ansi.ReplaceAllString(line, ""), "\uFFFD")
	if m := logStart.FindStringSubmatchIndex(line); m != nil {
		line = line[m[2]:]
	}
	for _, r := range rewrites {
		all := r.find.FindAllStringSubmatchIndex(line, -1)
		if all == nil {
			continue
		}
		var b strings.Builder
		last := 0
		for _, m := range all {
			groups := make([]string, len(m)/2)
			for i := range groups {
				if m[2*i] >= 0 {
					groups[i] = line[m[2*i]:m[2*i+1]]
				}
			}
			b.WriteString(line[last:m[0]])
			b.WriteString(r.with(groups))
			last = m[1]
		}
		b.WriteString(line[last:])
		line = b.String()
	}
	return line
}

// maxScrubbed bounds a line in memory; the rest of a longer one is left out.
const maxScrubbed = 64 << 10

// Scrubber writes the lines of a log without what is private.
type Scrubber struct {
	w     io.Writer
	words []string
	line  []byte
	long  bool
}

// NewScrubber writes to w. The words are private too, whatever stands around
// them: the names of this host and user, a key.
func NewScrubber(w io.Writer, words ...string) *Scrubber {
	words = slices.DeleteFunc(slices.Clone(words), func(s string) bool { return len(s) < 3 || s == "localhost" || s == "root" })
	return &Scrubber{w: w, words: words}
}

// Write takes a piece of the log; the last line comes out with Close.
func (s *Scrubber) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n')
		piece := p
		if end >= 0 {
			piece = p[:end]
		}
		room := maxScrubbed - len(s.line)
		s.long = s.long || len(piece) > room
		s.line = append(s.line, piece[:min(len(piece), room)]...)
		if end < 0 {
			break
		}
		if err := s.flush(); err != nil {
			return 0, err
		}
		p = p[end+1:]
	}
	return n, nil
}

// Close writes the line that no line feed ended.
func (s *Scrubber) Close() error {
	if len(s.line) == 0 {
		return nil
	}
	return s.flush()
}

func (s *Scrubber) flush() error {
	line := string(s.line)
	for _, word := range s.words {
		line = strings.ReplaceAll(line, word, "<private>")
	}
	line = scrub(line)
	if s.long {
		line += " <cut>"
	}
	s.line, s.long = s.line[:0], false
	_, err := io.WriteString(s.w, line+"\n")
	return err
}

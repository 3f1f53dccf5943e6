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
	maybe func(line string) bool // cheap; false where find cannot match
	find  *regexp.Regexp
	with  func(groups []string) string
}

func holds(any ...string) func(string) bool {
	return func(line string) bool {
		return slices.ContainsFunc(any, func(s string) bool { return strings.Contains(line, s) })
	}
}

func literal(s string) func([]string) string { return func([]string) string { return s } }

// value is what a key or a flag is set to: a list, a quoted text or a word.
const value = `(?:\[[^\]]*\]?|'[^']*'?|"[^"]*"?|[^\s,;)}\]]+)`

// personal are what users wrote and got, up to the end of the line, and keys that
// are known by their form. They go before what is set to a key's name.
var personal = []rewrite{
	// vLLM's "Received request" and "Generated response".
	{holds("Received request", "Generated "), regexp.MustCompile(`((?:Received request|Generated response|Generated streaming response)\s+[\w.-]+)\W.*`), func(g []string) string { return g[1] + ": <prompt>" }},
	// SGLang's "Receive:" and "Finish:".
	{holds(": obj"), regexp.MustCompile(`\b(Receive(?:d)?: obj|Finish(?:ed)?: obj)\b.*`), func(g []string) string { return g[1] + " <prompt>" }},
	{holds("Bearer"), regexp.MustCompile(`\bBearer\s+[^\s'",]+`), literal("Bearer <secret>")},
	{holds("sk-", "hf_", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "glpat-", "xox", "AKIA", "eyJ"),
		regexp.MustCompile(`\b(?:sk-[\w-]{6,}|hf_[A-Za-z0-9]{16,}|gh[pousr]_\w{10,}|glpat-[\w-]{10,}|xox[a-z]-[\w-]{6,}|AKIA[0-9A-Z]{12,}|eyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]+)?)`), literal("<secret>")},
	{holds("--"), regexp.MustCompile(`(--(?:[\w-]*-)?(?:api-key|admin-key|hf-token|token|password|secret)\b)([= ]\s*)` + value), func(g []string) string { return g[1] + g[2] + "<secret>" }},
}

// places are those in the network and on disk.
var places = []rewrite{
	{holds("://"), regexp.MustCompile(`\b([a-zA-Z][a-zA-Z0-9+.-]*)://[^\s'"<>,)\]}]*`), scrubURI},
	{holds("@"), regexp.MustCompile(`\b[\w.+-]+@[\w-]+(?:\.[\w-]+)*`), literal("<user>@<host>")},
	{func(line string) bool { return strings.Count(line, ".") >= 3 }, regexp.MustCompile(`\b\d{1,3}(?:\.\d{1,3}){3}\b`), scrubIP},
	// Twice: of two addresses beside each other the first takes what is between.
	{maybeIPv6, addressSix, scrubIPv6},
	{maybeIPv6, addressSix, scrubIPv6},
	{func(line string) bool { return strings.Count(line, "-") >= 4 }, regexp.MustCompile(`\b(?:GPU-|MIG-)?[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`), literal("<uuid>")},
	// Quoted or not, but not the routes of a server.
	{holds("'/", `"/`, "'~", `"~`, `:\`), regexp.MustCompile(`(['"])((?:~|/|[A-Za-z]:\\)[^'"]*)(['"])`), func(g []string) string { return g[1] + scrubPath(g[2]) + g[3] }},
	{maybePath, regexp.MustCompile(`(^|[\s=()\[\]{,:;<>|'"%])((?:~[\w.-]*)?/[\w.~+@%-][^\s'",;:)\]}<>]*|[A-Za-z]:\\[^\s'",;)\]}]+)`), func(g []string) string { return g[1] + scrubPath(g[2]) }},
}

func maybeIPv6(line string) bool {
	return strings.Contains(line, "::") || strings.Count(line, ":") >= 7
}

// maybePath says whether a slash begins a word.
func maybePath(line string) bool {
	for i := range len(line) {
		if line[i] == '/' && (i == 0 || strings.IndexByte(" \t=()[]{,:;<>|'\"%", line[i-1]) >= 0) || line[i] == '~' || line[i] == '\\' {
			return true
		}
	}
	return false
}

// nothing is a value that tells nothing about anybody.
var nothing = regexp.MustCompile(`^['"\[]*(?:None|null|True|False|true|false|local|localhost|127\.0\.0\.1|0\.0\.0\.0|::1?|\d{1,7}|<[a-z]+>|)['"\]]*$`)

// private is what stands in the place of a key's value, "" when it may stay.
func private(key string, separator byte) string {
	name := strings.ToLower(strings.ReplaceAll(key, "-", "_"))
	last := name[strings.LastIndexByte(name, '_')+1:]
	switch {
	case slices.Contains(texts, name):
		return "<prompt>"
	case slices.Contains([]string{"apikey", "apikeys", "password", "passwd", "credential", "credentials", "authorization"}, last),
		strings.Contains(name, "secret"), strings.HasSuffix(name, "api_key"), strings.HasSuffix(name, "api_keys"), strings.HasSuffix(name, "admin_key"),
		last == "token" && slices.ContainsFunc([]string{"hf", "access", "auth", "api", "refresh", "session", "hub"}, func(of string) bool { return strings.HasSuffix(name, of+"_token") }):
		return "<secret>"
	case slices.Contains([]string{"user", "username", "user_name", "login"}, name):
		return "<user>"
	case slices.Contains([]string{"host", "hostname", "nodename", "addr", "address", "ip"}, last):
		return "<host>"
	case separator == '=' && strings.IndexByte(key, '_') > 0 && key == strings.ToUpper(key) && key[0] >= 'A' && key[0] <= 'Z':
		return "<env>" // numbers and switches tell nothing and stay
	}
	return ""
}

// texts are the keys of what users wrote and got, where a text or list follows.
var texts = []string{"prompt", "prompts", "text", "messages", "content", "output", "output_text", "prompt_token_ids", "input_ids", "token_ids", "prompt_embeds"}

var valueForm = regexp.MustCompile("^" + value)

// scrubPairs takes out what private keys are set to: key=value, 'key': value.
func scrubPairs(line string) string {
	var b strings.Builder
	done := 0 // of line, written to b
	for i := 0; i < len(line); i++ {
		if line[i] != '=' && line[i] != ':' {
			continue
		}
		key := keyBefore(line[done:i])
		if key == "" {
			continue
		}
		with := private(key, line[i])
		if with == "" {
			continue
		}
		start := i + 1
		for start < len(line) && (line[start] == ' ' || line[start] == '\t') {
			start++
		}
		if with == "<prompt>" {
			if start < len(line) && strings.IndexByte(`[{'"`, line[start]) >= 0 {
				b.WriteString(line[done:start])
				return b.String() + with
			}
			continue
		}
		v := valueForm.FindString(line[start:])
		if nothing.MatchString(v) {
			continue
		}
		b.WriteString(line[done:start])
		b.WriteString(with)
		done = start + len(v)
		i = done - 1
	}
	return b.String() + line[done:]
}

// keyBefore is the name, quoted or not, that text ends with.
func keyBefore(text string) string {
	text = strings.TrimRight(text, " \t")
	text = strings.TrimRight(text, `'"`)
	at := len(text)
	for at > 0 && (text[at-1] == '_' || text[at-1] == '-' || text[at-1] >= '0' && text[at-1] <= '9' || text[at-1]|0x20 >= 'a' && text[at-1]|0x20 <= 'z') {
		at--
	}
	return strings.TrimLeft(text[at:], "-")
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

var addressSix = regexp.MustCompile(`(^|[^\w:.])([0-9A-Fa-f]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f.:]*)([^\w:]|$)`)

func scrubIPv6(g []string) string { return g[1] + scrubIP(g[2:]) + g[3] }

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
var routes = regexp.MustCompile(`^/(?:v[12]|health|health_generate|ping|version|metrics|prometheus/metrics|load|tokenize|detokenize|start_profile|stop_profile|engine/(?:start|stop)_profile|collective_rpc|server_info|get_server_info|model_info|get_model_info|generate|flush_cache|reset_prefix_cache|openapi\.json|docs|redoc|perf_metrics|inference)(?:/[\w./{-]*)?$`)

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
func ScrubLog(line string) string {
	if strings.IndexByte(line, 0x1b) >= 0 {
		line = ansi.ReplaceAllString(line, "")
	}
	line = strings.ToValidUTF8(line, "\uFFFD")
	if strings.Contains(line, "|") || strings.Contains(line, "]:") {
		if m := logStart.FindStringSubmatchIndex(line); m != nil {
			line = line[m[2]:]
		}
	}
	for _, r := range personal {
		line = r.apply(line)
	}
	line = scrubPairs(line)
	for _, r := range places {
		line = r.apply(line)
	}
	return line
}

func (r *rewrite) apply(line string) string {
	if !r.maybe(line) {
		return line
	}
	var b strings.Builder
	last := 0
	for _, m := range r.find.FindAllStringSubmatchIndex(line, -1) {
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
	return b.String() + line[last:]
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
	line = ScrubLog(line)
	if s.long {
		line += " <cut>"
	}
	s.line, s.long = s.line[:0], false
	_, err := io.WriteString(s.w, line+"\n")
	return err
}

// Package page is the page: one self-contained HTML file of a document's
// windows, which needs no network and lets nothing from a trace run.
package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"strings"
	"sync"
	"unicode/utf8"

	"tokprof/report/document"
)

// The page is one file: template, style, our scripts and ECharts are embedded
// here and written into it. Every name from a trace is untrusted: text goes
// through html/template, data through encoding/json into inert blocks, and the
// policy in the page's head lets only the exact scripts below run.

//go:embed html
var assets embed.FS

// scriptFiles are our own scripts, joined into one in this order.
var scriptFiles = []string{"base.js", "tables.js", "flame.js", "charts.js", "start.js"}

// maxWindows bounds the windows drawn in full on one page.
const maxWindows = 8

// pageView is what the template sees.
type pageView struct {
	Title    string
	Policy   string
	Style    template.CSS
	ECharts  template.JS // "" when no chart needs it
	Script   template.JS
	Multi    bool
	LeftOut  string // windows that are not on the page
	Windows  []*window
	Versions string
}

// limits bound what one window may add to the page, so that it stays under
// 5 MB whatever the input.
type limits struct {
	windows    int
	flameNodes int
	kernelRows int
	tableRows  int
	events     int // of one timeline figure
	allEvents  int // of all figures of the window
	stepPoints int
	layerBars  int // of all phases
	stepRows   int
	requests   int // bars above the steps
	readings   int // points of the strip below them
	sampled    int // rows of the profiler's metrics
	reqRows    int // rows of requests
	flameBytes int
	nameBytes  int         // of full kernel names
	prose      *textBudget // header, findings
	kernels    *textBudget // the other texts of kernel rows
	cells      *textBudget // of the small tables
	charts     *textBudget
}

func capsFor(windows int) limits {
	n := max(windows, 1)
	return limits{
		windows:    n,
		flameNodes: 15000 / n,
		kernelRows: max(30, 440/n),
		tableRows:  max(10, 100/n),
		events:     max(400, 6000/n),
		allEvents:  max(800, 7200/n),
		stepPoints: max(150, 1600/n),
		layerBars:  max(48, 384/n),
		stepRows:   max(30, 300/n),
		requests:   max(40, 600/n),
		readings:   4000 / n,
		sampled:    100 / (2*n - 1),
		reqRows:    max(8, 100/n),
		flameBytes: 310_000 / n,
		nameBytes:  200_000 / n,
		prose:      &textBudget{left: 130_000 / n},
		kernels:    &textBudget{left: 110_000 / n},
		cells:      &textBudget{left: 200_000 / n},
		charts:     &textBudget{left: 110_000 / n},
	}
}

// Write draws the whole page as one self-contained file that needs no
// network. Several windows become tabs, which are consecutive sections where
// scripts do not run. ticket is the text of a window that the page offers for
// pasting into an issue.
func Write(w io.Writer, s *document.Set, ticket func(*document.Analysis) string) error {
	page, err := newPageView(s, ticket)
	if err != nil {
		return err
	}
	tmpl, err := pageTemplate()
	if err != nil {
		return err
	}
	var buf bytes.Buffer
	if err := tmpl.Execute(&buf, page); err != nil {
		return fmt.Errorf("draw page: %w", err)
	}
	_, err = io.WriteString(w, inertText(buf.String()))
	return err
}

func newPageView(s *document.Set, ticket func(*document.Analysis) string) (*pageView, error) {
	page := &pageView{Title: "tokprof"}
	shown := s.Analyses
	if len(shown) > maxWindows {
		page.LeftOut = fmt.Sprintf("%d of %d windows are shown; write the others to a page of their own with --window.", maxWindows, len(shown))
		shown = shown[:maxWindows]
	}
	page.Multi = len(shown) > 1
	charts := false
	for i, a := range shown {
		win, err := newWindow(a, ticket(a), fmt.Sprintf("w%d", i), capsFor(len(shown)))
		if err != nil {
			return nil, err
		}
		charts = charts || win.HasCharts
		page.Windows = append(page.Windows, win)
	}
	if len(page.Windows) > 0 {
		page.Title = page.Windows[0].Heading + " – tokprof"
		page.Versions = page.Windows[0].Version
	}
	style, err := assets.ReadFile("html/page.css")
	if err != nil {
		return nil, err
	}
	page.Style = template.CSS(style)
	if err := page.addScripts(charts); err != nil {
		return nil, err
	}
	return page, nil
}

// addScripts reads the scripts and writes the policy that names their hashes.
func (p *pageView) addScripts(charts bool) error {
	var own strings.Builder
	own.WriteString("\"use strict\";\n(() => {\n")
	for _, name := range scriptFiles {
		b, err := assets.ReadFile("html/" + name)
		if err != nil {
			return err
		}
		own.Write(b)
	}
	own.WriteString("})();\n")
	p.Script = template.JS(own.String())
	hashes := []string{scriptHash(string(p.Script))}
	if charts {
		b, err := assets.ReadFile("html/vendor/echarts.min.js")
		if err != nil {
			return err
		}
		p.ECharts = template.JS(b)
		hashes = append(hashes, scriptHash(string(p.ECharts)))
	}
	// ECharts and our bars set inline styles; nothing else is let in.
	p.Policy = "default-src 'none'; style-src 'unsafe-inline'; script-src " +
		strings.Join(hashes, " ") + "; img-src data:; base-uri 'none'; form-action 'none'"
	return nil
}

func scriptHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

var pageTemplate = sync.OnceValues(func() (*template.Template, error) {
	t, err := template.New("page.tmpl").ParseFS(assets, "html/*.tmpl")
	if err != nil {
		return nil, fmt.Errorf("page template: %w", err)
	}
	return t, nil
})

// jsonBlock serialises data for an inert script element: encoding/json writes
// <, >, &, U+2028 and U+2029 as escapes.
func jsonBlock(v any) (template.JS, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("page data: %w", err)
	}
	return template.JS(b), nil
}

// inertText makes the finished page valid UTF-8 and replaces control and
// text-direction characters, which a name could use to look like another.
func inertText(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return r
		case r < 0x20, r >= 0x7f && r < 0xa0,
			r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069,
			r == 0x200e, r == 0x200f, r == 0x061c:
			return utf8.RuneError
		}
		return r
	}, s)
}

// textBudget keeps untrusted texts within a number of escaped bytes.
type textBudget struct{ left int }

// take cuts a text to about long characters, to a stump once the budget runs
// low, and to nothing but a mark when it is spent.
func (b *textBudget) take(s string, long int) string {
	s = clip(s, long)
	cost := escapedLen(s)
	if cost > b.left {
		s = clip(s, 12)
		cost = escapedLen(s)
	}
	if cost > b.left {
		return "…"
	}
	b.left -= cost
	return s
}

// fitTexts is the length to which texts are cut so that all of them together
// take no more than a number of escaped bytes.
func fitTexts(texts []string, long, budget int) int {
	for ; long > 4; long /= 2 {
		sum := 0
		for _, s := range texts {
			sum += min(escapedLen(s), 6*long)
		}
		if sum <= budget {
			break
		}
	}
	return long
}

// escapedLen bounds the bytes that a text takes once escaped.
func escapedLen(s string) int {
	n := len(s)
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c >= 0x7f || strings.IndexByte(`<>&"'+`, c) >= 0 {
			n += 5
		}
	}
	return n
}

// clip cuts a text to about n characters: the ends of a kernel name
// tell more than its middle.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	count := utf8.RuneCountInString(s)
	if count <= n {
		return s
	}
	if n < 40 {
		return firstRunes(s, n-1) + "…"
	}
	head := n * 2 / 3
	tail := n - head
	if n < 400 {
		return firstRunes(s, head) + "…" + lastRunes(s, tail-1)
	}
	return fmt.Sprintf("%s … [%d characters left out] … %s", firstRunes(s, head), count-n, lastRunes(s, tail))
}

func firstRunes(s string, n int) string {
	at := 0
	for ; n > 0 && at < len(s); n-- {
		_, size := utf8.DecodeRuneInString(s[at:])
		at += size
	}
	return s[:at]
}

func lastRunes(s string, n int) string {
	at := len(s)
	for ; n > 0 && at > 0; n-- {
		_, size := utf8.DecodeLastRuneInString(s[:at])
		at -= size
	}
	return s[at:]
}

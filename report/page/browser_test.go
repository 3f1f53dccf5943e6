package page

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"tokprof/report/document"
)

// browser opens pages from disk and notes what they complain about and load.
type browser struct {
	ctx context.Context

	mu       sync.Mutex
	problems []string
	requests []string
}

// newBrowser starts Chromium, or skips the test where there is none.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "headless-shell"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		if os.Getenv("TOKPROF_BROWSER_REQUIRED") != "" {
			t.Fatal("no Chromium found and TOKPROF_BROWSER_REQUIRED is set")
		}
		t.Skip("no Chromium found: the page is not tested in a browser (set TOKPROF_BROWSER_REQUIRED to make this a failure)")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1280, 900),
		chromedp.Flag("disable-component-update", true))
	b := &browser{}
	alloc, cancelAlloc := chromedp.NewExecAllocator(t.Context(), opts...)
	ctx, cancel := chromedp.NewContext(alloc, chromedp.WithListener(b.note))
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx) // waits for the process, so that its folder can go
		cancel()
		cancelAlloc()
	})
	// The first run starts the browser, which lives as long as its context.
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start browser: %v", err)
	}
	limited, cancelTime := context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancelTime)
	b.ctx = limited
	for _, err := range []error{second(chromedp.Call(ctx, network.Enable, network.EnableParams{})), second(chromedp.Call(ctx, log.Enable, cdp.Empty{}))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func second[T any](_ T, err error) error { return err }

// note runs inside the loop that reads the browser's messages: no commands.
func (b *browser) note(ev any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := ev.(type) {
	case *network.EventRequestWillBeSent:
		if !strings.HasPrefix(e.Request.URL, "data:") {
			b.requests = append(b.requests, e.Request.URL)
		}
	case *runtime.EventExceptionThrown:
		b.problems = append(b.problems, "exception: "+e.ExceptionDetails.Text+" "+e.ExceptionDetails.Exception.Description)
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" || e.Type == "warning" {
			msg := "console " + string(e.Type)
			for _, a := range e.Args {
				msg += " " + string(a.Value)
			}
			b.problems = append(b.problems, msg)
		}
	case *log.EventEntryAdded:
		if e.Entry.Level == "error" || e.Entry.Level == "warning" {
			b.problems = append(b.problems, "log: "+e.Entry.Text)
		}
	}
}

// calm fails the test if the page complained or loaded anything but itself.
func (b *browser) calm(t *testing.T, page string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.problems {
		t.Errorf("the page complains: %s", p)
	}
	for _, r := range b.requests {
		if r != page {
			t.Errorf("the page loads %s", r)
		}
	}
}

func (b *browser) run(t *testing.T, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

// js runs a statement in the page.
func (b *browser) js(t *testing.T, code string) {
	t.Helper()
	b.text(t, "(() => {"+code+"})()")
}

func (b *browser) text(t *testing.T, js string) string {
	t.Helper()
	s, err := chromedp.Run(b.ctx, chromedp.Evaluate[string]("String("+js+")"))
	if err != nil {
		t.Fatalf("%s: %v", js, err)
	}
	return s
}

// media pretends that the reader prefers a colour scheme.
func (b *browser) media(t *testing.T, scheme string) {
	t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	if err != nil {
		t.Fatal(err)
	}
}

// want fails unless a JavaScript expression has a value.
func (b *browser) want(t *testing.T, js, want string) {
	t.Helper()
	if got := b.text(t, js); got != want {
		t.Errorf("%s is %q, want %q", js, got, want)
	}
}

// pageFile writes a page to disk and names it as a browser does.
func pageFile(t *testing.T, s *document.Set) string {
	t.Helper()
	var buf bytes.Buffer
	if err := Write(&buf, s, ticketOf); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(path, buf.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return "file://" + path
}

func TestPageInBrowser(t *testing.T) {
	b := newBrowser(t)
	a := pageDocument(t)
	url := pageFile(t, &document.Set{Analyses: []*document.Analysis{a}})
	b.run(t, chromedp.Navigate(url), chromedp.WaitVisible(chromedp.CSS(".frames button")))
	t.Run("flame", func(t *testing.T) { testFlame(t, b) })
	t.Run("tables", func(t *testing.T) { testTables(t, b) })
	t.Run("charts", func(t *testing.T) { testCharts(t, b) })
	t.Run("requests", func(t *testing.T) { testRequests(t, b) })
	t.Run("readings", func(t *testing.T) { testReadings(t, b) })
	t.Run("dark", func(t *testing.T) { testDark(t, b) })
	t.Run("narrow", func(t *testing.T) { testNarrow(t, b) })
	b.calm(t, url)
}

func testFlame(t *testing.T, b *browser) {
	const frames = "document.querySelectorAll('.frames button').length"
	whole := b.text(t, frames)
	const pick = "[...document.querySelectorAll('.frames button')].find(b => b.textContent === 'comm.all_reduce')"
	b.js(t, pick+".click()")
	if b.text(t, frames) == whole {
		t.Error("a click on a frame does not zoom")
	}
	b.want(t, "document.activeElement.textContent", "comm.all_reduce")
	if w := b.text(t, "document.querySelector('.where').textContent"); !strings.Contains(w, "decode › dense layers › comm.all_reduce") {
		t.Errorf("the zoomed path reads %q", w)
	}
	b.run(t, chromedp.KeyEvent(kb.Escape))
	b.want(t, frames, whole)

	// Arrow keys move, Enter zooms.
	b.run(t, chromedp.Focus(chromedp.CSS(".frames button[tabindex='0']")), chromedp.KeyEvent(kb.ArrowDown))
	b.want(t, "document.activeElement.textContent", "decode")
	b.run(t, chromedp.KeyEvent(kb.Enter))
	if b.text(t, frames) == whole {
		t.Error("Enter on a frame does not zoom")
	}
	b.run(t, chromedp.KeyEvent(kb.Escape))

	b.run(t, chromedp.SendKeys(chromedp.CSS(".find"), "all_reduce"))
	if s := b.text(t, "document.querySelector('.found').textContent"); !strings.Contains(s, "frames match") || !strings.Contains(s, "%") {
		t.Errorf("search reads %q", s)
	}
	b.run(t, chromedp.Click(chromedp.CSS(".reset")))
	b.want(t, "document.querySelector('.found').textContent", "")

	const left = "[...document.querySelectorAll('.frames button')].map(b => b.style.width).join()"
	byTime := b.text(t, left)
	b.js(t, "(s => { s.value = '2'; s.dispatchEvent(new Event('change')) })(document.querySelector('.type'))")
	if b.text(t, left) == byTime {
		t.Error("widths do not change with the sample type")
	}
	b.js(t, "(s => { s.value = 'group'; s.dispatchEvent(new Event('change')) })(document.querySelector('.colour'))")
	b.want(t, "document.querySelector('.keys-group').hidden", "false")
}

func testTables(t *testing.T, b *browser) {
	const head = "document.querySelectorAll('table.kernels thead th')[3]"
	b.js(t, head+".querySelector('button').click()")
	b.want(t, head+".getAttribute('aria-sort')", "descending")
	const sorted = "[...document.querySelectorAll('table.kernels tbody tr')].map(r => Number(r.cells[3].dataset.v)).every((v, i, a) => i === 0 || a[i-1] >= v)"
	b.want(t, sorted, "true")

	const shown = "[...document.querySelectorAll('table.kernels tbody tr')].filter(r => !r.hidden)"
	b.run(t, chromedp.SendKeys(chromedp.CSS(".filter"), "nvjet"))
	b.want(t, shown+".length > 0 && "+shown+".every(r => r.textContent.includes('nvjet'))", "true")
	if s := b.text(t, "document.querySelector('.count').textContent"); !strings.Contains(s, "rows") {
		t.Errorf("the filter reads %q", s)
	}
	b.js(t, "(s => { s.value = 'attention'; s.dispatchEvent(new Event('change')) })(document.querySelector('select.group'))")
	b.want(t, shown+".length", "0")
	b.js(t, "(s => { s.value = ''; s.dispatchEvent(new Event('input')) })(document.querySelector('.filter'))")
	b.want(t, shown+".length > 0 && "+shown+".every(r => r.dataset.group === 'attention')", "true")
}

func testCharts(t *testing.T, b *browser) {
	const folded = "[...document.querySelectorAll('details:not([open]) .chart')]"
	b.want(t, folded+".length > 0 && "+folded+".every(c => !c.querySelector('canvas'))", "true")
	b.js(t, folded+".forEach(c => { c.closest('details').open = true })")
	b.run(t, chromedp.Sleep(200*time.Millisecond))
	b.want(t, "[...document.querySelectorAll('.chart')].every(c => c.querySelector('canvas'))", "true")
	// Something is drawn: a canvas in which not every pixel is the same.
	b.want(t, "[...document.querySelectorAll('.chart canvas')].every(c => new Set(new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size > 5)", "true")
	testDragZoom(t, b)
	// The tooltip of an event names its role and layer, that of a band its layer.
	const chart = "echarts.getInstanceByDom(document.getElementById('w0-line0'))"
	const tip = "[...document.querySelectorAll('#w0-line0 > div')].at(-1).innerText"
	b.js(t, "const c = "+chart+"; c.dispatchAction({type: 'showTip', seriesIndex: 0, dataIndex: c.getOption().series[0].data.findIndex(d => d.value[6] === 3 && d.value[2] - d.value[1] > 20000)})")
	if s := b.text(t, tip); !strings.Contains(s, "nvjet") || !strings.Contains(s, "ffn · gate_up · layer 3") || !strings.Contains(s, "gemm.dense") {
		t.Errorf("the tooltip of an event reads %q", s)
	}
	b.js(t, chart+".dispatchAction({type: 'showTip', seriesIndex: 1, dataIndex: 2})")
	if s := b.text(t, tip); !strings.Contains(s, "layer 2 (dense)") {
		t.Errorf("the tooltip of a layer reads %q", s)
	}
	b.run(t, chromedp.Focus(chromedp.CSS("svg.bar .seg")), chromedp.KeyEvent(kb.ArrowRight))
	if s := b.text(t, "document.getElementById('tip').textContent"); !strings.Contains(s, "a step") {
		t.Errorf("the focused bar segment says %q", s)
	}
}

// testRequests follows a slow token to its step and asks a bar what it is.
func testRequests(t *testing.T, b *browser) {
	const row = "document.getElementById('w0-step2')"
	b.want(t, row+".closest('details').open", "false")
	b.js(t, "document.querySelector('#w0-requests a[href=\"#w0-step2\"]').click()")
	b.want(t, row+".closest('details').open", "true")
	b.want(t, "document.querySelector(':target').id", "w0-step2")
	const chart = "echarts.getInstanceByDom(document.getElementById('w0-stepchart'))"
	b.js(t, "const c = "+chart+", i = c.getOption().series.findIndex(s => s.type === 'custom'); c.dispatchAction({type: 'showTip', seriesIndex: i, dataIndex: 0})")
	if s := b.text(t, "[...document.querySelectorAll('#w0-stepchart > div')].at(-1).innerText"); !strings.Contains(s, "request 0") || !strings.Contains(s, "queue 8.30\u202fms, then 17.9\u202fms to its first token") {
		t.Errorf("the tooltip of a request reads %q", s)
	}
	b.want(t, chart+".getOption().legend[0].data.join()", "prefill,decode,mixed,GPU\u00a00,GPU\u00a01")
	b.want(t, "new Set([0, 1, 2].map(i => "+chart+".convertToPixel({xAxisIndex: i}, 2e7))).size", "1")
}

// testReadings wants the strip on the steps' axis, and asks a point what it is.
func testReadings(t *testing.T, b *browser) {
	const chart = "echarts.getInstanceByDom(document.getElementById('w0-stepchart'))"
	// Steps, requests, five readings, tokens; the time stands below the last reading.
	b.want(t, chart+".getOption().grid.length", "8")
	b.want(t, "new Set([...Array(8).keys()].map(i => "+chart+".convertToPixel({xAxisIndex: i}, 2e7))).size", "1")
	b.want(t, chart+".getOption().xAxis.map(x => x.axisLabel.show).join()", "false,false,false,false,false,false,true,false")
	b.want(t, chart+".getOption().yAxis.map(y => y.name).join()", "step takes,requests,SM clock, MHz,memory clock, MHz,power, W,temperature, °C,NVLink sent, received (dashed),tokens")
	b.js(t, "const c = "+chart+", i = c.getOption().series.findIndex(s => s.type === 'line' && s.yAxisIndex === 4); c.dispatchAction({type: 'showTip', seriesIndex: i, dataIndex: 2})")
	if s := b.text(t, "[...document.querySelectorAll('#w0-stepchart > div')].at(-1).innerText"); !strings.Contains(s, "GPU\u00a00, power, W: 12") || !strings.Contains(s, "from ") {
		t.Errorf("the tooltip of a reading reads %q", s)
	}
}

// testDragZoom drags across the timeline and resets it.
func testDragZoom(t *testing.T, b *browser) {
	const (
		line  = "document.getElementById('w0-line0')"
		start = "echarts.getInstanceByDom(" + line + ").getOption().dataZoom[0].start"
	)
	b.js(t, line+".scrollIntoView({block: 'center'})")
	var at [2]float64
	for i, side := range []string{"left", "top"} {
		v, err := strconv.ParseFloat(b.text(t, line+".getBoundingClientRect()."+side), 64)
		if err != nil {
			t.Fatal(err)
		}
		at[i] = v
	}
	b.want(t, start, "0")
	b.run(t, chromedp.DragAndDropXY(at[0]+500, at[1]+60, at[0]+800, at[1]+90))
	if v, _ := strconv.ParseFloat(b.text(t, start), 64); v < 20 || v > 60 {
		t.Errorf("after dragging, the drawing starts at %g %%", v)
	}
	b.run(t, chromedp.MouseEvent(chromedp.MouseMoved, at[0]+600, at[1]+40))
	b.js(t, "document.querySelector('[data-reset]').click()")
	b.want(t, start, "0")
}

func testDark(t *testing.T, b *browser) {
	const back = "getComputedStyle(document.body).backgroundColor"
	light := b.text(t, back)
	b.media(t, "dark")
	if dark := b.text(t, back); dark == light {
		t.Errorf("the background is %s in light and dark", dark)
	}
	b.want(t, "document.querySelectorAll('.chart canvas').length > 0", "true")
	b.media(t, "light")
}

func testNarrow(t *testing.T, b *browser) {
	b.run(t, chromedp.EmulateViewport(360, 740, chromedp.EmulateMobile), chromedp.Sleep(300*time.Millisecond))
	const wide = "[...document.querySelectorAll('body *')].filter(e => !e.closest('.tw') && !e.closest('[hidden]') && e.getBoundingClientRect().right > 361 && e.getBoundingClientRect().width > 0).map(e => e.tagName + '.' + e.className.toString()).slice(0, 5).join(' ')"
	if s := b.text(t, wide); s != "" {
		t.Errorf("too wide for 360 px: %s", s)
	}
	b.want(t, "document.documentElement.scrollWidth <= 360", "true")
	b.run(t, chromedp.ResetViewport())
}

func TestWindowsInBrowser(t *testing.T) {
	b := newBrowser(t)
	one, two := pageDocument(t), pageDocument(t)
	two.Window.Name = "prefill"
	url := pageFile(t, &document.Set{Analyses: []*document.Analysis{one, two}})
	b.run(t, chromedp.Navigate(url), chromedp.WaitVisible(chromedp.CSS(".frames button")))
	b.want(t, "[...document.querySelectorAll('article.window')].map(a => a.hidden).join()", "false,true")
	b.run(t, chromedp.Click(chromedp.CSS("nav.windows a:nth-child(2)")))
	b.want(t, "[...document.querySelectorAll('article.window')].map(a => a.hidden).join()", "true,false")
	b.want(t, "document.querySelectorAll('#w1 .frames button').length > 5 && document.querySelectorAll('#w1 .chart canvas').length > 0", "true")
	b.calm(t, url)
}

func TestHostilePageInBrowser(t *testing.T) {
	b := newBrowser(t)
	url := pageFile(t, &document.Set{Analyses: []*document.Analysis{hostileDocument()}})
	b.run(t, chromedp.Navigate(url), chromedp.WaitVisible(chromedp.CSS(".frames button")))
	b.want(t, "document.querySelectorAll('script').length", "3")
	b.want(t, "document.querySelectorAll('img, iframe, object, embed, [onerror], [onload], [onclick]').length", "0")
	b.want(t, "window.pwned", "undefined")
	b.calm(t, url)
}

func TestPageWithoutScripts(t *testing.T) {
	b := newBrowser(t)
	url := pageFile(t, &document.Set{Analyses: []*document.Analysis{pageDocument(t)}})
	if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}
	b.run(t, chromedp.Navigate(url), chromedp.WaitVisible(chromedp.CSS("h1")))
	// Scripts of the page are off; these run from the inspector.
	b.want(t, "document.querySelectorAll('table').length > 10", "true")
	b.want(t, "[...document.querySelectorAll('section')].filter(s => s.innerText.trim().split('\\n').length < 2).map(s => s.id).join()", "")
	b.want(t, "[...document.querySelectorAll('.js')].every(e => getComputedStyle(e).display === 'none')", "true")
	b.want(t, "[...document.querySelectorAll('noscript p')].length > 1", "true")
	b.want(t, "document.querySelectorAll('svg.bar rect').length > 10", "true")
	b.calm(t, url)
}

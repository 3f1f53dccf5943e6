// ---- shared by the sections below -------------------------------------
const root = document.documentElement;
root.classList.add("js");
const all = (sel, from = document) => Array.from(from.querySelectorAll(sel));
const css = (name) => getComputedStyle(root).getPropertyValue(name).trim();
const NB = "\u202f";

// Three significant digits and a unit, as the rest of the page writes them.
const dur = (ns) => scaled(ns, ["ns", "µs", "ms", "s"]);
function scaled(v, units) {
  let i = 0;
  while (i < units.length - 1 && Math.abs(v) >= 999.5) { v /= 1000; i++; }
  if (i === 0) return v.toFixed(0) + NB + units[0];
  const a = Math.abs(v);
  return v.toFixed(a >= 99.95 ? 0 : a >= 9.995 ? 1 : 2) + NB + units[i];
}
// An axis keeps one unit for all its labels and writes no needless zeros.
function axisDur(ns, span) {
  if (ns === 0) return "0";
  const [d, u] = span >= 2e9 ? [1e9, "s"] : span >= 2e6 ? [1e6, "ms"] : span >= 2e3 ? [1e3, "µs"] : [1, "ns"];
  return String(Number((ns / d).toPrecision(6))) + NB + u;
}
function share(f) {
  const p = f * 100;
  if (!(p > 0)) return "0" + NB + "%";
  if (p < 0.1) return "<0.1" + NB + "%";
  return p.toFixed(p < 9.95 ? 1 : 0) + NB + "%";
}
const count = (n) => (n < 10000 ? String(n) : String(n).replace(/\B(?=(\d{3})+$)/g, NB));

// ---- tip: one line beside the pointer or the focused mark ---------------
const tip = document.getElementById("tip");
function showTip(text, x, y) {
  tip.textContent = text;
  tip.hidden = false;
  const r = tip.getBoundingClientRect();
  tip.style.left = Math.max(4, Math.min(x + 12, innerWidth - r.width - 6)) + "px";
  tip.style.top = (y + 18 + r.height > innerHeight ? Math.max(4, y - r.height - 10) : y + 18) + "px";
}
const hideTip = () => { tip.hidden = true; };

function startBars() {
  for (const bar of all("svg.bar")) {
    const segs = all(".seg", bar);
    for (const [i, seg] of segs.entries()) {
      const title = seg.querySelector("title");
      seg.dataset.tip = title.textContent;
      seg.setAttribute("aria-label", title.textContent);
      title.remove(); // our tip replaces the browser's own
      seg.addEventListener("pointermove", (e) => showTip(seg.dataset.tip, e.clientX, e.clientY));
      seg.addEventListener("pointerleave", hideTip);
      seg.addEventListener("focus", () => {
        const r = seg.getBoundingClientRect();
        showTip(seg.dataset.tip, r.left, r.bottom - 12);
      });
      seg.addEventListener("blur", hideTip);
      seg.addEventListener("keydown", (e) => {
        const to = { ArrowRight: i + 1, ArrowLeft: i - 1, Home: 0, End: segs.length - 1 }[e.key];
        if (to === undefined || !segs[to]) return;
        e.preventDefault();
        seg.tabIndex = -1;
        segs[to].tabIndex = 0;
        segs[to].focus();
      });
    }
  }
}

// ---- copy button --------------------------------------------------------
function startCopy() {
  for (const b of all("[data-copy]")) {
    const label = b.textContent;
    b.addEventListener("click", async () => {
      const pre = document.getElementById(b.dataset.copy);
      let done = false;
      try {
        await navigator.clipboard.writeText(pre.textContent);
        done = true;
      } catch {
        // Files opened from disk may not have a clipboard: select the text.
        const box = pre.closest("details");
        if (box) box.open = true;
        const range = document.createRange();
        range.selectNodeContents(pre);
        const sel = getSelection();
        sel.removeAllRanges();
        sel.addRange(range);
        done = document.execCommand("copy");
        if (!done) pre.scrollIntoView({ block: "center" });
      }
      b.textContent = done ? "Copied" : "Selected below";
      setTimeout(() => { b.textContent = label; }, 2000);
    });
  }
}

// ---- windows as tabs ----------------------------------------------------
const whenShown = new WeakMap(); // article -> what to draw on first sight
function startWindows() {
  const wins = all("article.window");
  const nav = document.querySelector("nav.windows");
  const draw = (a) => {
    const f = whenShown.get(a);
    whenShown.delete(a);
    if (f) f();
  };
  if (!nav) { wins.forEach(draw); return; }
  const tabs = all("a", nav);
  nav.setAttribute("role", "tablist");
  const show = (k, focus) => {
    for (const [i, a] of wins.entries()) {
      a.hidden = i !== k;
      tabs[i].setAttribute("aria-selected", String(i === k));
      tabs[i].tabIndex = i === k ? 0 : -1;
    }
    if (focus) tabs[k].focus();
    draw(wins[k]);
  };
  for (const [i, t] of tabs.entries()) {
    t.setAttribute("role", "tab");
    t.setAttribute("aria-controls", wins[i].id);
    wins[i].setAttribute("role", "tabpanel");
    wins[i].setAttribute("aria-label", wins[i].dataset.label);
    t.addEventListener("click", (e) => { e.preventDefault(); show(i, true); });
    t.addEventListener("keydown", (e) => {
      const to = { ArrowRight: i + 1, ArrowLeft: i - 1 }[e.key];
      if (to !== undefined && tabs[to]) { e.preventDefault(); show(to, true); }
    });
  }
  const wanted = wins.findIndex((a) => location.hash === "#" + a.id || location.hash.startsWith("#" + a.id + "-"));
  show(Math.max(0, wanted), false);
}

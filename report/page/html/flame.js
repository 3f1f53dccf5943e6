// ---- flame graph --------------------------------------------------------
const ROW = 20;

class Flame {
  constructor(box, data) {
    this.box = box;
    this.d = data;
    this.frames = box.querySelector(".frames");
    this.where = box.querySelector(".where");
    this.found = box.querySelector(".found");
    this.type = 0;
    this.by = "part";
    this.focus = 0;
    this.query = "";
    this.fold = true;
    this.measure();
    this.shape();
    this.listen();
    this.draw();
  }

  // Totals are own values added up; a parent stands before its children.
  measure() {
    const { parent, values } = this.d;
    const n = parent.length;
    this.total = values.map((own) => {
      const t = Float64Array.from(own);
      for (let i = n - 1; i > 0; i--) t[parent[i]] += t[i];
      return t;
    });
    const of = (k) => Int32Array.from(this.d.paint, (p) => (p < 0 ? -1 : this.d.paints[p][k]));
    this.own = { part: of(0), group: of(1) };
    this.main = { part: this.dominant(this.own.part, this.d.parts.length), group: this.dominant(this.own.group, this.d.groups.length) };
  }

  // What is drawn: every frame or, folded, one frame for a chain in which each
  // has a single child and no time of its own. A chain goes by its last frame.
  shape() {
    const { parent, values } = this.d;
    const n = parent.length, only = new Int32Array(n);
    for (let i = 1; i < n; i++) only[parent[i]]++;
    this.head = Int32Array.from({ length: n }, (_, i) => i);
    this.last = Int32Array.from(this.head);
    for (let i = 1; i < n && this.fold; i++) {
      const p = parent[i];
      if (p === 0 || only[p] !== 1 || values.some((v) => v[p]) || this.kind(p) === "phase" || this.d.paint[i] >= 0 || this.kind(i) === "other") continue;
      this.head[i] = this.head[p];
      this.last[this.head[i]] = i;
    }
    this.up = new Int32Array(n);
    this.depth = new Int32Array(n);
    this.kids = Array.from({ length: n }, () => []);
    for (let i = 1; i < n; i++) {
      if (this.head[i] !== i) continue;
      const at = this.last[i];
      this.up[at] = parent[i];
      this.depth[at] = this.depth[parent[i]] + 1;
      this.kids[parent[i]].push(at);
    }
    this.focus = this.last[this.head[this.focus]];
  }

  // The frames that a drawn frame stands for, outermost first.
  chain(i) {
    const c = [i];
    while (c[0] !== this.head[i]) c.unshift(this.d.parent[c[0]]);
    return c;
  }

  // The colour of a frame above kernels: the part that makes 90 % of it.
  dominant(own, kinds) {
    const { parent } = this.d;
    const n = parent.length, out = new Int32Array(n).fill(-1), sum = new Float64Array(n * kinds);
    for (let i = n - 1; i >= 0; i--) {
      if (own[i] >= 0) { out[i] = own[i]; sum[i * kinds + own[i]] += this.d.values[0][i]; }
      else for (let k = 0; k < kinds; k++) if (sum[i * kinds + k] > 0.9 * this.total[0][i]) out[i] = k;
      if (i > 0) for (let k = 0; k < kinds; k++) sum[parent[i] * kinds + k] += sum[i * kinds + k];
    }
    return out;
  }

  name(i) { return this.d.texts[this.d.name[i]]; }
  label(i) {
    const c = this.chain(i);
    return c.length === 1 ? this.name(i) : `${this.name(c[0])} … ${this.name(i)} (${c.length} frames)`;
  }
  kind(i) { return this.d.kinds[this.d.kind[i]]; }
  amount(v) { return this.type === 2 ? count(v) + " launches" : dur(v) + (this.type === 1 ? " exposed" : ""); }
  words(i) {
    const t = this.total[this.type];
    const own = this.own[this.by][i];
    const paint = this.d.paints[this.d.paint[i]];
    const colour = own >= 0 ? ` of ${this.d.parts[paint[0]]}, ${this.d.labels[paint[2]]}` : "";
    const names = this.chain(i).map((n) => this.name(n));
    if (names.length > 12) names.splice(6, names.length - 12, "…");
    const above = [];
    for (let n = this.d.parent[this.head[i]]; n > 0; n = this.d.parent[n]) above.unshift(this.name(n));
    if (above.length > 6) above.splice(2, above.length - 6, "…");
    let s = `${names.join("\n")}\n${above.length ? "in " + above.join(" › ") + "\n" : ""}${this.kind(i)}${colour}: ${this.amount(t[i])}, ${share(t[i] / t[0])} of all`;
    if (this.focus > 0 && t[this.focus] > 0) s += `, ${share(t[i] / t[this.focus])} of this view`;
    return s;
  }

  paint(b, i) {
    const own = this.own[this.by][i] >= 0;
    const k = this.main[this.by][i];
    if (k < 0) return;
    const name = (this.by === "part" ? this.d.parts : this.d.groups)[k];
    const c = this.colours[name];
    b.style.background = own ? c : `color-mix(in srgb, ${c} 28%, ${this.colours.bg})`;
    if (own && name === "graphs") b.style.backgroundImage = "repeating-linear-gradient(135deg, rgb(255 255 255 / 0.42) 0 1.6px, transparent 1.6px 5px)";
    if (own) b.style.color = name === "attention" ? this.colours.onBlue : "#101214";
  }

  draw() {
    const t = this.total[this.type];
    const width = this.frames.clientWidth;
    if (!width) return;
    this.colours = { bg: css("--bg"), onBlue: css("--on-attention") };
    for (const p of [...this.d.parts, ...this.d.groups]) this.colours[p] = css("--c-" + p) || css("--c-other");
    const chain = [];
    for (let i = this.focus; i > 0; i = this.up[i]) chain.unshift(i);
    chain.unshift(0);
    const list = document.createDocumentFragment();
    this.shown = [];
    let deepest = 0;
    for (const i of chain.slice(0, -1)) this.add(list, i, 0, width, true);
    const visit = (i, x, w) => {
      this.add(list, i, x, w, false);
      deepest = Math.max(deepest, this.depth[i]);
      for (const c of this.kids[i]) {
        const cw = t[i] > 0 ? (w * t[c]) / t[i] : 0;
        if (cw >= 0.6) visit(c, x, cw);
        x += cw;
      }
    };
    visit(this.focus, 0, width);
    this.frames.replaceChildren(list);
    this.frames.style.height = (deepest + 1) * ROW + "px";
    const first = this.shown.find((s) => s.i === this.focus);
    if (first) first.b.tabIndex = 0;
    this.search();
  }

  add(list, i, x, w, above) {
    const b = document.createElement("button");
    b.type = "button";
    b.tabIndex = -1;
    b.dataset.i = i;
    b.style.left = x + "px";
    b.style.top = this.depth[i] * ROW + "px";
    b.style.width = w + "px";
    if (w >= 24) b.textContent = this.label(i);
    if (w < 8) b.className = "thin";
    if (above) b.classList.add("above");
    b.setAttribute("aria-label", this.words(i).replaceAll("\n", ", "));
    this.paint(b, i);
    list.append(b);
    this.shown.push({ i, b, x, w });
  }

  zoom(i, keepFocus) {
    this.focus = i;
    this.draw();
    this.say(i);
    hideTip();
    if (keepFocus) {
      const s = this.shown.find((e) => e.i === i);
      if (s) s.b.focus();
    }
  }

  say(i) {
    const path = [];
    for (let n = i; n > 0; n = this.d.parent[n]) path.unshift(this.name(n));
    const t = this.total[this.type];
    this.where.textContent = `${this.amount(t[i])}, ${share(t[i] / t[0])} — ${path.join(" › ") || "all"}`;
  }

  // A match inside a match counts once.
  search() {
    const q = this.query.toLowerCase();
    this.frames.classList.toggle("searching", q !== "");
    if (!q) { this.found.textContent = ""; for (const s of this.shown) s.b.classList.remove("hit"); return; }
    const hitText = this.d.texts.map((s) => s.toLowerCase().includes(q));
    const t = this.total[this.type];
    const inside = new Uint8Array(t.length);
    let n = 0, sum = 0;
    for (let i = 0; i < t.length; i++) {
      const up = i > 0 && inside[this.d.parent[i]];
      const hit = hitText[this.d.name[i]];
      if (hit) { n++; if (!up) sum += t[i]; }
      inside[i] = up || hit ? 1 : 0;
    }
    this.found.textContent = `${count(n)} ${n === 1 ? "frame matches" : "frames match"}, ${this.amount(sum)}, ${share(t[0] > 0 ? sum / t[0] : 0)}`;
    for (const s of this.shown) s.b.classList.toggle("hit", this.chain(s.i).some((i) => hitText[this.d.name[i]]));
  }

  listen() {
    const pick = (e) => { const b = e.target.closest("button[data-i]"); return b ? Number(b.dataset.i) : -1; };
    this.frames.addEventListener("click", (e) => { const i = pick(e); if (i >= 0) this.zoom(i, true); });
    this.frames.addEventListener("pointermove", (e) => { const i = pick(e); if (i >= 0) showTip(this.words(i), e.clientX, e.clientY); });
    this.frames.addEventListener("pointerleave", hideTip);
    this.frames.addEventListener("focusin", (e) => { const i = pick(e); if (i >= 0) this.say(i); });
    this.box.addEventListener("keydown", (e) => {
      if (e.key === "Escape") { this.clear(); this.zoom(0, e.target.closest(".frames") !== null); return; }
      const i = pick(e);
      if (i >= 0 && e.key.startsWith("Arrow")) { e.preventDefault(); this.step(i, e.key); }
    });
    this.box.querySelector(".find").addEventListener("input", (e) => { this.query = e.target.value.trim(); this.search(); });
    this.box.querySelector(".type").addEventListener("change", (e) => { this.type = Number(e.target.value); this.draw(); this.say(this.focus); });
    this.box.querySelector(".colour").addEventListener("change", (e) => {
      this.by = e.target.value;
      this.box.querySelector(".keys-part").hidden = this.by !== "part";
      this.box.querySelector(".keys-group").hidden = this.by !== "group";
      this.draw();
    });
    this.box.querySelector(".fold").addEventListener("change", (e) => { this.fold = e.target.checked; this.shape(); this.draw(); });
    this.box.querySelector(".reset").addEventListener("click", () => { this.clear(); this.zoom(0, false); });
  }

  clear() {
    this.query = "";
    this.box.querySelector(".find").value = "";
  }

  // Arrow keys: down to the largest child, up to the parent, sideways along
  // the row.
  step(i, key) {
    const me = this.shown.find((s) => s.i === i);
    const row = this.shown.filter((s) => this.depth[s.i] === this.depth[i]).sort((a, b) => a.x - b.x);
    const at = row.indexOf(me);
    let to;
    if (key === "ArrowLeft") to = row[at - 1];
    if (key === "ArrowRight") to = row[at + 1];
    if (key === "ArrowUp") to = this.shown.find((s) => s.i === this.up[i] && i > 0);
    if (key === "ArrowDown") to = this.shown.filter((s) => s.i > 0 && this.up[s.i] === i).sort((a, b) => b.w - a.w)[0];
    if (!to) return;
    me.b.tabIndex = -1;
    to.b.tabIndex = 0;
    to.b.focus();
  }
}

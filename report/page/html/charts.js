// ---- charts: ECharts draws what Go described ----------------------------
const live = []; // every chart, to redraw when the colours change

function chart(id, height, build) {
  const el = document.getElementById(id);
  if (!el || typeof echarts === "undefined") return;
  if (height) el.style.height = height + "px";
  const entry = { el, build, chart: null };
  live.push(entry);
  // A folded drawing has no width yet; it is drawn when it is opened.
  const folded = el.closest("details:not([open])");
  if (folded) folded.addEventListener("toggle", () => { if (!entry.chart) redraw(entry); });
  else redraw(entry);
}

function redraw(entry, printing) {
  if (entry.chart) entry.chart.dispose();
  entry.chart = null;
  if (!entry.el.clientWidth) return;
  entry.chart = echarts.init(entry.el, null, { renderer: "canvas" });
  entry.build(entry.chart, palette(printing));
}

function palette() {
  const p = { ink: css("--ink"), soft: css("--soft"), line: css("--line"), bg: css("--bg"), wash: css("--wash"), hatch: css("--hatch-line") };
  p.part = (name) => css("--c-" + name) || css("--c-other");
  return p;
}

// The same quiet look for every chart.
function dress(option, p) {
  const font = css("--sans");
  option.textStyle = { fontFamily: font, color: p.ink, fontSize: 12 };
  option.animation = false;
  delete option.title;
  // The toolbox is what selects by dragging; its icons stay out of sight.
  option.toolbox = { show: true, itemSize: 0, left: -200, showTitle: false,
    feature: { dataZoom: { yAxisIndex: "none", filterMode: "none", brushStyle: { color: "rgba(128,140,152,0.25)", borderColor: p.soft, borderWidth: 1 } } } };
  for (const g of option.grid) g.outerBoundsMode = "none"; // lanes and grids stay aligned
  for (const axis of [...option.xAxis, ...option.yAxis]) {
    axis.axisLine = { show: true, lineStyle: { color: p.hatch } };
    axis.axisTick = { lineStyle: { color: p.hatch } };
    axis.axisLabel = Object.assign({}, axis.axisLabel, { color: p.soft, fontSize: 11.5 });
    axis.splitLine = { show: axis.type !== "category", lineStyle: { color: p.line } };
    axis.nameTextStyle = { color: p.soft };
  }
  if (option.legend) option.legend.textStyle = { color: p.soft };
  for (const z of option.dataZoom || []) {
    Object.assign(z, { height: 18, bottom: 8, borderColor: p.line, backgroundColor: "transparent", fillerColor: "rgba(128,140,152,0.22)",
      dataBackground: { lineStyle: { opacity: 0 }, areaStyle: { opacity: 0 } }, selectedDataBackground: { lineStyle: { opacity: 0 }, areaStyle: { opacity: 0 } },
      handleStyle: { color: p.bg, borderColor: p.hatch }, moveHandleSize: 0, showDetail: false, brushSelect: false, realtime: true });
  }
  option.tooltip = Object.assign(option.tooltip || {}, { confine: true, backgroundColor: p.ink, borderWidth: 0, padding: [5, 9],
    textStyle: { color: p.bg, fontSize: 13, fontFamily: font }, extraCssText: "max-width:min(440px,90vw);white-space:pre-line;overflow-wrap:anywhere;border-radius:3px;box-shadow:none" });
  return option;
}

// ECharts puts a tooltip in as markup: names must arrive as text.
function asText(lines) {
  const el = document.createElement("div");
  el.textContent = lines.filter(Boolean).join("\n");
  return el;
}

const copyOf = (o) => JSON.parse(JSON.stringify(o));

// Drag selects a span of time; a double click shows everything again.
function dragZoom(c) {
  // A finger drags the page; the slider below zooms there.
  if (!matchMedia("(pointer: coarse)").matches) c.dispatchAction({ type: "takeGlobalCursor", key: "dataZoomSelect", dataZoomSelectActive: true });
  c.getZr().on("dblclick", () => c.dispatchAction({ type: "dataZoom", start: 0, end: 100 }));
}

function timeline(data, names) {
  const narrow = innerWidth < 700;
  chart(data.id, 24 + data.lanes * (data.lanes > 16 ? 22 : 34) + 62, (c, p) => {
    const option = dress(copyOf(data.option), p);
    const launches = new Map();
    for (const { value: [lane, start, , kernel, , corr] } of data.option.series[0].data) {
      if (kernel === HOST && corr) launches.set(laneRank(data, lane) + ":" + corr, start);
    }
    option.grid[0].left = narrow ? 58 : 118;
    if (narrow) option.yAxis[0].axisLabel = Object.assign({}, option.yAxis[0].axisLabel, { formatter: shortLane });
    option.yAxis[0].axisTick = { show: false };
    const x = option.xAxis[0];
    x.axisLabel.hideOverlap = true;
    x.axisLabel.formatter = (v) => axisDur(v, x.max);
    x.axisLabel.showMaxLabel = false;
    x.splitNumber = narrow ? 3 : 8;
    const [s, layers] = option.series;
    for (const each of option.series) { each.progressive = 0; each.clip = true; }
    const fills = names.tags.map((t) => p.part(t.part));
    s.renderItem = (params, api) => bar(params, api, fills, p);
    layers.renderItem = (params, api) => band(params, api, p);
    option.tooltip.formatter = (e) => asText(e.seriesIndex === 1 ? layerWords(data, names, e.value) : eventWords(data, names, launches, e.value));
    c.setOption(option);
    dragZoom(c);
  });
}

// What stands in a row in place of a kernel.
const HOST = -1, WHOLE = -2;

const laneRank = (data, lane) => data.option.yAxis[0].data[lane].split(" ")[1];

// Where a lane's bar stands in its row: layers are numbered above it.
const BAND = 0.28;

function span(params, api) {
  const lane = api.value(0), area = params.coordSys;
  const a = api.coord([api.value(1), lane]), b = api.coord([api.value(2), lane]);
  const left = Math.max(a[0], area.x), right = Math.min(Math.max(b[0], a[0] + 0.7), area.x + area.width);
  return { left, width: right - left, y: a[1], row: api.size([0, 1])[1] };
}

function bar(params, api, fills, p) {
  const { left, width, y, row } = span(params, api);
  if (width <= 0) return null;
  const host = api.value(3) === HOST, h = row * (host ? 0.4 : 0.6);
  const shape = { x: left, y: y - h / 2 + (host ? 0 : row * BAND / 2), width, height: h };
  if (api.value(3) === WHOLE) return wholeBar(shape, p);
  return { type: "rect", shape, style: { fill: host ? p.hatch : fills[api.value(4)] } };
}

// A graph recorded as a whole is hatched, so that it passes for no kernel, and
// says what it is where there is room.
function wholeBar(shape, p) {
  const { x, y, width, height } = shape;
  const children = [{ type: "rect", shape, style: { fill: p.part("graphs") } }];
  const lines = [];
  for (let at = x - height; at < x + width; at += 7) {
    const from = Math.max(at, x), to = Math.min(at + height, x + width);
    if (to > from) lines.push({ type: "line", silent: true, shape: { x1: from, y1: y + height - (from - at), x2: to, y2: y + height - (to - at) }, style: { stroke: "#fff", opacity: 0.42, lineWidth: 1.6 } });
  }
  children.push(...lines);
  const text = ["CUDA graph, its kernels not recorded", "CUDA graph", "graph"].find((t) => width > 6.6 * t.length + 8);
  if (text && height >= 11) {
    children.push({ type: "text", silent: true, style: { text, x: x + width / 2, y: y + height / 2, align: "center", verticalAlign: "middle", fill: "#101214", stroke: p.part("graphs"), lineWidth: 4, fontSize: 11 } });
  }
  return { type: "group", children };
}

// A layer is a band above its events, light and dark in turn, with its number
// where there is room.
function band(params, api, p) {
  const { left, width, y, row } = span(params, api);
  if (width <= 0) return null;
  const layer = api.value(3), h = row * BAND;
  const children = [{ type: "rect", shape: { x: left, y: y - row / 2, width, height: h - 1 }, style: { fill: layer % 2 ? p.line : p.wash } }];
  const text = String(layer);
  if (h >= 9 && width >= 6 * text.length + 3) {
    children.push({ type: "text", silent: true, style: { text, x: left + width / 2, y: y - row / 2 + h / 2, align: "center", verticalAlign: "middle", fill: p.ink, fontSize: 9.5 } });
  }
  return { type: "group", children };
}

function layerWords(data, names, [lane, start, end, layer, kind]) {
  return [`layer ${layer}${names.kinds[kind] ? " (" + names.kinds[kind] + ")" : ""}`, `${data.option.yAxis[0].data[lane]}: ${dur(end - start)}, from ${dur(start)}`];
}

function eventWords(data, names, launches, [lane, start, end, kernel, text, corr, layer]) {
  const head = data.option.yAxis[0].data[lane];
  const when = `${dur(end - start)}, from ${dur(start)}`;
  if (kernel === HOST) return [names.hosts[text], `${head}: ${when}`];
  const at = launches.get(laneRank(data, lane) + ":" + corr);
  const launched = at !== undefined && start >= at ? `launched ${dur(start - at)} before` : "";
  if (kernel === WHOLE) return [names.graphs[text], "CUDA graph recorded as a whole: the GPU was at work, on kernels not recorded", `${head}: ${when}`, launched];
  const k = names.kernels[kernel], tag = names.tags[text];
  const place = [tag.part, tag.role, layer >= 0 ? `layer ${layer}` : ""].filter(Boolean).join(" · ");
  return [k.name, place, k.what, `${head}: ${when}`, launched];
}

const phaseColours = { prefill: "memory", decode: "attention", mixed: "waiting", dummy: "other" };

function steps(data) {
  chart(data.id, (data.tokens ? 348 : 278) + data.above + (data.strip ? data.strip.height : 0), (c, p) => {
    const option = dress(copyOf(data.option), p);
    if (!data.tokens) { option.grid.pop(); option.xAxis.pop(); option.yAxis.pop(); option.dataZoom[0].xAxisIndex.pop(); }
    const requests = option.series.find((s) => s.name === "requests");
    const bars = requests ? requests.data.map((d) => d.value) : [];
    const own = (s) => s.type === "scatter" || s.type === "bar"; // of the steps
    const span = Math.max(...data.option.series.flatMap((s) => (s.type === "custom" ? [] : s.data.map((d) => d.value[0]))));
    // Requests begin before the steps and end behind them, but must not squeeze them.
    const least = Math.max(-0.2 * span, Math.min(0, ...bars.map((v) => v[0])));
    const most = Math.min(1.2 * span, Math.max(span, ...bars.map((v) => v[4])));
    const longest = Math.max(...data.option.series.filter((s) => s.type === "scatter").flatMap((s) => s.data.map((d) => d.value[1])));
    for (const [i, x] of option.xAxis.entries()) {
      x.min = least;
      x.max = most * 1.02;
      x.axisLabel.formatter = (v) => axisDur(v, most);
      x.axisLabel.show = i === lowestGrid(option);
      x.axisLabel.showMinLabel = least === 0;
      x.axisLabel.showMaxLabel = false;
      x.axisLabel.hideOverlap = true;
      x.splitLine.show = false;
      x.containShape = false; // bars must not shift this axis against the other
    }
    for (const y of option.yAxis) y.axisLine.onZero = false;
    const y = option.yAxis[0];
    const shortest = Math.min(...option.series.filter((s) => s.type === "scatter").flatMap((s) => s.data.map((d) => d.value[1])));
    if (longest > 15 * shortest) {
      y.type = "log";
      y.name += " (log scale)";
      delete y.min;
    }
    y.axisLabel.formatter = y.type === "log" ? dur : (v) => axisDur(v, longest);
    const tokens = option.yAxis[option.yAxis.length - 1];
    if (data.tokens) Object.assign(tokens, { splitNumber: 2, axisLabel: Object.assign(tokens.axisLabel, { formatter: count }) });
    if (requests) {
      Object.assign(option.yAxis[1], { inverse: true, axisTick: { show: false }, splitLine: { show: false } });
      option.yAxis[1].axisLabel.show = false;
      option.xAxis[1].axisTick.show = option.xAxis[1].axisLine.show = false;
      Object.assign(requests, { clip: true, progressive: 0, renderItem: (params, api) => requestBar(params, api, p) });
    }
    if (data.strip) readingsStrip(data, option, p);
    const shown = (type) => option.series.filter((s) => s.type === type).map((s) => s.name);
    option.legend.data = [...new Set([...shown("scatter"), ...shown("line")])];
    for (const s of option.series) {
      if (!own(s)) continue;
      s.itemStyle = { color: p.part(phaseColours[s.name] || "other"), opacity: 0.85 };
      if (s.type === "bar") s.tooltip = { show: false };
    }
    const words = { requests: (e) => requestWords(e.value), reasons: (e) => reasonWords(data, e.value) };
    option.tooltip.formatter = (e) => asText(e.seriesType === "line" ? readingWords(data, option, e) : (words[e.seriesName] || stepWords)(e));
    c.setOption(option);
    dragZoom(c);
  });
}

// A lane's name where there is little room: "r0 s17" for "rank 0 stream 17".
function shortLane(name) {
  return name.replace(/^rank /, "r").replace(" GPU ", " g").replace(" stream ", " s");
}

// The time stands below the grid that is lowest on the page.
function lowestGrid(option) {
  const tops = option.grid.map((g) => Number(g.top));
  return tops.indexOf(Math.max(...tops));
}

const gpuColours = ["attention", "ffn", "transfer", "head", "gemm", "memory", "waiting", "busy"];
const gpuColour = (name, p) => p.part(gpuColours[Number(name.replace(/\D+/g, "")) % gpuColours.length]);

// What the GPUs read, below the steps: a line each, and a lane for each reason
// why the clocks stood where they did.
function readingsStrip(data, option, p) {
  const { grid, tracks, bands } = data.strip;
  for (let i = grid; i < grid + tracks + (bands ? 1 : 0); i++) {
    const y = option.yAxis[i];
    Object.assign(y, { nameLocation: "end", nameGap: 7, splitNumber: 2, nameTextStyle: { color: p.soft, align: "left", padding: [0, 0, 0, -8] } });
    y.axisLabel.formatter = data.strip.bytes[i - grid] ? (v) => (v ? byteRate(v) : "0") : count;
    y.axisLabel.showMaxLabel = y.max ? true : undefined;
  }
  for (const s of option.series) {
    if (s.type === "line") {
      s.itemStyle = { color: gpuColour(s.name, p) };
      s.lineStyle = Object.assign({}, s.lineStyle, { color: gpuColour(s.name, p) });
      if (s.markLine) Object.assign(s.markLine, { silent: true, symbol: "none", animation: false, label: { formatter: "limit", position: "insideEndTop", color: p.soft }, lineStyle: { color: p.soft, type: "dotted" } });
    }
    if (s.name === "reasons") {
      Object.assign(s, { clip: true, progressive: 0, renderItem: (params, api) => reasonBand(params, api, p) });
      const y = option.yAxis[s.yAxisIndex];
      Object.assign(y, { inverse: true, axisTick: { show: false } });
      Object.assign(y.axisLabel, { formatter: undefined, inside: true, color: p.ink, textBorderColor: p.bg, textBorderWidth: 3 });
      y.z = 5;
    }
  }
  for (let i = 0; i < tracks; i++) {
    // The limit must be in sight where the power comes near it.
    const limit = data.strip.limits[i], most = Math.max(...option.series.filter((s) => s.yAxisIndex === grid + i).flatMap((s) => s.data.map((d) => d.value[1])));
    if (limit && most > 0.5 * limit) option.yAxis[grid + i].max = Math.max(limit * 1.05, most);
  }
}

function reasonBand(params, api, p) {
  const lane = api.value(0), area = params.coordSys, height = Math.min(9, api.size([0, 1])[1] - 3);
  const left = Math.max(api.coord([api.value(1), lane])[0], area.x), right = Math.min(api.coord([api.value(2), lane])[0], area.x + area.width);
  if (right <= left) return null;
  const y = api.coord([api.value(1), lane])[1];
  return { type: "rect", shape: { x: left, y: y - height / 2, width: Math.max(right - left, 1), height }, style: { fill: p.part(api.value(3) ? "waiting" : "other") } };
}

function reasonWords(data, [lane, from, to, throttles]) {
  const axis = data.option.yAxis[data.strip.grid + data.strip.tracks];
  return [axis.data[lane], throttles ? "holds the clocks below what the load could use" : "", `${dur(to - from)}, from ${dur(from)}`];
}

const byteRate = (v) => scaled(v, ["B/s", "kB/s", "MB/s", "GB/s", "TB/s"]);

// A title with two directions, "PCIe sent, received (dashed), %", is said of one.
const direction = /^(.*?)(\S+), (\S+) \(dashed\)/;

function readingWords(data, option, e) {
  const s = option.series[e.seriesIndex], title = option.yAxis[s.yAxisIndex].name;
  const value = data.strip.bytes[s.yAxisIndex - data.strip.grid] ? byteRate(e.value[1]) : String(Number(e.value[1].toPrecision(4)));
  const what = title.replace(direction, (all, link, one, other) => link + (s.lineStyle.type === "dashed" ? other : one));
  return [`${e.seriesName}, ${what}: ${value}`, `${s.step === "start" ? "up to" : "from"} ${dur(e.value[0])}`];
}

// A request is a thin bar: waiting, the steps to its first token, the others.
function requestBar(params, api, p) {
  const [due, lane, entered, first, last] = [0, 1, 2, 3, 4].map((i) => api.value(i));
  const area = params.coordSys, height = Math.max(2, Math.min(6, api.size([0, 1])[1] - 1.5));
  const y = api.coord([due, lane + 0.5])[1];
  const piece = (from, to, style) => {
    const left = Math.max(api.coord([from, lane])[0], area.x), right = Math.min(api.coord([to, lane])[0], area.x + area.width);
    return right > left ? [{ type: "rect", shape: { x: left, y: y - height / 2, width: right - left, height }, style }] : [];
  };
  return { type: "group", children: [
    ...piece(due, entered, { fill: p.wash, stroke: p.hatch, lineWidth: 1 }),
    ...piece(entered, first, { fill: p.part(phaseColours.prefill) }),
    ...piece(first, last, { fill: p.part(phaseColours.decode) })] };
}

function requestWords([due, , entered, first, last, id]) {
  return [`request ${id}, due at ${dur(due)}`, entered < first ? `queue ${dur(entered - due)}, then ${dur(first - entered)} to its first token` : `first token after ${dur(first - due)}`,
    last > first ? `the rest in ${dur(last - first)}` : ""];
}

function stepWords(e) {
  const [start, d, index, rank, busy, tokens, reqs, n, worst, graph] = e.value;
  const head = n > 1 ? `${e.seriesName}: ${n} steps from step ${index}, rank ${rank}` : `${e.seriesName.endsWith("steps") ? "" : e.seriesName + " "}step ${index}, rank ${rank}`;
  const what = n > 1 ? `median ${dur(d)}, slowest ${dur(worst)}` : `${dur(d)}, busy ${dur(busy)}${graph ? `, ${dur(graph)} of it in whole CUDA graphs` : ""}`;
  const load = [tokens ? `${count(tokens)} tokens` : "", reqs ? `${count(reqs)} requests` : ""].filter(Boolean).join(", ");
  return [head, what, load, `starts at ${dur(start)}`];
}

function startCharts() {
  for (const b of all("[data-reset]")) {
    b.addEventListener("click", () => {
      const entry = live.find((e) => e.el.id === b.dataset.reset);
      if (entry) entry.chart.dispatchAction({ type: "dataZoom", start: 0, end: 100 });
    });
  }
}

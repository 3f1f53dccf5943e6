// ---- start --------------------------------------------------------------
const flames = [];

function drawWindow(article) {
  const data = JSON.parse(document.getElementById(article.id + "-data").textContent);
  for (const t of data.timelines || []) timeline(t, data.names);
  if (data.flame) flames.push(new Flame(article.querySelector(".flame"), data.flame));
  if (data.steps) steps(data.steps);
}

const redrawAll = () => {
  for (const e of live) redraw(e);
  for (const f of flames) f.draw();
};

// Tables beside a chart stand open only where the chart cannot be drawn.
for (const d of all("details[data-close]")) d.open = false;
for (const a of all("article.window")) whenShown.set(a, () => drawWindow(a));
startBars();
startCopy();
startSort();
startFilter();
startWindows();
startWraps();
startLinks();
startCharts();

let wait = 0;
addEventListener("resize", () => {
  clearTimeout(wait);
  wait = setTimeout(() => {
    for (const e of live) if (e.chart) e.chart.resize();
    for (const f of flames) f.draw();
  }, 120);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawAll);
const paper = matchMedia("print");
paper.addEventListener("change", redrawAll);

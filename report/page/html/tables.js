// ---- tables: sort by a heading, filter kernels --------------------------
const cellValue = (row, i) => {
  const c = row.cells[i];
  return c.dataset.v !== undefined ? Number(c.dataset.v) : c.textContent.trim().toLowerCase();
};

function startSort() {
  for (const table of all("table.sortable")) {
    const heads = all("thead th", table);
    for (const [i, th] of heads.entries()) {
      const b = document.createElement("button");
      b.type = "button";
      b.append(...th.childNodes);
      th.append(b);
      b.addEventListener("click", () => sortBy(table, heads, i));
    }
  }
}

function sortBy(table, heads, i) {
  const was = heads[i].getAttribute("aria-sort");
  const numeric = heads[i].classList.contains("n");
  const dir = was ? (was === "ascending" ? "descending" : "ascending") : numeric ? "descending" : "ascending";
  for (const h of heads) h.removeAttribute("aria-sort");
  heads[i].setAttribute("aria-sort", dir);
  const sign = dir === "ascending" ? 1 : -1;
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const last = rows.filter((r) => r.classList.contains("others"));
  const rest = rows.filter((r) => !r.classList.contains("others")).map((r) => [cellValue(r, i), r]);
  rest.sort(([a], [b]) => sign * (typeof a === "number" && typeof b === "number" ? a - b : String(a) < String(b) ? -1 : String(a) > String(b) ? 1 : 0));
  body.append(...rest.map(([, r]) => r), ...last);
}

function startFilter() {
  for (const table of all("table.kernels")) {
    const tools = table.closest("section").querySelector(".tools");
    const text = tools.querySelector(".filter");
    const group = tools.querySelector(".group");
    const out = tools.querySelector(".count");
    const rows = Array.from(table.tBodies[0].rows);
    const words = rows.map((r) => r.textContent.toLowerCase());
    const apply = () => {
      const want = text.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
      let n = 0, ns = 0, part = 0;
      for (const [i, r] of rows.entries()) {
        const on = (!group.value || r.dataset.group === group.value) && want.every((w) => words[i].includes(w));
        r.hidden = !on;
        if (on) { n++; ns += Number(r.cells[4].dataset.v); part += Number(r.cells[5].dataset.v); }
      }
      out.textContent = `${n} of ${rows.length} rows, ${dur(ns)}, ${share(part)}`;
    };
    text.addEventListener("input", apply);
    group.addEventListener("change", apply);
    apply();
  }
}

// A table that is wider than its place can be scrolled with the keyboard.
function startWraps() {
  const look = () => {
    for (const w of all(".tw")) {
      if (w.scrollWidth > w.clientWidth + 1) {
        w.tabIndex = 0;
        w.setAttribute("role", "region");
        w.setAttribute("aria-label", w.querySelector("caption").textContent);
      } else w.removeAttribute("tabindex");
    }
  };
  look();
  addEventListener("resize", look);
  document.addEventListener("toggle", look, true);
}

// A link to a row that stands folded away opens what hides it.
function startLinks() {
  document.addEventListener("click", (e) => {
    const a = e.target.closest("td a[href^='#']");
    const row = a && document.getElementById(a.hash.slice(1));
    for (let d = row && row.closest("details"); d; d = d.parentElement.closest("details")) d.open = true;
  });
}

// What keys and a pointer do on the page to explore. Whatever comes from a study is set as text, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const element = (id) => document.getElementById(id);
const chosen = new Set(data.chosen);
const EMBED = { renderer: "svg", actions: false, ast: true };

// --- the charts ---
const latest = new Map(); // of each place, the last drawing that was asked for

function draw(id, chart, rows, description) {
  const before = latest.get(id);
  const drawing = {};
  latest.set(id, drawing);
  drawing.done = (async () => {
    await before?.done; // two at once would both be shown
    if (latest.get(id) === drawing) await show(element(id), chart, rows, description);
  })();
  return drawing.done;
}

async function show(place, chart, rows, description) {
  if (rows.length === 0) {
    place.replaceChildren(); // an axis of nothing has no ends
    place.setAttribute("aria-label", description);
    return;
  }
  await vegaEmbed(place, { ...chart, description, data: { name: "rows", values: rows } }, EMBED);
  place.setAttribute("role", "img"); // its description says what it shows: its parts have no names
  place.querySelector("svg").setAttribute("aria-hidden", "true");
}

function looks() {
  // each configuration has its own colour, but for two among the chosen that would have the same
  const found = new Map();
  const taken = new Set();
  for (const number of chosen) {
    const { configuration, colour } = data.runs[number];
    if (found.has(configuration)) continue;
    let own = colour;
    while (taken.has(own) && taken.size < data.colours) own = (own + 1) % data.colours;
    found.set(configuration, own);
    taken.add(own);
  }
  return (number) => `var(--colour-${found.get(data.runs[number].configuration)})`;
}

function epochOf(run, place) {
  return Math.min(1 + place * data.every, run.epochs);
}

function drawn() {
  return [...chosen].slice(0, data.most_drawn);
}

function showCurves() {
  const metric = element("metric").value;
  const at = Number(element("epoch").value);
  const colour = looks();
  const rows = [];
  const seen = new Set();
  for (const number of drawn()) {
    const run = data.runs[number];
    const dash = seen.has(run.configuration) ? [6, 3] : [1, 0];
    seen.add(run.configuration);
    (data.curves[metric][number] ?? []).forEach((value, place) => {
      const epoch = epochOf(run, place);
      const told = `${run.name}, epoch ${epoch}: ${value}`;
      rows.push({ run: run.name, epoch, value, colour: colour(number), dash, told });
    });
  }
  const chart = structuredClone(data.charts.curves);
  const axis = { ...data.axes[metric] };
  if (element("logarithmic").checked) axis.scale = { type: "log" };
  chart.layer.forEach((layer) => layer.encoding.y?.field && (layer.encoding.y = axis));
  chart.layer[0].data = { values: [{ epoch: Math.min(at, rows.reduce((latest, { epoch }) => Math.max(latest, epoch), 0)) }] };
  const names = drawn().map((number) => data.runs[number].name);
  showValues(metric, at, colour);
  const finite = rows.some(({ value }) => value !== null) ? rows : [];
  return draw("curves", chart, finite, `Curves of ${axis.title} by epoch: ${names.join(", ") || "none is chosen"}`);
}

function showValues(metric, at, colour) {
  element("at").textContent = at;
  const lines = drawn().map((number) => {
    const run = data.runs[number];
    const curve = data.curves[metric][number] ?? [];
    const place = Math.min(Math.round((at - 1) / data.every), curve.length - 1);
    const row = document.createElement("tr");
    const head = cell(row, "th", run.name);
    head.scope = "row";
    const swatch = document.createElement("span");
    swatch.className = "swatch";
    swatch.style.color = colour(number);
    head.prepend(swatch);
    cell(row, "td", place < 0 ? "" : epochOf(run, place), "number");
    cell(row, "td", place < 0 ? "no curve" : curve[place] ?? "not finite", "number");
    return row;
  });
  element("values").replaceChildren(...lines);
}

function cell(row, kind, text, name = "") {
  const made = document.createElement(kind);
  made.textContent = text;
  made.className = name;
  row.append(made);
  return made;
}

function showParameter() {
  const parameter = element("parameter")?.value;
  if (parameter === undefined) return;
  const metric = element("result").value;
  const colour = looks();
  const rows = [];
  for (const number of filtered()) {
    const value = data.results[metric].values[number];
    if (value === null) continue;
    const isChosen = chosen.has(number);
    rows.push({
      run: data.runs[number].name,
      given: data.parameters[parameter].given[number],
      value,
      colour: isChosen ? colour(number) : "var(--grey)",
      size: isChosen ? 130 : 50,
      opacity: isChosen ? 1 : 0.6,
    });
  }
  rows.sort((one, other) => one.size - other.size);
  const chart = structuredClone(data.parameters[parameter].chart);
  chart.layer[0].encoding.y.title = data.results[metric].title;
  const what = `${data.results[metric].title} by ${data.parameters[parameter].name}: ${rows.length} runs`;
  return draw("by-parameter", chart, rows, what);
}

function showParallel() {
  if (!data.parallel) return;
  const colour = looks();
  const rows = [];
  const shown = filtered();
  for (const number of [...shown].sort((one, other) => chosen.has(one) - chosen.has(other))) {
    const isChosen = chosen.has(number);
    for (const axis of data.parallel.axes) {
      if (axis.places[number] === null) continue;
      rows.push({
        run: data.runs[number].name,
        axis: axis.title,
        place: axis.places[number],
        given: axis.texts[number],
        colour: isChosen ? colour(number) : "var(--grey)",
        opacity: isChosen ? 1 : Math.max(0.15, Math.min(0.6, 12 / shown.length)),
      });
    }
  }
  for (const axis of data.parallel.axes) {
    for (const [place, end] of axis.ends.entries()) rows.push({ axis: axis.title, place, end, opacity: 0 });
  }
  const what = `Parallel coordinates of ${shown.length} runs; the chosen ones are in colour`;
  return draw("parallel", data.parallel.chart, rows, what);
}

// --- two runs side by side ---
function compare() {
  const [one, other] = ["one", "other"].map((id) => Number(element(id).value));
  const differing = [];
  const same = [];
  data.facts.forEach((fact, place) => {
    const [left, right] = [data.runs[one].facts[place], data.runs[other].facts[place]];
    if (left === "" && right === "") return;
    const row = document.createElement("tr");
    cell(row, "th", fact).scope = "row";
    cell(row, "td", left);
    cell(row, "td", right);
    (left === right ? same : differing).push(row);
  });
  for (const id of ["differing", "same"]) {
    const head = element(id).tHead.rows[0];
    head.cells[1].textContent = data.runs[one].name;
    head.cells[2].textContent = data.runs[other].name;
  }
  element("differing").tBodies[0].replaceChildren(...differing);
  element("same").tBodies[0].replaceChildren(...same);
  element("how-many-differ").textContent = `${differing.length} differ, ${same.length} are the same.`;
}

// --- what is chosen ---
function choose(numbers) {
  chosen.clear();
  numbers.forEach((number) => chosen.add(number));
  showChosen();
}

function showChosen() {
  for (const row of table.rows().nodes().toArray()) {
    const isChosen = chosen.has(Number(row.dataset.run));
    row.classList.toggle("chosen", isChosen);
    row.querySelector("input").checked = isChosen;
  }
  const names = [...chosen].map((number) => data.runs[number].name);
  const beyond = names.length > data.most_drawn ? ` The curves are those of the first ${data.most_drawn}.` : "";
  element("chosen").textContent = `${names.length} chosen: ${names.slice(0, 12).join(", ") || "none"}${names.length > 12 ? " …" : ""}.${beyond}`;
  return Promise.all([element("metric") && showCurves(), showParameter(), showParallel()]);
}

function filtered() {
  return table.rows({ search: "applied" }).nodes().toArray().map((row) => Number(row.dataset.run));
}

// --- the library of tables has colours of its own for dark ground, which it shows where this class says so ---
const dark = matchMedia("(prefers-color-scheme: dark)");
function setGround() {
  document.documentElement.classList.toggle("dark", dark.matches);
}
dark.addEventListener("change", setGround);
setGround();

// --- where logs lie beside the page, it links to them; where it was sent by mail, it does not ---
if (decodeURIComponent(location.pathname).endsWith(`/${data.directory}/summary.html`)) {
  for (const log of document.querySelectorAll("[data-log]")) {
    const link = document.createElement("a");
    link.href = log.dataset.log;
    link.append(...log.childNodes);
    log.replaceChildren(link);
  }
}

const library = new Blob([element("datatables").textContent], { type: "text/javascript" });
const { default: DataTable } = await import(URL.createObjectURL(library));
const table = new DataTable("#runs", {
  autoWidth: false,
  order: [],
  paging: data.runs.length > 50,
  pageLength: 25,
  columnDefs: [{ targets: 0, orderable: false, searchable: false, columnControl: [{ target: 1, content: [] }] }],
  columnControl: [{ target: 1, content: ["search"] }],
});
// the library gives what filters a column no names
for (const control of element("runs").querySelectorAll("thead input, thead select")) {
  const { dtColumn } = control.closest("[data-dt-column]").dataset;
  const what = control.matches("select") ? "How to filter by" : "Filter by";
  control.setAttribute("aria-label", `${what} ${table.column(Number(dtColumn)).title()}`);
}
table.on("draw", () => Promise.all([showParameter(), showParallel()]));
element("runs").addEventListener("change", ({ target }) => {
  if (target.dataset.choose === undefined) return;
  const number = Number(target.dataset.choose);
  target.checked ? chosen.add(number) : chosen.delete(number);
  showChosen();
});
element("none").addEventListener("click", () => choose([]));
element("shown").addEventListener("click", () => choose(filtered()));
element("round")?.addEventListener("change", ({ target }) => {
  const round = data.rounds[Number(target.value)];
  if (!round) return;
  if (round.metric in data.curves) element("metric").value = round.metric;
  choose(round.runs);
});
for (const id of ["metric", "epoch", "logarithmic"]) element(id)?.addEventListener("input", showCurves);
for (const id of ["parameter", "result"]) element(id)?.addEventListener("input", showParameter);
for (const id of ["one", "other"]) element(id).addEventListener("input", compare);
if (data.overview) {
  const { chart, rows, description } = data.overview;
  if (element("overview").clientWidth < 600) chart.layer.at(-1).encoding.text.field = "short"; // no room for names
  await draw("overview", chart, rows, description);
}
compare();
await showChosen();
document.documentElement.dataset.ready = "yes";

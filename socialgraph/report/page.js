"use strict";
const report = JSON.parse(document.getElementById("content").textContent);
const FONT = getComputedStyle(document.body).fontFamily;
const INK = "#1f2428", SOFT = "#5b646e", LINE = "#e6e9ed", BLUE = "#0072B2", RED = "#D55E00", GREY = "#8a929c";
const LAYERS = [BLUE, RED, "#009E73", "#CC79A7", "#E69F00", "#56B4E9"];
const DIVERGING = [[0, "#8c2d04"], [0.25, "#f0a35e"], [0.5, "#f3f3f1"], [0.75, "#74b3d8"], [1, "#08519c"]];
const BAR = { thickness: 10, outlinewidth: 0, tickfont: { size: 11 }, title: { font: { size: 12, color: SOFT } } };
let printing = false;
const byId = (id) => document.getElementById(id);
// Texts of plotly may hold a few tags; names from files are to stay what they are.
const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const unit = report.unit ? " " + report.unit : "";
const shown = (value, digits = 2) => (value === null || value === undefined ? "–" : value.toFixed(digits).replace(/^-(?=0\.?0*$)/, "").replace("-", "−"));
const percent = (value) => (value === null || value === undefined ? "–" : (100 * value).toFixed(value < 0.1 ? 1 : 0) + "\u00a0%");

function layout(own) {
  const axis = { gridcolor: LINE, linecolor: LINE, zerolinecolor: "#c9cfd6", automargin: true, fixedrange: true,
    title: { standoff: 8, font: { size: 13, color: SOFT } }, tickfont: { size: 12 } };
  const merged = { font: { family: FONT, size: 13, color: INK }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 54, r: 12, t: 30, b: 44 }, legend: { orientation: "h", traceorder: "normal", x: 0, y: 1.02, yanchor: "bottom", font: { color: SOFT } },
    modebar: { bgcolor: "rgba(0,0,0,0)", color: "#aab2bb", activecolor: INK }, hoverlabel: { bgcolor: "#fff", bordercolor: LINE, font: { color: INK, family: FONT } }, autosize: true, dragmode: false, ...own };
  merged.margin = { l: 54, r: 12, t: 30, b: 44, ...own.margin };
  for (const name of ["xaxis", "yaxis"])
    merged[name] = { ...axis, ...own[name], title: { ...axis.title, ...own[name]?.title } };
  return merged;
}

function draw(id, data, own, config) {
  Plotly.react(id, data, layout(own), { responsive: true, displayModeBar: false, displaylogo: false, ...config });
}

for (const [id, figure] of Object.entries(report.figures)) draw(id, figure.data, figure.layout);

// ---- one detector -------------------------------------------------------------------------------
function drawDay(detail) {
  const day = report.day, lines = [];
  const line = (y, name, color, width, dash) => ({ type: "scatter", mode: "lines", x: day.time, y, name,
    line: { color, width, dash }, hovertemplate: "%{y}", connectgaps: report.every > 1 });
  if (detail.low) {
    lines.push({ ...line(detail.low, "", BLUE, 0), showlegend: false, hoverinfo: "skip", hovertemplate: null });
    lines.push({ ...line(detail.high, `${Math.round(100 * report.nominal)} % interval`, BLUE, 0), fill: "tonexty",
      fillcolor: "rgba(0,114,178,.16)" });
  }
  lines.push(line(detail.usual, "usual day", GREY, 1.4, "dot"));
  lines.push(line(detail.truth, "truth", INK, 1.8));
  detail.forecast.forEach((y, k) => lines.push(line(y, `forecast ${day.leads[k]} before`,
    k === detail.forecast.length - 1 ? BLUE : "#E69F00", 1.6)));
  draw("day", lines, { height: 360, hovermode: "x unified", xaxis: { type: "date", tickformat: "%H:%M" },
    yaxis: { title: { text: plain(report.target) + (report.unit ? ` [${plain(report.unit)}]` : "") } },
    margin: { t: 46 } });
}

// A long name would leave no room for what is drawn; its ends tell it from others.
const short = (text) => (text.length > 20 ? `${text.slice(0, 11)}…${text.slice(-8)}` : text);
const narrow = () => printing || byId("neighbours").clientWidth < 480;

function heat(id, z, x, names, scale, bound, name, xtitle, axis) {
  const signed = scale === DIVERGING, rows = [...names.keys()];
  draw(id, [{ type: "heatmap", x, y: rows, z, text: names.map((own) => x.map(() => plain(own[0]) + own[1])), colorscale: scale,
    zmin: signed ? -bound : 0, zmax: bound, xgap: 1, ygap: 1, hoverongaps: false,
    hovertemplate: `%{text}, %{x}<br>${name} %{z}<extra></extra>`, colorbar: BAR }],
  { height: 74 + 26 * Math.max(3, rows.length), margin: { t: 6, l: 10 },
    xaxis: { title: { text: xtitle }, showgrid: false, tickangle: 0, ...axis },
    yaxis: { autorange: "reversed", tickvals: rows, ticktext: names.map((own) => plain(short(own[0])) + (narrow() ? "" : own[1])),
      showgrid: false, zeroline: false, tickfont: { size: 11.5 } } });
}

function drawNeighbours(detail) {
  const found = detail.neighbours, box = byId("neighbours");
  if (!box) return;
  box.hidden = !found || !found.sender.length;
  byId("told").textContent = !found ? "" : found.own
    ? `If all its own readings in the window were higher by 1${unit}, the forecast ${report.quarters.at(-1)} ahead would move by `
      + `${shown(found.own.at(-1))}; if those of all other detectors were, by ${shown(found.others.at(-1))}.`
    : found.sender.length ? "Its gradients were not taken, to keep the report quick." : "Nobody influences it.";
  if (box.hidden) return;
  const names = found.sender.map((n, k) => [report.vdids[n], ` · ${(found.distance[k] / 1000).toFixed(1)} km`]);
  const most = Math.max(1e-6, ...found.attention.flat(2).filter((v) => v !== null));
  const blues = [[0, "#f4f6f8"], [0.5, "#6aaed6"], [1, "#08306b"]];
  const hours = [...Array(24).keys()];
  found.attention.forEach((z, k) => heat(`attention-${k}`, z, hours, names, blues, most, "weight", "local hour", { dtick: narrow() ? 6 : 3 }));
  for (const id of ["gradient-hour", "gradient-step"]) byId(id).parentElement.hidden = !found.by_hour;
  if (!found.by_hour) return;
  const bound = Math.max(1e-6, ...found.by_hour.flat().map(Math.abs), ...found.by_step.flat().map(Math.abs));
  heat("gradient-hour", found.by_hour, report.hours, names, DIVERGING, bound, "gradient", "local hour", { type: "category" });
  heat("gradient-step", found.by_step, report.quarters, names, DIVERGING, bound, "gradient", "ahead", { type: "category" });
}

function open(node) {
  const detail = report.details[node];
  if (!detail) {
    byId("why").textContent = `${report.vdids[node]}: MAE ${shown(report.colours.mae.values[node])}${unit}. Its day was not kept; larger dots can be opened.`;
    return;
  }
  const value = (name) => (report.colours[name] ? report.colours[name].values[node] : null);
  byId("name").textContent = report.vdids[node];
  byId("why").textContent = `MAE ${shown(value("mae"))}${unit}, that of its usual day ${shown(report.rival[node])}; bias ${shown(value("bias"))}`
    + (report.colours.coverage ? `; ${percent(value("coverage"))} inside the interval` : "") + `; ${percent(value("missing"))} missing`
    + (report.why[node] ? `; ${report.why[node]}` : "") + ".";
  byId("choose").value = String(node);
  drawDay(detail);
  drawNeighbours(detail);
  if (report.map) circle(node);
}

// ---- the map ------------------------------------------------------------------------------------
function edgeLines() {
  const x = [], y = [];
  report.map.edges.forEach(([a, b]) => {
    x.push(report.map.x[a], report.map.x[b], null);
    y.push(report.map.y[a], report.map.y[b], null);
  });
  return { type: "scatter", mode: "lines", x, y, line: { color: "#cfd5db", width: 0.8 }, hoverinfo: "skip", showlegend: false };
}

function drawMap(name) {
  const map = report.map, colour = report.colours[name], nodes = map.nodes;
  const dot = Math.max(5, Math.min(11, 130 / Math.sqrt(nodes.length)));
  const points = { type: "scatter", mode: "markers", x: nodes.map((n) => map.x[n]), y: nodes.map((n) => map.y[n]), customdata: nodes,
    text: nodes.map((n) => `${plain(report.vdids[n])}<br>${plain(colour.title)}`), showlegend: false,
    marker: { size: nodes.map((n) => (report.details[n] ? dot : 0.6 * dot)), color: nodes.map((n) => colour.values[n]), colorscale: colour.scale,
      cmin: colour.min, cmax: colour.max, line: { color: "#3c444d", width: nodes.length > 500 ? 0 : 0.7 },
      colorbar: { ...BAR, title: { ...BAR.title, text: plain(colour.title), side: "bottom" }, tickformat: colour.format,
        orientation: "h", y: -0.09, yanchor: "top" } },
    hovertemplate: `%{text} %{marker.color:${colour.format}}<extra></extra>` };
  const km = { zeroline: false, fixedrange: false };
  const [xrange, yrange] = view(nodes);
  draw("map", [edgeLines(), ...report.map.layers.map(() => ({ type: "scatter" })), { type: "scatter" }, points],
    { hovermode: "closest", dragmode: matchMedia("(pointer: coarse)").matches ? false : "pan", margin: { t: 34 }, modebar: { orientation: "v", bgcolor: "rgba(0,0,0,0)", color: "#aab2bb", activecolor: INK }, uirevision: "map",
      xaxis: { ...km, ...xrange }, yaxis: { ...km, scaleanchor: "x", ...yrange } },
    { displayModeBar: "hover", modeBarButtons: [["zoomIn2d", "zoomOut2d", "resetScale2d"]] });
  document.querySelectorAll("#colours button").forEach((b) => b.setAttribute("aria-pressed", String(b.dataset.colour === name)));
}

// The detectors fill the map. Circles that are wider than they are come in sight if it is zoomed out.
const ends = (values) => [Math.min(...values), Math.max(...values)];
const spans = (nodes) => ["x", "y"].map((axis) => ends(nodes.map((n) => report.map[axis][n])));
const extent = (nodes) => Math.max(...spans(nodes).map(([low, high]) => high - low));
const beyond = () => { const across = extent(report.map.nodes); return across > 0 && Math.max(0, ...report.map.layers.flat()) / 1000 > across; };

function view(nodes) {
  if (!beyond()) return [{}, {}];
  const margin = 0.12 * extent(nodes);
  return spans(nodes).map(([low, high]) => ({ range: [low - margin, high + margin] }));
}

// The learned radii around a detector, to scale: a circle for each head, a colour for each layer.
function circle(node) {
  const map = report.map, turn = [...Array(73).keys()].map((k) => (k * Math.PI) / 36);
  const known = map.x[node] !== null;
  map.layers.forEach((radii, layer) => {
    const x = [], y = [];
    if (known) radii.forEach((r) => {
      turn.forEach((t) => { x.push(map.x[node] + (r / 1000) * Math.cos(t)); y.push(map.y[node] + (r / 1000) * Math.sin(t)); });
      x.push(null); y.push(null);
    });
    const [low, high] = ends(radii).map((r) => (r / 1000).toFixed(1));
    Plotly.restyle("map", { x: [x], y: [y], mode: "lines", hoverinfo: "skip", showlegend: true,
      name: `${map.layer_names[layer]}: ${low === high ? low : `${low}–${high}`} km${beyond() ? ", off the map" : ""}`,
      line: { color: LAYERS[layer % LAYERS.length], width: 1.3, dash: layer % 2 ? "dash" : "solid" } }, [1 + layer]);
  });
  Plotly.restyle("map", { x: [known ? [map.x[node]] : []], y: [known ? [map.y[node]] : []], mode: "markers", hoverinfo: "skip", showlegend: false,
    marker: { size: 20, color: "rgba(0,0,0,0)", line: { color: INK, width: 2.4 } } }, [1 + map.layers.length]);
}

if (report.map) {
  drawMap("mae");
  byId("map").on("plotly_click", (event) => { const at = event.points[0].customdata; if (at !== undefined) open(at); });
  document.querySelectorAll("#colours button").forEach((b) => b.addEventListener("click", () => { drawMap(b.dataset.colour); circle(Number(byId("choose").value)); }));
}
byId("choose").addEventListener("change", (event) => open(Number(event.target.value)));
document.querySelectorAll("button.link").forEach((b) => b.addEventListener("click", () => {
  open(Number(b.dataset.node));
  byId("one").scrollIntoView({ behavior: "smooth" });
}));
byId("detectors").on("plotly_click", (event) => { const at = event.points[0].customdata; if (at !== undefined) open(at); });
open(report.first);

// On paper a figure is as wide as its column there, not as on the screen.
const plots = () => [...document.querySelectorAll(".js-plotly-plot")];
const resize = (width, height) => plots().forEach((p) => Plotly.relayout(p, { width: width && (p.closest(".pair, .split") ? 340 : 700),
  ...(p.id === "map" ? { height } : {}), autosize: !width }));
const forPaper = (starts) => { printing = starts; drawNeighbours(report.details[byId("choose").value]); };
addEventListener("beforeprint", () => { forPaper(true); resize(true, 400); });
addEventListener("afterprint", () => { forPaper(false); resize(null, null); });
document.body.dataset.ready = "true";

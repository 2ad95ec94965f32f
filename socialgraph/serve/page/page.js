// The map of the detectors and the forecast of one of them. Texts of others go in by textContent alone.
const $ = (id) => document.getElementById(id);
const map = $("map"), pen = map.getContext("2d");
const SLOW_TO_FAST = ["#b2182b", "#ef6a4c", "#f7c46c", "#7cc7a2", "#1b8a7a"];
const FEW_TO_MANY = ["#3b4cc0", "#3f8fd2", "#5cc8a1", "#f2d54f", "#e8743b"];
const state = { detectors: [], forecast: null, column: "", units: {}, chosen: null, low: 0, high: 1 };
const view = { x: 0, y: 0, zoom: 1 };

async function get(path) {
  const token = sessionStorage.getItem("token");
  const answer = await fetch(path, token ? { headers: { Authorization: `Bearer ${token}` } } : {});
  if (answer.status === 401) $("ask").hidden = false;
  if (!answer.ok) throw new Error((await answer.json()).detail ?? answer.statusText);
  return answer.json();
}

async function refresh() {
  try {
    state.detectors = (await get("/detectors")).filter((one) => one.lat !== null && one.lon !== null);
    const health = await get("/health");
    if (health.status === "empty") { tell("No readings yet."); draw(); return; }
    state.forecast = await get("/forecasts");
    adopt();
    const late = health.status === "late" ? " · late" : "";
    tell(`Issued ${state.forecast.issued.slice(0, 10)} at ${clock(state.forecast.issued)}${late}`);
    const silent = state.detectors.filter((one) => Object.values(one.reading).every((v) => v === null));
    $("silent").textContent = silent.length ? `${silent.length} of ${state.detectors.length} detectors silent (hollow)` : "";
    draw();
    if (state.chosen) await show(state.chosen);
  } catch (error) { tell(String(error.message)); }
}

function adopt() {
  const some = Object.values(state.forecast.forecasts)[0];
  state.column = Object.keys(some)[0];
  $("target").textContent = `${state.column}${unit() ? ` · ${unit()}` : ""}`;
  const steps = state.forecast.times.length;
  if (Number($("step").max) !== steps - 1) { $("step").max = steps - 1; }
  const all = Object.values(state.forecast.forecasts).flatMap((one) => one[state.column]);
  const known = all.filter((v) => v !== null).sort((a, b) => a - b);
  state.low = known[Math.floor(0.02 * (known.length - 1))] ?? 0;
  state.high = known[Math.ceil(0.98 * (known.length - 1))] ?? 1;
  $("low").textContent = state.low.toPrecision(3);
  $("high").textContent = state.high.toPrecision(3);
  paintRamp();
  tellStep();
}

const unit = () => state.forecast?.units[state.column] ?? "";
const ramp = () => (/km\/h|mph|m\/s/.test(unit()) ? SLOW_TO_FAST : FEW_TO_MANY);
const clock = (text) => text.slice(11, 16);
const tell = (text) => { $("status").textContent = text; };

function tellStep() {
  const { issued, times } = state.forecast;
  const minutes = (Date.parse(times[$("step").value]) - Date.parse(issued)) / 60000;
  $("minutes").textContent = `+${Math.round(minutes)} min`;
}

function colour(value) {
  const colours = ramp(), span = state.high - state.low || 1;
  const at = Math.min(Math.max((value - state.low) / span, 0), 1) * (colours.length - 1);
  const left = Math.min(Math.floor(at), colours.length - 2), share = at - left;
  const part = (hex, k) => parseInt(hex.slice(1 + 2 * k, 3 + 2 * k), 16);
  const mixed = [0, 1, 2].map((k) => Math.round(part(colours[left], k) * (1 - share) + part(colours[left + 1], k) * share));
  return `rgb(${mixed.join(",")})`;
}

function paintRamp() {
  const canvas = $("ramp"), brush = canvas.getContext("2d");
  for (let x = 0; x < canvas.width; x++) {
    brush.fillStyle = colour(state.low + (state.high - state.low) * x / (canvas.width - 1));
    brush.fillRect(x, 0, 1, canvas.height);
  }
}

// Places on the canvas: longitudes are shortened by the cosine of the latitude.
function place() {
  const lats = state.detectors.map((one) => one.lat), lons = state.detectors.map((one) => one.lon);
  const [south, north, west, east] = [Math.min(...lats), Math.max(...lats), Math.min(...lons), Math.max(...lons)];
  const narrow = Math.cos((south + north) / 2 * Math.PI / 180);
  const width = map.clientWidth, height = map.clientHeight, left = width > 900 ? 400 : 40;
  const right = 40, edge = 60;
  const scale = Math.min((width - left - right) / (((east - west) * narrow) || 1e-3), (height - 2 * edge) / ((north - south) || 1e-3));
  const middle = [left + (width - left - right) / 2, height / 2];
  const put = (one) => [
    middle[0] + ((one.lon - (west + east) / 2) * narrow * scale) * view.zoom + view.x,
    middle[1] - ((one.lat - (south + north) / 2) * scale) * view.zoom + view.y,
  ];
  put.metre = scale * view.zoom / 111320;  // pixels
  return put;
}

// A faint grid of round kilometres, and the length of its side.
function drawGrid(metre, css) {
  const least = 70 / metre, ten = 10 ** Math.floor(Math.log10(least));
  const side = ten * [1, 2, 5, 10].find((k) => k * ten >= least), gap = side * metre;
  const [right, bottom] = [map.clientWidth, map.clientHeight];
  pen.strokeStyle = css.getPropertyValue("--grid"); pen.lineWidth = 1;
  pen.beginPath();
  for (let x = (view.x % gap + gap) % gap; x < right; x += gap) { pen.moveTo(x, 0); pen.lineTo(x, bottom); }
  for (let y = (view.y % gap + gap) % gap; y < bottom; y += gap) { pen.moveTo(0, y); pen.lineTo(right, y); }
  pen.stroke();
  $("scale").textContent = side >= 1000 ? `${side / 1000} km` : `${side} m`;
}

function draw() {
  const ratio = devicePixelRatio || 1;
  map.width = map.clientWidth * ratio; map.height = map.clientHeight * ratio;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  if (!state.detectors.length) return;
  const put = place(), css = getComputedStyle(document.documentElement);
  drawGrid(put.metre, css);
  const radius = Math.max(3, Math.min(8, 90 / Math.sqrt(state.detectors.length))) * Math.sqrt(view.zoom);
  for (const one of state.detectors) {
    const [x, y] = put(one);
    const value = state.forecast?.forecasts[one.detector]?.[state.column][$("step").value];
    const silent = Object.values(one.reading).every((v) => v === null);
    pen.beginPath(); pen.arc(x, y, radius, 0, 7);
    const paint = value == null ? css.getPropertyValue("--faint") : colour(value);
    if (silent) { pen.lineWidth = 2; pen.strokeStyle = paint; pen.stroke(); } else {
      pen.fillStyle = paint; pen.fill();
      pen.lineWidth = 1; pen.strokeStyle = css.getPropertyValue("--ground"); pen.stroke();
    }
    if (one.detector === state.chosen) {
      pen.beginPath(); pen.arc(x, y, radius + 5, 0, 7);
      pen.lineWidth = 2.5; pen.strokeStyle = css.getPropertyValue("--accent"); pen.stroke();
    }
  }
}

function nearest(x, y) {
  const put = place();
  let best = null, least = 18 ** 2;
  for (const one of state.detectors) {
    const [a, b] = put(one), apart = (a - x) ** 2 + (b - y) ** 2;
    if (apart < least) { least = apart; best = one.detector; }
  }
  return best;
}

async function show(detector) {
  state.chosen = detector;
  draw();
  const id = encodeURIComponent(detector);
  const [past, next] = await Promise.all([get(`/readings?detector=${id}&hours=3`), get(`/forecasts?detector=${id}`)]);
  const own = next.forecasts[detector], value = own[state.column][0];
  const last = past.readings[state.column]?.at(-1);
  $("name").textContent = detector;
  const read = last == null ? "silent now" : `now ${last.toPrecision(3)} ${unit()}`;
  $("now").textContent = `${read} · at ${clock(next.times[0])} ${value.toPrecision(3)} ${unit()}`;
  plot(past, next, own);
  $("panel").hidden = false;
}

// The fan: readings, then the forecast, within its lowest and highest quantile if it has some.
function plot(past, next, own) {
  const quantiles = Object.keys(own).filter((name) => name.startsWith(`${state.column}_p`)).sort();
  const low = own[quantiles[0]], high = own[quantiles.at(-1)];
  const read = past.times.map((t, k) => [Date.parse(t), past.readings[state.column]?.[k] ?? null]);
  const said = next.times.map((t, k) => [Date.parse(t), own[state.column][k]]);
  const values = [...read, ...said].map((p) => p[1]).concat(low ?? [], high ?? []).filter((v) => v !== null);
  let [floor, top] = [Math.min(...values), Math.max(...values)];
  const slack = Math.max((top - floor) * 0.15, Math.abs(top) * 0.05, 1e-6);
  [floor, top] = [floor - slack, top + slack];
  const begin = Math.min(read[0]?.[0] ?? said[0][0], Date.parse(next.issued)), end = said.at(-1)[0];
  const x = (t) => 38 + (t - begin) / (end - begin || 1) * 374, y = (v) => 212 - (v - floor) / (top - floor) * 200;
  const fan = $("fan");
  fan.replaceChildren();
  for (let k = 0; k <= 4; k++) {
    const v = floor + (top - floor) * k / 4;
    add(fan, "line", { class: "grid", x1: 38, x2: 412, y1: y(v), y2: y(v) });
    add(fan, "text", { x: 32, y: y(v) + 4, "text-anchor": "end" }, v.toPrecision(3));
  }
  const now = Date.parse(next.issued);
  add(fan, "line", { class: "past", x1: x(now), x2: x(now), y1: 12, y2: 212 });
  const labels = [[begin, past.times[0] ?? next.issued, "start"], [now, next.issued, "middle"], [end, next.times.at(-1), "end"]];
  for (const [t, text, anchor] of labels) add(fan, "text", { x: x(t), y: 232, "text-anchor": anchor }, clock(text));
  if (low && high && low !== high) {
    const up = said.map(([t], k) => `${x(t)},${y(high[k])}`), down = said.map(([t], k) => `${x(t)},${y(low[k])}`).reverse();
    add(fan, "polygon", { class: "band", points: [...up, ...down].join(" ") });
  }
  add(fan, "path", { class: "read", d: path(read, x, y) });
  const joined = read.length && read.at(-1)[1] !== null ? [read.at(-1), ...said] : said;
  add(fan, "path", { class: "said", d: path(joined, x, y) });
  add(fan, "circle", { class: "dot", r: 4, cx: x(said.at(-1)[0]), cy: y(said.at(-1)[1]) });
  document.querySelector(".key .band").hidden = !(low && high && low !== high);
  $("range").textContent = low && high && low !== high ? `${quantiles[0].slice(-2)} to ${quantiles.at(-1).slice(-2)} %` : "";
}

function path(points, x, y) {
  let text = "", pause = true;
  for (const [t, v] of points) {
    if (v === null) { pause = true; continue; }
    text += `${pause ? "M" : "L"}${x(t).toFixed(1)} ${y(v).toFixed(1)}`;
    pause = false;
  }
  return text;
}

function add(parent, kind, attributes, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", kind);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.textContent = text;
  parent.append(element);
}

let held = null;
map.addEventListener("pointerdown", (e) => { held = [e.clientX, e.clientY, view.x, view.y, false]; });
addEventListener("pointermove", (e) => {
  if (!held) { map.style.cursor = nearest(e.offsetX, e.offsetY) ? "pointer" : "grab"; return; }
  const [dx, dy] = [e.clientX - held[0], e.clientY - held[1]];
  held[4] ||= Math.hypot(dx, dy) > 4;
  if (held[4]) { [view.x, view.y] = [held[2] + dx, held[3] + dy]; draw(); }
});
addEventListener("pointerup", (e) => {
  const moved = held?.[4], pressed = held;
  held = null;
  const found = pressed && !moved && nearest(e.clientX, e.clientY);
  if (found) show(found).catch((error) => tell(String(error.message)));
});
map.addEventListener("wheel", (e) => {
  e.preventDefault();
  const more = Math.min(Math.max(Math.exp(-e.deltaY / 500) * view.zoom, 0.5), 60) / view.zoom;
  const middle = [(map.clientWidth > 900 ? 400 + (map.clientWidth - 440) / 2 : map.clientWidth / 2), map.clientHeight / 2];
  view.x = (view.x - (e.offsetX - middle[0])) * more + (e.offsetX - middle[0]);
  view.y = (view.y - (e.offsetY - middle[1])) * more + (e.offsetY - middle[1]);
  view.zoom *= more;
  draw();
}, { passive: false });
$("step").addEventListener("input", () => { tellStep(); draw(); });
$("close").addEventListener("click", () => { $("panel").hidden = true; state.chosen = null; draw(); });
$("ask").addEventListener("submit", (e) => {
  e.preventDefault();
  sessionStorage.setItem("token", $("token").value);
  $("ask").hidden = true;
  refresh();
});
addEventListener("resize", draw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
refresh();
setInterval(refresh, 15000);

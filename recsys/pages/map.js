// A map on a canvas: points are written into its pixels, names and lines are drawn over them.

const $ = (id) => document.getElementById(id);
const WHOLE = new Intl.NumberFormat("en");

// ---- the data

async function read() {
  const text = atob($("data").textContent.trim());
  const bytes = Uint8Array.from(text, (one) => one.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const buffer = await new Response(stream).arrayBuffer();
  const length = new DataView(buffer).getUint32(0, true);
  const heading = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const types = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array };
  const arrays = {};
  for (const [name, [type, at, n]] of Object.entries(heading.arrays)) {
    arrays[name] = new types[type](buffer, 4 + length + at, n);
  }
  const lines = (array) => (array && array.length ? new TextDecoder().decode(array).split("\n") : []);
  return { ...heading, ...arrays, ids: lines(arrays.ids), titles: lines(arrays.titles) };
}

const map = await read();
const STEPS = 65535;
const n = map.n;
const X = Float32Array.from(map.x, (one) => one / STEPS);
const Y = Float32Array.from(map.y, (one) => one / STEPS);
const one = map.kind.slice(0, -1);
const folded = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

function nameOf(point) {
  return map.titles[point] || map.ids[point] || `${one} without a name in this file`;
}

// ---- colours

const look = {};
const dark = matchMedia("(prefers-color-scheme: dark)");
const still = matchMedia("(prefers-reduced-motion: reduce)");

function pixel(color, alpha = 255) {
  const probe = document.createElement("canvas").getContext("2d");
  probe.fillStyle = color;
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(probe.fillStyle.slice(at, at + 2), 16));
  return ((alpha << 24) | (b << 16) | (g << 8) | r) >>> 0;
}

function takeLook() {
  const style = getComputedStyle(document.documentElement);
  const value = (name) => style.getPropertyValue(name).trim();
  look.page = value("--page");
  look.text = value("--text");
  look.accent = value("--accent");
  look.faint = value("--map-faint");
  look.groups = [1, 2, 3, 4, 5, 6, 7, 8].map((number) => value(`--map-${number}`));
  look.ramp = [1, 2, 3, 4, 5].map((number) => value(`--map-ramp-${number}`));
  look.none = value("--map-none");
}

// The colour of a share from 0 to 1 on the ramp.
function ramp(share) {
  const at = Math.min(Math.max(share, 0), 1) * (look.ramp.length - 1);
  const low = Math.min(Math.floor(at), look.ramp.length - 2);
  const [a, b] = [look.ramp[low], look.ramp[low + 1]];
  const part = (from) => {
    const [u, v] = [a, b].map((color) => parseInt(color.slice(from, from + 2), 16));
    return Math.round(u + (v - u) * (at - low)).toString(16).padStart(2, "0");
  };
  return `#${part(1)}${part(3)}${part(5)}`;
}

const colorings = [
  { name: one === "item" ? "popularity" : "items seen", low: 0, high: 0, isLog: true, own: true },
  ...map.colorings,
];
const most = map.popularity.reduce((a, b) => Math.max(a, b), 1);
const least = Math.max(1, map.popularity.reduce((a, b) => Math.min(a, b), most));
Object.assign(colorings[0], { low: least, high: most });

function valuesOf(number) {
  return number === 0 ? null : map[`coloring${number - 1}`];
}

function shareOf(number, point) {
  if (number === 0) {
    const value = Math.max(map.popularity[point], least);
    return most > least ? Math.log(value / least) / Math.log(most / least) : 1;
  }
  const value = valuesOf(number)[point];
  return value === 0 ? null : (value - 1) / (STEPS - 1);
}

function colorOfGroup(coloring, group) {
  const isNamed = group < look.groups.length && !["others", "unknown"].includes(coloring.groups[group]);
  return isNamed ? look.groups[group] : look.none;
}

let coloring = 0;
let hiddenGroups = new Set();
let pixels = new Uint32Array(n);
let found = null; // points that a search has found
let isLit = null; // whether a point keeps its colour; null for all

function paintPoints() {
  const known = colorings[coloring];
  if (known.groups) {
    const palette = known.groups.map((_, group) => pixel(colorOfGroup(known, group)));
    const values = valuesOf(coloring);
    for (let point = 0; point < n; point++) pixels[point] = palette[values[point]];
  } else {
    const palette = Array.from({ length: 256 }, (_, step) => pixel(ramp(step / 255)));
    const none = pixel(look.none);
    for (let point = 0; point < n; point++) {
      const share = shareOf(coloring, point);
      pixels[point] = share === null ? none : palette[Math.round(share * 255)];
    }
  }
  lightPoints();
}

function lightPoints() {
  const values = colorings[coloring].groups && hiddenGroups.size ? valuesOf(coloring) : null;
  if (!values && !found) isLit = null;
  else {
    isLit = new Uint8Array(n).fill(found ? 0 : 1);
    for (const point of found ?? []) isLit[point] = 1;
    if (values) for (let point = 0; point < n; point++) if (hiddenGroups.has(values[point])) isLit[point] = 0;
  }
  redraw();
}

// ---- the view: the middle of the screen in shares of the map, and pixels of the screen for it

const points = $("points");
const over = $("over");
const board = $("board");
const view = { x: 0.5, y: 0.5, scale: 1 };
let width = 0, height = 0, dense = 1, whole = 1;
let pending = false;
let selected = -1, hovered = -1;
let image = null, buffer = null;

function resize() {
  dense = Math.min(devicePixelRatio || 1, 2);
  const box = board.getBoundingClientRect();
  const isFirst = !width;
  [width, height] = [Math.max(1, Math.round(box.width)), Math.max(1, Math.round(box.height))];
  for (const canvas of [points, over]) {
    canvas.width = Math.round(width * dense);
    canvas.height = Math.round(height * dense);
  }
  image = points.getContext("2d").createImageData(points.width, points.height);
  buffer = new Uint32Array(image.data.buffer);
  whole = 0.92 * Math.min(width / Math.max(map.extent[0], 1e-6), height / Math.max(map.extent[1], 1e-6));
  if (!Number.isFinite(whole) || whole > 1e5) whole = Math.min(width, height);
  if (isFirst) showAll();
  redraw();
}

function showAll() {
  Object.assign(view, { x: map.extent[0] / 2, y: map.extent[1] / 2, scale: whole });
}

const toScreenX = (x) => (x - view.x) * view.scale + width / 2;
const toScreenY = (y) => height / 2 - (y - view.y) * view.scale;
const toMapX = (x) => (x - width / 2) / view.scale + view.x;
const toMapY = (y) => view.y - (y - height / 2) / view.scale;

function zoom(factor, x = width / 2, y = height / 2) {
  const [u, v] = [toMapX(x), toMapY(y)];
  view.scale = Math.min(Math.max(view.scale * factor, whole / 2), whole * 400);
  view.x = u - (x - width / 2) / view.scale;
  view.y = v + (y - height / 2) / view.scale;
  stay();
}

function move(x, y) {
  view.x -= x / view.scale;
  view.y += y / view.scale;
  stay();
}

function stay() {
  view.x = Math.min(Math.max(view.x, 0), map.extent[0]);
  view.y = Math.min(Math.max(view.y, 0), map.extent[1]);
  redraw();
}

function goTo(x, y, scale) {
  const from = { ...view };
  const begin = performance.now();
  const time = still.matches ? 0 : 350;
  const step = (now) => {
    const t = time ? Math.min(1, Math.max(0, now - begin) / time) : 1;
    const eased = t * t * (3 - 2 * t);
    view.scale = from.scale * (scale / from.scale) ** eased;
    view.x = from.x + (x - from.x) * eased;
    view.y = from.y + (y - from.y) * eased;
    redraw();
    if (t < 1) requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}

// ---- drawing

function redraw() {
  if (pending || !width) return;
  pending = true;
  requestAnimationFrame(() => {
    pending = false;
    const begin = performance.now();
    draw();
    board.dataset.milliseconds = (performance.now() - begin).toFixed(1);
    board.dataset.frames = Number(board.dataset.frames ?? 0) + 1;
  });
}

// A disc as offsets and coverages of its pixels.
const discs = new Map();
function disc(radius) {
  const key = Math.round(radius * 4);
  if (!discs.has(key)) {
    const r = key / 4, reach = Math.ceil(r + 0.5), cells = [];
    for (let dy = -reach; dy <= reach; dy++) {
      for (let dx = -reach; dx <= reach; dx++) {
        const cover = Math.min(1, Math.max(0, r + 0.5 - Math.hypot(dx, dy)));
        if (cover > 0.05) cells.push(dx, dy, Math.round(cover * 256));
      }
    }
    discs.set(key, { reach, cells: Int32Array.from(cells) });
  }
  return discs.get(key);
}

function stamp(x, y, shape, color, stride, rows) {
  const { reach, cells } = shape;
  if (x < reach || y < reach || x >= stride - reach || y >= rows - reach) return;
  const at = y * stride + x;
  for (let cell = 0; cell < cells.length; cell += 3) {
    const place = at + cells[cell + 1] * stride + cells[cell];
    const cover = cells[cell + 2];
    if (cover >= 256) buffer[place] = color;
    else {
      const under = buffer[place], keep = 256 - cover;
      const rb = (((under & 0xff00ff) * keep + (color & 0xff00ff) * cover) >>> 8) & 0xff00ff;
      const g = (((under & 0x00ff00) * keep + (color & 0x00ff00) * cover) >>> 8) & 0x00ff00;
      buffer[place] = (0xff000000 | rb | g) >>> 0;
    }
  }
}

function radii() {
  const closeness = Math.min(4, Math.sqrt(view.scale / whole));
  const room = Math.sqrt((width * height) / n) / 11;
  const base = Math.min(4.5, Math.max(0.7, room)) * (0.75 + 0.35 * closeness) * dense;
  return [0, 1, 2, 3].map((step) => disc(Math.min(base * (0.8 + 0.35 * step), 9 * dense)));
}

// How popular a point is, in four steps: the size of its disc.
const sizes = Uint8Array.from({ length: n }, (_, point) => {
  const share = shareOf(0, point);
  return Math.min(3, Math.floor((share ?? 0) * 4));
});

function shade() {
  buffer.fill(pixel(look.page));
  if (!map.cells) return;
  const cells = map.cells, size = [map.extent[0] / cells, map.extent[1] / cells];
  const fullest = Math.log1p(map.density.reduce((a, b) => Math.max(a, b), 1));
  const [page, ink] = [look.page, look.faint].map((color) => pixel(color));
  const tones = Array.from({ length: 65 }, (_, step) => blend(page, ink, step / 64));
  for (let y = 0; y < points.height; y++) {
    const row = Math.floor(toMapY(y / dense) / size[1]);
    if (row < 0 || row >= cells) continue;
    for (let x = 0; x < points.width; x++) {
      const column = Math.floor(toMapX(x / dense) / size[0]);
      if (column < 0 || column >= cells) continue;
      const count = map.density[row * cells + column];
      if (count) buffer[y * points.width + x] = tones[Math.round((Math.log1p(count) / fullest) * 64)];
    }
  }
}

function blend(a, b, share) {
  const part = (shift) => Math.round(((a >>> shift) & 255) * (1 - share) + ((b >>> shift) & 255) * share);
  return (0xff000000 | (part(16) << 16) | (part(8) << 8) | part(0)) >>> 0;
}

function draw() {
  shade();
  const shapes = radii();
  const faint = pixel(look.faint);
  const stride = points.width, rows = points.height;
  const [ax, bx] = [view.scale * dense, (width / 2 - view.x * view.scale) * dense];
  const [ay, by] = [-view.scale * dense, (height / 2 + view.y * view.scale) * dense];
  const pass = (isLitPass) => {
    for (let point = n - 1; point >= 0; point--) {
      if (isLit && (isLit[point] === 1) !== isLitPass) continue;
      const x = (X[point] * ax + bx) | 0, y = (Y[point] * ay + by) | 0;
      if (x < 0 || y < 0 || x >= stride || y >= rows) continue;
      const shape = shapes[isLit && !isLitPass ? 0 : sizes[point]];
      stamp(x, y, shape, isLitPass ? pixels[point] : faint, stride, rows);
    }
  };
  if (isLit) pass(false);
  pass(true);
  points.getContext("2d").putImageData(image, 0, 0);
  drawOver();
}

function drawOver() {
  const pen = over.getContext("2d");
  pen.setTransform(dense, 0, 0, dense, 0, 0);
  pen.clearRect(0, 0, width, height);
  const taken = [];
  if (selected >= 0) {
    pen.strokeStyle = look.accent;
    pen.lineWidth = 1.2;
    for (const other of neighboursOf(selected).rows) {
      pen.beginPath();
      pen.moveTo(toScreenX(X[selected]), toScreenY(Y[selected]));
      pen.lineTo(toScreenX(X[other]), toScreenY(Y[other]));
      pen.stroke();
      ring(pen, other, 4, 1.5, true);
    }
    ring(pen, selected, 8, 2.5);
    write(pen, nameOf(selected), toScreenX(X[selected]), toScreenY(Y[selected]) - 16, taken, true);
  }
  if (hovered >= 0 && hovered !== selected) ring(pen, hovered, 7, 2);
  if (board.matches(":focus-visible")) {
    pen.strokeStyle = look.accent;
    pen.lineWidth = 1.5;
    pen.beginPath();
    pen.moveTo(width / 2 - 9, height / 2);
    pen.lineTo(width / 2 + 9, height / 2);
    pen.moveTo(width / 2, height / 2 - 9);
    pen.lineTo(width / 2, height / 2 + 9);
    pen.stroke();
  }
  writeRegions(pen, taken);
  writeNames(pen, taken);
  board.dataset.names = taken.length;
}

function ring(pen, point, radius, line, isFilled = false) {
  pen.strokeStyle = look.accent;
  pen.lineWidth = line;
  pen.beginPath();
  pen.arc(toScreenX(X[point]), toScreenY(Y[point]), radius, 0, 2 * Math.PI);
  pen.fillStyle = `#${[0, 8, 16].map((shift) => ((pixels[point] >>> shift) & 255).toString(16).padStart(2, "0")).join("")}`;
  if (isFilled) pen.fill();
  pen.stroke();
}

function writeRegions(pen, taken) {
  const level = view.scale > 2 * whole ? 1 : 0;
  if (view.scale > 9 * whole) return;
  pen.font = `600 ${level ? 12.5 : 14}px system-ui, sans-serif`;
  for (const [name, x, y, , own] of map.regions) {
    if (own === level) write(pen, name, toScreenX(x), toScreenY(y), taken, false);
  }
}

function writeNames(pen, taken) {
  if (n > 60 && view.scale < 4 * whole) return;
  pen.font = "12px system-ui, sans-serif";
  let written = 0;
  for (let point = 0; point < n && written < 40; point++) {
    const [x, y] = [toScreenX(X[point]), toScreenY(Y[point])];
    if (x < 0 || y < 0 || x > width || y > height || (isLit && !isLit[point])) continue;
    if (point === selected || !(map.titles[point] || map.ids[point])) continue;
    written += write(pen, nameOf(point), x, y - 11, taken, false) ? 1 : 0;
  }
}

// Write a name where it meets no other one, as far inside as it goes.
function write(pen, name, x, y, taken, isForced) {
  const most = Math.min(240, width - 12);
  let shown = name;
  if (pen.measureText(shown).width > most) {
    while (shown.length > 3 && pen.measureText(`${shown}…`).width > most) shown = shown.slice(0, -1);
    shown = `${shown}…`;
  }
  if (!isForced && (x < 0 || y < 0 || x > width || y > height)) return false;
  const half = pen.measureText(shown).width / 2 + 3;
  const [left, top] = [Math.min(Math.max(x, half), width - half), Math.min(Math.max(y, 10), height - 10)];
  const box = [left - half, top - 9, left + half, top + 9];
  const meets = taken.some((o) => box[0] < o[2] && box[2] > o[0] && box[1] < o[3] && box[3] > o[1]);
  if (meets && !isForced) return false;
  taken.push(box);
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.lineWidth = 4;
  pen.lineJoin = "round";
  pen.strokeStyle = look.page;
  pen.strokeText(shown, left, top);
  pen.fillStyle = look.text;
  pen.fillText(shown, left, top);
  return true;
}

// ---- finding points: by place and by name

const CELLS = 256;
const starts = new Uint32Array(CELLS * CELLS + 1);
const byCell = new Uint32Array(n);
const cellOf = (point) => {
  const column = Math.min(CELLS - 1, Math.floor(X[point] * CELLS));
  return Math.min(CELLS - 1, Math.floor(Y[point] * CELLS)) * CELLS + column;
};
for (let point = 0; point < n; point++) starts[cellOf(point) + 1]++;
for (let cell = 0; cell < CELLS * CELLS; cell++) starts[cell + 1] += starts[cell];
{
  const next = starts.slice();
  for (let point = 0; point < n; point++) byCell[next[cellOf(point)]++] = point;
}

function* around(x, y, reach) {
  const bound = (value) => Math.min(CELLS - 1, Math.max(0, Math.floor(value * CELLS)));
  for (let row = bound(y - reach); row <= bound(y + reach); row++) {
    for (let column = bound(x - reach); column <= bound(x + reach); column++) {
      const cell = row * CELLS + column;
      for (let at = starts[cell]; at < starts[cell + 1]; at++) yield byCell[at];
    }
  }
}

function pointAt(screenX, screenY, reach = 12) {
  const [x, y] = [toMapX(screenX), toMapY(screenY)];
  let best = -1, nearest = (reach / view.scale) ** 2;
  for (const point of around(x, y, reach / view.scale)) {
    if (isLit && !isLit[point]) continue;
    const distance = (X[point] - x) ** 2 + (Y[point] - y) ** 2;
    if (distance < nearest || (distance === nearest && point < best)) [best, nearest] = [point, distance];
  }
  return best;
}

function neighboursOf(point) {
  const each = map.perPoint;
  const first = point * each;
  if (each && first + each <= map.neighbours.length) {
    return { rows: Array.from(map.neighbours.slice(first, first + each)), isExact: true };
  }
  let reach = 1 / CELLS, rows = [];
  while (rows.length < 9 && reach < 2) {
    rows = [...around(X[point], Y[point], reach)];
    reach *= 2;
  }
  const distance = (other) => (X[other] - X[point]) ** 2 + (Y[other] - Y[point]) ** 2;
  rows = rows.filter((other) => other !== point);
  return { rows: rows.sort((a, b) => distance(a) - distance(b) || a - b).slice(0, 8), isExact: false };
}

let keys = null;
function search(text) {
  const wanted = folded(text.trim());
  if (!wanted) return null;
  keys ??= map.ids.map((id, point) => folded(`${map.titles[point] ?? ""}\n${id}`));
  const rows = [];
  for (let point = 0; point < keys.length; point++) if (keys[point].includes(wanted)) rows.push(point);
  return rows;
}

// ---- the panel

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function textOf(number) {
  if (!Number.isFinite(number)) return "–";
  return Number.isInteger(number) ? WHOLE.format(number) : String(Number(number.toPrecision(3)));
}

function valueText(number, point) {
  const known = colorings[number];
  if (number === 0) return WHOLE.format(map.popularity[point]);
  if (known.groups) return known.groups[valuesOf(number)[point]];
  const share = shareOf(number, point);
  if (share === null) return known.name.startsWith("movement") ? "new" : "unknown";
  const { low, high } = known;
  return textOf(Number((known.isLog ? low * (high / low) ** share : low + (high - low) * share).toPrecision(4)));
}

const pointButton = (point) =>
  element("button", { type: "button", class: "row", onclick: () => select(point, true) }, nameOf(point));

function select(point, goes = false) {
  selected = point;
  hovered = -1;
  if (goes) $("found").hidden = true;
  $("tip").hidden = true;
  const panel = $("selected");
  panel.hidden = point < 0;
  if (point >= 0) {
    const { rows, isExact } = neighboursOf(point);
    const facts = element("dl", {});
    if (map.titles.length) facts.append(element("dt", {}, "id"), element("dd", {}, map.ids[point] ?? "–"));
    colorings.forEach((known, number) => {
      facts.append(element("dt", {}, known.name), element("dd", {}, valueText(number, point)));
    });
    const title = isExact ? "Nearest by cosine" : "Nearest on the map";
    panel.replaceChildren(
      element("h2", { id: "selected-name" }, nameOf(point)),
      facts,
      element("h3", {}, title),
      element("ol", { class: "rows" }, ...rows.map((other) => element("li", {}, pointButton(other)))),
      element("button", { type: "button", onclick: () => select(-1) }, "Close"),
    );
    const close = Math.max(view.scale, whole * Math.min(12, Math.max(2, Math.sqrt(n) / 12)));
    if (goes) goTo(X[point], Y[point], close);
    $("said").textContent = `${nameOf(point)}, ${colorings[0].name} ${valueText(0, point)}`;
  }
  const hash = point >= 0 && map.ids[point] !== undefined ? `#id=${encodeURIComponent(map.ids[point])}` : "";
  if (location.hash !== hash) history.replaceState(null, "", hash || location.pathname + location.search);
  board.dataset.selected = point;
  redraw();
}

function showLegend() {
  const known = colorings[coloring];
  const legend = $("legend");
  if (known.groups) {
    const values = valuesOf(coloring);
    const counts = new Uint32Array(known.groups.length);
    for (let point = 0; point < n; point++) counts[values[point]]++;
    legend.replaceChildren(
      ...known.groups.map((group, number) => {
        const swatch = element("span", { class: "swatch", "aria-hidden": "true" });
        swatch.style.background = colorOfGroup(known, number);
        const label = `${group} (${WHOLE.format(counts[number])})`;
        const isShown = !hiddenGroups.has(number);
        const onclick = () => {
          if (!hiddenGroups.delete(number)) hiddenGroups.add(number);
          showLegend();
          lightPoints();
          $("legend").children[number].focus();
        };
        return element("button", { type: "button", "aria-pressed": isShown, onclick }, swatch, label);
      }),
    );
    if (known.isFirst) legend.append(element("p", { class: "hint" }, "Of several, the first."));
  } else {
    const bar = element("div", { class: "ramp", role: "img", "aria-label": "from low to high" });
    bar.style.background = `linear-gradient(to right, ${look.ramp.join(", ")})`;
    const ends = element("p", { class: "ends" }, element("span", {}, textOf(Number(known.low.toPrecision(3)))));
    ends.append(element("span", {}, `${known.isLog ? "powers of ten, to " : ""}${textOf(Number(known.high.toPrecision(3)))}`));
    legend.replaceChildren(bar, ends);
  }
}

function showRegions() {
  const large = map.regions.filter(([, , , , level]) => level === 0);
  $("regions-card").hidden = !large.length;
  $("regions").replaceChildren(
    ...large.map(([name, x, y, size]) =>
      element(
        "li",
        {},
        element("button", { type: "button", class: "row", onclick: () => goTo(x, y, whole * 3.5) }, name),
        element("span", { class: "quiet" }, ` ${WHOLE.format(size)}`),
      ),
    ),
  );
}

// ---- what people do

const pointers = new Map();
let last = null, moved = 0;

const at = (event) => {
  const box = board.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
};

board.addEventListener("pointerdown", (event) => {
  board.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, at(event));
  [last, moved] = [at(event), 0];
});
board.addEventListener("pointermove", (event) => {
  const [x, y] = at(event);
  if (!pointers.has(event.pointerId)) return hover(x, y);
  if (pointers.size === 2) {
    const spread = () => {
      const [[ax, ay], [bx, by]] = [...pointers.values()];
      return [Math.hypot(ax - bx, ay - by), (ax + bx) / 2, (ay + by) / 2];
    };
    const [before, middleX, middleY] = spread();
    pointers.set(event.pointerId, [x, y]);
    const [after, nowX, nowY] = spread();
    move(nowX - middleX, nowY - middleY);
    if (before > 0) zoom(after / before, nowX, nowY);
    moved = 99;
    return undefined;
  }
  const [beforeX, beforeY] = pointers.get(event.pointerId);
  pointers.set(event.pointerId, [x, y]);
  moved += Math.hypot(x - beforeX, y - beforeY);
  if (moved > 4) {
    $("tip").hidden = true;
    move(x - beforeX, y - beforeY);
  }
  return undefined;
});
const release = (event) => {
  if (pointers.delete(event.pointerId) && event.type === "pointerup" && moved <= 4) {
    select(pointAt(...at(event), event.pointerType === "touch" ? 22 : 12));
  }
};
board.addEventListener("pointerup", release);
board.addEventListener("pointercancel", release);
board.addEventListener("pointerleave", () => hover(-1e6, -1e6));
board.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(Math.exp(-Math.max(-120, Math.min(120, event.deltaY)) * 0.0022), ...at(event));
}, { passive: false });
board.addEventListener("dblclick", (event) => zoom(2, ...at(event)));

function hover(x, y) {
  const point = pointAt(x, y);
  const tip = $("tip");
  tip.hidden = point < 0;
  board.style.cursor = point < 0 ? "" : "pointer";
  if (point >= 0) {
    if (point !== hovered) {
      const number = coloring;
      const lines = [`${colorings[0].name} ${valueText(0, point)}`];
      if (number) lines.push(`${colorings[number].name}: ${valueText(number, point)}`);
      tip.replaceChildren(element("strong", {}, nameOf(point)), ...lines.map((line) => element("span", {}, line)));
    }
    tip.style.left = `${Math.max(4, Math.min(x + 14, width - tip.offsetWidth - 4))}px`;
    tip.style.top = `${y > height - tip.offsetHeight - 20 ? y - tip.offsetHeight - 10 : y + 14}px`;
  }
  if (point !== hovered) {
    hovered = point;
    redraw();
  }
}

const MOVES = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
board.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (MOVES[event.key]) move(...MOVES[event.key]);
  else if (event.key === "+" || event.key === "=") zoom(1.4);
  else if (event.key === "-") zoom(1 / 1.4);
  else if (event.key === "0") { showAll(); redraw(); }
  else if (event.key === "Enter") select(pointAt(width / 2, height / 2, Math.max(width, height)));
  else return;
  event.preventDefault();
});
for (const kind of ["focus", "blur"]) board.addEventListener(kind, redraw);
document.addEventListener("keydown", (event) => {
  const isTyping = ["INPUT", "SELECT"].includes(event.target.tagName);
  if (event.key === "/" && !isTyping) {
    event.preventDefault();
    $("search").focus();
  } else if (event.key === "Escape") {
    if ($("search").value) {
      $("search").value = "";
      showFound();
    }
    select(-1);
  }
});

function showFound() {
  found = search($("search").value);
  const list = $("found");
  list.hidden = !found;
  list.replaceChildren(...(found ?? []).slice(0, 30).map((point) => element("li", {}, pointButton(point))));
  const more = found && found.length > 30 ? ", the 30 most popular listed" : "";
  $("count").textContent = found ? `${WHOLE.format(found.length)} found${more}` : "";
  lightPoints();
}
let waiting = 0;
$("search").addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(showFound, n > 20000 ? 120 : 0);
});
$("search").addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown" || event.key === "Enter") {
    clearTimeout(waiting); // what is typed counts, whether it was searched or not
    showFound();
  }
  const first = $("found").querySelector("button");
  if (event.key === "Enter") {
    if (found?.length) select(found[0], true);
  } else if (event.key === "ArrowDown" && first) {
    first.focus();
    event.preventDefault();
  }
});
$("found").addEventListener("keydown", (event) => {
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (!step) return;
  const rows = [...$("found").querySelectorAll("button")];
  const next = rows.indexOf(document.activeElement) + step;
  (rows[next] ?? $("search")).focus();
  event.preventDefault();
});
$("in").addEventListener("click", () => zoom(1.6));
$("out").addEventListener("click", () => zoom(1 / 1.6));
$("all").addEventListener("click", () => { showAll(); redraw(); });

const by = $("by");
by.append(...colorings.map((known, number) => element("option", { value: number }, known.name)));
by.addEventListener("change", () => {
  coloring = Number(by.value);
  hiddenGroups = new Set();
  paintPoints();
  showLegend();
});

const renew = () => {
  takeLook();
  paintPoints();
  showLegend();
};
dark.addEventListener("change", renew);
new ResizeObserver(resize).observe(board);

$("left").textContent = map.left.length ? `To stay below its size this file holds ${map.left.join("; ")}.` : "";
renew();
resize();
showRegions();
const words = colorings.findIndex((known) => known.groups);
if (words > 0) {
  by.value = words;
  by.dispatchEvent(new Event("change"));
}
const asked = new URLSearchParams(location.hash.slice(1)).get("id");
const start = asked === null ? -1 : map.ids.indexOf(asked);
if (start >= 0) select(start, true);
board.dataset.points = n;

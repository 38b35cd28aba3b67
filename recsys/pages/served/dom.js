// Elements from data: texts are always texts, never markup.

export const $ = (id) => document.getElementById(id);

const SVG = "http://www.w3.org/2000/svg";

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((one) => one !== null && one !== undefined));
  return element;
}

export function el(name, attributes, ...children) {
  return filled(document.createElement(name), attributes, children);
}

export function button(text, label, onclick, attributes) {
  const named = { type: "button", "aria-label": label, title: label, onclick, ...attributes };
  return el("button", named, text);
}

export function show(id, ...children) {
  $(id).replaceChildren(...children.flat(Infinity).filter(Boolean));
}

// Said by a screen reader.
export function say(text) {
  $("said").textContent = text;
}

const NUMBERS = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const whole = (number) => NUMBERS.format(number);

export const counted = (number, word) => `${whole(number)} ${word}${number === 1 ? "" : "s"}`;

export function short(number) {
  if (number === null || number === undefined || !Number.isFinite(number)) return "–";
  if (Number.isInteger(number) && Math.abs(number) < 1e9) return whole(number);
  return String(Number(number.toPrecision(4)));
}

const SPANS = [
  [86400 * 2, 86400, "days"],
  [3600 * 2, 3600, "h"],
  [60 * 2, 60, "min"],
  [0, 1, "s"],
];

export function span(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const [, unit, name] = SPANS.find(([least]) => Math.abs(seconds) >= least) ?? SPANS[3];
  return `${whole(seconds / unit)} ${name}`;
}

export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  const [number, unit] = seconds < 1e-3 ? [seconds * 1e6, "µs"] : seconds < 1 ? [seconds * 1e3, "ms"] : [seconds, "s"];
  return `${Number(number.toPrecision(3))} ${unit}`;
}

// A line of numbers, the last one at the right; null where nothing was measured.
export function sparkline(numbers, label) {
  const size = Math.max(numbers.length, 12);
  const [width, height] = [240, 40];
  const known = numbers.filter((one) => one !== null);
  const most = Math.max(...known, 1e-12);
  const points = numbers.map((one, place) => {
    const x = width - ((numbers.length - 1 - place) * width) / (size - 1);
    return one === null ? null : `${x.toFixed(1)},${(height - 2 - (one / most) * (height - 4)).toFixed(1)}`;
  });
  const line = document.createElementNS(SVG, "polyline");
  filled(line, { points: points.filter(Boolean).join(" ") }, []);
  const box = { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, class: "spark" };
  return filled(document.createElementNS(SVG, "svg"), { ...box, preserveAspectRatio: "none" }, [line]);
}

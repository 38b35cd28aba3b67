// Items as the page shows them: their titles, where they stood before, and what can be done with them.

import { ask, part, query } from "./ask.js";
import { button, counted, el, short } from "./dom.js";

const MOST = 160; // characters of a title that are shown; the page of the item has them all

const titles = new Map(); // of ids that an answer had

// A title as it is shown; undefined where there is none, or only blanks.
function shownTitle(title) {
  const text = String(title ?? "").trim();
  if (!text) return undefined;
  return text.length > MOST ? `${[...text.slice(0, 2 * MOST)].slice(0, MOST).join("")}…` : text;
}

export function remember(items) {
  for (const one of items) {
    const title = shownTitle(one.title);
    if (title !== undefined) titles.set(String(one.item_id), title);
    if (one.because_of) remember([one.because_of]);
  }
  return items;
}

export const titleOf = (id) => titles.get(String(id));

// Learns the titles of items that no answer had yet, such as those of an address.
export async function learn(ids, limits, signal) {
  const candidates = ids.filter((id) => titleOf(id) === undefined).slice(0, limits.max_ids);
  if (!candidates.length) return;
  const k = Math.min(candidates.length, limits.max_k);
  remember((await ask("v1/lists/popular", { candidates, k }, signal)).items);
}

// The title of an item as a link to what is known of it; where it has none, the id.
export function named(id, href) {
  const title = titleOf(id);
  const text = title ?? String(id);
  const attributes = { href, dir: "auto", class: title === undefined ? "id" : null, title: String(id) };
  return el("a", attributes, text);
}

// An item is found by its title or id; where items have no titles, by its id alone.
export async function findItems(text, signal) {
  try {
    const found = await ask(`v1/items?${query({ title: text, k: 8 })}`, undefined, signal);
    return remember(found.items).map((one) => ({
      value: String(one.item_id),
      text: titleOf(one.item_id) ?? String(one.item_id),
      note: `${titleOf(one.item_id) === undefined ? "" : `${one.item_id} · `}${counted(one.score, "user")}`,
    }));
  } catch (error) {
    if (error.name === "AbortError" || error.status !== 422 || !text) throw error;
    const one = await ask(`v1/items/${part(text)}`, undefined, signal);
    return [{ value: String(one.item_id), text: String(one.item_id), note: counted(one.n_users, "user") }];
  }
}

// How each item moved from one list to another: by places, "new", or null where nothing is compared.
export function moves(items, before) {
  if (!before) return items.map(() => null);
  const places = new Map(before.map((one, place) => [String(one.item_id), place]));
  return items.map((one, place) => {
    const old = places.get(String(one.item_id));
    return old === undefined ? "new" : old - place;
  });
}

function moved(by) {
  if (by === null) return null;
  if (by === "new") return el("span", { class: "moved new", title: "Not in the list before" }, "new");
  if (by === 0) return el("span", { class: "moved", title: "In the same place" }, "=");
  const text = `${by > 0 ? "▲" : "▼"}${Math.abs(by)}`;
  const what = `${Math.abs(by)} ${by > 0 ? "up" : "down"}`;
  return el("span", { class: by > 0 ? "moved up" : "moved down", title: what, "aria-label": what }, text);
}

// A whole number may be a year or a code: it stays as it is.
function valueText(value) {
  if (Array.isArray(value)) return value.map(valueText).join(", ");
  return typeof value === "number" && !Number.isInteger(value) ? short(value) : String(value);
}

function known(one, titleColumn) {
  return Object.entries(one.attributes ?? {})
    .filter(([name, value]) => value !== null && name !== titleColumn)
    .map(([, value]) => valueText(value).trim())
    .filter(Boolean)
    .join(" · ");
}

// A list: `actions(item)` returns the buttons of one; `before` is the list that it is compared with.
export function listed(found, { href, actions, before } = {}) {
  const items = remember(found.items);
  if (!items.length) return [el("p", { class: "hint" }, "No item fulfils the conditions.")];
  const most = Math.max(...items.map((one) => Math.abs(one.score ?? 0)), 1e-12);
  const by = moves(items, before);
  const lines = items.map((one, place) => {
    const because = one.because_of;
    const attributes = known(one, found.title_column);
    return el(
      "li",
      { "data-id": String(one.item_id) },
      el("div", { class: "line" }, named(one.item_id, href(one.item_id)), moved(by[place])),
      attributes ? el("small", { class: "cut", dir: "auto" }, attributes) : null,
      because
        ? el("small", { class: "because" }, "because of ", named(because.item_id, href(because.item_id)))
        : null,
      el(
        "div",
        { class: "score" },
        el("meter", { min: 0, max: most, value: Math.max(one.score ?? 0, 0), "aria-label": "Score" }),
        el("span", {}, short(one.score)),
        actions?.(one),
      ),
      el("div", { class: "why" }),
    );
  });
  return [el("ol", { class: "items" }, lines)];
}

// What each item of a history adds to a score, the largest first.
export function explained(why, href) {
  const parts = remember(why.parts);
  const shown = parts.slice(0, 8);
  const rest = parts.slice(8).reduce((sum, one) => sum + one.score, why.rest ?? 0);
  const most = Math.max(...shown.map((one) => Math.abs(one.score)), 1e-12);
  const line = (name, score, bar) => el("li", {}, name, bar, el("span", {}, short(score)));
  const lines = shown.map(({ item_id: id, score }) => {
    const kind = score < 0 ? "less" : null;
    const bar = { min: 0, max: most, value: Math.abs(score), class: kind, "aria-label": "Part" };
    return line(named(id, href(id)), score, el("meter", bar));
  });
  const others = parts.length - shown.length;
  const all = others > 0 ? `${others} more, and what no item adds` : "what no item adds";
  return el(
    "div",
    {},
    el("p", { class: "hint" }, `The score ${short(why.score)} is the sum of`),
    el("ul", { class: "parts" }, lines, line(el("span", {}, all), rest, el("span"))),
  );
}

export function chip(id, href, label, onclick) {
  return el("li", { "data-id": String(id) }, named(id, href), button("✕", label, onclick));
}

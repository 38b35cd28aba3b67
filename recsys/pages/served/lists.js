// The lists of a user: what was seen and what is changed of it here, the list, and another version's.

import { go, toItem, withOne, without } from "./address.js";
import { ask, part, query } from "./ask.js";
import { $, button, counted, el, say, short, show, whole } from "./dom.js";
import { chip, explained, learn, listed, named, remember, titleOf } from "./items.js";

const SHOWN = 30; // items of a history, at first

let isWhole = false; // whether all of a history is shown

export function showLess() {
  isWhole = false;
}

// ---- what a user has seen, and what was added and removed here

async function historyOf(at, k, signal) {
  if (!at.user) return { items: [], isKnown: false };
  try {
    const found = await ask(`v1/users/${part(at.user)}/history?${query({ k })}`, undefined, signal);
    return { items: remember(found.items), isKnown: true, isCut: found.items.length === k };
  } catch (error) {
    if (error.status !== 404) throw error;
    return { items: [], isKnown: false };
  }
}

const isEdited = (at) => at.add.length > 0 || at.drop.length > 0;

// Who is asked for: a user as the service knows it, or the items that are left, the last one last.
function asked(at, history) {
  if (!isEdited(at) && at.user) return { user_id: at.user };
  const kept = history.items.filter((one) => !at.drop.includes(String(one.item_id)));
  const added = at.add.filter((id) => kept.every((one) => String(one.item_id) !== id));
  const ids = [...kept.map((one) => one.item_id).reverse(), ...added];
  if (!ids.length) return { user_id: at.user || "", on_unknown: "popular" };
  if (!kept.length) return { history: ids, on_unknown: "ignore" };
  const mean = kept.reduce((sum, one) => sum + one.score, 0) / kept.length;
  const weights = [...kept.map((one) => one.score).reverse(), ...added.map(() => mean)];
  return { history: ids, weights, on_unknown: "ignore" };
}

function conditions(at) {
  const found = { k: Number(at.k) || 10 };
  if (at.where) found.where = at.where;
  if (Number(at.diversity)) found.diversity = Number(at.diversity);
  if (at.max_per) found.max_per = at.max_per;
  if (at.seen) found.include_seen = true;
  if (at.not.length) found.exclude = at.not;
  return found;
}

function historyLine(one, at) {
  const id = String(one.item_id);
  const isDropped = at.drop.includes(id);
  const isAdded = at.add.includes(id);
  const back = isDropped || isAdded;
  const act = isDropped
    ? () => go({ drop: without(at.drop, id) })
    : () => go(isAdded ? { add: without(at.add, id) } : { drop: withOne(at.drop, id) });
  const label = `${isDropped ? "Put back" : "Remove"} ${titleOf(id) ?? id}`;
  return el(
    "li",
    { "data-id": id, class: isDropped ? "dropped" : isAdded ? "added" : null },
    named(id, toItem(id)),
    one.score === undefined ? null : el("small", { title: "Weight" }, short(one.score)),
    button(back && isDropped ? "↺" : "✕", label, act),
  );
}

function showHistory(at, history) {
  const known = new Set(history.items.map((one) => String(one.item_id)));
  const added = at.add.filter((id) => !known.has(id)).map((id) => ({ item_id: id }));
  const isDropped = (one) => at.drop.includes(String(one.item_id));
  const dropped = history.items.filter(isDropped);
  const all = [...added, ...dropped, ...history.items.filter((one) => !isDropped(one))];
  const shown = isWhole ? all : all.slice(0, SHOWN);
  const more = all.length - shown.length;
  const whose = at.user ? history.isCut ? `${whole(history.items.length)} of more items` : counted(history.items.length, "item") : "A new visitor";
  show(
    "history",
    el("p", { class: "hint" }, whose, isEdited(at) ? " · changed here: the list is folded in" : ""),
    at.user && !history.isKnown
      ? el("p", { class: "notice" }, "The version does not hold this user: the list is for everybody.")
      : null,
    el("ul", { class: "seen" }, shown.map((one) => historyLine(one, at))),
    more > 0
      ? button(`All ${whole(all.length)}`, "Show all items", () => {
          isWhole = true;
          showHistory(at, history);
        })
      : null,
    isEdited(at) ? button("Undo all changes", "Undo all changes", () => go({ add: [], drop: [] })) : null,
  );
}

// ---- the list

function actions(at, who) {
  return (one) => {
    const id = String(one.item_id);
    const title = titleOf(id) ?? id;
    return el(
      "span",
      { class: "actions" },
      button("Add", `Add ${title} to what was seen`, () => go({ add: withOne(at.add, id), drop: without(at.drop, id) })),
      button("Leave out", `Leave out ${title}`, () => go({ not: withOne(at.not, id) })),
      button("Why", `Why ${title}`, (event) => why(event.currentTarget, who, one.item_id), { "aria-expanded": "false" }),
    );
  };
}

async function why(pressed, who, id) {
  const place = pressed.closest("li").querySelector(".why");
  const isOpen = pressed.getAttribute("aria-expanded") === "true";
  pressed.setAttribute("aria-expanded", String(!isOpen));
  if (isOpen) return place.replaceChildren();
  const { on_unknown: _, ...whom } = who;
  try {
    const found = await ask("v1/explanations", { ...whom, item_id: id, details: true });
    place.replaceChildren(explained(found, toItem));
  } catch (error) {
    const text = error.status === 404 ? "Nothing is known of this user that could explain it." : error.message;
    place.replaceChildren(el("p", { class: "hint" }, text));
  }
  return undefined;
}

function above(found, milliseconds) {
  const time = milliseconds === undefined ? "" : ` · ${whole(milliseconds)} ms`;
  return el("p", { class: "hint" }, el("b", {}, found.source.replace("_", "-")), ` · ${counted(found.items.length, "item")}${time}`);
}

function leftOut(at) {
  if (!at.not.length) return null;
  const chips = at.not.map((id) =>
    chip(id, toItem(id), `Allow ${titleOf(id) ?? id} again`, () => go({ not: without(at.not, id) })),
  );
  return [el("p", { class: "hint" }, "Left out"), el("ul", { class: "chips" }, chips)];
}

// What conditions can be on; a list without an item says nothing of that.
function columnsOf({ items, title_column: titleColumn }) {
  if (!items.length) return;
  const names = [...new Set(items.flatMap((one) => Object.keys(one.attributes ?? {})))];
  const [column = "column"] = names.filter((one) => one !== titleColumn);
  const none = "The items have no attributes to set conditions on.";
  $("columns").textContent = names.length ? `Columns: ${names.join(", ")}` : none;
  for (const [id, example] of [["where", `${column} = '…'`], ["max_per", `${column}:2`]]) {
    $(id).placeholder = names.length ? example : "";
    $(id).disabled = !names.length;
  }
}

// The fields say what the address says, but for those that somebody is typing in.
export function showFields(at, typed) {
  const values = { user: at.user, where: at.where, max_per: at.max_per, k: at.k || "10" };
  for (const [id, value] of Object.entries(values)) if (!typed.has(id)) $(id).value = value;
  $("diversity").value = at.diversity || "0";
  $("diversity-shown").textContent = $("diversity").value;
  $("seen").checked = Boolean(at.seen);
}

export async function showLists(at, signal, served) {
  $("other").value = at.other;
  $("list-title").textContent = at.user ? `List of ${at.user}` : "List of a new visitor";
  const [history] = await Promise.all([
    historyOf(at, served.limits.max_k, signal),
    learn([...at.add, ...at.not], served.limits, signal),
  ]);
  const who = asked(at, history);
  const limits = conditions(at);
  const began = performance.now();
  const body = { ...who, ...limits, details: true };
  const isPlain = !isEdited(at) && Object.keys(limits).length === 1;
  const [found, before, beside] = await Promise.all([
    ask("v1/recommendations", body, signal).then((one) => ({ ...one, time: performance.now() - began })),
    isPlain ? null : ask("v1/recommendations", { user_id: at.user, k: limits.k }, signal),
    at.other ? ask(`v1/versions/${part(at.other)}/recommendations`, body, signal).catch((error) => error) : null,
  ]);
  showHistory(at, history);
  show(
    "list",
    above(found, found.time),
    before ? el("p", { class: "hint" }, "Marked: how each moved from the list without changes and conditions.") : null,
    listed(found, { href: toItem, actions: actions(at, who), before: before?.items }),
    leftOut(at),
  );
  columnsOf(found);
  $("beside").hidden = !beside;
  $("other-title").textContent = `Version ${at.other}`;
  if (beside instanceof Error) show("other-list", el("p", { class: "notice" }, beside.message));
  else if (beside) {
    show(
      "other-list",
      above(beside),
      el("p", { class: "hint" }, "Marked: how each stands against the list at the left."),
      listed(beside, { href: toItem, before: found.items }),
    );
  }
  say(`${counted(found.items.length, "item")}, ${found.source}`);
}

// The explorer: what the address says is shown, and what is done changes the address.

import { go, link, state, toItem, withOne, without } from "./address.js";
import { ask, part, query } from "./ask.js";
import { $, counted, el, say, short, show, whole } from "./dom.js";
import { chip, findItems, learn, listed, remember, titleOf } from "./items.js";
import { showFields, showLess, showLists } from "./lists.js";
import { picker } from "./picker.js";

const typed = new Set(); // fields that hold more than the address says

let served = null;
let asking = new AbortController();

function problem(error) {
  const text = error ? (error.status === undefined ? `The page failed: ${error.message}` : error.message) : "";
  $("problem").textContent = text;
  $("problem").hidden = !text;
}

// ---- items

async function showItem(at, signal) {
  $("item").value = titleOf(at.item) ?? at.item;
  if (!at.item) {
    $("about-item").textContent = "Item";
    show("item-known", el("p", { class: "hint" }, "Those with most users:"), listed(
      await ask(`v1/lists/popular?${query({ k: 10, details: true })}`, undefined, signal), { href: toItem }));
    show("similar");
    return;
  }
  $("about-item").textContent = titleOf(at.item) ?? at.item;
  const [known, similar] = await Promise.all([
    ask(`v1/items/${part(at.item)}`, undefined, signal),
    ask(`v1/items/${part(at.item)}/similar?${query({ k: 20, details: true })}`, undefined, signal),
  ]);
  remember([{ item_id: known.item_id, title: known.attributes[similar.title_column] }]);
  $("about-item").textContent = titleOf(known.item_id) ?? String(known.item_id);
  $("item").value = $("about-item").textContent;
  const rows = [["id", known.item_id], ["users", whole(known.n_users)], ...Object.entries(known.attributes)];
  show(
    "item-known",
    el("dl", {}, rows.map(([name, value]) => [
      el("dt", {}, name),
      el("dd", { dir: "auto" }, value === null ? "–" : Array.isArray(value) ? value.join(", ") : String(value)),
    ])),
    el("p", { class: "actions" },
      el("a", { href: link({ view: "lists", add: withOne(at.add, at.item) }) }, "Add to what was seen"),
      el("a", { href: link({ view: "sums", plus: withOne(at.plus, at.item) }) }, "Plus in a − b + c"),
      el("a", { href: link({ view: "sums", minus: withOne(at.minus, at.item) }) }, "Minus"),
    ),
  );
  show("similar", listed(similar, { href: toItem }));
  say(`${similar.items.length} similar items`);
}

// ---- a - b + c

async function showSums(at, signal, { limits }) {
  await learn([...at.plus, ...at.minus], limits, signal);
  for (const name of ["plus", "minus"]) {
    const chips = at[name].map((id) =>
      chip(id, toItem(id), `Remove ${titleOf(id) ?? id}`, () => go({ [name]: without(at[name], id) })),
    );
    show(`${name}-items`, el("ul", { class: "chips" }, chips));
    $(name).value = "";
  }
  if (!at.plus.length && !at.minus.length) {
    show("near", el("p", { class: "hint" }, "Add an item, take one away that it shares something with, and add a third."));
    return;
  }
  const body = { plus: at.plus, minus: at.minus, k: 20, details: true };
  const found = await ask("v1/items:nearest", body, signal);
  show("near", listed(found, { href: toItem }));
  say(`${found.items.length} nearest items`);
}

// ---- the page

// What was pressed is gone when its panel is made anew: the same button there, or its panel, is next.
function kept() {
  const panel = document.activeElement?.closest("section[aria-labelledby]");
  const label = document.activeElement?.getAttribute("aria-label");
  return () => {
    if (!panel || panel.hidden || document.activeElement !== document.body) return;
    const same = [...panel.querySelectorAll("button")].find((one) => label && one.getAttribute("aria-label") === label);
    const next = same ?? panel.querySelector("h2");
    if (next !== same) next.tabIndex = -1;
    next.focus({ preventScroll: true });
  };
}

const VIEWS = { lists: showLists, items: showItem, sums: showSums };
const ANSWERS = { lists: ["list", "other-list"], items: ["item-known", "similar"], sums: ["near"] };

async function render() {
  const at = state();
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  showFields(at, typed);
  for (const view of Object.keys(VIEWS)) $(view).hidden = view !== at.view;
  for (const one of document.querySelectorAll("nav a[data-view]")) {
    one.href = link({ view: one.dataset.view });
    if (one.dataset.view === at.view) one.setAttribute("aria-current", "page");
    else one.removeAttribute("aria-current");
  }
  document.body.setAttribute("aria-busy", "true");
  const focus = kept();
  try {
    await lookAtVersion(signal);
    await VIEWS[at.view](at, signal, served);
    problem(null);
  } catch (error) {
    if (error.name === "AbortError") return;
    for (const id of ANSWERS[at.view]) show(id); // what was asked before is no answer to this
    problem(error);
  }
  if (signal.aborted) return;
  focus();
  document.body.setAttribute("aria-busy", "false");
}

async function findUsers(text, signal) {
  const found = await ask(`v1/users?${query({ start: text, k: 8 })}`, undefined, signal);
  return found.users.map((one) => ({
    value: String(one.user_id),
    text: String(one.user_id),
    note: counted(one.n_items, "item"),
  }));
}

const anew = { add: [], drop: [], not: [] };

function connect() {
  picker($("user"), findUsers, (one) => go({ user: one.value, ...anew }), true);
  picker($("add"), findItems, (one) => {
    $("add").value = "";
    const at = state();
    go({ add: withOne(at.add, one.value), drop: without(at.drop, one.value) });
  });
  picker($("item"), findItems, (one) => go({ item: one.value }));
  for (const name of ["plus", "minus"]) {
    picker($(name), findItems, (one) => go({ [name]: withOne(state()[name], one.value) }));
  }
  $("somebody").onclick = async () => {
    const [one] = await findUsers("").catch(() => []);
    if (one) go({ user: one.value, ...anew });
  };
  $("newcomer").onclick = () => go({ user: "", ...anew });
  $("other").onchange = () => go({ other: $("other").value });
  $("diversity").oninput = () => {
    $("diversity-shown").textContent = $("diversity").value;
  };
  for (const id of ["where", "max_per", "k"]) $(id).oninput = () => typed.add(id);
  const apply = () => {
    typed.clear();
    go({
      k: $("k").value === "10" ? "" : $("k").value,
      where: $("where").value.trim(),
      diversity: $("diversity").value === "0" ? "" : $("diversity").value,
      max_per: $("max_per").value.trim(),
      seen: $("seen").checked ? "1" : "",
    });
  };
  $("conditions").onsubmit = (event) => {
    event.preventDefault();
    apply();
  };
  for (const name of ["diversity", "seen", "k"]) $(name).onchange = apply;
  addEventListener("hashchange", () => {
    showLess();
    render();
  });
}

function versionsOf(listed) {
  $("other").replaceChildren($("other").options[0]);
  for (const one of listed.versions) {
    if (one.is_current || !one.is_readable) continue;
    const metric = one.metric ? ` · ${one.metric.name} ${short(one.metric.value)}` : "";
    const refused = one.status === "refused" ? "refused · " : "";
    const text = `${refused}${one.created.slice(0, 16).replace("T", " ")} · ${one.model} ${one.factors}${metric}`;
    $("other").append(el("option", { value: one.version, title: one.version }, text));
  }
}

// Another version may have become current since the last look.
async function lookAtVersion(signal) {
  const found = await ask("v1/version", undefined, signal);
  if (found.version === served?.version) return;
  served = found;
  $("about").textContent = `${served.version} · ${served.model}, ${served.factors} factors · ${counted(served.n_users, "user")}, ${counted(served.n_items, "item")}`;
  $("k").max = served.limits.max_k;
  versionsOf(await ask("v1/versions", undefined, signal));
}

async function start() {
  connect();
  try {
    if (!location.hash) {
      const [one] = await findUsers("");
      if (one) history.replaceState(null, "", link({ user: one.value }));
    }
    await render();
  } catch (error) {
    problem(error);
  }
}

start();

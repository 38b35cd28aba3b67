// What the page shows, in the part of its address after #: browsers keep that to themselves.

const MANY = ["add", "drop", "not", "plus", "minus"];
const ONE = ["view", "user", "k", "where", "diversity", "max_per", "seen", "other", "item"];

export function state() {
  const given = new URLSearchParams(location.hash.slice(1));
  const found = {};
  for (const name of ONE) found[name] = given.get(name) ?? "";
  for (const name of MANY) found[name] = given.getAll(name);
  if (!["items", "sums"].includes(found.view)) found.view = "lists";
  return found;
}

function hash(values) {
  const given = new URLSearchParams();
  for (const name of ONE) if (values[name]) given.set(name, values[name]);
  for (const name of MANY) for (const value of values[name] ?? []) given.append(name, value);
  return `#${given}`;
}

export function link(changes) {
  return hash({ ...state(), ...changes });
}

// Goes to another state, from which the browser's button goes back.
export function go(changes) {
  const to = link(changes);
  if (to !== (location.hash || "#")) location.hash = to;
}

export const toItem = (id) => link({ view: "items", item: String(id) });
export const without = (values, value) => values.filter((one) => one !== value);
export const withOne = (values, value) => [...without(values, value), value];

// Asks the routes of the service: with the key of this tab, one answer for each question.

// The explorer reads and the dashboard operates: each has a key of its own, or takes the other's.
const SCOPES = ["read", "operate"];
const own = document.body.dataset.scope;
const slot = (scope) => `recsys.key.${scope}`;

function keyOfTab() {
  const [other] = SCOPES.filter((one) => one !== own);
  return sessionStorage.getItem(slot(own)) ?? sessionStorage.getItem(slot(other));
}

export class Problem extends Error {
  constructor(status, code, detail) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

// Paths are relative to the page, so that it also works behind a proxy that adds a prefix.
async function answer(path, body, signal, key) {
  const headers = {};
  if (key) headers.authorization = `Bearer ${key}`;
  if (body !== undefined) headers["content-type"] = "application/json";
  const options = { headers, signal, method: body === undefined ? "GET" : "POST" };
  if (body !== undefined) options.body = JSON.stringify(body);
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(0, "no_answer", "The service does not answer.");
  }
}

async function asked(path, body, signal) {
  for (;;) {
    const key = keyOfTab();
    const found = await answer(path, body, signal, key);
    if (found.ok) return found;
    let problem = {};
    try {
      problem = await found.json();
    } catch {
      // No problem document: a proxy answered.
    }
    if (found.status === 401 || found.status === 403) {
      const isKnown = found.status === 403;
      const wrong = isKnown ? "This key is valid, and does not allow" : "This key is not valid for";
      await newKey(key ? `${wrong} what this page asks.` : "Who asks this service has a key of it.");
      continue;
    }
    throw new Problem(found.status, problem.code, problem.detail ?? `Status ${found.status}`);
  }
}

export async function ask(path, body, signal) {
  return (await asked(path, body, signal)).json();
}

export async function askText(path) {
  return (await asked(path)).text();
}

let waiting = null;

// Shows the form for a key; all who wait for it go on together.
function newKey(reason) {
  waiting ??= new Promise((resolve) => {
    const dialog = document.getElementById("key");
    const form = dialog.querySelector("form");
    const input = dialog.querySelector("input");
    dialog.querySelector(".reason").textContent = reason;
    dialog.oncancel = (event) => event.preventDefault();
    form.onsubmit = (event) => {
      event.preventDefault();
      const key = input.value.trim();
      if (!/^[\x21-\x7e]+$/.test(key)) { // what a header cannot hold
        dialog.querySelector(".reason").textContent = "A key is of plain letters, digits, - and _.";
        return;
      }
      sessionStorage.setItem(slot(own), key);
      input.value = "";
      dialog.close();
      waiting = null;
      resolve();
    };
    dialog.showModal();
  });
  return waiting;
}

export const part = encodeURIComponent;

export function query(values) {
  return new URLSearchParams(values).toString();
}

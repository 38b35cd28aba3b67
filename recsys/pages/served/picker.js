// A text field that looks up what is typed, and a list below it to choose from: by mouse or keys.

import { el } from "./dom.js";

const WAIT = 120; // milliseconds after the last key

let count = 0;

// `find(text, signal)` returns options of {value, text, note}; `pick(option)` gets the chosen one:
// the first one where none was, or with `isFree` what is typed.
export function picker(input, find, pick, isFree = false) {
  const list = el("ul", { role: "listbox", class: "options", id: `options-${(count += 1)}`, hidden: true });
  input.after(list);
  for (const [name, value] of Object.entries({
    role: "combobox",
    autocomplete: "off",
    "aria-expanded": "false",
    "aria-autocomplete": "list",
    "aria-controls": list.id,
  })) {
    input.setAttribute(name, value);
  }
  let [options, at, timer, asking] = [[], -1, 0, null];

  function close() {
    clearTimeout(timer);
    asking?.abort();
    list.hidden = true;
    at = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  function choose(option) {
    close();
    pick(option);
  }

  async function chooseTyped() {
    const text = input.value.trim();
    const typed = { value: text, text };
    let found = [];
    if (!isFree) found = await find(text).catch(() => []);
    choose(found[0] ?? typed);
  }

  function mark(place) {
    at = place;
    [...list.children].forEach((one, number) => {
      one.setAttribute("aria-selected", String(number === at));
    });
    if (at < 0) return;
    input.setAttribute("aria-activedescendant", list.children[at].id);
    list.children[at].scrollIntoView({ block: "nearest" });
  }

  function shown(found) {
    options = found;
    const lines = found.map((option, place) =>
      el(
        "li",
        {
          role: "option",
          id: `${list.id}-${place}`,
          onmousedown: (event) => event.preventDefault(),
          onclick: () => choose(option),
        },
        el("span", { dir: "auto" }, option.text),
        option.note ? el("small", {}, option.note) : null,
      ),
    );
    if (!lines.length) lines.push(el("li", { class: "none" }, "Nothing of this name"));
    list.replaceChildren(...lines);
    list.hidden = false;
    input.setAttribute("aria-expanded", "true");
    at = -1;
  }

  async function look() {
    asking?.abort();
    asking = new AbortController();
    const { signal } = asking;
    try {
      const found = await find(input.value.trim(), signal);
      if (!signal.aborted && document.activeElement === input) shown(found);
    } catch (error) {
      if (error.name !== "AbortError") shown([]);
    }
  }

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(look, WAIT);
  });
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    const isOpen = !list.hidden && options.length > 0;
    if (event.key === "ArrowDown" && list.hidden) look();
    else if (event.key === "ArrowDown" && isOpen) mark((at + 1) % options.length);
    else if (event.key === "ArrowUp" && isOpen) mark((at + options.length - 1) % options.length);
    else if (event.key === "Escape") close();
    else if (event.key === "Enter" && isOpen && at >= 0) choose(options[at]);
    else if (event.key === "Enter" && input.value.trim()) chooseTyped();
    else return;
    event.preventDefault();
  });
}

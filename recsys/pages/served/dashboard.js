// The dashboard: asks the service every few seconds, and shows what is true now and was since.

import { ask, askText } from "./ask.js";
import { $, duration, el, short, show, span, sparkline, whole } from "./dom.js";
import { buckets, less, of, parsed, quantile, sum, value } from "./metrics.js";

const EVERY = 5000; // milliseconds
const KEPT = 60; // of the last samples
const OWN = new Set(["metrics", "status", "dashboard", "explore", "page_file", "live", "ready", "other"]);
const SECONDS = "recsys_http_request_seconds";

const published = (labels) => labels.result === "published";
const isTraffic = (labels) => !OWN.has(labels.route);

const past = []; // the last samples: {at, samples, rate, p50, p99}
let timer = 0;

function sample(samples) {
  const before = past.at(-1);
  const now = { at: performance.now() / 1000, samples, rate: null, p50: null, p99: null };
  now.n = sum(samples, "recsys_http_requests_total", isTraffic);
  now.buckets = buckets(samples, SECONDS, isTraffic);
  if (before && now.n >= before.n) {
    const between = less(now.buckets, before.buckets);
    now.rate = (now.n - before.n) / (now.at - before.at);
    now.p50 = quantile(between, 0.5);
    now.p99 = quantile(between, 0.99);
  }
  past.push(now);
  if (past.length > KEPT) past.shift();
  return now;
}

function card(title, number, note, spark, isBad) {
  return el(
    "section",
    { class: "card" },
    el("h2", {}, title),
    el("p", { class: `number${isBad ? " bad" : ""}` }, number),
    el("p", { class: "hint" }, note),
    spark,
  );
}

function cards(now, status) {
  const { samples } = now;
  const overall = (share) => quantile(now.buckets, share);
  const lists = sum(samples, "recsys_service_lists_total");
  const fallbacks = sum(samples, "recsys_service_fallbacks_total");
  const failed = sum(samples, "recsys_http_requests_total", (labels) => labels.status >= "500");
  const events = (outcome) => sum(samples, "recsys_events_total", (labels) => labels.outcome === outcome);
  const workers = value(samples, "recsys_service_workers");
  const isReady = value(samples, "recsys_service_ready") === 1;
  const series = (name) => past.map((one) => one[name]);
  const found = status.checks.filter((one) => !one.passed);
  const gates = found.length ? `${found.length} reported` : status.checks.length ? "All passed" : "None";
  show(
    "cards",
    status.version === null
      ? card("Version", "None is open", "lists are answered 503 until one is", null, true)
      : card("Version", `${span(status.age_seconds)} old`, `${status.version}, open for ${span(status.opened_seconds_ago)}`),
    card(
      "Gates",
      gates,
      `${status.checks.length} checks of this version`,
      null,
      found.some((one) => one.refuses),
    ),
    card(
      "Workers",
      isReady ? `${whole(workers)} ready` : "Not ready",
      `${short((value(samples, "recsys_service_private_bytes") ?? 0) / 1e6)} MB of their own`,
      null,
      !isReady,
    ),
    card(
      "Requests",
      now.rate === null ? "–" : `${short(now.rate)} /s`,
      `${whole(now.n)} since the start`,
      sparkline(series("rate"), "Requests a second, the last five minutes"),
    ),
    card(
      "Half are answered within",
      duration(now.p50 ?? overall(0.5) ?? NaN),
      now.p50 === null ? "since the start" : `${duration(overall(0.5))} since the start`,
      sparkline(series("p50"), "Median time of an answer, the last five minutes"),
    ),
    card(
      "99 % are answered within",
      duration(now.p99 ?? overall(0.99) ?? NaN),
      now.p99 === null ? "since the start" : `${duration(overall(0.99))} since the start`,
      sparkline(series("p99"), "Time of the slowest hundredth, the last five minutes"),
    ),
    card(
      "Lists that fall back to popular",
      lists ? `${short((100 * fallbacks) / lists)} %` : "–",
      `${whole(fallbacks)} of ${whole(lists)} lists since the start`,
    ),
    card(
      "Live events",
      whole(events("added")),
      `kept since the start; ${whole(events("repeated"))} came twice`,
      samples.has("recsys_service_refreshes_total")
        ? el("p", { class: "hint" }, `${whole(sum(samples, "recsys_service_refreshes_total", published))} refreshes published`)
        : null,
    ),
    card("Failures", whole(failed), "answers of 500 and more since the start", null, failed > 0),
  );
}

const moment = (text) => (text ? text.replace("T", " ").replace(/(\.\d+)?(\+00:00|Z)$/, " UTC") : "–");

function about(status) {
  const ofVersion = status.version === null ? [] : [
    ["Version", status.version],
    ["Model", `${status.model}, ${status.factors} factors`],
    ["Users, items", `${whole(status.n_users)}, ${whole(status.n_items)}`],
    ["Events", status.n_events === null ? "–" : whole(status.n_events)],
    ["Newest event", moment(status.newest_event)],
    ["Published", moment(status.created)],
    ["Parent", status.parent ?? "none"],
    ...(status.refreshed_from ? [["A refresh of", status.refreshed_from]] : []),
  ];
  const rows = [
    ...ofVersion,
    ["Versions in the store", whole(status.n_versions)],
    ...(status.newest_version !== status.version ? [["Newest of them", status.newest_version ?? "none"]] : []),
  ];
  show("version", el("dl", {}, rows.map(([name, text]) => [el("dt", {}, name), el("dd", {}, text)])));
}

function table(heads, rows, none) {
  if (!rows.length) return el("p", { class: "hint" }, none);
  const cell = (name, one) =>
    typeof one === "object" && one !== null
      ? el(name, { class: one.kind }, one.text)
      : el(name, {}, one ?? "–");
  return el(
    "table",
    {},
    el("thead", {}, el("tr", {}, heads.map((one) => cell("th", one)))),
    el("tbody", {}, rows.map((row) => el("tr", {}, row.map((one) => cell("td", one))))),
  );
}

const number = (text) => ({ kind: "number", text });

function tables({ samples }, status) {
  const isOpen = $("passed")?.open ?? false;
  const lines = (isPassed) =>
    table(
      ["", "What was found"],
      status.checks
        .filter((one) => one.passed === isPassed)
        .map((one) => [
          isPassed ? { kind: "good", text: "passed" } : { kind: one.refuses ? "bad" : "notable", text: one.refuses ? "refused" : "reported" },
          one.sentence,
        ]),
      "",
    );
  const passed = status.checks.filter((one) => one.passed).length;
  show(
    "checks",
    passed < status.checks.length ? lines(false) : null,
    passed
      ? el("details", { id: "passed", open: isOpen }, el("summary", {}, `${passed} passed`), lines(true))
      : el("p", { class: "hint" }, "This version has none that passed."),
  );
  show(
    "metrics",
    table(
      ["Metric", number("Value"), number("95 % interval"), number("Popularity")],
      status.metrics.map((one) => [
        one.name,
        number(short(one.value)),
        number(one.interval ? `${short(one.interval[0])} – ${short(one.interval[1])}` : ""),
        number(one.popularity === null ? "" : short(one.popularity)),
      ]),
      "This version was not tested.",
    ),
  );
  show(
    "nights",
    status.nights_unreadable ? el("p", { class: "notice" }, status.nights_unreadable) : null,
    table(
      ["Night", "Result", "Version", "Reported"],
      status.nights.map((one) => [
        one.run,
        { kind: ["done", "running"].includes(one.result) ? "good" : "bad", text: one.result },
        one.version ?? "–",
        [one.error, ...one.reported].filter(Boolean).join("; "),
      ]),
      "No night has run on this store.",
    ),
  );
  const counts = new Map();
  for (const { labels, value: n } of of(samples, "recsys_http_requests_total")) {
    const known = counts.get(labels.route) ?? { n: 0, failed: 0 };
    known.n += n;
    if (labels.status >= "400") known.failed += n;
    counts.set(labels.route, known);
  }
  const times = (route) => buckets(samples, SECONDS, (labels) => labels.route === route);
  show(
    "routes",
    table(
      ["Route", number("Answers"), number("4xx, 5xx"), number("p50"), number("p99")],
      [...counts]
        .sort(([, a], [, b]) => b.n - a.n)
        .map(([route, { n, failed }]) => [
          route.replaceAll("_", " "),
          number(whole(n)),
          number(whole(failed)),
          number(duration(quantile(times(route), 0.5) ?? NaN)),
          number(duration(quantile(times(route), 0.99) ?? NaN)),
        ]),
      "Nobody has asked yet.",
    ),
  );
  show(
    "problems",
    table(
      ["Problem", number("Answers")],
      of(samples, "recsys_http_problems_total")
        .filter((one) => one.value > 0)
        .sort((a, b) => b.value - a.value)
        .map((one) => [one.labels.code.replaceAll("_", " "), number(whole(one.value))]),
      "None.",
    ),
  );
}

async function refresh() {
  clearTimeout(timer);
  try {
    const [text, status] = await Promise.all([askText("metrics"), ask("v1/status")]);
    status.checks ??= [];
    status.metrics ??= [];
    const now = sample(parsed(text));
    cards(now, status);
    about(status);
    tables(now, status);
    $("to-explorer").hidden = !status.explore;
    $("when").textContent = new Date().toLocaleTimeString("en-GB");
    $("problem").hidden = true;
  } catch (error) {
    $("problem").textContent = `${error.message} What is shown is of ${$("when").textContent}.`;
    $("problem").hidden = false;
  }
  if (!document.hidden) timer = setTimeout(refresh, EVERY);
}

$("now").onclick = refresh;
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) refresh();
});
refresh();

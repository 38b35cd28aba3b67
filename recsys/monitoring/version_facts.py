"""Sections of a report that the version's files answer: groups, index, log, and its night."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recsys.base.charts import Dot, DotPlot, Line, LinePlot, interval_of
from recsys.index import IndexSummary
from recsys.logs.log_summary import LogSummary
from recsys.monitoring.version_parts import ReportTable, Section
from recsys.store import Manifest
from recsys.store.nights import REPORT, RUNS
from recsys.tuning import Choice

_MORE_GROUPS = (
    "recsys evaluate LOG --items FILE --by COLUMN shows accuracy by an attribute of the items."
)
_NO_GROUPS = (
    "This version keeps no groups: it was not tested, or a release before this one made it. recsys "
    "evaluate LOG shows accuracy by the activity of users and the popularity of items."
)


def groups_section(manifest: Manifest) -> Section:
    """Return where the model is good and where it is not."""
    own = manifest.evaluation
    if own is None or not own.groups:
        return Section("Groups", [_NO_GROUPS])
    charts, tables = [], []
    for by, metric in dict.fromkeys((one.by, one.metric) for one in own.groups):
        groups = [one for one in own.groups if one.by == by and one.value is not None]
        dots = [
            Dot(one.group, one.value or 0.0, interval_of(one.interval), one.loses, f"n {one.n:,}")
            for one in groups
        ]
        charts.append(DotPlot(f"{metric}, by {by}", dots, starts_at_zero=True))
        rows = [
            [
                one.group,
                f"{one.n:,}",
                _with_interval(one.value, one.interval),
                "yes" if one.loses else "",
            ]
            for one in groups
        ]
        headings = [by, "n", metric, "popularity is better"]
        tables.append(ReportTable(headings, rows, headings[1:3]))
    return Section("Groups", [_MORE_GROUPS], charts, tables)


def by_factors(choice: Choice) -> list[LinePlot]:
    """Return the best of each number of factors that was tried: the curve of dimensions."""
    best: dict[str, dict[int, float]] = {}
    for one in choice.tried:
        if one.factors > 1:
            of_kind = best.setdefault(one.name, {})
            of_kind[one.factors] = max(one.value, of_kind.get(one.factors, one.value))
    lines = [
        Line(name, sorted(sizes), [sizes[size] for size in sorted(sizes)])
        for name, sizes in best.items()
        if len(sizes) > 1
    ]
    title = f"{choice.metric} by factors, the best of each that was tried"
    return [LinePlot(title, "factors", choice.metric, lines, is_log=True)] if lines else []


def _with_interval(value: float | None, ends: tuple[float | None, float | None]) -> str:
    if value is None:
        return ""
    low, high = interval_of(ends)
    return f"{value:.4f}" + ("" if low is None or high is None else f" ({low:.4f} to {high:.4f})")


def index_section(manifest: Manifest) -> Section:
    """Return what the index finds, and how fast."""
    index = manifest.index.main
    rows = [
        [
            f"{k}",
            _recall(recall),
            *(_milliseconds(one) for one in (index.times[k].p50, index.times[k].p99)),
        ]
        for k, recall in index.recall.items()
        if k in index.times
    ]
    headings = ["length of the list", "recall", "median ms", "ms of the slowest hundredth"]
    time = index.exact_p50_ms
    exact = "" if time is None else f" An exact search takes {time:.4g} ms."
    sentences = [
        f"The index is {index.kind}; recall is the share of the exact list that it finds."
        f"{exact} Times are those of the machine that built it. python -m benchmarks.index draws "
        "recall against time beside other indexes."
    ]
    tables = [ReportTable(headings, rows, headings[1:]), *_under_conditions(index)]
    return Section("Index", sentences, _recall_by_time(index), tables)


def _recall_by_time(index: IndexSummary) -> list[LinePlot]:
    """Return recall against time by length of the list, beside an exact search."""
    points = [
        (index.times[k].p50 or 0.0, recall)
        for k, recall in index.recall.items()
        if recall is not None and k in index.times
    ]
    if index.kind == "exact" or len(points) < 2 or not index.exact_p50_ms:
        return []
    lengths = " and ".join(map(str, index.recall))
    lines = [
        Line(index.kind, [time for time, _ in points], [recall for _, recall in points]),
        Line("exact", [index.exact_p50_ms], [1.0], has_line=False),
    ]
    return [LinePlot(f"recall by time, lists of {lengths}", "median ms", "recall", lines)]


def _under_conditions(index: IndexSummary) -> list[ReportTable]:
    """Return the recall of lists that may not hold every item, by length."""
    partial = index.forest or index.clusters
    if partial is None or not partial.conditions:
        return []
    lengths = sorted({k for one in partial.conditions.values() for k in one})
    rows = [
        [name.replace("_", " "), *(_recall(one.get(k)) for k in lengths)]
        for name, one in partial.conditions.items()
    ]
    headings = [f"lists of {k:,}" for k in lengths]
    return [ReportTable(["recall where lists hold", *headings], rows, headings)]


def _recall(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def rules_sections(manifest: Manifest) -> list[Section]:
    """Return the rules of the config that a version was made with, where there were any."""
    rules: Mapping[str, Any] = manifest.config.get("rules") or {}
    rows = []
    for name, value in rules.items():
        listed = value if isinstance(value, list) else [value]
        rows += [[name, _rule_in_words(one)] for one in listed if one is not None]
    if not rows:
        return []
    sentence = (
        "What the config of its training has in [rules]. Those that hold are the rules of the "
        "config of who answers: recsys serve, recommend and batch --config."
    )
    return [Section("Rules", [sentence], tables=[ReportTable(["rule", "what"], rows)])]


def _rule_in_words(rule: Any) -> str:
    if not isinstance(rule, Mapping):
        return str(rule)
    return ", ".join(f"{key} {value}" for key, value in rule.items())


def log_section(manifest: Manifest) -> Section:
    """Return what a version was made of, and what of the log was rejected, and why."""
    log, left = manifest.log, manifest.evaluation
    rows = [["events", "" if log.events is None else f"{log.events:,}"]]
    if log.window is not None:
        start, end = (f"{datetime.fromtimestamp(second, UTC):%Y-%m-%d}" for second in log.window)
        rows.append(["from, to", f"{start}, {end}"])
    rows.append(["space", f"{manifest.space_id} ({manifest.alignment.get('space', 'unknown')})"])
    if left is not None:
        rows += [[f"left out: {why}", f"{n:,}"] for why, n in left.left_out.items()]
    packages = manifest.environment.get("packages", {})
    rows.append(["packages", ", ".join(f"{name} {one}" for name, one in packages.items())])
    rows.append(["commit", str(manifest.environment.get("commit") or "not known")])
    facts = ReportTable(["what", "value"], rows)
    return Section(
        "What it was made of", _rows_read(log), _events_by_day(log), [facts, *_rejected(log)]
    )


def _rows_read(log: LogSummary) -> list[str]:
    counts = log.row_counts
    if counts is None:
        return []
    rejected = sum(counts.rejected.values())
    sentence = f"{counts.rows_read:,} rows were read, and {rejected:,} of them rejected"
    where = ": the file of rejects has each with its reason" if counts.rejects_file else ""
    return [f"{sentence} ({counts.rejected_share:.2%}){where}."]


def _rejected(log: LogSummary) -> list[ReportTable]:
    """Return the rows that are no events, by reason."""
    counts = log.row_counts
    if counts is None or not (counts.rejected or counts.left_out):
        return []
    rows = [["rejected", reason, f"{n:,}"] for reason, n in counts.rejected.items()]
    rows += [["left out on request", reason, f"{n:,}"] for reason, n in counts.left_out.items()]
    return [ReportTable(["rows that are no events", "reason", "rows"], rows, ["rows"])]


def _events_by_day(log: LogSummary) -> list[LinePlot]:
    days = sorted(log.days)
    if len(days) < 2:
        return []
    line = Line("events", range(len(days)), [log.days[day] for day in days], has_points=False)
    places = {float(place): day[5:] for place, day in enumerate(days)}
    return [LinePlot("events by day, the last of the log", "", "events", [line], places=places)]


def night_section(store: Path, manifest: Manifest) -> Section:
    """Return what the stages of the night did that made the version."""
    run, title = manifest.data.get("run"), "The night"
    if not isinstance(run, str) or Path(run).name != run:
        return Section(title, ["No night made this version: recsys nightly runs one."])
    try:
        report: Mapping[str, Any] = json.loads((store / RUNS / run / REPORT).read_bytes())
        rows = [_stage(stage) for stage in report["stages"]]
        sentences = [f"Night {run}: {report['result']} after {report['seconds']:,.1f} s."]
        sentences += [f"Warning: {one}" for one in report["warnings"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Section(title, [f"The report of night {run} is not kept any more."])
    headings = ["stage", "status", "seconds", "MB at most", "what"]
    return Section(title, sentences, tables=[ReportTable(headings, rows, headings[2:4])])


def _stage(stage: Mapping[str, Any]) -> list[str]:
    peak = stage["peak_bytes"]
    counts = (
        f"{name.replace('_', ' ')} {f'{value:,}' if isinstance(value, int) else value}"
        for name, value in stage["facts"].items()
        if isinstance(value, int | float | str) and not isinstance(value, bool)
    )
    numbers = f"{stage['seconds']:.2f}", f"{peak / 1e6:,.0f}" if peak else ""
    return [stage["name"], stage["status"], *numbers, ", ".join(counts)]

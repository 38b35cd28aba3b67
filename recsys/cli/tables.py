"""Tables for people: metrics, trials, comparisons, drift, versions, a night."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from math import isfinite
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

import recsys
from recsys.base.progress import printable

if TYPE_CHECKING:
    from recsys.evaluation import ComparedModel, Comparison, DimensionCurve, Evaluation, Slice
    from recsys.monitoring import DriftReport
    from recsys.nightly import NightReport, StoreStatus
    from recsys.store import Check
    from recsys.tuning import Tuned

_MOST_GROUPS = 30  # that a table shows
_UNITS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
_MARKS = ("current", "rollback", "pinned")
_SHOWN = ("recall", "ndcg", "hit_rate", "auc", "coverage")  # metrics of a night


def cell(value: object) -> Text:
    """Return a value of others for a table: no markup, and nothing that controls a terminal."""
    return Text(printable(str(value)))


def metrics_table(results: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return a table of evaluations: one row for each metric, one column for each model."""
    table = Table(title="test part")
    table.add_column("metric")
    for name in results:
        table.add_column(name, justify="right")
    first = next(iter(results.values()))
    for metric in first["metrics"]:
        cells = (
            _with_interval(result, metric) if metric in result["metrics"] else ""
            for result in results.values()
        )
        table.add_row(metric, *cells)
    table.caption = f"{first['n_users']:,} users; mean, and 95 % interval over users"
    return table


def slices_table(title: str, unit: str, by_model: "Mapping[str, Sequence[Slice]]") -> Table:
    """Return a table of one row for each group, which marks those where the first model loses."""
    first, *others = by_model
    table = Table(title=cell(title))
    table.add_column("group")
    for heading in (unit, *by_model, *(f"{first} above {other}" for other in others), ""):
        table.add_column(heading, justify="right")
    rows = list(zip(*by_model.values(), strict=True))
    least = sorted((groups[0].n for groups in rows), reverse=True)[:_MOST_GROUPS][-1]
    for groups in rows:
        own = groups[0]
        if own.n < least:
            continue
        cells = [_with_half(one.value, one.interval) for one in groups]
        if own.difference is not None and own.difference_interval is not None:
            low, high = own.difference_interval
            cells.append(f"{own.difference:+.4f}, {low:+.4f} to {high:+.4f}")
        mark = "<- loses" if own.loses else ""
        table.add_row(cell(own.group), f"{own.n:,}", *cells, mark)
    if table.row_count < len(rows):
        table.caption = f"{len(rows) - table.row_count:,} groups with less than {least:,} {unit}"
    return table


def unseen_table(left_out: Mapping[str, int], new: "Evaluation | None", metric: str) -> Table:
    """Return the events that the metrics leave out, by reason, and the metric of new users."""
    table = Table()
    table.add_column("left out above")
    table.add_column("number", justify="right")
    for reason, n in left_out.items():
        table.add_row(reason, f"{n:,}")
    if new is not None:
        mean, interval = new.metrics[metric], _interval(new.intervals[metric])
        table.caption = (
            f"{new.n_users:,} new users get the popular list: {metric} {mean:.4f}  {interval}"
        )
    return table


def comparison_table(entries: "Mapping[str, ComparedModel]", baseline: str, metric: str) -> Table:
    """Return a table of models, one row each, and how each compares to a baseline."""
    evaluations = {name: entry.evaluation for name, entry in entries.items()}
    found = {one.model: one for one in recsys.evaluation.compare(evaluations, baseline, metric)}
    recall = f"recall@{evaluations[baseline].k}"
    table = Table(title=f"test part, against {baseline}")
    for heading in ("model", metric, recall, f"difference of {metric}", "p"):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for heading in ("better / worse", "tuning s", "fit s", "MB", "peak MB"):
        table.add_column(heading, justify="right")
    for name, entry in entries.items():
        cells = [name, *(_over_seeds(entry, one) for one in (metric, recall))]
        cells += _standing(found[name]) if name in found else [""] * 3
        table.add_row(*cells, *_costs(entry))
    table.caption = _caption_of(entries[baseline])
    return table


def trials_table(tuned: "Tuned", best: int = 5) -> Table:
    """Return a table of the best trials of a search, for each number of factors."""
    name = tuned.best.candidate.name
    table = Table(title=f"{name}: {tuned.metric} on the validation part")
    space = [parameter for parameter in recsys.tuning.SPACES[name] if parameter != "iterations"]
    for heading in ("factors", tuned.metric, "epochs", *space, "s"):
        table.add_column(heading, justify="right")
    for size, trials in tuned.trials.items():
        full = sorted((one for one in trials if not one.is_pruned), key=lambda one: -one.value)
        for trial in full[:best]:
            values = trial.candidate.parameters
            cells = [f"{values[one]:.4g}" if one in values else "" for one in space]
            chosen = "*" if trial == tuned.best else ""
            epochs = str(values.get("iterations", ""))
            value = f"{chosen}{trial.value:.4f}"
            table.add_row(str(size or ""), value, epochs, *cells, f"{trial.seconds:.1f}")
        table.add_section()
    n_trials = sum(map(len, tuned.trials.values()))
    n_pruned = sum(trial.is_pruned for trials in tuned.trials.values() for trial in trials)
    table.caption = f"{n_trials} trials, {n_pruned} given up half-way; * is what was found"
    return table


def _over_seeds(entry: "ComparedModel", metric: str) -> str:
    cell = _with_margin(entry.evaluation.to_dict(), metric)
    spread = entry.spread(metric)
    return cell if spread is None else f"{cell} ({spread:.4f})"


def _costs(entry: "ComparedModel") -> list[str]:
    peak = "" if entry.peak_bytes is None else f"{entry.peak_bytes / 1e6:.0f}"
    return [
        f"{entry.tuning_seconds:.1f}" if entry.tuning_seconds else "",
        f"{entry.seconds:.1f}",
        f"{entry.n_bytes / 1e6:.1f}",
        peak,
    ]


def _caption_of(reference: "ComparedModel") -> str:
    caption = (
        f"{reference.evaluation.n_users:,} users; ± is half a 95 % interval over them. Differences "
        "by bootstrap and permutation over users, p after Holm; better and worse are shares of the "
        "users."
    )
    if len(reference.evaluations) > 1:
        caption += (
            f" Means over {len(reference.evaluations)} seeds, in brackets the standard deviation "
            "over them."
        )
    return caption


def _with_margin(result: Mapping[str, Any], metric: str) -> str:
    return _with_half(result["metrics"][metric], result["intervals"][metric])


def _with_half(value: float, interval: Sequence[float]) -> str:
    low, high = interval
    half = f"± {(high - low) / 2:.4f}" if isfinite(high - low) else "(no interval)"
    return f"{value:.4f} {half}"


def _standing(one: "Comparison") -> list[str]:
    low, high = one.interval
    return [
        f"{one.difference:+.4f}, {low:+.4f} to {high:+.4f}",
        f"{one.p_value:.4f}",
        f"{one.better:.0%} / {one.worse:.0%}",
    ]


def _with_interval(result: Mapping[str, Any], metric: str) -> str:
    value = f"{result['metrics'][metric]:.4f}"
    if metric not in result["intervals"]:
        return value
    return f"{value}  {_interval(result['intervals'][metric])}"


def _interval(interval: Sequence[float | None]) -> str:
    """Return an interval, or that there is none: one user says nothing about the spread."""
    low, high = interval
    if low is None or high is None or not (isfinite(low) and isfinite(high)):
        return "no interval"
    return f"{low:.4f} - {high:.4f}"


def dimension_table(curve: "DimensionCurve") -> Group:
    """Return a table of a curve, one row for each point, with the knee and its rule below."""
    table = Table(title=f"{curve.model}: what each number of factors costs and gives")
    rows = curve.rows()
    for heading in rows[0]:
        table.add_column(heading, justify="left" if heading in ("storage", "") else "right")
    factors = [point.factors for point in curve.points]
    for row, own, following in zip(rows, factors, [*factors[1:], None], strict=True):
        table.add_row(*row.values(), end_section=own != following)
    table.caption = (
        "± is half a 95 % interval over users. Query: exact search for one user on one core, "
        "median; vectors are decoded to float32 when they are loaded."
    )
    return Group(table, curve.verdict, curve.rule)


def drift_table(report: "DriftReport") -> Group:
    """Return the measures of a comparison as a table, and the items that moved most."""
    table = checks_table(report.checks, f"drift from {report.a} to {report.b}")
    n_alarms = len(report.alarms)
    above = (
        "all within their limits" if report.is_quiet else f"{n_alarms} of them above their limit"
    )
    table.caption = f"0 is no difference; {above}"
    if not report.moved:
        return Group(table)
    moved = Table(title="moved most, by popularity times 1 - cosine")
    moved.add_column("item")
    for heading in ("1 - cosine", "users before"):
        moved.add_column(heading, justify="right")
    for one in report.moved:
        moved.add_row(cell(one.item_id), f"{one.movement:.4f}", f"{one.popularity:,}")
    return Group(table, moved)


def checks_table(checks: "Iterable[Check]", title: str) -> Table:
    """Return checks as a table: value, threshold, whether it passed, and what was found."""
    table = Table(title=title)
    for heading in ("check", "value", "threshold", "ok"):
        table.add_column(heading, justify="left" if heading == "check" else "right")
    table.add_column("found")
    for check in checks:
        found = check.sentence.partition(": ")[2]
        table.add_row(
            check.name, _number(check.value), _number(check.threshold), _passed(check), cell(found)
        )
    return table


def _passed(check: "Check") -> str:
    if check.value is None:
        return "-"
    if check.passed:
        return "yes"
    return "refused" if check.refuses else "no"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


_HEADINGS = (
    *("version", "", "age", "parent", "space", "model", "users\nitems", "events", "window"),
    *("metric", "index", "MB"),
)
_UNBROKEN = ("version", "window", "metric")


def versions_table(rows: Sequence[Mapping[str, Any]], title: str) -> Table:
    """Return a table of `recsys.store.describe_versions`, newest first.

    Of parent and space it shows the end and the start, enough to distinguish them.
    """
    table = Table(title=cell(title), padding=(0, 0), collapse_padding=True)
    for heading in _HEADINGS:
        table.add_column(heading, no_wrap=heading in _UNBROKEN, overflow="fold")
    for row in rows:
        marked = [mark for mark in _MARKS if row[mark]]
        refused = ["refused"] if row.get("status") == "refused" else []
        marks = ", ".join([*marked, *refused, *(["damaged"] if "damaged" in row else [])])
        cells = _cells(row) if "status" in row else []
        table.add_row(*map(cell, (row["version"], marks, *cells)))
    return table


def _cells(row: Mapping[str, Any]) -> list[str]:
    recall = row["index_recall"]
    return [
        _age(row["age_seconds"]),
        (row["parent"] or "").rpartition("-")[2],
        row["space_id"][:8],
        f"{row['model']} {row['factors']}",
        f"{row['users']:,}\n{row['items']:,}",
        "" if row["events"] is None else f"{row['events']:,}",
        _window(row["window"]),
        _metric(row["metric"]),
        "" if recall is None else f"{recall:.3f}",
        f"{row['bytes'] / 1e6:.1f}",
    ]


def _age(seconds: int) -> str:
    """Return an age in its largest unit, such as "3 d"."""
    for unit, size in _UNITS:
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return "0 s"


def _window(window: Sequence[int] | None) -> str:
    if window is None:
        return ""
    start, end = (f"{datetime.fromtimestamp(second, UTC):%Y-%m-%d}" for second in window)
    return f"{start}\n{end}"


def _metric(metric: Mapping[str, Any] | None) -> str:
    if metric is None or metric["value"] is None:
        return ""
    low, high = metric["interval"] or (None, None)
    half = "" if low is None or high is None else f" ± {(high - low) / 2:.4f}"
    return f"{metric['name']}\n{metric['value']:.4f}{half}"


def night_table(report: "NightReport") -> RenderableType:
    """Return what `recsys nightly` prints at the end: stages, metrics and the version."""
    parts: list[RenderableType] = [_stages(report)]
    parts += [cell(f"not passed: {one}") for one in report.facts("gates").get("sentences", ())]
    parts += [cell(f"warning: {one}") for one in report.warnings]
    if report.metrics:
        parts.append(
            metrics_table({name: _main_metrics(one) for name, one in report.metrics.items()})
        )
    parts.append(cell(_last_line(report)))
    return Group(*parts)


def _main_metrics(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Return an evaluation with few of its metrics, for one screen; all are in the manifest."""
    kept = {
        name: value
        for name, value in evaluation["metrics"].items()
        if name.partition("@")[0] in _SHOWN
    }
    return {**evaluation, "metrics": kept}


def _stages(report: "NightReport") -> Table:
    table = Table(title=cell(f"night {report.run} on {report.store}"))
    for heading, side in (("stage", "left"), ("", "left"), ("seconds", "right"), ("MB", "right")):
        table.add_column(heading, justify="right" if side == "right" else "left")
    table.add_column("what")
    for stage in report.stages:
        peak = "" if stage.peak_bytes is None else f"{stage.peak_bytes / 1e6:,.0f}"
        seconds = "" if stage.status == "left out" else f"{stage.seconds:.2f}"
        what = _counts(stage.counts)
        table.add_row(*map(cell, (stage.name, stage.status, seconds, peak, what)))
    return table


def _counts(counts: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {value:,}" if isinstance(value, int) else f"{name} {value}"
        for name, value in counts.items()
    )


def status_lines(status: "StoreStatus") -> RenderableType:
    """Return what `recsys status` prints, in 80 columns."""
    age = "" if status.age_seconds is None else f", {_age(status.age_seconds)} old"
    disk = f"{status.store_bytes / 1e6:,.1f} MB, {status.free_bytes / 1e6:,.0f} MB free"
    lines = [
        f"store         {status.store}",
        f"current       {status.current or 'none'}{age}",
        f"versions      {status.versions}, {disk}",
        f"newest event  {status.newest_event or 'not known'}",
    ]
    nights = Table(title="last nights")
    for heading in ("night", "result", "version", "reported"):
        nights.add_column(heading, overflow="fold")
    for night in status.nights:
        reported = str(len(night.reported) or "")
        nights.add_row(*map(cell, (night.run, night.result, night.version or "", reported)))
    last = status.nights[0].reported if status.nights else ()
    parts: list[RenderableType] = [cell(line) for line in lines]
    parts += [nights] if status.nights else []
    parts += [cell(f"reported by the last night: {one}") for one in last]
    parts += [cell(f"needs a person: {one}") for one in status.needs]
    return Group(*parts, *([] if status.needs else [Text("all is well")]))


def _last_line(report: "NightReport") -> str:
    if report.is_idle:
        return f"nothing new: {report.version} stays current, {report.seconds:.1f} s in all"
    if report.version is not None:
        return f"published {report.version}, {report.seconds:.1f} s in all"
    return f"{report.result} after {report.seconds:.1f} s"

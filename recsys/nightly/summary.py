"""One screen on what a night did."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from recsys.nightly.report import NightReport
from recsys.reports import metrics_table

_SHOWN = ("recall", "ndcg", "hit_rate", "auc", "coverage")


def summary(report: NightReport) -> RenderableType:
    """Return what `recsys nightly` prints at the end: stages, metrics and the version."""
    parts: list[RenderableType] = [_stages(report)]
    if report.metrics:
        parts.append(metrics_table({name: _main(one) for name, one in report.metrics.items()}))
    parts.append(Text(_last_line(report)))
    return Group(*parts)


def _main(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Return an evaluation with few of its metrics, for one screen; all are in the manifest."""
    kept = {
        name: value
        for name, value in evaluation["metrics"].items()
        if name.partition("@")[0] in _SHOWN
    }
    return {**evaluation, "metrics": kept}


def _stages(report: NightReport) -> Table:
    table = Table(title=Text(f"night {report.run} on {report.store}"))
    for heading, side in (("stage", "left"), ("", "left"), ("seconds", "right"), ("MB", "right")):
        table.add_column(heading, justify="right" if side == "right" else "left")
    table.add_column("what")
    for stage in report.stages:
        peak = "" if stage.peak_bytes is None else f"{stage.peak_bytes / 1e6:,.0f}"
        seconds = "" if stage.status == "left out" else f"{stage.seconds:.2f}"
        what = _said(stage.counts)
        table.add_row(*map(Text, (stage.name, stage.status, seconds, peak, what)))
    return table


def _said(counts: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {value:,}" if isinstance(value, int) else f"{name} {value}"
        for name, value in counts.items()
    )


def _last_line(report: NightReport) -> str:
    if report.version is not None:
        return f"published {report.version}, {report.seconds:.1f} s in all"
    return f"{report.result} after {report.seconds:.1f} s"

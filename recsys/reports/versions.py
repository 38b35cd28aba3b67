"""The versions of a store as a table for a terminal."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.table import Table
from rich.text import Text

_UNITS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
_HEADINGS = (
    *("version", "", "age", "parent", "space", "model", "users\nitems", "events", "window"),
    *("metric", "index", "MB"),
)
_UNBROKEN = ("version", "window", "metric")
_MARKS = ("current", "rollback", "pinned")


def versions_table(rows: Sequence[Mapping[str, Any]], title: str) -> Table:
    """Return a table of versions, newest first.

    Of parent and space it shows the end and the start, enough to tell them apart.

    Parameters
    ----------
    rows : sequence of mapping
        As `recsys.store.list_versions` returns them.
    title : str
    """
    table = Table(title=Text(title), padding=(0, 0), collapse_padding=True)
    for heading in _HEADINGS:
        table.add_column(heading, no_wrap=heading in _UNBROKEN, overflow="fold")
    for row in rows:
        marked = [mark for mark in _MARKS if row[mark]]
        marks = ", ".join([*marked, *(["refused"] if row.get("status") == "refused" else [])])
        cells = ["damaged"] if "damaged" in row else _cells(row)
        table.add_row(*(Text(cell) for cell in (row["version"], marks, *cells)))
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
    half = "" if low is None else f" ± {(high - low) / 2:.4f}"
    return f"{metric['name']}\n{metric['value']:.4f}{half}"

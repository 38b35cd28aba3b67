"""What commands print: tables for people, JSON for programs."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from recsys.cli.tables import metrics_table

if TYPE_CHECKING:
    from recsys.serving import Recommender, ScoredItem


def console() -> Console:
    """Return what tables are printed on."""
    # Ids and titles are data: nothing in them is markup. A pipe has no width of its own.
    width = None if sys.stdout.isatty() else 150
    return Console(markup=False, emoji=False, highlight=False, width=width)


def note(sentence: str) -> None:
    """Write a line to stderr."""
    typer.echo(sentence, err=True)


def print_json(value: Any) -> None:
    """Print JSON."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def print_metrics(results: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the metrics of models as a table, if there are any."""
    if results:
        console().print(metrics_table(results))


def print_items(
    recommender: "Recommender",
    found: "Iterable[ScoredItem]",
    title: str,
    because: Sequence[Any] | None = None,
) -> None:
    """Print a list with what is known of each item and, where given, the reason."""
    listed = list(found)
    known = [recommender.describe(item_id) for item_id, _ in listed]
    names = dict.fromkeys(name for facts in known for name in facts)
    columns = sorted(names, key=lambda name: name != "title")[:3]
    table = Table(title=Text(title))
    for heading in ("", "item", *columns, "score"):
        table.add_column(heading, justify="right" if heading in ("", "score") else "left")
    if because:
        table.add_column("because of")
    for row, (item_id, score) in enumerate(listed):
        cells = [
            str(row + 1),
            str(item_id),
            *(str(known[row].get(name, "")) for name in columns),
        ]
        cells.append(f"{score:.4g}")
        if because:
            reason = because[row]
            cells.append(_title_of(recommender, reason.item_id) if reason else "")
        table.add_row(*(Text(cell) for cell in cells))
    console().print(table)


def _title_of(recommender: "Recommender", item_id: str | int) -> str:
    return str(recommender.describe(item_id).get("title") or item_id)


def print_rows(rows: Iterable[Mapping[str, Any]], title: str) -> None:
    """Print rows with the same names as a table."""
    table = Table(title=Text(title))
    for row in rows:
        if not table.columns:
            for name in row:
                table.add_column(name)
        table.add_row(*(Text("" if value is None else str(value)) for value in row.values()))
    console().print(table)

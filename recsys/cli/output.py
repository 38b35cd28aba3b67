"""What commands print: tables for people, JSON for programs.

Ids, titles and names of files are data of others: what would control a terminal is spelled out, and
what the terminal or the pipe has no character for is replaced.
"""

import io
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from recsys.base.progress import printable
from recsys.cli.tables import cell, metrics_table

if TYPE_CHECKING:
    from recsys.serving import Recommender, ScoredItem


def console(width_of_pipe: int = 150) -> Console:
    """Return what tables are printed on."""
    # Ids and titles are data: nothing in them is markup. A pipe has no width of its own.
    width = None if sys.stdout.isatty() else width_of_pipe
    return Console(markup=False, emoji=False, highlight=False, width=width)


def replace_what_cannot_be_written() -> None:
    """Let stdout and stderr replace characters that their encoding lacks, instead of failing."""
    for stream, errors in ((sys.stdout, "replace"), (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=errors)


def say(sentence: object) -> None:
    """Write a line to stdout."""
    sys.stdout.write(f"{printable(str(sentence), one_line=True)}\n")


def note(sentence: object) -> None:
    """Write a line to stderr."""
    sys.stdout.flush()
    sys.stderr.write(f"{printable(str(sentence), one_line=True)}\n")
    sys.stderr.flush()


def print_json(value: Any) -> None:
    """Print JSON, in ASCII where the encoding of stdout lacks a character; no NaN, but null."""
    value = _finite(value)
    text = json.dumps(value, ensure_ascii=False, indent=2, default=str)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
        is_safe = printable(text) == text
    except UnicodeEncodeError:
        is_safe = False
    if not is_safe:
        text = json.dumps(value, ensure_ascii=True, indent=2, default=str)
    sys.stdout.write(f"{text.replace(chr(0x7F), _DELETE)}\n")


_DELETE = "\\u007f"


def _finite(value: Any) -> Any:
    """Return a value in which a number that JSON does not have is None."""
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not isfinite(value) else value


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
    table = Table(title=cell(title))
    for heading in ("", "item", *columns, "score"):
        table.add_column(cell(heading), justify="right" if heading in ("", "score") else "left")
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
        table.add_row(*map(cell, cells))
    console().print(table)


def _title_of(recommender: "Recommender", item_id: str | int) -> str:
    return str(recommender.describe(item_id).get("title") or item_id)


def print_rows(rows: Iterable[Mapping[str, Any]], title: str) -> None:
    """Print rows with the same names as a table."""
    table = Table(title=cell(title))
    for row in rows:
        if not table.columns:
            for name in row:
                table.add_column(name)
        table.add_row(*("" if value is None else cell(value) for value in row.values()))
    console().print(table)

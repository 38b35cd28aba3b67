"""What commands print: tables for people, JSON for programs.

Ids, titles and names of files are data of others: what would control a terminal is spelled out, and
what the terminal or the pipe has no character for is replaced. Nothing of a result is cut off: a
table that does not fit is printed row by row. A pipe gets columns apart from each other by blanks,
without the lines and the sparklines of a terminal.
"""

import io
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from recsys.base.charts import LinePlot
from recsys.base.progress import printable, printable_json, trend
from recsys.base.table_files import require_table_path, write_table

if TYPE_CHECKING:
    import pyarrow as pa

    from recsys.base.charts import Chart
    from recsys.serving.known import Described

_UNBOUNDED = 100_000  # columns
_SENTENCE = 100  # columns of a line of prose in a pipe
_LEAST_TREND = 3  # values
_ATTRIBUTES = 3  # of an item that a table shows, its title first


@dataclass(frozen=True)
class Listing:
    """A table where the screen is wide enough, else a paragraph for each row.

    Words are broken over lines where they must be, a number never is.
    """

    headings: Sequence[str]
    rows: Sequence[Sequence[object]]
    title: str = ""
    left: Sequence[str] = ()  # headings of columns of words; numbers are to the right
    caption: str = ""
    starts: Sequence[int] = ()  # rows that a line separates from those before
    is_dense: bool = False  # no blanks beside the lines
    prose: Sequence[str] = ()  # headings of columns of sentences, folded in a pipe as well

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
        """Yield the title, the widest table that fits, or the paragraphs, and the caption."""
        width = options.max_width if options.max_width < _UNBOUNDED else _SENTENCE
        prose = options.update(width=width)
        if self.title:
            yield from console.render(cell(self.title), prose)
        yield from self._rows(console, options)
        if self.caption:
            yield from console.render(cell(self.caption), prose)

    def _rows(self, console: Console, options: ConsoleOptions) -> Iterator[Any]:
        fit = _Fit(is_plain=not options.is_terminal, is_dense=self.is_dense)
        whole = replace(fit, joins_lines=True)
        tight = replace(fit, breaks_headings=True)
        tighter = replace(tight, breaks_cells=True)
        dense = [replace(one, is_dense=True) for one in (tight, tighter)]
        for tried in (whole, fit, tight, tighter, *dense):
            table = self._table(tried)
            size = Measurement.get(console, options.update(max_width=_UNBOUNDED), table)
            if (size.minimum if tried.breaks_headings else size.maximum) <= options.max_width:
                yield table
                return
        yield self._paragraphs()

    def _table(self, fit: "_Fit") -> Table:
        table = Table()
        if fit.is_plain:
            table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        elif fit.is_dense:
            table.padding, table.collapse_padding = (0, 0, 0, 0), True
        are_numbers = [heading not in self.left for heading in self.headings]
        rows = [[*map(fit.cell, row, are_numbers)] for row in self.rows]
        for place, heading in enumerate(self.headings):
            if heading in self.left:
                most = _SENTENCE if heading in self.prose else None
                table.add_column(fit.cell(heading), overflow="fold", max_width=most)
                continue
            shown = fit.cell(heading).plain
            words = shown.split() if fit.breaks_headings else shown.splitlines()
            numbers = [line for row in rows for line in row[place].plain.splitlines()]
            width = max(map(cell_len, [*words, *numbers]), default=0)
            table.add_column(fit.cell(heading), justify="right", overflow="fold", width=width)
        for number, row in enumerate(rows):
            if number in self.starts:
                table.add_section()
            table.add_row(*row)
        return table

    def _paragraphs(self) -> Group:
        parts: list[RenderableType] = [Text()] if self.title else []
        for row in self.rows:
            first, *others = map(_Fit(joins_lines=True).cell, row)
            parts.append(Text(f"{self.headings[0]} ").append(first) if self.headings[0] else first)
            grid = Table.grid(padding=(0, 2))
            grid.add_column(overflow="fold")
            grid.add_column(overflow="fold")
            for heading, value in zip(self.headings[1:], others, strict=True):
                if value:
                    grid.add_row(cell(heading.replace("\n", " / ")), value)
            parts += [Padding(grid, (0, 0, 0, 2), expand=False), Text()]
        return Group(*parts)


@dataclass(frozen=True)
class _Fit:
    """How a table is made narrower."""

    is_plain: bool = False  # no lines
    is_dense: bool = False
    joins_lines: bool = False  # of a cell, where the screen is wide enough
    breaks_headings: bool = False  # of numbers, between words
    breaks_cells: bool = False  # with several numbers, between a value and what follows it

    def cell(self, value: object, is_number: bool = False) -> Text:
        if self.breaks_cells and is_number and isinstance(value, str):
            value = value.replace(" ±", "\n±").replace(", ", ",\n")
        if self.joins_lines and isinstance(value, str):
            value = value.replace("\n", " / ")
        return cell(value)


def show(*parts: RenderableType, width: int | None = None) -> None:
    """Print tables and sentences, as wide as the terminal, $COLUMNS or, in a pipe, they need."""
    console = _console(width)
    for place, part in enumerate(parts):
        if place and isinstance(part, Listing) and part.title:
            console.print()
        if console.is_terminal:
            console.print(part)
            continue
        with console.capture() as captured:
            console.print(part)
        lines = captured.get().removesuffix("\n").split("\n")
        sys.stdout.writelines(f"{line.rstrip()}\n" for line in lines)


def _console(width: int | None = None) -> Console:
    if width is None and not (sys.stdout.isatty() or "COLUMNS" in os.environ):
        width = _UNBOUNDED
    # Ids and titles are data: nothing in them is markup.
    return Console(markup=False, emoji=False, highlight=False, width=width)


def trends(charts: "Sequence[Chart]") -> list[Text]:
    """Return a line for each series of some charts: a sparkline and its ends; none in a pipe.

    The last values of a series are shown, as many as the screen has room for.
    """
    width, shown = _console().width, []
    for plot in (chart for chart in charts if isinstance(chart, LinePlot)):
        for line in (one for one in plot.lines if len(one.y) >= _LEAST_TREND):
            what = plot.y_name if line.name == plot.y_name else f"{plot.y_name}, {line.name}"
            before, after = f"{what} by {plot.x_name}  ", f"  {line.y[0]:.4f} to {line.y[-1]:.4f}"
            most = max(_LEAST_TREND, width - len(before) - len(after))
            if drawn := trend(line.y, sys.stdout, most):
                shown.append(cell(f"{before}{drawn}{after}"))
    return shown


def show_command(words: Sequence[str]) -> None:
    """Print a command to copy, on as many lines as the screen asks for."""
    width, lines = _console().width, [" "]
    for word in map(shlex.quote, words):
        if len(f"{lines[-1]} {word} \\") > width and lines[-1].strip():
            lines[-1] += " \\"
            lines.append("   ")
        lines[-1] += f" {word}"
    for line in lines:
        say(line)


def cell(value: object) -> Text:
    """Return a value of others for a table: no markup, and nothing that controls a terminal."""
    return Text("" if value is None else printable(str(value)))


def replace_what_cannot_be_written() -> None:
    """Let stdout and stderr replace characters that their encoding lacks, instead of failing.

    One that is closed takes what is written, and shows it to nobody.
    """
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: PTH123, SIM115 (for the whole process)
    sys.stderr = sys.stderr or sys.stdout
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
    text = printable_json(value, indent=2)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = printable_json(value, indent=2, ascii_only=True)
    sys.stdout.write(f"{text}\n")


def _finite(value: Any) -> Any:
    """Return a value in which a number that JSON does not have is None."""
    if isinstance(value, Mapping):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not isfinite(value) else value


def metrics_listing(results: Mapping[str, Mapping[str, Any]], tested: str = "") -> Listing:
    """Return a table of evaluations: one row for each metric, one column for each model.

    `tested` says what was held out.
    """
    first = next(iter(results.values()))
    parts = [counted(first["n_users"], "user"), *([tested] if tested else [])]
    return Listing(
        ["metric", *results],
        [
            [metric, *(_with_interval(result, metric) for result in results.values())]
            for metric in first["metrics"]
        ],
        title="test part",
        left=["metric"],
        caption=f"{'; '.join(parts)}; mean, and 95 % interval over users",
    )


def _with_interval(result: Mapping[str, Any], metric: str) -> str:
    if metric not in result["metrics"]:
        return ""
    value = f"{result['metrics'][metric]:.4f}"
    if metric not in result["intervals"]:
        return value
    return f"{value}  {ends_of(result['intervals'][metric])}"


def ends_of(interval: Sequence[float | None]) -> str:
    """Return an interval, or that there is none: one user says nothing about the spread."""
    low, high = interval
    if low is None or high is None or not (isfinite(low) and isfinite(high)):
        return "no interval"
    return f"{low:.4f} - {high:.4f}"


def counted(n: int, what: str) -> str:
    """Return a number with what it counts, which takes an s.

    Examples
    --------
    >>> counted(1, "user"), counted(1200, "user")
    ('1 user', '1,200 users')
    """
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def difference_of(value: float, interval: Sequence[float]) -> str:
    """Return a difference with the ends of its interval, or that there is none."""
    low, high = interval
    if not (isfinite(low) and isfinite(high)):
        return f"{value:+.4f}, no interval"
    return f"{value:+.4f}, {low:+.4f} to {high:+.4f}"


def with_half(value: float, interval: Sequence[float]) -> str:
    """Return a value and half its interval."""
    low, high = interval
    half = f"± {(high - low) / 2:.4f}" if isfinite(high - low) else "(no interval)"
    return f"{value:.4f} {half}"


def print_items(
    found: "Described",
    title: str,
    most: int | None = None,
    date_of: Callable[[float], str] | None = None,
) -> None:
    """Print the first items of a list with what is known of each and, where known, the reason."""
    columns = _telling(found.attributes[:most], found.title_column)
    score_of = date_of or partial(_score, found=found)
    scores = [score for _, score in found.listed[:most]]
    if date_of and found.boosts:  # a boost moves an item in the list; its date is what it was
        scores = [score - boost for score, boost in zip(scores, found.boosts, strict=False)]
    rows = [
        [rank, item_id, *(_attribute(known.get(name)) for name in columns), score_of(score)]
        for rank, ((item_id, _), known, score) in enumerate(
            zip(found.listed, found.attributes, scores, strict=False), start=1
        )
    ]
    scored = "users" if _counts_users(found) else "date" if date_of else "score"
    headings = ["", "item", *columns, scored]
    if any(found.boosts):
        headings.append("boost")
        for row, boost in zip(rows, found.boosts, strict=False):
            row.append(_score(boost, found) if boost else "")
    for mark, are_marked in (("pinned", found.are_pinned), ("new", found.are_new)):
        if any(are_marked[:most]):
            headings.append(mark)
            for row, is_marked in zip(rows, are_marked, strict=False):
                row.append(mark if is_marked else "")
    if any(found.reasons):
        headings.append("because of")
        for row, reason, reason_title in zip(rows, found.reasons, found.reason_titles, strict=True):
            row.append("" if reason is None else reason_title or reason.item_id)
    show(Listing(headings, rows, title, left=["item", *columns, "pinned", "new", "because of"]))


def _telling(attributes: Sequence[Mapping[str, Any]], title: str | None) -> list[str]:
    """Return the attributes that say most of items: the title, what kind they are of, others.

    Web addresses, objects, and columns without a name or a value say nothing in a table.
    """
    names = dict.fromkeys(name for known in attributes for name in known)
    telling = [
        name
        for name in names
        if name == title
        or (
            not _UNNAMED.fullmatch(name)
            and not any(_is_technical(one.get(name)) for one in attributes)
            and any(one.get(name) not in (None, "") for one in attributes)
        )
    ]
    return sorted(telling, key=lambda name: (name != title, not _KINDS.search(name)))[:_ATTRIBUTES]


_UNNAMED = re.compile(r"column_\d+|c?\d+|Unnamed: ?\d+|", re.IGNORECASE)
_KINDS = re.compile(r"genre|categor|author|artist|brand|director", re.IGNORECASE)
_ADDRESS = re.compile(r"(https?:)?//\S+", re.IGNORECASE)
_DIGITS = 12  # of a number, as people write it: a sum of floats may have five more


def _is_technical(value: object) -> bool:
    if isinstance(value, list):
        return any(map(_is_technical, value))
    return isinstance(value, dict) or (isinstance(value, str) and bool(_ADDRESS.match(value)))


def _attribute(value: object) -> object:
    if isinstance(value, list):
        return ", ".join(str(_attribute(one)) for one in value)
    return f"{value:.{_DIGITS}g}" if isinstance(value, float) else value


def _counts_users(found: "Described") -> bool:
    return getattr(found, "source", None) == "title"


def _score(score: float, found: "Described") -> str:
    return f"{score:,}" if _counts_users(found) else f"{score:.4g}"


def require_tables(paths: Sequence[Path] | None) -> None:
    """Check, before the work, that a table can be written wherever `--out` says."""
    for path in paths or ():
        require_table_path(path)


def keep_table(made: "Callable[[], pa.Table]", paths: Sequence[Path] | None) -> None:
    """Make the table of a result and write it wherever `--out` says, and say so on stderr."""
    for path in paths or ():
        write_table(made(), path)
        note(f"written to {path}")


def print_rows(rows: Iterable[Mapping[str, Any]], title: str) -> None:
    """Print rows with the same names as a table of words."""
    listed = list(rows)
    headings = list(listed[0]) if listed else []
    show(Listing(headings, [list(row.values()) for row in listed], title, left=headings))

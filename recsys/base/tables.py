"""Results that are tables: Arrow, pandas, Polars, a notebook's HTML, a short text.

What makes or writes a table is imported then: a process that only answers needs none of it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import accumulate
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from recsys.base.drawer import drawn
from recsys.base.environment import extra, missing_package
from recsys.base.progress import printable
from recsys.base.table_files import number_columns, write_table

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from recsys.base.charts import Chart

Row = TypeVar("Row")

_MOST_ROWS = {"text": 30, "html": 30}
_MOST_CHARACTERS = {"text": 32, "html": 120}
_MOST_IN_LIST = 4
_PADDING, _WIDTH, _LEAST_WIDTH = "  ", 80, 12
_BESIDE = "display: flex; flex-wrap: wrap; gap: 0.5em 2em; align-items: flex-start"
_AT_MOST = "max-width: 100%; overflow-x: auto"
_LONG = 48  # characters of a cell that is broken over lines
_MORE = "... and more: to_pandas(), to_polars() and to_arrow() have all rows"


def table_of(rows: Iterable[Mapping[str, Any]], numbers: Collection[str] = ()) -> "pa.Table":
    """Return rows as a table: a column for each name, null where a row does not have it.

    Columns of `numbers` are of float64, also where they hold none.
    """
    import pyarrow as pa

    listed = list(rows)
    names = dict.fromkeys(name for row in listed for name in row)
    kinds = dict.fromkeys(numbers, pa.float64())
    return pa.table(
        {name: pa.array([row.get(name) for row in listed], kinds.get(name)) for name in names}
    )


def metrics_table(
    metrics: Mapping[str, float], intervals: Mapping[str, Sequence[float]]
) -> "pa.Table":
    """Return metrics as rows: their value and, of means over users, the 95 % interval."""
    import pyarrow as pa

    ends = [intervals.get(name, (None, None)) for name in metrics]
    number = pa.float64()
    return pa.table(
        {
            "metric": pa.array(list(metrics), pa.string()),
            "value": pa.array(list(metrics.values()), number),
            "low": pa.array([low for low, _ in ends], number),
            "high": pa.array([high for _, high in ends], number),
        }
    )


class Tabular:
    """What is a table: a subclass gives `to_arrow`, and may give a `caption` and `charts`.

    It gives the table to other packages, shows itself in a notebook, its charts above the table,
    and as a short text. A dataclass that wants this text is declared with ``repr=False``.
    """

    __slots__ = ()

    def to_arrow(self) -> "pa.Table":
        """Return the rows as an Arrow table."""
        raise NotImplementedError

    def caption(self) -> str:
        """Return what is to be said above the rows, a sentence at most."""
        return type(self).__name__

    def charts(self) -> "Sequence[Chart]":
        """Return what a notebook draws of the rows, where Matplotlib is installed."""
        return ()

    def to_pandas(self) -> "pd.DataFrame":
        """Return the rows as a pandas DataFrame."""
        frame: pd.DataFrame = self.to_arrow().to_pandas()
        return frame

    def to_polars(self) -> "pl.DataFrame":
        """Return the rows as a Polars DataFrame; a ConfigError where Polars is not installed."""
        try:
            import polars as pl
        except ImportError as error:
            instead = "take to_pandas() or to_arrow()"
            raise missing_package("to_polars", "polars", extra("polars"), instead) from error
        return pl.DataFrame(self.to_arrow())

    def write(self, path: str | Path) -> None:
        """Write the rows to a file: CSV, HTML, JSON, JSON lines, Markdown or Parquet by suffix."""
        write_table(self.to_arrow(), path)

    def first_rows(self, n: int) -> "pa.Table":
        """Return the first rows, where all of them would take long to make."""
        return self.to_arrow().slice(0, n)

    def __repr__(self) -> str:
        return text_of(self.first_rows(_MOST_ROWS["text"] + 1), self.caption())

    def _repr_html_(self) -> str:
        table = self.first_rows(_MOST_ROWS["html"] + 1)
        return html_of(table, self.caption(), drawn(self.charts()))


class TableList(list[Row], Tabular):
    """A list of named tuples or dataclasses that is a table too, with a column for each field.

    An interval is two columns, its ends.
    """

    def to_arrow(self) -> "pa.Table":
        """Return a row for each."""
        return table_of(map(_columns_of, self))

    def caption(self) -> str:
        """Return nothing: the rows speak for themselves."""
        return ""

    __repr__ = Tabular.__repr__  # not that of a list


def _columns_of(row: Any) -> dict[str, Any]:
    values = vars(row) if hasattr(row, "__dict__") else row._asdict()
    found: dict[str, Any] = {}
    for name, value in values.items():
        if name.endswith("interval"):
            of_what = name.removesuffix("interval")
            found[f"{of_what}low"], found[f"{of_what}high"] = value or (None, None)
        else:
            found[name] = value
    return found


def text_of(table: "pa.Table", caption: str = "") -> str:
    """Return the first rows and columns as aligned text, and what there is besides."""
    from textwrap import wrap

    if not table.num_columns:
        return "\n".join(wrap(caption, _WIDTH))
    cells, is_number = _shown(table, "text")
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    ends = list(accumulate(width + len(_PADDING) for width in widths))
    n_fit = max(1, sum(end - len(_PADDING) <= _WIDTH for end in ends))
    room = _WIDTH - ends[n_fit - 1]
    if n_fit < len(widths) and not is_number[n_fit] and room >= _LEAST_WIDTH:  # of words, a part
        widths[n_fit] = room
        cells = [[*row[:n_fit], _cut(row[n_fit], room), *row[n_fit + 1 :]] for row in cells]
        n_fit += 1
    others = cells[0][n_fit:]
    lines = [
        _PADDING.join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths[:n_fit], is_number, strict=False)
        ).rstrip()
        for row in cells
    ]
    if others:
        lines += wrap(f"... and {', '.join(others)}", _WIDTH)
    return "\n".join([*wrap(caption, _WIDTH), *lines, *_left_out(table, "text")])


def html_of(table: "pa.Table", caption: str = "", pictures: str = "") -> str:
    """Return the first rows as an HTML table, with a line that says if there are more.

    `pictures` are HTML, and stand between the caption and the table.
    """
    from html import escape

    (names, *rows), is_number = _shown(table, "html")
    styles = list(map(_cell_style, zip(*rows, strict=True), is_number)) or [""] * len(names)

    def row_of(tag: str, row: Sequence[str]) -> str:
        cells = (
            f'<{tag} style="{style}">{escape(cell)}</{tag}>'
            for style, cell in zip(styles, row, strict=True)
        )
        return f"<tr>{''.join(cells)}</tr>"

    above = f"<p>{escape(caption)}</p>\n" if caption else ""
    body = "\n".join(row_of("td", row) for row in rows)
    below = "".join(f"\n<p>{line}</p>" for line in _left_out(table, "html"))
    shown = (
        f"<table>\n<thead>{row_of('th', names)}</thead>\n<tbody>\n{body}\n</tbody>\n</table>{below}"
    )
    if pictures:
        drawn_and_table = f'<div>{pictures}</div>\n<div style="{_AT_MOST}">{shown}</div>'
        shown = f'<div style="{_BESIDE}">{drawn_and_table}</div>'
    return f"<div>{above}{shown}</div>"


def _cell_style(cells: Sequence[str], is_number: bool) -> str:
    """Return the style of a column: sentences are broken over lines, and nothing else is."""
    if is_number:
        return "text-align: right; white-space: nowrap"
    has_sentences = max(map(len, cells)) > _LONG
    return f"text-align: left; {'min-width: 24em' if has_sentences else 'white-space: nowrap'}"


def _shown(table: "pa.Table", medium: str) -> tuple[list[list[str]], list[bool]]:
    """Return the names and the first rows as cells, and which columns are numbers.

    A column without any value is not shown.
    """
    has_value = [name for name in table.column_names if table[name].null_count < table.num_rows]
    table = table.select(has_value) if has_value else table
    most = _MOST_CHARACTERS[medium]
    columns = [_cells(column.to_pylist(), most) for column in table[: _MOST_ROWS[medium]].columns]
    rows = [list(map(printable, row)) for row in zip(*columns, strict=True)]
    return [list(map(printable, table.column_names)), *rows], number_columns(table)


def _left_out(table: "pa.Table", medium: str) -> list[str]:
    # A slice of a table without columns has as many rows as were asked for.
    return [_MORE] if table.num_columns and table.num_rows > _MOST_ROWS[medium] else []


def _cells(values: list[Any], most: int) -> list[str]:
    """Return the values of a column for people: numbers with decimals that tell them apart."""
    sizes = [abs(value) for value in values if isinstance(value, float) and isfinite(value)]
    is_whole = all(size.is_integer() for size in sizes)
    largest = max(sizes, default=0.0)
    decimals = 0 if is_whole or largest >= 1_000 else 2 if largest >= 10 else 4
    return [_cell(value, decimals, most) for value in values]


def _cell(value: Any, decimals: int, most: int) -> str:
    """Return a value with so many decimals, or at most so many characters."""
    if value is None:
        return ""
    if isinstance(value, float):
        is_small = 0 < abs(value) < 0.5 * 10**-decimals
        return f"{value:.2g}" if is_small else f"{value:.{decimals}f}"
    if isinstance(value, list):
        more = ", ..." if len(value) > _MOST_IN_LIST else ""
        return f"{', '.join(_cells(value[:_MOST_IN_LIST], most))}{more}"
    return _cut(" ".join(str(value).split()), most)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."

"""Results that are tables: Arrow, pandas, Polars, a notebook's HTML, a short text, files.

What makes or writes a table is imported then: a process that only answers needs none of it.
"""

import io
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from recsys.base.checks import as_path
from recsys.base.durable import replaced, require_place
from recsys.base.environment import extra, missing_package
from recsys.base.errors import ConfigError
from recsys.base.progress import printable

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

Row = TypeVar("Row")

_MOST_ROWS = {"text": 30, "html": 50}
_MOST_CHARACTERS = {"text": 32, "html": 120}
_MOST_IN_LIST = 4
_PADDING, _WIDTH, _LEAST_WIDTH = "  ", 80, 12
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
    """What is a table: a subclass gives `to_arrow`, and may give a `caption`.

    It gives the table to other packages, shows itself in a notebook, and as a short text. A
    dataclass that wants this text is declared with ``repr=False``.
    """

    __slots__ = ()

    def to_arrow(self) -> "pa.Table":
        """Return the rows as an Arrow table."""
        raise NotImplementedError

    def caption(self) -> str:
        """Return what is to be said above the rows, a sentence at most."""
        return type(self).__name__

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
        return html_of(self.first_rows(_MOST_ROWS["html"] + 1), self.caption())


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


def require_table_path(path: str | Path, setting: str = "--out") -> Path:
    """Check that a table can be written to a path, before the work whose result it is.

    Raises
    ------
    ConfigError
        If its suffix names no format, or its folder cannot be made or written.
    """
    checked = as_path(setting, path)
    if checked.suffix.lower() not in _WRITERS:
        raise ConfigError(
            f"{setting}: expected a file that ends in {', '.join(_WRITERS)}, got {checked}"
        )
    require_place(checked, f"{setting}: expected to write a table")
    return checked


def write_table(table: "pa.Table", path: str | Path, setting: str = "--out") -> None:
    """Write a table to a file, in the format that its suffix names; replaces the file when whole.

    Numbers have all their digits. Lists and objects in a cell are JSON where the format has none.

    Parameters
    ----------
    table : pyarrow.Table
    path : path
        Ends in .csv, .html, .json, .jsonl, .md or .parquet. Its folder is made.
    setting : str
        What named the path, for errors.

    Raises
    ------
    ConfigError
        If the suffix is another, or the file cannot be written.
    """
    target = require_table_path(path, setting)
    try:
        with replaced(target) as aside:
            _WRITERS[target.suffix.lower()](table, aside)
    except OSError as error:
        got = error.strerror or str(error)
        raise ConfigError(
            f"{setting}: expected to write a table to {target}, got {got}; name another file"
        ) from error


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


def html_of(table: "pa.Table", caption: str = "") -> str:
    """Return the first rows as an HTML table, with a line that says if there are more."""
    from html import escape

    (names, *rows), is_number = _shown(table, "html")
    sides = ["right" if right else "left" for right in is_number]

    def row_of(tag: str, row: Sequence[str]) -> str:
        cells = (
            f'<{tag} style="text-align: {side}">{escape(cell)}</{tag}>'
            for side, cell in zip(sides, row, strict=True)
        )
        return f"<tr>{''.join(cells)}</tr>"

    above = f"<p>{escape(caption)}</p>\n" if caption else ""
    body = "\n".join(row_of("td", row) for row in rows)
    below = "".join(f"\n<p>{line}</p>" for line in _left_out(table, "html"))
    return (
        f"<div>{above}<table>\n<thead>{row_of('th', names)}</thead>\n"
        f"<tbody>\n{body}\n</tbody>\n</table>{below}</div>"
    )


def _shown(table: "pa.Table", medium: str) -> tuple[list[list[str]], list[bool]]:
    """Return the names and the first rows as cells, and which columns are numbers.

    A column without any value is not shown.
    """
    has_value = [name for name in table.column_names if table[name].null_count < table.num_rows]
    table = table.select(has_value) if has_value else table
    most = _MOST_CHARACTERS[medium]
    columns = [_cells(column.to_pylist(), most) for column in table[: _MOST_ROWS[medium]].columns]
    rows = [list(map(printable, row)) for row in zip(*columns, strict=True)]
    return [list(map(printable, table.column_names)), *rows], _are_numbers(table)


def _left_out(table: "pa.Table", medium: str) -> list[str]:
    # A slice of a table without columns has as many rows as were asked for.
    return [_MORE] if table.num_columns and table.num_rows > _MOST_ROWS[medium] else []


def _are_numbers(table: "pa.Table") -> list[bool]:
    import pyarrow as pa

    return [
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
        for kind in table.schema.types
    ]


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


def _write_parquet(table: "pa.Table", path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table, path)


def _write_csv(table: "pa.Table", path: Path) -> None:
    import csv

    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table.column_names)
        for row in _rows(table):
            writer.writerow([_flat(value) for value in row])


def _write_json(table: "pa.Table", path: Path) -> None:
    lines = ",\n".join(_objects(table))
    path.write_text(f"[\n{lines}\n]\n" if lines else "[]\n", encoding="utf-8")


def _write_jsonl(table: "pa.Table", path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in _objects(table))


def _write_markdown(table: "pa.Table", path: Path) -> None:
    def line(cells: Sequence[object]) -> str:
        texts = (" ".join(str(cell).split()).replace("|", r"\|") for cell in cells)
        return f"| {' | '.join(texts)} |\n"

    with path.open("w", encoding="utf-8") as file:
        file.write(line(table.column_names))
        file.write(line(["---:" if right else "---" for right in _are_numbers(table)]))
        file.writelines(line([_flat(value) for value in row]) for row in _rows(table))


def _write_html(table: "pa.Table", path: Path) -> None:
    from html import escape

    def row_of(tag: str, row: Sequence[object]) -> str:
        cells = "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in row)
        return f"<tr>{cells}</tr>\n"

    page = io.StringIO()
    page.write('<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<title>')
    page.write(f"{escape(path.name.removeprefix('.').removesuffix('.new'))}</title>\n")
    page.write(f"<table>\n<thead>{row_of('th', table.column_names)}</thead>\n<tbody>\n")
    page.writelines(row_of("td", [_flat(value) for value in row]) for row in _rows(table))
    page.write("</tbody>\n</table>\n</html>\n")
    path.write_text(page.getvalue(), encoding="utf-8")


_WRITERS: dict[str, Callable[["pa.Table", Path], None]] = {
    ".csv": _write_csv,
    ".html": _write_html,
    ".json": _write_json,
    ".jsonl": _write_jsonl,
    ".md": _write_markdown,
    ".parquet": _write_parquet,
}


def _rows(table: "pa.Table") -> Iterator[tuple[Any, ...]]:
    """Yield the rows, block by block; numbers of 32 bits with the digits that they have."""
    for batch in table.to_batches(max_chunksize=1 << 14):
        yield from zip(*map(_values, batch.columns), strict=True)


def _values(column: "pa.Array") -> list[Any]:
    import pyarrow as pa

    kind = column.type
    is_list = pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind)
    number = kind.value_type if is_list else kind
    if pa.types.is_float32(number) or pa.types.is_float16(number):
        text, wide = pa.string(), pa.float64()  # 0.1, not 0.10000000149011612
        for step in (pa.list_(text), pa.list_(wide)) if is_list else (text, wide):
            column = column.cast(step)
    values: list[Any] = column.to_pylist()
    return values


def _flat(value: Any) -> object:
    """Return a value as one cell of text has it."""
    if value is None:
        return ""
    if isinstance(value, list | dict):
        return json.dumps(_plain(value), ensure_ascii=False, default=str)
    return value.isoformat() if hasattr(value, "isoformat") else value


def _objects(table: "pa.Table") -> Iterator[str]:
    for row in _rows(table):
        named = zip(table.column_names, map(_plain, row), strict=True)
        yield json.dumps(dict(named), ensure_ascii=False, default=_flat)


def _plain(value: Any) -> Any:
    """Return a value in which a number that JSON does not have is None."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return None if isinstance(value, float) and not isfinite(value) else value

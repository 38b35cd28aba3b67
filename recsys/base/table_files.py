"""Tables as files: CSV, HTML, JSON, JSON lines, Markdown or Parquet by suffix."""

import io
import json
from collections.abc import Callable, Iterator, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys.base.checks import as_path
from recsys.base.durable import replaced, require_place
from recsys.base.errors import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa


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


def number_columns(table: "pa.Table") -> list[bool]:
    """Return which columns are numbers."""
    import pyarrow as pa

    return [
        pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
        for kind in table.schema.types
    ]


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
        file.write(line(["---:" if right else "---" for right in number_columns(table)]))
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

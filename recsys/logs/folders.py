"""What a folder says of a log: files passed over, tables of other formats, names of folders."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import unquote

from recsys.base.errors import DataError

TABLE_FORMATS = {"_delta_log": "Delta", ".hoodie": "Hudi"}
"""Folders by which a table of a kind is known; its files alone do not say which rows it has."""
_HOW_TO_READ = {
    "Delta": "read_log(deltalake.DeltaTable(path).to_pyarrow_table())",
    "Hudi": "a table that Spark or hudi has read, written as plain Parquet",
    "Iceberg": "read_log(pyiceberg's table.scan().to_arrow())",
}
_NO_DATA = re.compile(
    r"_SUCCESS|_metadata|_common_metadata|_(committed|started)_.*|\.DS_Store|Thumbs\.db|.*\.crc"
)
_PARTITION = re.compile(r"([A-Za-z_][\w .-]*)=(.*)")
_NULL_PARTITION = "__HIVE_DEFAULT_PARTITION__"
_MOST_NAMED = 3


def refuse_table_formats(folder: Path, folders_below: Iterable[Path] = ()) -> None:
    """Refuse the files of a Delta, Hudi or Iceberg table, of which some are deleted rows.

    Raises
    ------
    DataError
        If the folder, one above it or one of those below it is such a table.
    """
    for place in (folder, *folder.absolute().parents, *folders_below):
        format_ = _table_format(place)
        if format_ is not None:
            raise DataError(
                f"log {folder}: it is a {format_} table ({place}), whose files also hold rows that "
                f"were deleted or replaced; give what the table holds now: {_HOW_TO_READ[format_]}"
            )


def _table_format(folder: Path) -> str | None:
    for name, format_ in TABLE_FORMATS.items():
        if (folder / name).is_dir():
            return format_
    is_iceberg = any((folder / "metadata").glob("*.metadata.json"))
    return "Iceberg" if is_iceberg else None


def partition_of(path: Path) -> dict[str, str | None]:
    """Return the values that the names of the folders of a file state, as in ``day=2024-05-01/``.

    Examples
    --------
    >>> partition_of(Path("log/event=view/day=2024-05-01/part-0.parquet"))
    {'event': 'view', 'day': '2024-05-01'}
    """
    found = (_PARTITION.fullmatch(name) for name in path.parts[:-1])
    return {one[1]: None if one[2] == _NULL_PARTITION else unquote(one[2]) for one in found if one}


def passed_over(folder: Path, paths: Iterable[Path]) -> str | None:
    """Return a sentence on files of a folder that are not read, unless they hold no data."""
    paths = [path for path in paths if not _NO_DATA.fullmatch(path.name)]
    if not paths:
        return None
    return f"passed over in {folder}: {listed([str(path.relative_to(folder)) for path in paths])}"


def listed(names: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    shown = ", ".join(names[:_MOST_NAMED])
    more = len(names) - _MOST_NAMED
    return f"{shown} and {more:,} more" if more > 0 else shown

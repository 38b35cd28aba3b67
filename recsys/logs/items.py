"""Attributes of the items, from a table next to the log: titles, categories, prices."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from recsys.base.errors import DataError, did_you_mean
from recsys.settings import ItemSettings
from recsys.vectors import Ids


def read_items(path: str | Path, settings: ItemSettings | None = None) -> pa.Table:
    """Read a table of item attributes.

    Parameters
    ----------
    path : path
        Parquet, CSV or JSON lines, the last two plain or compressed.

    Returns
    -------
    pyarrow.Table
        A column item_id and the attributes.

    Raises
    ------
    DataError
        If the file cannot be read or a column is missing.
    """
    path = Path(path)
    try:
        table = _read_table(path)
    except (OSError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"items: cannot read {path} as a table of items: {reason}") from error
    columns = dict(settings.columns) if settings else {}
    item_id = columns.setdefault("item_id", "item_id")
    keep_all = len(columns) == 1
    for column in columns.values():
        if column not in table.column_names:
            raise DataError(
                f"items: {path} has no column {column!r}, only "
                f"{', '.join(table.column_names)}{did_you_mean(column, table.column_names)}"
            )
    if keep_all:
        names = ["item_id" if name == item_id else name for name in table.column_names]
        return table.rename_columns(names)
    return pa.table({ours: table[theirs] for ours, theirs in columns.items()})


def attributes_of(table: pa.Table, items: Ids) -> pa.Table:
    """Bring a table of items into the order of the rows of the embeddings.

    Parameters
    ----------
    table : pyarrow.Table
        With a column item_id. Of several rows for one item the first one counts.
    items : Ids
        The items, in order.

    Returns
    -------
    pyarrow.Table
        One row per item; attributes are null for an item that the table does not hold.
    """
    table_ids = pc.cast(table["item_id"], pa.large_string()).combine_chunks()
    first_row = pc.index_in(items.values.cast(pa.large_string()), value_set=table_ids)
    aligned = table.take(first_row)
    return aligned.set_column(aligned.column_names.index("item_id"), "item_id", items.values)


def _read_table(path: Path) -> pa.Table:
    name = path.name.removesuffix(".gz").removesuffix(".zst")
    if name.endswith((".jsonl", ".ndjson", ".json")):
        with pa.input_stream(str(path)) as stream:
            return pyarrow.json.read_json(stream)
    if name.endswith((".csv", ".tsv")):
        delimiter = "\t" if name.endswith(".tsv") else ","
        options = pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
        with pa.input_stream(str(path)) as stream:
            return pyarrow.csv.read_csv(stream, parse_options=options)
    return pq.read_table(path)

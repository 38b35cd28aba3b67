"""The writer for embedding-atlas: a table with a position, and neighbours, for each row."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsys.base.durable import durable_file
from recsys.export.formats import Files, Tables, drawn
from recsys.export.vector_table import VectorTable
from recsys.maps import VectorMap, nearest, vector_map
from recsys.store.content import Content
from recsys.vectors.vector import unit_rows

_N_NEIGHBOURS = 10
_MOST_WITH_NEIGHBOURS = 200_000  # rows: each is compared to all
_OPTIONS = {"x": "--x", "y": "--y", "neighbors": "--neighbors", "title": "--text"}


def write_atlas(folder: Path, tables: Tables, content: Content) -> Files:
    """Write items.parquet and users.parquet: id, attributes, popularity, x, y and neighbors.

    Rows without a vector have no position and are left out. Neighbours are rows of the table with
    their distances, 1 - cosine, as embedding-atlas takes them; a table of more than 200,000 rows
    has none.
    """
    files: Files = {}
    for table in tables:
        found = vector_map(content.version.folder.parents[1], content.version.name, table.kind)
        columns = _columns(found, table)
        name = f"{table.kind}.parquet"
        with durable_file(folder / name) as file:
            pq.write_table(columns, file)
        names = columns.column_names
        options = [f"{option} {one}" for one, option in _OPTIONS.items() if one in names]
        files[name] = {
            "rows": columns.num_rows,
            "without_vector": found.n_without_vector,
            "method": found.origin.method,
            "open": f"embedding-atlas {name} {' '.join(options)}",
            **drawn(table),
        }
        table.on_rows(len(table.ids))
    return files


def _columns(found: VectorMap, table: VectorTable) -> pa.Table:
    """Return the columns of a map, of the rows that are exported, and their neighbours."""
    is_exported = np.isin(found.rows, np.asarray(table.idx, np.int32))
    columns = found.to_arrow().filter(pa.array(is_exported))
    rows = found.rows[is_exported]
    if not 1 < len(rows) <= _MOST_WITH_NEIGHBOURS:
        return columns
    units = unit_rows(np.asarray(found.table.embeddings[rows], np.float32))
    k = min(_N_NEIGHBOURS, len(rows) - 1)
    near, cosines = nearest(units, units, k, without_itself=True)
    distances = np.maximum(1 - cosines, 0)
    neighbours = pa.StructArray.from_arrays(
        [_lists(near, pa.int64()), _lists(distances, pa.float32())], ["ids", "distances"]
    )
    return columns.append_column("neighbors", neighbours)


def _lists(values: NDArray[np.generic], of: pa.DataType) -> pa.ListArray:
    n, k = values.shape
    offsets = pa.array(np.arange(0, n * k + 1, k, dtype=np.int32))
    return pa.ListArray.from_arrays(offsets, pa.array(values.ravel(), of))

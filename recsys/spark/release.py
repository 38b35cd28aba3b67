"""What is published of a fit on Spark: its files as arrays that are mapped, and the ids in order.

The driver copies vectors and histories block by block, so its memory is that of a block for those.
It holds the ids of all users and items, as a publish on one machine does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.logs import attributes_of
from recsys.logs.log_summary import LogSummary
from recsys.spark.als import SparkFit
from recsys.spark.blocks import block_path, read_array
from recsys.store import Release
from recsys.training import plain_settings, spec_of
from recsys.vectors import Embeddings, Ids

if TYPE_CHECKING:
    from recsys.config import Settings
    from recsys.spark.log import SparkLog


def release_of(
    found: SparkFit,
    log: SparkLog,
    settings: Settings,
    scratch: Path,
    items: pa.Table | None,
    users: pa.Table | None,
) -> Release:
    """Put together what is published; arrays of all users lie in a folder of this machine.

    `items` and `users` are the tables of their attributes.
    """
    from dataclasses import replace

    known = log.items.orderBy("item_idx").toArrow()
    item_ids = Ids(known["item_id"].combine_chunks())
    user_ids = Ids(log.users.orderBy("user_idx").toArrow()["user_id"].combine_chunks())
    embeddings = Embeddings(
        found.write("users", scratch / "users.npy"), found.write("items", scratch / "items.npy")
    )
    return Release(
        embeddings=embeddings,
        users=user_ids,
        items=item_ids,
        seen=_seen(found, scratch),
        popularity=known["popularity"].to_numpy().astype(np.int64),
        recent=_recent(known["recent_popularity"]),
        attributes=None if items is None else attributes_of(items, item_ids),
        user_attributes=None if users is None else attributes_of(users, user_ids, "user"),
        model=replace(spec_of(found.als), mean_weight=found.mean_weight),
        data=_summary_of(log).to_dict(),
        config=plain_settings(settings),
    )


def _summary_of(log: SparkLog) -> LogSummary:
    known = LogSummary(users=log.n_users, items=log.n_items, row_counts=log.row_counts)
    return known if log.summary is None else log.summary


def _recent(column: pa.ChunkedArray) -> NDArray[np.float32] | None:
    """Return popularity where old interactions count less; None for a log without time."""
    if column.null_count:
        return None
    recent: NDArray[np.float32] = column.to_numpy().astype(np.float32)
    return recent


def _seen(found: SparkFit, scratch: Path) -> sp.csr_array:
    """Return what all users have seen, with the weights of the log, as arrays that are mapped."""
    users = found.users
    starts = np.zeros(users.cut.n_rows + 1, dtype=np.int64)
    for block, indptr in _blocks(found, "indptr"):
        first, last = users.cut.rows(block)
        starts[first + 1 : last + 1] = starts[first] + indptr[1:]
    n_seen = int(starts[-1])
    rows = _mapped(scratch / "seen.npy", np.int32, n_seen)
    weight = _mapped(scratch / "seen_weight.npy", np.float32, n_seen)
    for block in range(len(users.cut)):
        first, last = users.cut.rows(block)
        part = slice(int(starts[first]), int(starts[last]))
        rows[part] = _array(found, block, "seen", "columns")
        weight[part] = _array(found, block, "seen_weight")
    if n_seen <= np.iinfo(np.int32).max:
        starts = starts.astype(np.int32)  # SciPy wants one type, and would copy the larger array
    return sp.csr_array((weight, rows, starts), shape=(users.cut.n_rows, found.items.cut.n_rows))


def _blocks(found: SparkFit, name: str) -> Iterator[tuple[int, NDArray[Any]]]:
    for block in range(len(found.users.cut)):
        yield block, read_array(block_path(found.users.packed, block, name))


def _array(found: SparkFit, block: int, *names: str) -> NDArray[Any] | float:
    """Return the first of some arrays of a block that is there; 1 where none is."""
    for name in names:
        path = block_path(found.users.packed, block, name)
        if path.exists():
            return read_array(path)
    return 1.0


def _mapped(path: Path, dtype: type[np.generic], n: int) -> NDArray[Any]:
    if not n:
        return np.empty(0, dtype)
    array: NDArray[Any] = np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=(n,))
    return array

"""The files of stages: ids as Parquet, numbers as npz, both read back bit for bit."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from recsys.base.durable import durable_file
from recsys.config import Settings
from recsys.logs import Interactions, RowCounts
from recsys.vectors import Embeddings, Ids


def write_interactions(folder: Path, log: Interactions) -> None:
    """Write a log, but for its row counts."""
    columns: dict[str, Any] = {
        "user_idx": log.user_idx,
        "item_idx": log.item_idx,
        "weight": log.weight,
    }
    if log.timestamp is not None:
        columns["timestamp"] = log.timestamp
    write_arrays(folder / "events.npz", columns)
    _write_ids(folder / "users.parquet", log.users)
    _write_ids(folder / "items.parquet", log.items)


def read_interactions(folder: Path, row_counts: RowCounts, settings: Settings) -> Interactions:
    """Read a log as it was written, bit for bit."""
    columns = read_arrays(folder / "events.npz")
    return Interactions(
        columns["user_idx"],
        columns["item_idx"],
        columns["weight"],
        columns.get("timestamp"),
        _read_ids(folder / "users.parquet"),
        _read_ids(folder / "items.parquet"),
        duplicates=settings.log.duplicates,
        half_life_days=settings.log.half_life_days,
        row_counts=row_counts,
    )


def write_embeddings(folder: Path, embeddings: Embeddings) -> None:
    """Write embeddings."""
    arrays = {"users": embeddings.users, "items": embeddings.items}
    if embeddings.summands is not None:
        arrays["summands"] = embeddings.summands
    write_arrays(folder / "embeddings.npz", arrays)


def read_embeddings(folder: Path) -> Embeddings:
    """Read embeddings as they were written, bit for bit."""
    return Embeddings(**read_arrays(folder / "embeddings.npz"))


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays to the disk."""
    with durable_file(path) as file:
        np.savez(file, **arrays)


def read_arrays(path: Path) -> dict[str, Any]:
    """Read arrays by name."""
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _write_ids(path: Path, ids: Ids) -> None:
    import pyarrow.parquet as pq

    with durable_file(path) as file:
        pq.write_table(pa.table({"id": ids.values}), file, write_statistics=False)


def _read_ids(path: Path) -> Ids:
    import pyarrow.parquet as pq

    return Ids(pq.read_table(path)["id"])

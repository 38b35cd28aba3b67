"""Lists for everybody on Spark: each task writes the files of some users by our compiled search."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from recsys.base.environment import hold_to_cores
from recsys.base.errors import DataError
from recsys.serving import Recommender
from recsys.serving.batch import ListSettings, list_settings, lists_in, write_part
from recsys.serving.open import open_content
from recsys.spark.arrow import map_in_arrow, one_row
from recsys.store import shown_store, store_folder

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_MEMORY_BYTES = 64 * 1024**2  # of the lists of a file: a task's
_WRITTEN = "part int"
_SCHEMA = pa.schema({"part": pa.int32()})
_opened: dict[tuple[str, str], Recommender] = {}  # of a worker, the last one alone


@dataclass(frozen=True)
class _Task:
    """What the tasks of one call do."""

    store: str
    folder: str
    settings: ListSettings


def write_lists(
    spark: SparkSession,
    store: str | Path,
    folder: str | Path,
    k: int = 10,
    *,
    version: str | None = None,
    include_seen: bool = False,
    where: str | None = None,
    memory_bytes: int = _MEMORY_BYTES,
) -> Path:
    """Write the lists of all users of a version, by the executors of Spark.

    The folder is that of `recsys.write_batch`, file by file the same; a call after an interruption
    writes the files that are missing. A task writes a file by one thread. Executors map the
    version where it lies: the processes of a machine share one copy of its items and its index, and
    read of the users the rows that they answer.

    Parameters
    ----------
    store, folder : path
        On storage that the driver and all executors see under this path.
    version : str, optional
        Default: the current one.
    include_seen, where
        As in `recsys.write_batch`.
    memory_bytes : int
        Bound on the memory of the lists of one file, and so of a task, without the version itself.

    Raises
    ------
    DataError
        If the folder holds other lists, or the executors do not see it.
    StoreError
        As `recsys.open`.
    """
    store = shown_store(store_folder(store).absolute())  # an address leads executors to the bucket
    recommender = Recommender(open_content(store, version))
    n_users = len(recommender.all_users)
    settings = list_settings(
        recommender, k, include_seen=include_seen, where=where, memory_bytes=memory_bytes
    )
    with lists_in(folder, settings, n_users) as folder:
        n_parts = len(settings.parts(n_users))
        parts = spark.range(0, n_parts, numPartitions=max(n_parts, 1))
        task = _Task(store, str(folder.absolute()), settings)
        map_in_arrow(parts, partial(_write_parts, task=task), _WRITTEN).toArrow()
        for name in settings.parts(n_users):
            if not (folder / name).exists():
                raise DataError(
                    f"{folder}: expected {name}, which an executor wrote, got no such file here; "
                    "name a folder on storage that the driver and all executors see"
                )
    return folder


def _write_parts(batches: Iterator[pa.RecordBatch], task: _Task) -> Iterator[pa.RecordBatch]:
    """Write the files whose numbers come; runs in the executors, one thread a task."""
    hold_to_cores(1)
    recommender = _recommender(task.store, task.settings.version)
    for batch in batches:
        for number in batch.column(0).to_pylist():
            write_part(recommender, Path(task.folder), task.settings, number, many_writers=True)
            yield one_row(_SCHEMA, number)


def _recommender(store: str, version: str) -> Recommender:
    """Return the version, which a process of Python opens once."""
    if (store, version) not in _opened:
        _opened.clear()
        _opened[store, version] = Recommender(open_content(store, version))
    return _opened[store, version]

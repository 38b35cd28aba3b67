"""Work of Python on partitions: in Arrow, and without looking through all modules after each."""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Part = TypeVar("Part")
Found = TypeVar("Found")
Batches = Iterator[pa.RecordBatch]


def map_in_arrow(frame: DataFrame, work: Callable[[Batches], Batches], schema: str) -> DataFrame:
    """Return what some work makes of each partition; it does not use pandas, of any version."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas")
        return frame.mapInArrow(as_task(work), schema)


def as_task(work: Callable[[Iterator[Part]], Iterator[Found]]) -> partial[Iterator[Found]]:
    """Return some work on a partition as executors run it, one after the other in a process."""
    return partial(_run, work=work)


def _run(
    parts: Iterator[Part], work: Callable[[Iterator[Part]], Iterator[Found]]
) -> Iterator[Found]:
    yield from work(parts)
    _leave_modules(len(sys.modules))


@cache
def _leave_modules(_n: int) -> None:
    """Leave what is there to no collector: Spark calls one after each task, .1 s for modules.

    Once for each number of modules, as tasks import what they need. Their garbage is collected.
    """
    gc.collect()
    gc.freeze()


def one_row(schema: pa.Schema, *values: Any) -> pa.RecordBatch:
    """Return a batch of one row."""
    columns = [pa.array([value], field.type) for value, field in zip(values, schema, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)

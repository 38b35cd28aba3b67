"""Work of Python on the partitions of a DataFrame, in Arrow."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Batches = Iterator[pa.RecordBatch]


def map_in_arrow(frame: DataFrame, work: Callable[[Batches], Batches], schema: str) -> DataFrame:
    """Return what some work makes of each partition; it does not use pandas, of any version."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas")
        return frame.mapInArrow(work, schema)


def one_row(schema: pa.Schema, *values: Any) -> pa.RecordBatch:
    """Return a batch of one row."""
    columns = [pa.array([value], field.type) for value, field in zip(values, schema, strict=True)]
    return pa.RecordBatch.from_arrays(columns, schema=schema)

"""Tasks of Spark: what they find, and what they leave to the collector of their process."""

import gc
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

from recsys.spark.arrow import as_task, map_in_arrow

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def collected(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """How many objects a collector looks through, and how many are left to none."""
    for _ in batches:
        counts = {"looked_through": [len(gc.get_objects())], "left": [gc.get_freeze_count()]}
        yield pa.RecordBatch.from_pydict(counts)


def test_tasks_after_the_first_look_through_no_modules(spark: "SparkSession") -> None:
    """Spark collects after each; here two processes take turns."""
    for _ in range(6):
        one = spark.range(0, 1, numPartitions=1)
        found = map_in_arrow(one, collected, "looked_through long, left long").toArrow()
    (counts,) = found.to_pylist()
    assert counts["left"] > 50_000
    assert counts["looked_through"] < counts["left"] / 5, counts


def test_a_task_finds_what_its_work_does() -> None:
    task = as_task(lambda parts: (2 * part for part in parts))
    assert list(task(iter([1, 2, 3]))) == [2, 4, 6]

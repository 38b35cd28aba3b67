"""Ids to rows on Spark: distinct, in ascending order, numbered without a list of them in one place.

Sorted ids are written with their place in their partition. A partition begins where those before it
end, of which the driver knows the lengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from recsys.logs.session import Session
from recsys.logs.spellings import INTEGERS, ODD, Integers, Odd, Side
from recsys.spark.staged import StagedPart, kind_of_ids, kinds_of, path_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_IN_PARTITION = (1 << 33) - 1  # bits of monotonically_increasing_id that count within a partition
_SPELLING = ("is_variant", "is_padded", "is_wrapped", "is_float")


@dataclass(frozen=True, eq=False)
class Numbered:
    """The ids of a side and their rows.

    Parameters
    ----------
    ids : DataFrame
        id string or long, idx int.
    rows : DataFrame
        raw, the id as classified rows have it, and idx int.
    n : int
        How many.
    """

    ids: DataFrame
    rows: DataFrame
    n: int


def raw_type(staged: Sequence[StagedPart], side: Side) -> str:
    """Return the type of ids as the classified rows of all parts have them together."""
    return "long" if kinds_of(staged, side) == {"integer"} else "string"


def number_ids(
    spark: SparkSession,
    session: Session,
    staged: Sequence[StagedPart],
    side: Side,
    folder: Path,
) -> Numbered:
    """Give every id of a side its row, in ascending order; note and warn as on one machine."""
    ids = _distinct(spark, staged, side, folder)
    are_spelled = False
    if raw_type(staged, side) == "string":
        are_spelled = _say(ids, session, staged, side)
    key = "spelled" if are_spelled else "id"
    keys = ids.select(ids[key].alias("id"))
    numbered = in_order(keys.distinct() if are_spelled else keys, folder / f"{side}s-in-order")
    rows = numbered.ids.withColumnRenamed("id", "raw")
    if are_spelled:  # 7 and 7.0 are one integer
        rows = ids.join(numbered.ids.withColumnRenamed("id", "spelled"), "spelled")
        rows = rows.selectExpr("id AS raw", "idx")
    return Numbered(numbered.ids, rows, numbered.n)


def _distinct(
    spark: SparkSession, staged: Sequence[StagedPart], side: Side, folder: Path
) -> DataFrame:
    """Return the distinct ids of a side in the raw type, with how they are spelled."""
    is_text = raw_type(staged, side) == "string"
    paths: dict[bool, list[str]] = {}
    for one in staged:
        is_integer = kind_of_ids(one, side) == "integer"
        paths.setdefault(is_integer, []).append(str(path_of(folder, f"{side}s", one.part)))
    flags = ", ".join(f"{name} boolean" for name in _SPELLING)
    frames = []
    for is_integer, of_type in paths.items():
        if not is_integer:
            frame = spark.read.schema(f"id string, spelled long, {flags}").parquet(*of_type)
        else:
            frame = spark.read.schema("id long").parquet(*of_type)
            if is_text:  # others have ids that are text
                plain = [f"false AS {name}" for name in _SPELLING]
                frame = frame.selectExpr("string(id) AS id", "id AS spelled", *plain)
        frames.append(frame)
    found = reduce(lambda a, b: a.unionByName(b), frames)
    return found if len(staged) == 1 else found.distinct()


def _say(ids: DataFrame, session: Session, staged: Sequence[StagedPart], side: Side) -> bool:
    """Return whether ids that are text are all integers; say what may be odd about them."""
    from pyspark.sql.functions import expr

    aggregates = [expr(one) for one in (*INTEGERS, *ODD, "count(*) FILTER (WHERE is_float)")]
    (row,) = ids.agg(*aggregates).collect()
    integers = Integers.of(row[: len(INTEGERS)])
    may_be_integers = "string" not in kinds_of(staged, side)
    if may_be_integers:
        integers.note(session, side)
        if integers.are_all:
            return True
    *odd, n_floats = row[len(INTEGERS) :]
    doubles = (None, None)
    if n_floats:
        floats = ids.where("is_float").selectExpr("id AS one", "left(id, length(id) - 2) AS id")
        (doubles,) = floats.join(ids, "id").selectExpr("min(one)", "min_by(id, one)").collect()
    Odd.of([*odd, *doubles]).warn(session, side, staged[0].part.file.name)
    return False


def in_order(ids: DataFrame, folder: Path) -> Numbered:
    """Give distinct ids, a column `id`, rows in ascending order; they are kept in a folder."""
    from pyspark.sql.functions import broadcast

    ids.orderBy("id").selectExpr(
        "id",
        "spark_partition_id() AS partition",
        f"monotonically_increasing_id() & {_IN_PARTITION} AS place",
    ).write.mode("overwrite").parquet(str(folder))
    spark = ids.sparkSession
    written = spark.read.schema(f"{_described(ids)}, partition int, place long").parquet(
        str(folder)
    )
    lengths = sorted((row[0], row[1]) for row in written.groupBy("partition").count().collect())
    ends = list(accumulate(n for _, n in lengths))
    first = [(one[0], end - one[1]) for one, end in zip(lengths, ends, strict=True)]
    offsets = spark.createDataFrame(first, "partition int, first long")
    numbered = written.join(broadcast(offsets), "partition").selectExpr(
        "id", "int(first + place) AS idx"
    )
    return Numbered(numbered, numbered.withColumnRenamed("id", "raw"), ends[-1])


def _described(ids: DataFrame) -> str:
    return f"id {ids.schema['id'].dataType.simpleString()}"

"""Reading a log on Spark: the same settings, counts and rows as on one machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from recsys.config import Settings
from recsys.logs.row_counts import RowCounts

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@dataclass(frozen=True, eq=False)
class SparkLog:
    """A log in the executors of Spark; rows are numbered as on one machine.

    Parameters
    ----------
    pairs : DataFrame
        user_idx int, item_idx int, weight float: each pair of a user and an item once, with the
        weight that `Interactions.user_items` gives it.
    users : DataFrame
        user_idx int, user_id string or long.
    items : DataFrame
        item_idx int, item_id string or long, popularity long (users of the item), and
        recent_popularity float, null in a log without time.
    n_users, n_items : int
        How many.
    row_counts : RowCounts
        What became of the rows of the log.
    """

    pairs: DataFrame
    users: DataFrame
    items: DataFrame
    n_users: int
    n_items: int
    row_counts: RowCounts

    def __repr__(self) -> str:
        return f"SparkLog({self.n_users} users, {self.n_items} items; {self.row_counts})"


def read(
    settings: Settings,
    spark: SparkSession,
    *,
    folder: str | Path | None = None,
    rejects: str | Path | None = None,
    now: int | None = None,
) -> SparkLog:
    """Read the log of some settings on Spark, as `recsys.read_log` does on one machine.

    Parameters
    ----------
    settings : Settings
        ``data.log`` says where the log is, and ``[log]`` how it is read. The machines of the
        cluster find its files where this one does.
    spark : SparkSession
        Whose executors read.
    folder : path, optional
        Where what is read lies from then on, which all machines of the cluster see. Default:
        ``spark.checkpoint``, else a folder that goes with this process.
    rejects : path, optional
        Where rejected rows go, as Parquet; see `recsys.read_log`.
    now : int, optional
        Unix time in seconds, a day after which a timestamp is in the future. Default: the clock's.

    Raises
    ------
    DataError
        As `recsys.read_log`.
    ConfigError
        If a setting is out of range, or has no meaning on Spark.
    """
    raise NotImplementedError

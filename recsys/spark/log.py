"""Reading a log on Spark: the same settings, counts and rows as on one machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from recsys.base.checks import as_path
from recsys.base.errors import ConfigError
from recsys.config import Settings
from recsys.logs.log_summary import LogSummary, by_day, by_hour
from recsys.logs.queries import fetch
from recsys.logs.read import LONG_TAIL, no_rows, require_some_left
from recsys.logs.row_counts import FileCounts, RowCounts
from recsys.logs.session import Session, open_session
from recsys.logs.sources import LogFile, files_and_tables
from recsys.objects import use_cache
from recsys.settings import LogSettings
from recsys.spark.core import core_of, require_counts
from recsys.spark.delta import with_files_of_tables
from recsys.spark.events import PAIRS, Weighing, encoded, pairs_of, used_rows
from recsys.spark.numbering import number_ids
from recsys.spark.order_statistics import Times, end_of, have_long_tail, times_of
from recsys.spark.parts import Part, parts_of
from recsys.spark.session import explaining, work_folder
from recsys.spark.staged import SIDES, StagedParts, say, stage_parts

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
    summary : LogSummary, optional
        What a manifest keeps of it: all but the fingerprint, duplicates, and who is busiest.
    """

    pairs: DataFrame
    users: DataFrame
    items: DataFrame
    n_users: int
    n_items: int
    row_counts: RowCounts
    summary: LogSummary | None = None

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
    use_cache(settings.data.cache)
    how = settings.log
    _require_meaning(how)
    if rejects is not None:
        rejects = as_path("read: rejects", rejects)
    work = work_folder(settings.spark, spark, folder) / "log"
    log = settings.data.log
    source = with_files_of_tables(log) if log else fetch(how)  # whose files go with it
    sources = files_and_tables(source, how.format)
    files = [one for one in sources.parts if isinstance(one, LogFile)]
    with open_session(how.memory_limit, now) as session:
        staged = staged_log(spark, session, parts_of(files, how), how, work)
        row_counts = staged.count(how.max_rejected_share, rejects)
        require_some_left(row_counts)
        with explaining("finding users, items and pairs"):
            return _log_of(spark, staged, how, row_counts, sources.notes)


def staged_log(
    spark: SparkSession,
    session: Session,
    parts: Sequence[Part],
    settings: LogSettings,
    folder: Path,
) -> StagedParts:
    """Classify the rows of all parts in the executors; `session` is told what is to be said."""
    found = stage_parts(spark, parts, settings, folder, session.now)
    say(session, found)
    files = {one.file_number: one.file for one in parts}
    with_rows = [one for one in found if one.rules is not None]
    if not with_rows:
        raise no_rows([file.name for file in files.values()])
    return StagedParts(session, folder, with_rows, list(files.values()))


def _require_meaning(settings: LogSettings) -> None:
    if settings.session_gap_minutes is not None:
        raise ConfigError(
            'log.session_gap_minutes: expected none with engine = "spark", whose users are those '
            f"of the log, got {settings.session_gap_minutes:g}; leave it out, or set engine = "
            '"local" (--engine local)'
        )
    if settings.may_dislike:
        name = "log.max_disliked_value"
        if settings.max_disliked_value is None:
            name = "log.events: a weight below 0"
        raise ConfigError(
            f'{name}: expected no dislikes with engine = "spark", which learns from likes alone; '
            'leave them out by a weight of 0, or set engine = "local" (--engine local)'
        )


def _log_of(
    spark: SparkSession,
    staged: StagedParts,
    settings: LogSettings,
    row_counts: RowCounts,
    notes: Sequence[str],
) -> SparkLog:
    """Give users and items their rows, leave out those with too few, and merge their events."""
    from pyspark import StorageLevel
    from pyspark.sql.functions import count
    from pyspark.sql.functions import sum as sum_

    session, folder, rules = staged.session, staged.folder, staged.rules
    users, items = (number_ids(spark, session, staged.parts, side, folder) for side in SIDES)
    events = encoded(used_rows(spark, staged.parts, folder), users, items)
    kept = [events.persist(StorageLevel.DISK_ONLY)]
    staged.check_times(events, settings.timestamp_unit)
    has_weights = "value" in rules.columns or rules.event is not None
    is_rooted = have_long_tail(events, settings, has_weights=has_weights)
    said = [*notes, *session.sentences(), *([LONG_TAIL] if is_rooted else [])]
    files = {file.name: row_counts.files.get(file.name, FileCounts()) for file in staged.files}
    row_counts = replace(row_counts, files=files, notes=tuple(said), is_rooted=is_rooted)
    if require_counts(settings):
        n_before = row_counts.n_used
        core = core_of(events, users, items, settings, folder)
        n_left = 0
        if core is not None:
            kept.append(core.events.persist(StorageLevel.DISK_ONLY))
            n_left = core.events.count()
        reason = "k-core" if settings.k_core else "minimum counts"
        row_counts = row_counts.leaving_out(reason, n_before - n_left)
        require_some_left(row_counts)
        if core is not None:
            users, items, events = core.users, core.items, core.events
    times = times_of(events, has_time=staged.has_time, is_rooted=is_rooted)
    end = end_of(events, users.n, times) if staged.has_time else None
    weighing = Weighing.of(settings, items.n, end, is_rooted=is_rooted)
    pairs = pairs_of(events, weighing)
    pairs.write.mode("overwrite").parquet(str(folder / "pairs"))
    for one in kept:
        one.unpersist()
    pairs = spark.read.schema(PAIRS).parquet(str(folder / "pairs"))
    popular = pairs.groupBy("item_idx").agg(
        count("*").alias("popularity"), sum_("fresh").cast("float").alias("recent_popularity")
    )
    named = items.ids.selectExpr("idx AS item_idx", "id AS item_id").join(popular, "item_idx")
    named.write.mode("overwrite").parquet(str(folder / "items-by-row"))
    staged.remove()
    return SparkLog(
        pairs.drop("fresh"),
        users.ids.selectExpr("idx AS user_idx", "id AS user_id"),
        spark.read.schema(named.schema).parquet(str(folder / "items-by-row")),
        users.n,
        items.n,
        row_counts,
        _summary(times, users.n, items.n, row_counts),
    )


def _summary(times: Times, n_users: int, n_items: int, row_counts: RowCounts) -> LogSummary:
    """Return what one pass tells of a log; what needs its events together is left out."""
    return LogSummary(
        events=row_counts.n_used,
        users=n_users,
        items=n_items,
        window=times.window,
        days=by_day(times.hours),
        hours=by_hour(times.hours),
        mean_weight=times.mean_weight,
        row_counts=row_counts,
    )

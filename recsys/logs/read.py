"""Reading a log: from files or tables to interactions, every row counted.

A row goes through `sources` (which files), `staging` (which takes text apart by its `layout` and
classifies each row by the rules of `classify`) and `encoding` (ids to rows, in order of time).
`row_counts` counts what cannot be used, `cache` has the staged files of an earlier reading.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.base.checks import as_path, require_a, require_known
from recsys.base.errors import ConfigError, DataError
from recsys.base.mapped import made_of, parts
from recsys.base.progress import spinner
from recsys.logs.cache import LogCache
from recsys.logs.classify import BELOW_MIN_VALUE
from recsys.logs.columns import KEYWORDS
from recsys.logs.encoding import StagedLog, check_times, folder_of_log
from recsys.logs.interactions import Interactions
from recsys.logs.live_files import LiveFiles, settings_beside
from recsys.logs.minimum_counts import keep_minimum_counts
from recsys.logs.queries import fetch
from recsys.logs.row_counts import FileCounts, RowCounts, advice_on
from recsys.logs.session import Session, open_session
from recsys.logs.sessions import into_sessions
from recsys.logs.sources import LogFile, LogSource, TableStream, files_and_tables, listed
from recsys.logs.staging import StagedFile, stage
from recsys.settings import LogSettings

ENOUGH_EVENTS = 1000  # to tell how values are spread
LONG = 10.0  # times the median: a 99th percentile from here on is a long tail
LONG_TAIL = (
    "values have a long tail: the fourth root of a weight is taken; log.value_scale says otherwise"
)


def read_log(
    source: "LogSource | None" = None,
    settings: LogSettings | None = None,
    *,
    rejects: str | Path | None = None,
    cache: LogCache | None = None,
    live: LiveFiles | None = None,
    now: int | None = None,
    progress: bool = False,
    **overrides: object,
) -> Interactions:
    """Read an interaction log.

    Integer ids stay integers and strings stay strings. In CSV and JSON lines, which do not
    distinguish the two, a column of ids is integers if every one is a decimal integer in its one
    canonical form, or a float that a program made of one (``17850.0``): ``007`` makes it strings.
    Users and items come in ascending order. Events are ordered by time, to the nanosecond where the
    log has it, and those of one moment by user; what one user does at one moment stays in the order
    of the log. Without time all events do.

    Parameters
    ----------
    source : path, glob, folder, table, or a list of these, optional
        Parquet, CSV or JSON lines, the last two also as .gz, .bz2, .zst or .zip; a pandas, Polars
        or Arrow table. A folder is read recursively, sorted by path. Default: the rows of a query,
        ``read_log(sql="select ...", uri="postgresql://ann@db.example/shop")``.
    settings : LogSettings, optional
        How the log is read and what of it is used.
    rejects : path, optional
        Where rejected rows go, as Parquet: file, line (from 1), reason, text. Written only if there
        are any. None: they are counted and not kept.
    cache : LogCache, optional
        Keeps what became of the rows of each file, so that a file which has not changed is not read
        again; the result is the same. For files, not for tables.
    live : LiveFiles, optional
        Events that the online service took, which are read as a part of the log; the night has
        them from `recsys.events.take`.
    now : int, optional
        Unix time in seconds, a day after which a timestamp is in the future. Default: the clock's.
    progress : bool
        Show the present step on stderr, if that is a terminal.
    **overrides
        Single fields of `settings`, by name, and the columns `user`, `item`, `time`, `event` and
        `value` of the log: ``user="userId"``.

    Returns
    -------
    Interactions
        With the counts of all rows read.

    Raises
    ------
    DataError
        If the log cannot be read, a column is missing, more rows are rejected than
        `max_rejected_share` allows, or nothing is left.
    ConfigError
        If a setting is unknown or out of range.

    Examples
    --------
    >>> import pyarrow as pa
    >>> log = read_log(pa.table({"user_id": ["ann", "bob"], "item_id": [7, 7]}))
    >>> log, log.users[1], log.items[0]
    (Interactions(2 events, 2 users, 1 items), 'bob', 7)
    """
    settings = settings or LogSettings()
    require_a("read_log: settings", settings, LogSettings, "LogSettings, or single ones by name")
    settings = _overridden(settings, overrides)
    if cache is not None:
        require_a("read_log: cache", cache, LogCache, "recsys.logs.LogCache(folder)")
    if source is None:
        source = fetch(settings, progress=progress)
    elif "sql" in overrides:
        raise ConfigError(
            "read_log: expected one source of the log, got sql as well; leave one out"
        )
    sources = files_and_tables(source, settings.format)
    with (
        open_session(settings.memory_limit, now) as session,
        spinner("reading the log", enabled=progress) as report,
    ):
        live_parts = [] if live is None else live.parts
        log = StagedLog(
            session, _staged(session, sources.parts, live_parts, settings, cache, report)
        )
        report("checking rows, finding users and items")
        rejects = None if rejects is None else as_path("read_log: rejects", rejects)
        row_counts = log.count(settings.max_rejected_share, rejects)
        require_some_left(row_counts)
        report("building interactions")
        interactions = log.interactions(
            row_counts,
            duplicates=settings.duplicates,
            half_life_days=settings.half_life_days,
            order=settings.order,
            folder=folder_of_log(row_counts.n_used, settings.max_memory),
            may_dislike=settings.may_dislike,
        )
        row_counts = interactions.row_counts
        require_likes(interactions)
        if log.times_are_numbers:
            check_times(session, interactions.timestamp, settings.timestamp_unit)
        notes = [
            *sources.notes,
            *session.sentences(),
            *_dislikes_left_out(row_counts, settings),
        ]
    if live is not None:
        interactions = live.without_deleted(replace(interactions, row_counts=row_counts))
        row_counts = interactions.row_counts
        require_some_left(row_counts)
    if _have_long_tail(interactions.weight, settings):
        interactions = _rooted(interactions)
        row_counts = replace(row_counts, is_rooted=True)
        notes.append(LONG_TAIL)
    if settings.session_gap_minutes is not None:
        n_users = len(interactions.users)
        interactions = into_sessions(interactions, settings.session_gap_minutes)
        notes.append(f"{len(interactions.users):,} sessions of {n_users:,} users")
    parts = [*sources.parts, *live_parts]
    files = {one.name: row_counts.files.get(one.name, FileCounts()) for one in parts}
    row_counts = replace(row_counts, files=files, notes=tuple(notes))
    interactions = keep_minimum_counts(
        replace(interactions, row_counts=row_counts),
        min_user_items=settings.min_user_items,
        min_item_users=settings.min_item_users,
        k_core=settings.k_core,
    )
    require_some_left(interactions.row_counts)
    require_likes(interactions)
    n_dislikes = interactions.n_rows - len(interactions)
    return replace(interactions, row_counts=replace(interactions.row_counts, dislikes=n_dislikes))


def _dislikes_left_out(row_counts: RowCounts, settings: LogSettings) -> list[str]:
    """Say of which dislikes no row is used, where their values may be why."""
    n_left_out = row_counts.left_out.get(BELOW_MIN_VALUE, 0)
    weights = settings.events or {}
    unused = [one for one, weight in weights.items() if weight < 0 and one not in row_counts.events]
    if not n_left_out or not row_counts.events or set(unused) <= {"*"}:
        return []
    return [
        f"no row of {unused[0]!r} is a dislike: those below log.min_value are left out, "
        f"{n_left_out:,} rows"
    ]


def _rooted(log: Interactions) -> Interactions:
    """Return a log with the fourth root of each weight."""
    roots = made_of(log.weight, lambda one: np.sqrt(np.sqrt(one)), dtype=np.float32)
    part = None if log.dislikes is None else _rooted(log.dislikes)
    return replace(log, weight=roots, dislikes=part)


def _staged(
    session: Session,
    sources: Sequence[LogFile | TableStream],
    live: Sequence[LogFile],
    settings: LogSettings,
    cache: LogCache | None,
    report: Callable[[str], None],
) -> list[StagedFile]:
    """Classify the rows of all files and tables that have any, but for files that the cache has."""
    if cache is not None:
        cache.begin()

    def staged(source: LogFile | TableStream, settings: LogSettings) -> StagedFile | None:
        report(f"reading {source.name}")
        if cache is not None and isinstance(source, LogFile):
            return cache.stage(session, source, settings)
        return stage(session, source, settings)

    of_log = [staged(one, settings) for one in sources]
    with_rows = [one for one in of_log if one is not None]
    beside = settings_beside(settings, with_rows)
    of_live = [staged(one, beside) for one in live] if with_rows else []
    if cache is not None:
        cache.drop_others()
    with_rows += [one for one in of_live if one is not None]
    if not with_rows:
        raise no_rows([source.name for source in sources])
    return with_rows


def no_rows(names: Sequence[str]) -> DataError:
    """Return the error of a log whose files and tables have no row."""
    named = listed(names)
    return DataError(f"log {named}: expected rows, but it is empty: nothing, or a header alone")


def may_have_long_tail(settings: LogSettings) -> bool:
    """Whether values are looked at for a long tail: where they are weights, and nobody said how."""
    is_linear = settings.scale == "linear" and settings.duplicates != "count"
    return is_linear and settings.value_scale == "auto"


def _have_long_tail(weight: NDArray[np.float32], settings: LogSettings) -> bool:
    """Tell whether values are such that few events would weigh more than all others.

    Weights of event types that a person gave are no values, however far apart they are.
    """
    if (
        not may_have_long_tail(settings)
        or len(weight) < ENOUGH_EVENTS
        or weight.min() == weight.max()
    ):
        return False
    ordered = made_of(weight, np.array, dtype=np.float32)
    median, high = np.percentile(ordered, [50, 99], overwrite_input=True)
    if high < LONG * median:
        return False
    found: set[float] = set()
    for part in parts(len(weight)):
        found.update(np.unique(weight[part]).tolist())
    return len(found) > len(set(settings.events.values()))


def _overridden(settings: LogSettings, overrides: Mapping[str, object]) -> LogSettings:
    known = [*KEYWORDS, *(field.name for field in dataclasses.fields(LogSettings))]
    require_known("read_log", overrides, known)
    columns: dict[str, Any] = {
        KEYWORDS[name]: column for name, column in overrides.items() if name in KEYWORDS
    }
    others = {name: value for name, value in overrides.items() if name not in KEYWORDS}
    settings = dataclasses.replace(settings, **others)  # type: ignore[arg-type]
    return dataclasses.replace(settings, columns={**settings.columns, **columns})


def require_some_left(row_counts: RowCounts) -> None:
    """Raise a DataError where no row is left, which says what became of them."""
    if row_counts.n_used == 0:
        advice = "check the column mapping, event types, time window and minimum counts under log"
        if not row_counts.left_out:
            advice = advice_on(row_counts.rejected) or advice
        raise DataError(f"log: no row is left: {row_counts}; {advice}")


def require_likes(log: Interactions) -> None:
    """Raise a DataError where all that is left are dislikes: nothing can be learned to be liked."""
    if not len(log) and log.dislikes is not None:
        raise DataError(
            f"log: expected events that are no dislikes, got {len(log.dislikes):,} dislikes alone; "
            "give other event types a weight above 0 in log.events, or lower "
            "log.max_disliked_value"
        )

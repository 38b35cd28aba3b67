"""From staged files to interactions: ids numbered, events in order, times checked."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.base.checks import size_of
from recsys.base.environment import usable_memory
from recsys.base.errors import DataError, RecsysError
from recsys.base.mapped import disk_folder, parts, room
from recsys.logs.classify import FILE_INDEX
from recsys.logs.interactions import Interactions
from recsys.logs.row_counts import ClassifiedRows, RowCounts
from recsys.logs.session import Session
from recsys.logs.spellings import INTEGERS, ODD, SPELLING, Integers, Odd, Side
from recsys.logs.sql import SPELLED_INTEGER, literals
from recsys.logs.staging import StagedFile, outcomes_of, scanned
from recsys.settings import DuplicatePolicy, HistoryOrder, TimestampUnit
from recsys.vectors import Ids

# ruff: noqa: S608 (names and values of others are quoted by recsys.logs.sql)

_CLASSIFIED = "classified"
EARLY = 100_000_000  # seconds, in March 1973: no log of events on a computer ends before
_YEARS = (1900, 2100)
_BYTES_OF_AN_EVENT = 60  # in memory, from its columns to a published version
_SHARE_OF_MEMORY = 4  # a quarter


def folder_of_log(n_events: int, max_memory: str) -> Path | None:
    """Return the folder that the columns of a log are mapped in; None where memory holds it."""
    if max_memory == "auto":
        most = usable_memory() // _SHARE_OF_MEMORY
    else:
        most = size_of("log.max_memory", max_memory)
    return disk_folder() if n_events * _BYTES_OF_AN_EVENT > most else None


class StagedLog:
    """All staged files of a log as one relation, in the order of the log.

    Rows are scanned a few times rather than held: once for users and items, once to encode.
    """

    def __init__(self, session: Session, files: Sequence[StagedFile]) -> None:
        self._session = session
        self._files = files
        self._rows = ClassifiedRows(
            session, _CLASSIFIED, outcomes_of(files), [file.name for file in files]
        )
        self._has_time = files[0].rules.seconds is not None
        kinds_of = zip(*(file.rules.id_kinds for file in files), strict=True)
        self._id_kinds = dict(zip(("user", "item"), map(set, kinds_of), strict=True))
        self._typed_integer = {side: kinds == {"integer"} for side, kinds in self._id_kinds.items()}
        # Files of one kind are one scan: a thousand scans would be a plan beyond any memory.
        kinds: dict[object, list[int]] = {}
        for number, file in enumerate(files):
            kinds.setdefault((file.select, file.types), []).append(number)
        selects = [self._select(numbers) for numbers in kinds.values()]
        session.execute(f"CREATE VIEW {_CLASSIFIED} AS {' UNION ALL '.join(selects)}")

    def _select(self, numbers: list[int]) -> str:
        files = [self._files[number] for number in numbers]
        user, item = (
            f"{side}_id" if is_integer else f"CAST({side}_id AS VARCHAR)"
            for side, is_integer in self._typed_integer.items()
        )
        return (
            f"SELECT {user} AS user_id, {item} AS item_id, weight, seconds, nanos, event, outcome, "
            f"{literals(file.name for file in files)}[{FILE_INDEX} + 1] AS file, "
            f"{literals(numbers)}[{FILE_INDEX} + 1] AS file_number, line, text "
            f"FROM ({scanned([file.path for file in files], files[0].select)})"
        )

    @property
    def times_are_numbers(self) -> bool:
        """Whether times may have been read as a number that counts from 1970."""
        return any(file.rules.times_are_numbers for file in self._files)

    def count(self, max_rejected_share: float, rejects: Path | None) -> RowCounts:
        """Count the rows, and find users and items; write what is rejected, and refuse too much."""
        with self._explaining():
            return self._rows.counted(self._files[0].rules, max_rejected_share, rejects)

    def interactions(
        self,
        row_counts: RowCounts,
        *,
        duplicates: DuplicatePolicy,
        half_life_days: float | None,
        order: HistoryOrder,
        folder: Path | None,
        may_dislike: bool = False,
    ) -> Interactions:
        """Encode the rows that are used, in order of time or else of the log.

        The columns are mapped from files of the folder, if there is one. `may_dislike`: rows of a
        weight below 0 are dislikes.
        """
        n, n_dislikes = row_counts.n_used, 0
        with self._explaining():
            users, items = self._number_ids("user"), self._number_ids("item")
            if may_dislike:
                n_dislikes = self._n_dislikes()
            rooms = [
                _Columns(size, folder, self._has_time) for size in (n - n_dislikes, n_dislikes)
            ]
            self._encode(n, *rooms, all_used=n == row_counts.rows_read)
        likes, dislikes = (one.interactions(users, items) for one in rooms)
        return replace(
            likes,
            duplicates=duplicates,
            half_life_days=half_life_days,
            order=order,
            row_counts=replace(row_counts, dislikes=n_dislikes),
            dislikes=dislikes if n_dislikes else None,
        )

    def _n_dislikes(self) -> int:
        query = f"SELECT count(*) FROM {_CLASSIFIED} WHERE outcome = 0 AND weight < 0"
        ((n,),) = self._session.rows(query)
        return int(str(n))

    def _number_ids(self, side: Side) -> Ids:
        """Give every id of a side its row, in ascending order, and return them."""
        counts, key = f"{side}_counts", "id"
        is_integer, has_variants = self._typed_integer[side], False
        if not is_integer and "string" not in self._id_kinds[side]:
            found = self._integers(side)
            is_integer, has_variants = found.are_all, found.n_variants != 0
            key = f"({SPELLED_INTEGER})" if is_integer else "id"
        if not is_integer:
            self._warn_of_spellings(side)
        # 7 and 7.0 are one integer.
        number = "dense_rank" if has_variants else "row_number"
        self._session.execute(
            f"CREATE TABLE {side}s AS SELECT id, "
            f"CAST({number}() OVER (ORDER BY {key}) - 1 AS INTEGER) AS idx "
            f"FROM {counts} WHERE outcome = 0"
        )
        self._session.execute(f"DROP TABLE {counts}")
        type_ = pa.int64() if is_integer else pa.large_string()
        distinct = f"{key} AS id FROM {side}s"
        if has_variants:
            distinct = f"any_value({key}) AS id FROM {side}s GROUP BY idx"
        batches = self._session.batches(f"SELECT {distinct} ORDER BY idx")
        return Ids(pa.chunked_array([batch.column(0).cast(type_) for batch in batches], type_))

    def _integers(self, side: Side) -> Integers:
        """Return whether ids that are spelled are all integers, and some in another form."""
        ids = f"(SELECT id, {SPELLING} FROM {side}_counts WHERE outcome = 0)"
        (row,) = self._session.rows(f"SELECT {', '.join(INTEGERS)} FROM {ids}")
        found = Integers.of(row)
        found.note(self._session, side)
        return found

    def _warn_of_spellings(self, side: Side) -> None:
        """Warn of ids that are strings, and may not be spelled as they are meant."""
        (row,) = self._session.rows(
            f"WITH ids AS (SELECT id, {SPELLING} FROM {side}_counts WHERE outcome = 0), "
            "floats AS (SELECT min(a.id) AS one, min_by(b.id, a.id) AS other FROM ids AS a "
            "JOIN ids AS b ON b.id = a.id[:-3] WHERE a.is_float) "
            f"SELECT {', '.join(ODD)}, any_value(one), any_value(other) FROM ids, floats"
        )
        Odd.of(row).warn(self._session, side, self._files[0].name)

    def _encode(self, n: int, likes: "_Columns", dislikes: "_Columns", *, all_used: bool) -> None:
        """Fill the columns of the events and of the dislikes, batch by batch."""
        # What a user did at one moment stays in the order of the log.
        order = f"{'seconds, nanos, user_idx, ' if self._has_time else ''}file_number, line"
        query = (
            "SELECT users.idx AS user_idx, items.idx AS item_idx, weight, seconds "
            f"FROM {_CLASSIFIED} JOIN users ON users.id = user_id JOIN items ON items.id = item_id "
            f"{'' if all_used else 'WHERE outcome = 0'} ORDER BY {order}"
        )
        for batch in self._session.batches(query):
            if dislikes.n:
                is_like = batch.column(2).to_numpy() > 0
                dislikes.add(batch.filter(pa.array(~is_like)))
                batch = batch.filter(pa.array(is_like))
            likes.add(batch)
        n_found = likes.n_filled + dislikes.n_filled
        if n_found != n:
            raise DataError(f"log: it changed while it was read: {n:,} rows became {n_found:,}")

    def _explaining(self) -> AbstractContextManager[None]:
        return self._session.explaining(self._broken_file)

    def _broken_file(self) -> str:
        """Name the file that cannot be read, of all that are scanned together."""
        for file in self._files:
            try:
                with self._session.explaining(lambda: ""):
                    self._session.rows(
                        "SELECT outcome, count(user_id), count(item_id) "
                        f"FROM ({scanned([file.path], file.select)}) GROUP BY ALL"
                    )
            except RecsysError:
                return f"log {file.name}"
        return f"log {self._files[0].name}"


class _Columns:
    """The columns of events, which are filled batch by batch."""

    def __init__(self, n: int, folder: Path | None, has_time: bool) -> None:
        self.n, self.n_filled = n, 0
        types = (np.int32, np.int32, np.float32, np.int64)[: 4 if has_time else 3]
        self._arrays: list[NDArray[Any]] = [room(folder, n, one) for one in types]

    def add(self, batch: pa.RecordBatch) -> None:
        """Write a batch of user_idx, item_idx, weight and seconds after those before."""
        end = self.n_filled + batch.num_rows
        for position, array in enumerate(self._arrays):
            array[self.n_filled : end] = batch.column(position).to_numpy()
        self.n_filled = end

    def interactions(self, users: Ids, items: Ids) -> Interactions:
        """Return the events; a weight below 0 is that of a dislike, by its size."""
        user_idx, item_idx, weight, *times = self._arrays
        for part in parts(len(weight)):
            np.abs(weight[part], out=weight[part])
        return Interactions(user_idx, item_idx, weight, times[0] if times else None, users, items)


def check_times(session: Session, seconds: NDArray[np.int64] | None, unit: TimestampUnit) -> None:
    """Refuse calendar dates that are written as numbers, and warn of a log that ends too early."""
    if seconds is None or unit in ("date", "excel") or int(seconds.max()) >= EARLY:
        return
    if unit == "s" and (form := _form_of_dates(np.unique(seconds))):
        raise DataError(
            f"log: its times look like {form} written as numbers, such as {int(seconds[-1])}, and "
            'would be seconds of 1970; set log.timestamp_unit = "date" (in [log], or read_log('
            'timestamp_unit="date"))'
        )
    end = datetime.fromtimestamp(int(seconds.max()), UTC)
    session.warn(
        f"by its times it ends on {end:%Y-%m-%d}, as numbers count from 1970 in "
        f'log.timestamp_unit = "{unit}"; others are s, ms, us, ns, date (20141118) and excel '
        "(41961.5); positions in a session are an order, but no times",
        "log",
    )


def _form_of_dates(numbers: NDArray[np.int64]) -> str | None:
    """Return what calendar dates some distinct numbers are, if all of them are one."""
    first, last = _YEARS
    if first <= numbers[0] and numbers[-1] <= last:
        return "years"
    if _are_months(numbers):
        return "months"
    years_and_months, days = np.divmod(numbers, 100)
    if _are_months(years_and_months) and ((days >= 1) & (days <= 31)).all():
        return "dates"
    return None


def _are_months(numbers: NDArray[np.int64]) -> bool:
    years, months = np.divmod(numbers, 100)
    in_range = (years >= _YEARS[0]) & (years <= _YEARS[1]) & (months >= 1) & (months <= 12)
    return bool(in_range.all())

"""From staged files to interactions: rows counted, ids numbered, events in order."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.base.errors import DataError, RecsysError
from recsys.logs.classify import FILE_INDEX
from recsys.logs.interactions import Interactions, RowCounts
from recsys.logs.rejects import too_many_rejected, write_rejects
from recsys.logs.session import Session, literals
from recsys.logs.staging import StagedFile, outcomes_of, scanned
from recsys.settings import DuplicatePolicy
from recsys.vectors import Ids

# ruff: noqa: S608 (names and values of others are quoted by recsys.logs.session)


Side = Literal["user", "item"]
CANONICAL_INTEGER = "'0|-?[1-9][0-9]*'"
CLASSIFIED = "classified"
"""View of all rows of a log: user_id, item_id, weight, seconds, event, outcome, file, file_number,
line, text."""

_MOST_EVENTS = 50


class StagedLog:
    """All staged files of a log as one relation, in the order of the log.

    Rows are scanned a few times rather than held: once for users and items, once to encode.

    Raises
    ------
    DataError
        If the files differ in their optional columns.
    """

    def __init__(self, session: Session, files: Sequence[StagedFile]) -> None:
        self._session = session
        self._files = files
        self._outcomes = outcomes_of(files)
        self._has_time = files[0].rules.seconds is not None
        self._typed_integer = {
            "user": all(file.rules.ids_are_integers[0] for file in files),
            "item": all(file.rules.ids_are_integers[1] for file in files),
        }
        # Files of one kind are one scan: a thousand scans would be a plan beyond any memory.
        kinds: dict[object, list[int]] = {}
        for number, file in enumerate(files):
            kinds.setdefault((file.select, file.types), []).append(number)
        selects = [self._select(numbers) for numbers in kinds.values()]
        session.execute(f"CREATE VIEW {CLASSIFIED} AS {' UNION ALL '.join(selects)}")

    def _select(self, numbers: list[int]) -> str:
        files = [self._files[number] for number in numbers]
        user = "user_id" if self._typed_integer["user"] else "CAST(user_id AS VARCHAR)"
        item = "item_id" if self._typed_integer["item"] else "CAST(item_id AS VARCHAR)"
        return (
            f"SELECT {user} AS user_id, {item} AS item_id, weight, seconds, event, outcome, "
            f"{literals(file.name for file in files)}[{FILE_INDEX} + 1] AS file, "
            f"{literals(numbers)}[{FILE_INDEX} + 1] AS file_number, line, text "
            f"FROM ({scanned([file.path for file in files], files[0].select)})"
        )

    def count(self) -> RowCounts:
        """Count the rows by outcome, and find users and items on the way."""
        with self._explaining():
            self._session.execute(
                "CREATE TABLE user_counts AS SELECT CASE WHEN outcome = 0 THEN user_id END AS id, "
                f"outcome, count(*) AS n FROM {CLASSIFIED} GROUP BY ALL"
            )
            self._session.execute(
                "CREATE TABLE item_counts AS "
                f"SELECT DISTINCT item_id AS id, outcome FROM {CLASSIFIED} WHERE outcome = 0"
            )
            counts = self._session.rows("SELECT outcome, sum(n) FROM user_counts GROUP BY outcome")
        row_counts = RowCounts(rows_read=sum(int(str(n)) for _, n in counts))
        rejected: dict[str, int] = {}
        for code, n in sorted((int(str(code)), int(str(n))) for code, n in counts if code != 0):
            outcome = self._outcomes[code - 1]
            if outcome.is_rejected:
                rejected[outcome.reason] = rejected.get(outcome.reason, 0) + n
            else:
                row_counts = row_counts.leaving_out(outcome.reason, n)
        return replace(row_counts, rejected=rejected, events=self._by_event())

    def _by_event(self) -> dict[str, int]:
        """Count the rows that are used by event type; empty where none are read."""
        if self._files[0].rules.event is None:
            return {}
        with self._explaining():
            counts = self._session.rows(
                f"SELECT event, count(*) AS n FROM {CLASSIFIED} WHERE outcome = 0 "
                f"GROUP BY event ORDER BY n DESC, event LIMIT {_MOST_EVENTS}"
            )
        return {str(event): int(str(n)) for event, n in counts}

    def check_rejects(
        self, row_counts: RowCounts, max_rejected_share: float, path: Path | None
    ) -> RowCounts:
        """Write the rejects file where there are any, and refuse a log with too many."""
        if not row_counts.rejected:
            return row_counts
        with self._explaining():
            if path is not None:
                write_rejects(self._session, CLASSIFIED, self._outcomes, path)
                row_counts = replace(row_counts, rejects_file=str(path))
            if row_counts.rejected_share > max_rejected_share:
                raise too_many_rejected(
                    self._session, CLASSIFIED, self._outcomes, row_counts, max_rejected_share
                )
        return row_counts

    def interactions(
        self, row_counts: RowCounts, *, duplicates: DuplicatePolicy, half_life_days: float | None
    ) -> Interactions:
        """Encode the rows that are used, in order of time or else of the log."""
        n = row_counts.n_used
        with self._explaining():
            users, items = self._number_ids("user"), self._number_ids("item")
            columns = self._encoded(n, all_used=n == row_counts.rows_read)
        user_idx, item_idx, weight, seconds = columns
        return Interactions(
            user_idx,
            item_idx,
            weight,
            seconds if self._has_time else None,
            users,
            items,
            duplicates=duplicates,
            half_life_days=half_life_days,
            row_counts=row_counts,
        )

    def _number_ids(self, side: Side) -> Ids:
        """Give every id of a side its row, in ascending order, and return them."""
        counts = f"{side}_counts"
        key = "id"
        if not self._typed_integer[side] and self._reads_as_integers(side):
            key = "CAST(id AS BIGINT)"
        self._session.execute(
            f"CREATE TABLE {side}s AS SELECT id, "
            f"CAST(row_number() OVER (ORDER BY {key}) - 1 AS INTEGER) AS idx "
            f"FROM {counts} WHERE outcome = 0"
        )
        self._session.execute(f"DROP TABLE {counts}")
        type_ = pa.int64() if key != "id" or self._typed_integer[side] else pa.large_string()
        batches = self._session.batches(f"SELECT {key} AS id FROM {side}s ORDER BY idx")
        return Ids(pa.chunked_array([batch.column(0).cast(type_) for batch in batches], type_))

    def _reads_as_integers(self, side: Side) -> bool:
        """Return whether the ids of text files are all integers, as those with types are."""
        column = 0 if side == "user" else 1
        if not all(file.is_text or file.rules.ids_are_integers[column] for file in self._files):
            return False
        ((others,),) = self._session.rows(
            f"SELECT count(*) FROM {side}_counts WHERE outcome = 0 AND NOT ("
            f"regexp_full_match(id, {CANONICAL_INTEGER}) AND TRY_CAST(id AS BIGINT) IS NOT NULL)"
        )
        return others == 0

    def _encoded(
        self, n: int, *, all_used: bool
    ) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]]:
        """Fill the columns of the events, batch by batch."""
        # Equal times are put in an order that no order of files or threads can change.
        order = "seconds, user_idx, item_idx, weight" if self._has_time else "file_number, line"
        query = (
            "SELECT users.idx AS user_idx, items.idx AS item_idx, weight, seconds "
            f"FROM {CLASSIFIED} JOIN users ON users.id = user_id JOIN items ON items.id = item_id "
            f"{'' if all_used else 'WHERE outcome = 0'} ORDER BY {order}"
        )
        columns = (
            np.empty(n, dtype=np.int32),
            np.empty(n, dtype=np.int32),
            np.empty(n, dtype=np.float32),
            np.empty(n if self._has_time else 0, dtype=np.int64),
        )
        filled: list[NDArray[Any]] = list(columns if self._has_time else columns[:3])
        start = 0
        for batch in self._session.batches(query):
            for position, column in enumerate(filled):
                column[start : start + batch.num_rows] = batch.column(position).to_numpy()
            start += batch.num_rows
        if start != n:
            raise DataError(f"log: it changed while it was read: {n:,} rows became {start:,}")
        return columns

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
                return file.name
        return self._files[0].name

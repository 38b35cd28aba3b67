"""The rows of a log, classified by tasks of Spark with the code that one machine classifies with.

Each part of the log becomes files of a folder that all machines see: its classified rows, and its
users and items, each once. The driver gets what it needs to count them, a few rows a part.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from recsys.base.durable import replaced
from recsys.base.errors import RecsysError
from recsys.logs.classify import FILE_INDEX, SECONDS_PER_DAY, RowRules
from recsys.logs.encoding import EARLY, check_times
from recsys.logs.row_counts import ClassifiedRows, RowCounts
from recsys.logs.session import Session, open_session
from recsys.logs.sources import LogFile
from recsys.logs.spellings import SPELLING, Side
from recsys.logs.sql import IdKind, literal, literals
from recsys.logs.staging import StagedFile, from_written, outcomes_of, scanned, stage_copy
from recsys.settings import LogSettings, TimestampUnit
from recsys.spark.arrow import as_task
from recsys.spark.parts import Part, lines_of, whole_again
from recsys.spark.session import explaining

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

# ruff: noqa: S608 (names and values of others are quoted by recsys.logs.sql)

SIDES: tuple[Side, Side] = ("user", "item")
_KINDS = ("rows", "users", "items")
_NO_ROWS = "no rows"
_COUNTS = pa.schema(
    [
        ("outcome", pa.int64()),
        ("seconds", pa.int64()),
        ("event", pa.large_string()),
        ("n_alike", pa.int64()),
    ]
)


@dataclass(frozen=True)
class StagedPart:
    """What a task says of the part that it read."""

    part: Part
    rules: RowRules | None = None  # None where it has no row
    counts: pa.Table | None = None  # of rows that are not rejected, see _COUNTS
    n_lines: int | None = 0  # of a span of text; None where it cannot be read for itself
    notes: Sequence[str] = ()
    warned: Sequence[str] = ()  # those of them that are warnings
    error: RecsysError | None = None

    @property
    def with_rules(self) -> RowRules:
        """Its rules, where it has rows."""
        if self.rules is None:
            raise ValueError(f"{self.part.file.name} has no rows")
        return self.rules


def path_of(folder: Path, kind: str, part: Part) -> Path:
    """Return where the rows, users or items of a part lie."""
    return folder / kind / f"{part.number:06}.parquet"


def stage_parts(
    spark: SparkSession, parts: Sequence[Part], settings: LogSettings, folder: Path, now: int
) -> list[StagedPart]:
    """Classify the rows of all parts, each in a task; raise the first error in their order."""
    for kind in _KINDS:
        (folder / kind).mkdir(parents=True, exist_ok=True)
    staged = _run(spark, parts, settings, folder, now)
    quoted = {one.part.file_number for one in staged if one.n_lines is None}
    if quoted:  # parts of these are not lines alone
        parts = whole_again(parts, quoted)
        staged = _run(spark, parts, settings, folder, now)
    for one in staged:
        if one.error is not None:
            raise one.error
    return staged


def _run(
    spark: SparkSession, parts: Sequence[Part], settings: LogSettings, folder: Path, now: int
) -> list[StagedPart]:
    task = partial(_stage_all, settings=settings, folder=folder, now=now)
    with explaining("reading the log"):
        tasks = spark.sparkContext.parallelize(list(parts), len(parts)).mapPartitions(as_task(task))
        return list(tasks.collect())


def _stage_all(
    parts: Iterator[Part], settings: LogSettings, folder: Path, now: int
) -> Iterator[StagedPart]:
    for part in parts:
        try:
            yield stage_part(part, settings, folder, now)
        except RecsysError as error:
            yield StagedPart(part, error=error)


def stage_part(part: Part, settings: LogSettings, folder: Path, now: int) -> StagedPart:
    """Classify the rows of a part, and write them with its users and items."""
    file, n_lines = part.file, 0
    if file.span is not None and file.format != "parquet":
        found = lines_of(file, settings)
        if found is None:
            return StagedPart(part, n_lines=None)
        n_lines = found
    with open_session(settings.memory_limit, now) as session:
        session.execute("SET threads = 1")  # as the other cores have tasks of their own
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            staged = stage_copy(session, file, settings)
        said = StagedPart(
            part,
            n_lines=n_lines,
            notes=tuple(session.notes),
            warned=_warned(caught, session.notes),
        )
        if staged is None:
            return said
        with session.explaining(lambda: file.label):
            for side in SIDES:
                _write_ids(session, staged, side, folder, part)
            counts = _counted(session, staged)
            with replaced(path_of(folder, "rows", part), many_writers=True) as aside:
                shutil.copyfile(staged.path, aside)
    return replace(said, rules=staged.rules, counts=counts)


def _warned(caught: Iterable[warnings.WarningMessage], sentences: Iterable[str]) -> tuple[str, ...]:
    said = [str(one.message) for one in caught]
    return tuple(one for one in sentences if any(text.endswith(f": {one}") for text in said))


def _write_ids(session: Session, staged: StagedFile, side: Side, folder: Path, part: Part) -> None:
    """Write the ids of a side, each once, with how each is spelled where that matters."""
    kind = staged.rules.id_kinds[SIDES.index(side)]  # in a part
    spelling = "" if kind == "integer" else f", {SPELLING}"
    select = f"SELECT DISTINCT {side}_id AS id FROM scan WHERE outcome = 0"
    ids = f"SELECT id{spelling} FROM ({scanned([staged.path], select)})"
    with replaced(path_of(folder, f"{side}s", part), many_writers=True) as aside:
        session.execute(f"COPY ({ids}) TO {literal(str(aside))} (FORMAT parquet)")


def _counted(session: Session, staged: StagedFile) -> pa.Table:
    """Count the rows that are not rejected by outcome, event type and, of the newest, day."""
    rejected = [n for n, one in enumerate(staged.rules.outcomes, start=1) if one.is_rejected]
    day = f"seconds // {SECONDS_PER_DAY}"
    newest = f"(SELECT max({day}) FROM scan WHERE outcome = 0)"
    # The last two days of the log are not before those of a part of it.
    select = (
        "SELECT CAST(outcome AS BIGINT) AS outcome, "
        f"CASE WHEN {day} < {newest} - 1 THEN NULL ELSE {day} * {SECONDS_PER_DAY} END AS seconds, "
        "CASE WHEN outcome = 0 THEN event END AS event, count(*) AS n_alike "
        f"FROM scan WHERE outcome NOT IN ({', '.join(map(str, rejected))}) GROUP BY ALL"
    )
    return pa.table(session.batches(scanned([staged.path], select)).read_all()).cast(_COUNTS)


@dataclass(frozen=True)
class StagedParts:
    """All parts of a log that have rows, as the driver sees them."""

    session: Session  # of the driver
    folder: Path
    parts: Sequence[StagedPart]  # with rows
    files: Sequence[LogFile] = field(default=())  # of the whole log

    @property
    def rules(self) -> RowRules:
        """Of one of them: they are the same in what all are asked for."""
        return self.parts[0].with_rules

    @property
    def has_time(self) -> bool:
        """Whether the log has times."""
        return self.rules.seconds is not None

    @property
    def times_are_numbers(self) -> bool:
        """Whether times may have been read as a number that counts from 1970."""
        return any(one.with_rules.times_are_numbers for one in self.parts)

    def count(self, max_rejected_share: float, rejects: Path | None) -> RowCounts:
        """Count the rows; write what is rejected, and refuse too much."""
        names = [file.name for file in self.files]
        of_files = {one.part.file_number: one for one in self.parts}
        whole = [
            from_written(names[number], Path(), one.with_rules)
            for number, one in sorted(of_files.items())
        ]
        self._make_relation(names)
        rows = ClassifiedRows(
            self.session, "classified", outcomes_of(whole), names, n_rows="sum(n_alike)"
        )
        return rows.counted(self.rules, max_rejected_share, rejects)

    def remove(self) -> None:
        """Remove what tasks wrote, when pairs have been made of it."""
        for kind in _KINDS:
            shutil.rmtree(self.folder / kind, ignore_errors=True)

    def check_times(self, events: DataFrame, unit: TimestampUnit) -> None:
        """Refuse calendar dates written as numbers, and warn of a log that ends too early."""
        if not self.times_are_numbers:
            return
        ((newest,),) = self.session.rows("SELECT max(seconds) FROM counts WHERE outcome = 0")
        if newest is None or int(str(newest)) < EARLY:
            seconds = events.select("seconds").distinct().toArrow()["seconds"].to_numpy()
            check_times(self.session, np.sort(seconds), unit)

    def _make_relation(self, names: Sequence[str]) -> None:
        """Make the relation of `ClassifiedRows`: groups of rows, and each row that is rejected."""
        tables = [
            one.counts.append_column(
                "file_number", pa.array([one.part.file_number] * len(one.counts), pa.int64())
            )
            for one in self.parts
            if one.counts is not None
        ]
        counts = pa.concat_tables(tables)
        with self.session.stream(counts.schema, iter(counts.to_batches())) as stream:
            self.session.execute(f"CREATE TABLE counts AS SELECT * FROM {stream}")
        columns = "seconds, event, CAST(outcome AS BIGINT) AS outcome"
        no_ids = "NULL AS user_id, NULL AS item_id, NULL AS weight, NULL AS nanos"
        parts = [
            f"SELECT {no_ids}, {columns}, file_number, NULL AS line, NULL AS text, n_alike "
            "FROM counts"
        ]
        rejected = [n for n, one in enumerate(self.rules.outcomes, start=1) if one.is_rejected]
        select = (
            f"SELECT {no_ids}, {columns}, line, text, {literals(self._file_numbers())}"
            f"[{FILE_INDEX} + 1] AS file_number, {literals(self._first_lines())}"
            f"[{FILE_INDEX} + 1] AS first_line "
            f"FROM scan WHERE outcome IN ({', '.join(map(str, rejected))})"
        )
        paths = [path_of(self.folder, "rows", one.part) for one in self.parts]
        parts.append(
            "SELECT user_id, item_id, weight, nanos, seconds, event, outcome, file_number, "
            f"line + first_line AS line, text, 1 AS n_alike FROM ({scanned(paths, select)})"
        )
        self.session.execute(
            f"CREATE VIEW classified AS SELECT *, {literals(names)}[file_number + 1] AS file "
            f"FROM ({' UNION ALL '.join(parts)})"
        )

    def _file_numbers(self) -> list[int]:
        return [one.part.file_number for one in self.parts]

    def _first_lines(self) -> list[int]:
        """Return how many lines of its file come before those of each part."""
        found, before = [], 0
        for number, one in enumerate(self.parts):
            is_new = number == 0 or self.parts[number - 1].part.file_number != one.part.file_number
            before = 0 if is_new else before
            found.append(before)
            before += one.n_lines or 0
        return found


def say(session: Session, staged: Sequence[StagedPart]) -> None:
    """Note what tasks have noted, once for each file, and warn of what they warned of."""
    with_rows = {one.part.file_number for one in staged if one.rules is not None}
    for one in staged:
        name = one.part.file.name
        for sentence in one.notes:
            is_other_part = sentence == _NO_ROWS and one.part.file_number in with_rows
            if is_other_part or name in session.notes.get(sentence, ()):
                continue
            if sentence in one.warned:
                session.warn(sentence, name)
            else:
                session.note(sentence, name)


def kinds_of(staged: Sequence[StagedPart], side: Side) -> set[IdKind]:
    """Return how the ids of a side are typed."""
    return {kind_of_ids(one, side) for one in staged}


def kind_of_ids(staged: StagedPart, side: Side) -> IdKind:
    """Return how the ids of a side are typed in a part."""
    return staged.with_rules.id_kinds[SIDES.index(side)]

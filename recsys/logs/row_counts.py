"""What becomes of the rows of a log: counted by outcome, written, and refused where too many."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from math import ceil
from pathlib import Path
from typing import Any

from recsys.base.durable import replaced
from recsys.base.errors import DataError
from recsys.logs.classify import OTHER_ORDER, SECONDS_PER_DAY, RowOutcome, RowRules
from recsys.logs.session import Session
from recsys.logs.sources import listed
from recsys.logs.sql import literal, literals

# ruff: noqa: S608 (names and values of others are quoted by recsys.logs.sql)

_SHOWN_CHARACTERS = 80
_FEW_ROWS, _MOST_LET_GO = 10, 0.5  # of which a person can say that they do not matter
_ROWS_OF_A_DAY = 100  # of fewer a share says little
_MOST_EVENTS = 50
_MOST_FILES = 1000

_INEXACT = "write ids as integers or strings, as floats of this size are rounded"
_UNIT = (
    "say with log.timestamp_unit what its numbers count: ms for 1700000000000, date for 20231114"
)
_OTHER_TIME = "map another column with log.columns.timestamp"
_TIME_FORM = (
    f"write 2024-05-31T23:59:00Z, or numbers as log.timestamp_unit counts, or {_OTHER_TIME}"
)
_ADVICE = {
    "empty user_id": 'set log.anonymous = "leave_out" where such rows are of visitors whom nobody '
    "knows, or map another column with log.columns.user_id",
    "no value": "say with log.missing_value what a row without a value weighs",
    "non-positive weight": "say with log.min_value which values count as liked, or with "
    'log.value_scale = "none" that values are no weights',
    "unreadable value": 'set log.decimal = "," where 3,5 is a number',
    "no event": "map another column with log.columns.event",
    "unknown event": "list it in log.events; a weight of 0 leaves it out",
    "no timestamp": f'{_OTHER_TIME}, or set it to "" to go without times',
    "unreadable timestamp": _TIME_FORM,
    "timestamp out of range": _UNIT,
    "timestamp in the future": _UNIT,
    "not UTF-8": 'set log.encoding to what it is, such as "cp1252"',
    "malformed line": "say with log.delimiter or log.comment how it is written; of JSON lines, "
    "each is one object",
    "repeated key": "write each key of an object once, as nobody knows which of two counts",
    "inexact user_id": _INEXACT,
    "inexact item_id": _INEXACT,
}


_MEANT = {"non-positive weight", "no value", "no event", "unknown event"}
"""Reasons for which settings say what a row means: without it the rest would mean less."""


def advice_on(rejected: Mapping[str, int]) -> str | None:
    """Return what to do about the most frequent reason, if that is known."""
    return _ADVICE.get(max(rejected, key=lambda reason: rejected[reason], default=""))


@dataclass(frozen=True)
class FileCounts:
    """What happened to the rows of one file or table of a log.

    Parameters
    ----------
    rows_read, kept, rejected : int
        Rows found, used, and not usable; the others were left out on request. Kept are those that
        minimum counts and splits begin with.
    reasons : mapping of str to int
        The rejected rows by reason.
    """

    rows_read: int = 0
    kept: int = 0
    rejected: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)

    @property
    def rejected_share(self) -> float:
        """Rejected rows over rows read, 0 for an empty file."""
        return self.rejected / self.rows_read if self.rows_read else 0.0

    def __str__(self) -> str:
        reasons = sorted(self.reasons, key=lambda reason: -self.reasons[reason])
        shown = listed([f"{reason} {self.reasons[reason]:,}" for reason in reasons])
        return f"{self.rejected:,} of {self.rows_read:,}{f' ({shown})' if shown else ''}"


def most_rejected(files: Mapping[str, FileCounts]) -> str:
    """Name the files with most rejected rows, with how many and why; nothing where none has any."""
    bad = sorted(
        (name for name in files if files[name].rejected), key=lambda name: -files[name].rejected
    )
    return listed([f"{name} {files[name]}" for name in bad])


_OF_A_FILE = tuple(one.name for one in fields(FileCounts))


@dataclass(frozen=True, repr=False)
class RowCounts:
    """What happened to the rows of a log on their way to interactions.

    Parameters
    ----------
    rows_read : int
        Rows found in the source, usable or not.
    rejected : mapping of str to int
        Rows that could not be used, by reason; each is in the rejects file.
    left_out : mapping of str to int
        Rows that could be used and were set aside on request, by reason: an excluded event type,
        a time window, a minimum count, a split.
    events : mapping of str to int
        Rows that could be used, by event type, where types are read; the 50 most frequent.
    rejects_file : str or None
        Where the rejected rows are, if any were.
    files : mapping of str to FileCounts
        Rows by file or table, by the name that it was given or found under, in the order of the
        log; files without rows too. A manifest keeps the last 1,000.
    columns : tuple of str
        Which of our columns the log has; empty in what an older release wrote.
    is_rooted : bool
        Whether the fourth root of each weight was taken.
    dislikes : int
        Rows that became dislikes, among those that became events.
    notes : tuple of str
        What was assumed of the log, and what of it was not read, one sentence each.
    """

    rows_read: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    events: Mapping[str, int] = field(default_factory=dict)
    rejects_file: str | None = None
    files: Mapping[str, FileCounts] = field(default_factory=dict)
    columns: tuple[str, ...] = field(default=(), compare=False)
    is_rooted: bool = field(default=False, compare=False)
    dislikes: int = 0
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def rejected_share(self) -> float:
        """Rejected rows over rows read, 0 for an empty log."""
        return sum(self.rejected.values()) / self.rows_read if self.rows_read else 0.0

    @property
    def n_used(self) -> int:
        """Rows that became events."""
        return self.rows_read - sum(self.rejected.values()) - sum(self.left_out.values())

    def leaving_out(self, reason: str, n_rows: int) -> "RowCounts":
        """Return the counts with some more rows set aside."""
        if n_rows == 0:
            return self
        n_before = self.left_out.get(reason, 0)
        return replace(self, left_out={**self.left_out, reason: n_before + n_rows})

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold, for a manifest; what was noted is for who reads the log."""
        kept = replace(self, files=dict(list(self.files.items())[-_MOST_FILES:]))
        return {name: value for name, value in asdict(kept).items() if name != "notes"}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "RowCounts":
        """Read what a manifest holds; what a newer release adds is left out."""
        known = {one.name: data[one.name] for one in fields(cls) if one.name in data}
        files = {
            name: FileCounts(**{k: n for k, n in counts.items() if k in _OF_A_FILE})
            for name, counts in data.get("files", {}).items()
        }
        columns = tuple(data.get("columns", ()))
        return cls(**known | {"files": files, "columns": columns})

    def __repr__(self) -> str:
        return f"RowCounts({self})"

    def __str__(self) -> str:
        clauses = [f"{self.rows_read:,} rows read"]
        share = f" ({100 * self.rejected_share:.2f} %)"
        for rows, what in ((self.rejected, f"rejected{share}"), (self.left_out, "left out")):
            if rows:
                by_reason = ", ".join(f"{reason} {n:,}" for reason, n in sorted(rows.items()))
                clauses.append(f"{sum(rows.values()):,} {what}: {by_reason}")
        if self.dislikes:
            clauses.append(f"{self.dislikes:,} of those used are dislikes")
        if self.rejected and len(self.files) > 1:
            clauses.append(f"most of the rejected in {most_rejected(self.files)}")
        if self.rejects_file:
            clauses.append(f"rejects in {self.rejects_file}")
        clauses.extend(self.notes)
        return "; ".join(clauses)


@dataclass(frozen=True)
class _Part:
    """A part of a log that is looked at for itself."""

    name: str
    condition: str
    files: Mapping[str, FileCounts]  # its rows by file


@dataclass(frozen=True)
class ClassifiedRows:
    """A relation of all rows of a log, each with its outcome.

    Its columns are user_id, item_id, weight, seconds, nanos, event, outcome, file, file_number,
    line and text. File number n is the n-th of `files`, from 0. Where it has one row for several of
    those that are not rejected, as what tasks counted, `n_rows` is how many a group stands for.
    """

    session: Session
    relation: str
    outcomes: Sequence[RowOutcome]
    files: Sequence[str]
    n_rows: str = "count(*)"

    def counted(
        self, rules: RowRules, max_rejected_share: float, rejects: Path | None
    ) -> RowCounts:
        """Count the rows, and find users and items; write what is rejected, and refuse too much."""
        row_counts = self.count(has_events=rules.event is not None)
        row_counts = replace(row_counts, columns=tuple(rules.columns))
        if row_counts.rejected:
            if rejects is not None:
                self.write_rejects(rejects)
                row_counts = replace(row_counts, rejects_file=str(rejects))
            self.check(row_counts, max_rejected_share)
        return row_counts

    def count(self, *, has_events: bool) -> RowCounts:
        """Count the rows by outcome, those of each file, and the used ones by event type.

        The tables user_counts and item_counts, which it makes, hold every id that is used.
        """
        self.session.execute(
            "CREATE TABLE user_counts AS SELECT CASE WHEN outcome = 0 THEN user_id END AS id, "
            f"outcome, {self.n_rows} AS n FROM {self.relation} GROUP BY ALL"
        )
        self.session.execute(
            "CREATE TABLE item_counts AS "
            f"SELECT DISTINCT item_id AS id, outcome FROM {self.relation} WHERE outcome = 0"
        )
        counts = self.session.rows("SELECT outcome, sum(n) FROM user_counts GROUP BY outcome")
        events = self._by_event() if has_events else {}
        n_rows = sum(int(str(n)) for _, n in counts)
        rejected, left_out = (self._by_reason(counts, is_rejected=way) for way in (True, False))
        files = {self.files[0]: self._of_file(counts)} if len(self.files) == 1 else self._by_file()
        return RowCounts(n_rows, rejected, left_out, events, files=files)

    def _by_file(self, condition: str = "true") -> dict[str, FileCounts]:
        """Count the rows of each file that fulfil a condition."""
        counts: dict[str, list[tuple[object, ...]]] = {name: [] for name in self.files}
        for number, *count in self.session.rows(
            f"SELECT file_number, outcome, {self.n_rows} FROM {self.relation} WHERE {condition} "
            "GROUP BY ALL"
        ):
            counts[self.files[int(str(number))]].append(tuple(count))  # one may be given twice
        return {name: self._of_file(of_file) for name, of_file in counts.items()}

    def _of_file(self, counts: Sequence[tuple[object, ...]]) -> FileCounts:
        reasons = self._by_reason(counts, is_rejected=True)
        n_kept = sum(int(str(n)) for outcome, n in counts if outcome == 0)
        n_rows = sum(int(str(n)) for _, n in counts)
        return FileCounts(n_rows, n_kept, sum(reasons.values()), reasons)

    def _by_event(self) -> dict[str, int]:
        counts = self.session.rows(
            f"SELECT event, {self.n_rows} AS n FROM {self.relation} WHERE outcome = 0 "
            f"GROUP BY event ORDER BY n DESC, event LIMIT {_MOST_EVENTS}"
        )
        return {str(event): int(str(n)) for event, n in counts}

    def _by_reason(
        self, counts: Sequence[tuple[object, ...]], *, is_rejected: bool
    ) -> dict[str, int]:
        """Add up counts by outcome by the reasons to reject, or to leave out."""
        by_reason: dict[str, int] = {}
        for code, n in sorted((int(str(code)), int(str(n))) for code, n in counts if code != 0):
            outcome = self.outcomes[code - 1]
            if outcome.is_rejected == is_rejected:
                by_reason[outcome.reason] = by_reason.get(outcome.reason, 0) + n
        return by_reason

    def write_rejects(self, path: Path) -> None:
        """Write the rejected rows as Parquet (file, line, reason, text), whole or not at all."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replaced(path, many_writers=True) as aside:
                aside.touch()  # where this cannot be, the error is one of the operating system
                self.session.execute(
                    f"COPY ({self._rejected()}) TO {literal(str(aside))} "
                    "(FORMAT parquet, COMPRESSION zstd)"
                )
        except OSError as error:
            raise DataError(
                f"rejects {path}: cannot be written: {error.strerror}; name another file"
            ) from error

    def check(self, row_counts: RowCounts, max_rejected_share: float) -> None:
        """Refuse a log with too many rejected rows, also in a file or one of the last two days."""
        if OTHER_ORDER in row_counts.rejected:
            ((name, line, _, text),) = self.session.rows(
                f"SELECT * FROM ({self._rejected()}) WHERE reason = {literal(OTHER_ORDER)} LIMIT 1"
            )
            raise DataError(
                f"log {name} line {line}: the header is repeated in another order, "
                f"{shortened(str(text))}; the rows after it would be misread, so make it two files"
            )
        if row_counts.rejected_share > max_rejected_share:
            only = f" {self.files[0]}" if len(self.files) == 1 else ""
            whole = _Part(f"log{only}", "true", row_counts.files)
            raise self._too_many(row_counts, max_rejected_share, whole)
        if max_rejected_share == 1:
            return
        part = self._bad_files(row_counts.files, max_rejected_share)
        part = part or self._bad_day(max_rejected_share)
        if part is not None:
            rejected = sum((Counter(one.reasons) for one in part.files.values()), Counter[str]())
            n_rows = sum(one.rows_read for one in part.files.values())
            written = row_counts.rejects_file
            of_part = RowCounts(n_rows, rejected, rejects_file=written, files=part.files)
            raise self._too_many(of_part, max_rejected_share, part)

    def _bad_files(self, files: Mapping[str, FileCounts], max_share: float) -> _Part | None:
        """Return the files of which too many rows are rejected."""
        bad = {name: one for name, one in files.items() if one.rejected_share > max_share}
        names = ", ".join(map(literal, bad))
        return _Part(f"log {listed(list(bad))}", f"file IN ({names})", bad) if bad else None

    def _bad_day(self, max_share: float) -> _Part | None:
        """Return the first of the last two days of which too many rows are rejected."""
        day = f"seconds // {SECONDS_PER_DAY}"
        newest = f"(SELECT max({day}) FROM {self.relation} WHERE outcome = 0)"
        found = self.session.rows(
            f"SELECT {day} AS day, {self.n_rows} AS n, "
            f"{self.n_rows} FILTER ({self._is_rejected}) AS n_bad "
            f"FROM {self.relation} WHERE day BETWEEN {newest} - 1 AND {newest} "
            f"GROUP BY day HAVING n_bad > {max_share!r} * n AND n >= {_ROWS_OF_A_DAY} "
            "ORDER BY day LIMIT 1"
        )
        for number, _, _ in found:
            date = datetime.fromtimestamp(int(str(number)) * SECONDS_PER_DAY, UTC)
            condition = f"{day} = {number}"
            return _Part(f"log on {date:%Y-%m-%d}", condition, self._by_file(condition))
        return None

    def _too_many(self, row_counts: RowCounts, max_share: float, part: _Part) -> DataError:
        examples = self.session.rows(f"{self._rejected(part.condition)} LIMIT 3")
        shown = "; ".join(
            f"{name}{'' if line is None else f' line {line}'}: {reason}: {shortened(str(text))}"
            for name, line, reason, text in examples
        )
        advice = advice_on(row_counts.rejected) or (
            "repair the log or its column mapping, or raise log.max_rejected_share"
        )
        n, share = sum(row_counts.rejected.values()), row_counts.rejected_share
        if n <= _FEW_ROWS and share <= _MOST_LET_GO and not _MEANT & set(row_counts.rejected):
            rows = "this row" if n == 1 else f"these {n} rows"
            advice += (
                f"; to go on without {rows}: log.max_rejected_share = {ceil(100 * share) / 100:g}"
            )
        return DataError(
            f"{part.name}: more rows are unusable than log.max_rejected_share = "
            f"{max_share:g} allows: {row_counts}; the first are {shown}; {advice}"
        )

    def _rejected(self, condition: str = "true") -> str:
        reasons = literals(one.reason for one in self.outcomes)
        return (
            f"SELECT file, CAST(line AS BIGINT) AS line, {reasons}[outcome] AS reason, text "
            f"FROM {self.relation} WHERE {self._is_rejected} AND {condition} "
            "ORDER BY file_number, line"
        )

    @property
    def _is_rejected(self) -> str:
        numbers = [str(n) for n, one in enumerate(self.outcomes, start=1) if one.is_rejected]
        return f"outcome IN ({', '.join(numbers)})"


def shortened(text: str) -> str:
    """Return the start of a text, with characters that do not print spelled out."""
    printable = text.encode("unicode_escape").decode() if not text.isprintable() else text
    if len(printable) <= _SHOWN_CHARACTERS:
        return printable
    return printable[:_SHOWN_CHARACTERS] + "…"

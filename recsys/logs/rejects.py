"""Rows that cannot be used: their file, and the error when they are too many."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from recsys.base.durable import replaced
from recsys.base.errors import DataError
from recsys.logs.classify import ONE_DAY, Outcome
from recsys.logs.interactions import RowCounts
from recsys.logs.session import Session, literal, literals

# ruff: noqa: S608 (names and values of others are quoted by recsys.logs.session)


SHOWN_CHARACTERS = 80
_ROWS_OF_A_DAY = 100  # of fewer a share says little


_ADVICE = {
    "no value": "say with log.missing_value what a row without a value weighs",
    "non-positive weight": "say with log.min_value which values count as liked, or with "
    'log.value_scale = "none" that values are no weights',
    "unreadable value": 'set log.decimal = "," where 3,5 is a number',
    "no event": "map another column with log.columns.event",
    "unknown event": "list it in log.events; a weight of 0 leaves it out",
    "no timestamp": "map another column with log.columns.timestamp",
    "unreadable timestamp": "map another column with log.columns.timestamp",
    "timestamp out of range": "say with log.timestamp_unit what its numbers count",
    "timestamp in the future": "say with log.timestamp_unit what its numbers count",
    "malformed line": "say with log.delimiter, log.encoding or log.comment how it is written",
    "inexact user_id": "write ids as integers or strings, as floats of this size are rounded",
    "inexact item_id": "write ids as integers or strings, as floats of this size are rounded",
}


@dataclass(frozen=True)
class _Part:
    """A part of a log that is looked at for itself."""

    name: str
    condition: str
    n_rows: int


@dataclass(frozen=True)
class Rejects:
    """The rejected rows of a relation of classified rows."""

    session: Session
    relation: str
    outcomes: Sequence[Outcome]

    def write(self, path: Path) -> None:
        """Write them as Parquet (file, line, reason, text), whole or not at all."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with replaced(path, many_writers=True) as aside:
                aside.touch()  # where this cannot be, the error is one of the operating system
                self.session.execute(
                    f"COPY ({self._rows()}) TO {literal(str(aside))} "
                    "(FORMAT parquet, COMPRESSION zstd)"
                )
        except OSError as error:
            raise DataError(
                f"rejects {path}: cannot be written: {error.strerror}; name another file"
            ) from error

    def check(self, row_counts: RowCounts, n_files: int, max_rejected_share: float) -> None:
        """Refuse a log with too many, or of which a file or one of the last two days has too many.

        Raises
        ------
        DataError
            With counts, examples, and what to do.
        """
        if row_counts.rejected_share > max_rejected_share:
            raise self._too_many(row_counts, max_rejected_share)
        if max_rejected_share == 1:
            return
        having = f"HAVING n_bad > {max_rejected_share!r} * n"
        counted = f"count(*) AS n, count(*) FILTER ({self._is_rejected}) AS n_bad"
        if n_files > 1:
            worst = self.session.rows(
                f"SELECT file_number, file, {counted} FROM {self.relation} GROUP BY ALL {having} "
                "ORDER BY n_bad / n DESC, 1 LIMIT 1"
            )
            for number, file, n, _ in worst:
                part = _Part(f"log {file}", f"file_number = {number}", int(str(n)))
                raise self._too_many(row_counts, max_rejected_share, part)
        newest = f"SELECT max(seconds) FROM {self.relation} WHERE outcome = 0"
        late = self.session.rows(
            f"SELECT seconds // {ONE_DAY} AS day, {counted} FROM {self.relation} "
            f"WHERE day BETWEEN ({newest}) // {ONE_DAY} - 1 AND ({newest}) // {ONE_DAY} "
            f"GROUP BY day {having} AND n >= {_ROWS_OF_A_DAY} ORDER BY day LIMIT 1"
        )
        for day, n, _ in late:
            date = datetime.fromtimestamp(int(str(day)) * ONE_DAY, UTC)
            condition = f"seconds // {ONE_DAY} = {day}"
            part = _Part(f"log on {date:%Y-%m-%d}", condition, int(str(n)))
            raise self._too_many(row_counts, max_rejected_share, part)

    def _too_many(
        self, row_counts: RowCounts, max_rejected_share: float, part: "_Part | None" = None
    ) -> DataError:
        part = part or _Part("log", "true", row_counts.rows_read)
        if part.name != "log":
            rejected = self._by_reason(part.condition)
            row_counts = RowCounts(part.n_rows, rejected, rejects_file=row_counts.rejects_file)
        examples = self.session.rows(f"{self._rows()} AND {part.condition} LIMIT 3")
        shown = "; ".join(
            f"{name}{'' if line is None else f' line {line}'}: {reason}: {_shortened(str(text))}"
            for name, line, reason, text in examples
        )
        most = max(row_counts.rejected, key=lambda reason: row_counts.rejected[reason])
        advice = _ADVICE.get(most)
        if advice is None:
            advice = "repair the log or its column mapping, or raise log.max_rejected_share"
        return DataError(
            f"{part.name}: more rows are unusable than log.max_rejected_share = "
            f"{max_rejected_share:g} allows: {row_counts}; the first are {shown}; {advice}"
        )

    def _by_reason(self, condition: str) -> dict[str, int]:
        counts = self.session.rows(
            f"SELECT outcome, count(*) FROM {self.relation} "
            f"WHERE {condition} AND {self._is_rejected} GROUP BY outcome ORDER BY outcome"
        )
        rejected: dict[str, int] = {}
        for outcome, n in counts:
            reason = self.outcomes[int(str(outcome)) - 1].reason
            rejected[reason] = rejected.get(reason, 0) + int(str(n))
        return rejected

    def _rows(self) -> str:
        reasons = literals(one.reason for one in self.outcomes)
        return (
            f"SELECT file, CAST(line AS BIGINT) AS line, {reasons}[outcome] AS reason, text "
            f"FROM {self.relation} WHERE {self._is_rejected}"
        )

    @property
    def _is_rejected(self) -> str:
        numbers = [str(n) for n, one in enumerate(self.outcomes, start=1) if one.is_rejected]
        return f"outcome IN ({', '.join(numbers)})"


def _shortened(text: str) -> str:
    printable = text.encode("unicode_escape").decode() if not text.isprintable() else text
    if len(printable) <= SHOWN_CHARACTERS:
        return printable
    return printable[:SHOWN_CHARACTERS] + "…"

"""Rows that cannot be used: their file, and the error when they are too many."""

from collections.abc import Sequence
from pathlib import Path

from recsys.base.durable import replaced
from recsys.base.errors import DataError
from recsys.logs.classify import Outcome
from recsys.logs.interactions import RowCounts
from recsys.logs.session import Session, literal, literals

# ruff: noqa: S608 (names and values of others are quoted by recsys.logs.session)


SHOWN_CHARACTERS = 80


def write_rejects(session: Session, relation: str, outcomes: Sequence[Outcome], path: Path) -> None:
    """Write the rejected rows as Parquet (file, line, reason, text), whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced(path, many_writers=True) as aside:
            aside.touch()  # where this cannot be, the error is one of the operating system
            session.execute(
                f"COPY ({_rejected_rows(relation, outcomes)}) TO {literal(str(aside))} "
                "(FORMAT parquet, COMPRESSION zstd)"
            )
    except OSError as error:
        raise DataError(
            f"rejects {path}: cannot be written: {error.strerror}; name another file"
        ) from error


def too_many_rejected(
    session: Session,
    relation: str,
    outcomes: Sequence[Outcome],
    row_counts: RowCounts,
    max_rejected_share: float,
) -> DataError:
    """Return the error of a log with too many rejected rows: counts, examples, what to do."""
    examples = session.rows(f"{_rejected_rows(relation, outcomes)} LIMIT 3")
    shown = "; ".join(
        f"{file}{'' if line is None else f' line {line}'}: {reason}: {_shortened(str(text))}"
        for file, line, reason, text in examples
    )
    return DataError(
        f"log: more rows are unusable than log.max_rejected_share = {max_rejected_share:g} allows: "
        f"{row_counts}; the first are {shown}; repair the log or its column mapping, or raise "
        "log.max_rejected_share"
    )


def _rejected_rows(relation: str, outcomes: Sequence[Outcome]) -> str:
    numbers = ", ".join(str(n) for n, one in enumerate(outcomes, start=1) if one.is_rejected)
    reasons = literals(one.reason for one in outcomes)
    return (
        f"SELECT file, CAST(line AS BIGINT) AS line, {reasons}[outcome] AS reason, text "
        f"FROM {relation} WHERE outcome IN ({numbers})"
    )


def _shortened(text: str) -> str:
    printable = text.encode("unicode_escape").decode() if not text.isprintable() else text
    if len(printable) <= SHOWN_CHARACTERS:
        return printable
    return printable[:SHOWN_CHARACTERS] + "…"

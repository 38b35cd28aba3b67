"""Rows that cannot be used: their file, and the error when they are too many."""

from pathlib import Path

from recsys.base.durable import replaced
from recsys.base.errors import DataError
from recsys.logs.interactions import RowCounts
from recsys.logs.session import Session, literal, literals

# ruff: noqa: S608 (names and values of others are quoted by recsys.logs.session)


SHOWN_CHARACTERS = 80


def write_rejects(
    session: Session, judged: str, reasons: list[tuple[str, bool]], path: Path
) -> None:
    """Write the rejected rows as Parquet (file, line, reason, text), whole or not at all.

    Raises
    ------
    DataError
        If the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replaced(path, many_writers=True) as aside:
            aside.touch()  # where this cannot be, the error is one of the operating system
            session.execute(
                f"COPY ({_rejected_rows(judged, reasons)}) TO {literal(str(aside))} "
                "(FORMAT parquet, COMPRESSION zstd)"
            )
    except OSError as error:
        raise DataError(
            f"rejects {path}: cannot be written: {error.strerror}; name another file"
        ) from error


def too_many_rejected(
    session: Session,
    judged: str,
    reasons: list[tuple[str, bool]],
    row_counts: RowCounts,
    max_rejected_share: float,
) -> DataError:
    """Return the error of a log with too many rejected rows: counts, examples, what to do."""
    examples = session.rows(f"{_rejected_rows(judged, reasons)} LIMIT 3")
    shown = "; ".join(
        f"{file}{'' if line is None else f' line {line}'}: {reason}: {_shortened(str(text))}"
        for file, line, reason, text in examples
    )
    return DataError(
        f"log: more rows are unusable than log.max_rejected_share = {max_rejected_share:g} allows: "
        f"{row_counts}; the first are {shown}; repair the log or its column mapping, or raise "
        "log.max_rejected_share"
    )


def _rejected_rows(judged: str, reasons: list[tuple[str, bool]]) -> str:
    codes = ", ".join(str(code) for code, (_, is_rejected) in enumerate(reasons, 1) if is_rejected)
    names = literals(reason for reason, _ in reasons)
    return (
        f"SELECT file, CAST(line AS BIGINT) AS line, {names}[outcome] AS reason, text "
        f"FROM {judged} WHERE outcome IN ({codes})"
    )


def _shortened(text: str) -> str:
    printable = text.encode("unicode_escape").decode() if not text.isprintable() else text
    if len(printable) <= SHOWN_CHARACTERS:
        return printable
    return printable[:SHOWN_CHARACTERS] + "…"

"""How ids are spelled that may be integers: what a log of text files leaves open, and what it says.

The SQL is of a relation of distinct ids, a column `id`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from recsys.logs.row_counts import shortened
from recsys.logs.session import Session
from recsys.logs.sql import CANONICAL_INTEGER, SPELLED_INTEGER, WHITESPACE, literal, literals

Side = Literal["user", "item"]
_BLANKS = literals(f"{WHITESPACE}\u00a0\u200b\ufeff")
_WRAPPED = literal(r"\[.*\]|\{.*\}|b'.*'")

SPELLING = f"""
    ({SPELLED_INTEGER}) AS spelled,
    NOT regexp_full_match(id, {CANONICAL_INTEGER}) AS is_variant,
    id[1] IN {_BLANKS} OR id[-1] IN {_BLANKS} AS is_padded,
    regexp_full_match(id, {_WRAPPED}) AS is_wrapped,
    id[-2:] IN ('.0', ',0') AS is_float
"""
"""Columns of an id: the integer that it spells, if any, and what may be odd about it."""

INTEGERS = (
    "count(*) AS n",
    "count(*) FILTER (WHERE spelled IS NULL) AS n_others",
    "count(*) FILTER (WHERE is_variant) AS n_variants",
    "min(id) FILTER (WHERE spelled IS NULL) AS example",
)
"""Aggregates over the columns above, in the order of `Integers`; of DuckDB and Spark alike."""

ODD = (
    "count(*) FILTER (WHERE is_padded)",
    "min(id) FILTER (WHERE is_padded)",
    "CASE WHEN 2 * count(*) FILTER (WHERE is_wrapped) > count(*) "
    "THEN min(id) FILTER (WHERE is_wrapped) END",
)
"""Aggregates in the order of `Odd`, but for its last two."""


@dataclass(frozen=True)
class Integers:
    """Whether the distinct ids of a side spell integers."""

    n: int
    n_others: int  # that are no integers
    n_variants: int  # that are in another form than the canonical one, as strings may be as well
    example: str | None  # of those that are no integers

    @classmethod
    def of(cls, row: Sequence[object]) -> "Integers":
        """Read the row of the aggregates."""
        n, n_others, n_variants = (int(str(one)) for one in row[:3])
        return cls(n, n_others, n_variants, _text(row[3]))

    @property
    def are_all(self) -> bool:
        """Whether every id is one."""
        return self.n_others == 0

    def note(self, session: Session, side: Side) -> None:
        """Say where few ids make strings of all."""
        if 0 < self.n_others <= max(self.n / 100, 1) < self.n / 2:
            session.note(
                f"{side} ids are strings, as {self.n_others:,} of {self.n:,} are no integers, such "
                f"as {shortened(str(self.example))!r}",
                "log",
            )


@dataclass(frozen=True)
class Odd:
    """Ids that are strings, and may not be spelled as they are meant."""

    n_padded: int
    padded: str | None
    wrapped: str | None
    one: str | None = None  # 7.0, where there is 7 as well
    other: str | None = None

    @classmethod
    def of(cls, row: Sequence[object]) -> "Odd":
        """Read the row of the aggregates, and of the last two."""
        return cls(int(str(row[0])), *map(_text, row[1:]))

    def warn(self, session: Session, side: Side, name: str) -> None:
        """Warn of them; `name` is that of the log, for the message."""
        if self.one is not None:
            sentence = f"so {self.other!r} and {self.one!r} are two {side}s; write ids alike"
            session.warn(f"{side} ids are strings, {sentence}", name)
        if self.padded is not None:
            sentence = f"begin or end with blanks ({self.n_padded:,}), such as {self.padded!r}"
            session.note(f"{side} ids {sentence}", name)
        if self.wrapped is not None:
            sentence = f"look like lists or bytes, such as {self.wrapped!r}; write one id a row"
            session.note(f"{side} ids {sentence}", name)


def _text(value: object) -> str | None:
    return None if value is None else str(value)

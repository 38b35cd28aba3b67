"""How often, and after how long, a request is sent again.

Each call of the client may be sent twice: lists and embeddings change nothing, events have ids by
which a second one is known, and a user can be deleted again.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from recsys.base.checks import require

_PASSING = frozenset((429, 502, 503, 504))  # what may be answered a moment later
_FIRST_SECONDS, _MOST_SECONDS = 0.1, 10.0


@dataclass(frozen=True)
class Answer:
    """What was received: a status, headers by lower-case names, and a body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Attempts:
    """How often a request is sent again.

    Parameters
    ----------
    retries : int
        0 for never.
    """

    retries: int = 2

    def __post_init__(self) -> None:
        require("retries", self.retries, least=0, at_most=10)

    def seconds_to_wait(self, number: int, outcome: Answer | Exception) -> float | None:
        """Return how long to wait after attempt `number`, from 0; None to leave it at that.

        It is what `retry-after` says, if that is not too long, else a random time of up to twice
        the one before, so that many clients do not come back together.
        """
        if number >= self.retries:
            return None
        if isinstance(outcome, Answer):
            if outcome.status not in _PASSING:
                return None
            told = retry_after(outcome.headers)
            if told is not None:
                return told if told <= _MOST_SECONDS else None
        return random.uniform(0, min(_FIRST_SECONDS * 2**number, _MOST_SECONDS))  # noqa: S311


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds of `retry-after`; None without, or where it is a date."""
    text = headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else None

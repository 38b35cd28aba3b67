"""What an index finds for a sample of users, and how long it takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from recsys.index.protocol import Index, ItemRows
from recsys.vectors import FloatMatrix, FloatVector

SHORT, LONG = 20, 100
"""Lengths of the lists that recall is measured on; the target is for the short ones."""

_TURNS = 3  # of two indexes whose times are compared
_ROUNDING = 1e-6  # of the largest score: what its last bits may differ by


@dataclass(frozen=True, eq=False)
class Sample:
    """Queries to measure an index on.

    Parameters
    ----------
    users : ndarray of float32, shape (n, factors)
        Real users, none of them zero.
    seen : list of ndarray of int32
        What each of them has seen: left out, as in serving.
    """

    users: FloatMatrix
    seen: Sequence[ItemRows]

    def __len__(self) -> int:
        return len(self.users)


@dataclass(frozen=True, eq=False)
class Trial:
    """The lists of one length that an index gave to a sample of users.

    Parameters
    ----------
    scores : list of ndarray of float32
        The scores of each list, best first.
    seconds : ndarray of float64, shape (n_users,)
    """

    scores: Sequence[FloatVector]
    seconds: NDArray[np.float64]

    @classmethod
    def of(cls, index: Index, sample: Sample, k: int) -> "Trial":
        """Search once for every user."""
        scores, seconds = [], []
        for user, exclude in zip(sample.users, sample.seen, strict=True):
            start = perf_counter()
            scores.append(index.search(user, k, exclude)[1])
            seconds.append(perf_counter() - start)
        return cls(scores, np.array(seconds))

    def recall(self, exact: "Trial", users: slice = slice(None)) -> float | None:
        """Return the share of the exact lists that this index found; None without any.

        By score, so that another item with the same score as the last one is no miss.
        """
        found = sum(map(_n_found, self.scores[users], exact.scores[users]))
        wanted = sum(map(len, exact.scores[users]))
        return found / wanted if wanted else None

    def meets(self, exact: "Trial", target: float) -> bool:
        """Return whether both halves of the users are served well enough.

        With one alone, the search would stop at the first luck that it has, and other users would
        be served less well than what is told of it.
        """
        half = len(self.scores) // 2
        recalls = (self.recall(exact, slice(half)), self.recall(exact, slice(half, None)))
        return all(recall is None or recall >= target for recall in recalls)

    def milliseconds(self, percentile: float) -> float | None:
        """Return a percentile of the time per query; None without any."""
        if len(self.seconds) == 0:
            return None
        return round(1000 * float(np.percentile(self.seconds, percentile)), 4)


def is_faster(index: Index, other: Index, sample: Sample, *, least: float = 1.0) -> bool:
    """Return whether an index answers short lists in less than a share of another's time.

    The two take turns, and the best median of each counts: what else the machine does meanwhile
    should not decide.
    """
    medians: dict[int, list[float]] = {0: [], 1: []}
    for _ in range(_TURNS):
        for place, one in enumerate((index, other)):
            medians[place].append(Trial.of(one, sample, SHORT).milliseconds(50) or 0.0)
    return min(medians[0]) < least * min(medians[1])


def _n_found(scores: FloatVector, exact: FloatVector) -> int:
    if len(exact) == 0:
        return 0
    rounding = _ROUNDING * float(np.abs(exact).max())
    return int((scores >= exact[-1] - rounding).sum())

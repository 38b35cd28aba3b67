"""What an index finds for a sample of users, what work that is, and how long it takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from recsys.index.costs import COSTS
from recsys.index.kernel import COUNTED
from recsys.index.plain import ItemRows
from recsys.index.searcher import Searcher
from recsys.vectors import FloatMatrix, FloatVector

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
class Counted:
    """The lists of one length that an index gave to a sample of users, and the work of each.

    Parameters
    ----------
    scores : list of ndarray of float32
        The scores of each list, best first.
    work : ndarray of int64, shape (n_users, 7)
        What each query did, in the order of `recsys.index.kernel.COUNTED`.
    """

    scores: Sequence[FloatVector]
    work: NDArray[np.int64]

    @classmethod
    def of(cls, index: Searcher, sample: Sample, k: int) -> "Counted":
        """Search once for every user."""
        scores = []
        work = np.empty((len(sample), len(COUNTED)), dtype=np.int64)
        for number, (user, seen) in enumerate(zip(sample.users, sample.seen, strict=True)):
            scores.append(index.search(user, k, seen)[1])
            work[number] = index.last_work()
        return cls(scores, work)

    def recall(self, exact: "Counted", users: slice = slice(None)) -> float | None:
        """Return the share of the exact lists that this index found; None without any.

        By score, so that another item with the same score as the last one is no miss.
        """
        found = sum(map(_n_found, self.scores[users], exact.scores[users]))
        wanted = sum(map(len, exact.scores[users]))
        return found / wanted if wanted else None

    def meets(self, exact: "Counted", target: float) -> bool:
        """Return whether both halves of the users are served well enough.

        With all users together, a search for settings would stop at the first ones that are lucky,
        and other users would be served less well than the measured recall says.
        """
        half = len(self.scores) // 2
        recalls = (self.recall(exact, slice(half)), self.recall(exact, slice(half, None)))
        return all(recall is None or recall >= target for recall in recalls)

    def mean_work(self) -> NDArray[np.float64]:
        """Return the mean of each count, (7,); zeros without any query."""
        # Sums of whole numbers, which are the same in any order of any processor.
        mean: NDArray[np.float64] = self.work.sum(axis=0) / max(len(self.work), 1)
        return mean

    def cost(self, factors: int) -> float:
        """Return the mean cost of a query in nanoseconds, by the cost model."""
        return float(COSTS.nanoseconds(self.mean_work()[None], factors)[0])


def stopwatch(index: Searcher, sample: Sample, k: int) -> NDArray[np.float64]:
    """Return the milliseconds of each query: for reports only, as no two runs measure the same."""
    seconds = []
    for user, seen in zip(sample.users, sample.seen, strict=True):
        start = perf_counter()
        index.search(user, k, seen)
        seconds.append(perf_counter() - start)
    return 1000 * np.array(seconds)


def _n_found(scores: FloatVector, exact: FloatVector) -> int:
    if len(exact) == 0:
        return 0
    rounding = _ROUNDING * float(np.abs(exact).max())
    return int((scores >= exact[-1] - rounding).sum())

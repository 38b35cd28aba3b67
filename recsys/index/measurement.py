"""What an index finds for some users, at what work and time, and whether it still finds it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from recsys.base.reading import damaged, open_array
from recsys.base.threads import one_blas_thread
from recsys.index.kernel import COUNTED
from recsys.index.plain import Allowed, ItemRows, PlainIndex
from recsys.index.searcher import SHORT, Searcher
from recsys.vectors import FloatMatrix, FloatVector

PROBES, ANSWERS = "probes.npy", "answers.npy"

_N_PROBES = 8  # users whose lists are compared whenever the index is opened
_SAME = 1e-4  # relative difference of scores that another processor may make
_FEWER = 0.05  # share of a list that another processor may miss
_NOTHING = np.empty(0, dtype=np.int32)
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
    def of(
        cls, index: Searcher, sample: Sample, k: int, allowed: Allowed | None = None
    ) -> "Counted":
        """Search once for every user."""
        scores = []
        work = np.empty((len(sample), len(COUNTED)), dtype=np.int64)
        for number, (user, seen) in enumerate(zip(sample.users, sample.seen, strict=True)):
            scores.append(index.search(user, k, seen, allowed)[1])
            work[number] = index.last_work()
        return cls(scores, work)

    def first(self, k: int) -> "Counted":
        """Return the beginnings of the lists, with the work of the whole."""
        return Counted([scores[:k] for scores in self.scores], self.work)

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


def stopwatch(index: Searcher, sample: Sample, k: int) -> NDArray[np.float64]:
    """Return the milliseconds of each query: for reports only, as no two runs measure the same."""
    seconds = []
    for user, seen in zip(sample.users, sample.seen, strict=True):
        start = perf_counter()
        index.search(user, k, seen)
        seconds.append(perf_counter() - start)
    return 1000 * np.array(seconds)


def write_probes(folder: Path, users: FloatMatrix, exact: Searcher) -> None:
    """Store some users and the scores of their exact lists, by NumPy."""
    probes = np.ascontiguousarray(users[:_N_PROBES])
    answers = np.full((len(probes), SHORT), -np.inf, dtype=np.float32)
    plain = PlainIndex(exact.items, exact.factor)
    with one_blas_thread():  # whose sums depend on how many threads there are
        for number, user in enumerate(probes):
            scores = plain.search(user, SHORT, _NOTHING)[1]
            answers[number, : len(scores)] = scores
    np.save(folder / PROBES, probes)
    np.save(folder / ANSWERS, answers)


def share_found(index: Searcher, folder: Path) -> float:
    """Return the share of the stored answers that an index gives; 0 where a score is wrong."""
    probes, answers = open_array(folder / PROBES), open_array(folder / ANSWERS)
    if probes.shape[1:] != index.items.shape[1:] or answers.shape != (len(probes), SHORT):
        raise damaged(folder / PROBES, f"expected queries for {ANSWERS}, got others")
    found = wanted = 0
    for user, expected in zip(probes, answers, strict=True):
        expected = expected[expected > -np.inf]
        rounding = _SAME * np.abs(expected).max(initial=0)
        scores = index.search(user, SHORT, _NOTHING)[1]
        if len(scores) != len(expected) or (scores > expected + rounding).any():
            return 0.0
        found += int((scores >= expected[-1:] - rounding).sum())
        wanted += len(expected)
    return found / wanted if wanted else 1.0


def answers_as_built(index: Searcher, folder: Path, probe_recall: float | None) -> bool:
    """Return whether an index finds what it found when it was built."""
    share = share_found(index, folder)
    return share == 1 if probe_recall is None else share >= probe_recall - _FEWER


def _n_found(scores: FloatVector, exact: FloatVector) -> int:
    if len(exact) == 0:
        return 0
    rounding = _ROUNDING * float(np.abs(exact).max())
    return int((scores >= exact[-1] - rounding).sum())

"""What an index finds for some users, at what work and time, and whether it still finds it.

The recall of ordinary lists says little of others. Most of an ordinary list comes from the head,
which is scanned; a list under a condition that bars the head holds nothing but what the forest
finds, and a list after the exclusion of the best items holds what lies deeper.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.base.reading import damaged, open_array
from recsys.base.stopping import check_stop
from recsys.base.threads import one_blas_thread
from recsys.index.compiled import COUNTED
from recsys.index.plain import Allowed, ItemRows, PlainIndex
from recsys.index.searcher import LONG, SHORT, Searcher
from recsys.vectors import FloatMatrix, FloatVector

PROBES, ANSWERS = "probes.npy", "answers.npy"

_N_PROBES = 8  # users whose lists are compared whenever the index is opened
_SAME = 1e-4  # relative difference of scores that another processor may make
_FEWER = 0.05  # share of a list that another processor may miss
_NOTHING = np.empty(0, dtype=np.int32)
_ROUNDING = 1e-6  # of the largest score: what its last bits may differ by

LENGTHS = (1, SHORT, LONG, 1000)
"""Of the lists that are measured under every condition."""

_MEASURED = {SHORT: (1, SHORT), LONG: (LONG,)}  # for how far a forest is asked
_EXCLUSIONS = (0, 20, 100, 500)  # of a query, up to which a forest may be asked
_N_HARD, _N_UNDER_CONDITIONS = 500, 200  # queries of each kind
_N_SCANNED = 25  # queries of a kind for which everything is scanned, whatever the index
_LONG_HISTORIES = 0.1  # of the sample


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

    def take(self, numbers: Sequence[int] | range) -> "Sample":
        """Return some of the queries."""
        return Sample(self.users[list(numbers)], [self.seen[number] for number in numbers])


@dataclass(frozen=True, eq=False)
class Counted:
    """The lists of one length that an index gave to a sample of users, and the work of each.

    Parameters
    ----------
    scores : list of ndarray of float32
        The scores of each list, best first.
    work : ndarray of int64, shape (n_users, 10)
        What each query did, in the order of `recsys.index.compiled.COUNTED`.
    seconds : ndarray of float64, shape (n_users,)
        Of each query: for reports only, as no two runs measure the same.
    """

    scores: Sequence[FloatVector]
    work: NDArray[np.int64]
    seconds: NDArray[np.float64]

    @classmethod
    def of(
        cls, index: Searcher, sample: Sample, k: int, allowed: Allowed | None = None
    ) -> "Counted":
        """Search once for every user."""
        scores, seconds = [], np.empty(len(sample))
        work = np.empty((len(sample), len(COUNTED)), dtype=np.int64)
        for number, (user, seen) in enumerate(zip(sample.users, sample.seen, strict=True)):
            check_stop()
            start = perf_counter()
            scores.append(index.search(user, k, seen, allowed)[1])
            seconds[number] = perf_counter() - start
            work[number] = index.last_work()
        return cls(scores, work, seconds)

    def first(self, k: int) -> "Counted":
        """Return the beginnings of the lists, with the work of the whole."""
        return Counted([scores[:k] for scores in self.scores], self.work, self.seconds)

    def take(self, n: int) -> "Counted":
        """Return the lists of the first n users."""
        return Counted(self.scores[:n], self.work[:n], self.seconds[:n])

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
        """Return the mean of each count, (10,); zeros without any query."""
        # Sums of whole numbers, which are the same in any order of any processor.
        mean: NDArray[np.float64] = self.work.sum(axis=0) / max(len(self.work), 1)
        return mean


def _n_found(scores: FloatVector, exact: FloatVector) -> int:
    if len(exact) == 0:
        return 0
    rounding = _ROUNDING * float(np.abs(exact).max())
    return int((scores >= exact[-1] - rounding).sum())


class _Condition(NamedTuple):
    """Queries of one kind, and the items that they may find; None for all."""

    name: str
    sample: Sample
    is_allowed: NDArray[np.bool_] | None = None


def most_excluded(k: int, index: Searcher, exact: Searcher, sample: Sample, target: float) -> int:
    """Return up to how many exclusions an index reaches its target for lists up to k.

    -1 where it never does, and where there are no users to measure. What counts are the hardest
    exclusions of that many items, those of the best; real histories up to that length; and users
    who are like a single item each, as new users with a short history are.
    """
    if not index.search_k[k]:  # everything is scanned
        return len(exact.items)
    most = -1
    for n in _EXCLUSIONS if len(sample) else ():
        if not bears(k, index, exact, sample, target, n):
            break
        most = n
    return most


def bears(k: int, index: Searcher, exact: Searcher, sample: Sample, target: float, n: int) -> bool:
    """Return whether an index reaches its target for lists up to k with n exclusions."""
    for queries in _hard_queries(exact, index, sample, n):
        best = Counted.of(exact, queries, k)
        for length in _MEASURED[k]:
            if not Counted.of(index, queries, length).meets(best.first(length), target):
                return False
    return True


def recall_by_condition(
    index: Searcher, exact: Searcher, sample: Sample
) -> dict[str, dict[int, float | None]]:
    """Return the recall under every condition, by its name and the length of the list."""
    found: dict[str, dict[int, float | None]] = {}
    for name, queries, is_allowed in _conditions(exact, sample):
        masks = [one.allow(is_allowed) for one in (index, exact)]
        few = queries.take(range(min(_N_SCANNED, len(queries))))
        found[name] = {}
        for k in LENGTHS:
            # Few are enough of what is scanned: those lists are exact.
            asked = few if index.scans(k, queries.seen, masks[0]) else queries
            best = Counted.of(exact, asked, k, masks[1])
            found[name][k] = Counted.of(index, asked, k, masks[0]).recall(best)
    return found


def _hard_queries(exact: Searcher, index: Searcher, sample: Sample, n: int) -> Iterator[Sample]:
    """Yield queries with n exclusions that leave as much as possible to the forest."""
    users = sample.users[:_N_HARD]
    yield _without_best(n, users, exact)
    if index.n_head:
        is_head = np.zeros(len(exact.items), dtype=np.bool_)
        is_head[exact.codes.row[: index.n_head]] = True
        yield _without_best(n, users, exact, exact.allow(is_head))
    rows = np.linspace(0, len(exact.items) - 1, min(len(users), len(exact.items))).astype(np.intp)
    directions = exact.items[rows]
    yield _without_best(n, np.ascontiguousarray(directions[directions.any(axis=1)]), exact)
    yield sample.take([row for row, seen in enumerate(sample.seen) if len(seen) <= n][:_N_HARD])


def _without_best(
    n: int, users: NDArray[np.float32], exact: Searcher, allowed: Allowed | None = None
) -> Sample:
    """Return queries that exclude the n best items each, of those allowed."""
    return Sample(users, [exact.search(user, n, _NOTHING, allowed)[0] for user in users])


def _conditions(exact: Searcher, sample: Sample) -> Iterator[_Condition]:
    """Yield the conditions that an index is measured under."""
    n_items = len(exact.items)
    few = sample.take(range(min(_N_UNDER_CONDITIONS, len(sample))))
    yield _Condition("all_items", few)
    is_large = np.zeros(n_items, dtype=np.bool_)
    is_large[exact.codes.row[: n_items // 2]] = True  # by norm, which goes with popularity
    yield _Condition("popular_barred", few, ~is_large)
    yield _Condition("unpopular_barred", few, is_large)
    drawn = np.random.default_rng(0).random(n_items)
    yield _Condition("tenth_at_random", few, drawn < 0.1)
    yield _Condition("hundredth_at_random", few, drawn < 0.01)
    for n in _EXCLUSIONS[1:]:
        yield _Condition(f"best_{n}_excluded", _without_best(n, few.users, exact))
    by_length = np.argsort([-len(seen) for seen in sample.seen], kind="stable")
    longest = by_length[: math.ceil(_LONG_HISTORIES * len(sample))].tolist()
    yield _Condition("long_histories", sample.take(longest))


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

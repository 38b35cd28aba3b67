"""What an index finds for some users, at what work and time, and whether it still finds it.

The recall of ordinary lists says little of others. Most of an ordinary list comes from the head,
which is scanned; a list under a condition that bars the head holds nothing but what the forest
finds, and a list after the exclusion of the best items holds what lies deeper.
"""

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.base.environment import usable_cores
from recsys.base.reading import damaged, open_array
from recsys.base.stopping import check_stop
from recsys.base.threads import chunks, one_blas_thread
from recsys.index.compiled import COUNTED
from recsys.index.plain import Allowed, ItemRows, PlainIndex
from recsys.index.searcher import LONG, SHORT, Searcher
from recsys.vectors import FloatMatrix
from recsys.vectors.top_k import EXCLUDED

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
_N_SCANNED = 10  # queries of a kind for which everything is scanned, whatever the index
_LONG_HISTORIES = 0.1  # of the sample
_N_TIMED = 200  # queries, by a stopwatch
_AT_ONCE = 100  # queries of a thread between two looks at a signal


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

    def lists(
        self, index: Searcher, k: int, allowed: Allowed | None = None
    ) -> tuple[NDArray[np.int32], FloatMatrix, NDArray[np.int64]]:
        """Search once for every user, by all cores; return rows, scores, and the work of each."""
        n, k = len(self), min(k, len(index.items))
        rows, scores = np.empty((n, k), dtype=np.int32), np.empty((n, k), dtype=np.float32)
        work = np.zeros((n, len(COUNTED)), dtype=np.int64)
        starts = np.cumsum([0, *map(len, self.seen)])
        exclude = np.concatenate([_NOTHING, *self.seen])

        def search(part: slice) -> None:
            bounds = starts[part.start : part.stop + 1]
            rows[part], scores[part] = index.search_many(
                self.users[part], k, bounds, exclude, allowed, work[part]
            )

        parts = chunks(n, least=_AT_ONCE)
        if len(parts) == 1:  # a thread costs more than the lists of a few users
            search(parts[0])
            return rows, scores, work
        with ThreadPoolExecutor(usable_cores()) as pool:
            for _ in pool.map(search, parts):
                check_stop()
        return rows, scores, work


@dataclass(frozen=True, eq=False)
class Counted:
    """The lists of one length that an index gave to a sample of users, and the work of each."""

    scores: FloatMatrix  # (n_users, k): best first, and minus infinity after the end of a list
    work: NDArray[np.int64]  # (n_users, 10): in the order of `recsys.index.compiled.COUNTED`

    @classmethod
    def of(
        cls, index: Searcher, sample: Sample, k: int, allowed: Allowed | None = None
    ) -> "Counted":
        """Search once for every user."""
        return cls(*sample.lists(index, k, allowed)[1:])

    def where(self, users: NDArray[np.bool_], others: "Counted") -> "Counted":
        """Return the lists of some users, and others of the rest."""
        scores = np.where(users[:, None], self.scores, others.scores)
        return Counted(scores, np.where(users[:, None], self.work, others.work))

    def first(self, k: int) -> "Counted":
        """Return the beginnings of the lists, with the work of the whole."""
        return Counted(self.scores[:, :k], self.work)

    def take(self, n: int) -> "Counted":
        """Return the lists of the first n users."""
        return Counted(self.scores[:n], self.work[:n])

    def recall(self, exact: "Counted", users: slice = slice(None)) -> float | None:
        """Return the share of the exact lists that this index found; None without any.

        By score, so that another item with the same score as the last one is no miss.
        """
        scores, best = self.scores[users], exact.scores[users]
        if not (is_wanted := best > EXCLUDED).any():
            return None
        last = np.where(is_wanted, best, np.inf).min(axis=1, keepdims=True)
        rounding = _ROUNDING * np.abs(best, where=is_wanted, out=np.zeros_like(best)).max(
            axis=1, keepdims=True
        )
        return int((scores >= last - rounding).sum()) / int(is_wanted.sum())

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


def milliseconds_of(index: Searcher, sample: Sample, k: int) -> NDArray[np.float64]:
    """Return the time of some queries, one by one: for reports only, as no two runs are alike."""
    found = []
    for user, seen in zip(sample.users[:_N_TIMED], sample.seen, strict=False):
        check_stop()
        start = perf_counter()
        index.search(user, k, seen)
        found.append(1000 * (perf_counter() - start))
    return np.array(found)


class _Condition(NamedTuple):
    """Queries of one kind, and the items that they may find; None for all."""

    name: str
    sample: Sample
    is_allowed: NDArray[np.bool_] | None = None


class HardQueries:
    """Queries that an index must bear, and their exact lists, each found only once.

    What counts are the hardest exclusions, those of the best items; the same where the head is
    barred, which leaves as much as possible to a forest; users who are like a single item each, as
    new users with a short history are; and real histories up to that length.
    """

    def __init__(self, exact: Searcher, sample: Sample) -> None:
        self.exact, self.sample = exact, sample
        self._found: dict[tuple[str, int, int], tuple[Sample, dict[int, Counted]]] = {}

    def after(self, n: int, k: int, n_head: int) -> Iterator[tuple[Sample, Counted]]:
        """Yield queries with n exclusions, and the best lists of them."""
        for kind in ("best", "beyond the head", "items", "histories"):
            if kind != "beyond the head" or n_head:
                key = (kind, n, n_head if kind == "beyond the head" else 0)
                if key not in self._found:
                    self._found[key] = self._queries(*key), {}
                queries, best = self._found[key]
                if k not in best:
                    best[k] = Counted.of(self.exact, queries, k)
                yield queries, best[k]

    def _queries(self, kind: str, n: int, n_head: int) -> Sample:
        exact, users = self.exact, self.sample.users[:_N_HARD]
        if kind == "histories":
            are_short = [row for row, seen in enumerate(self.sample.seen) if len(seen) <= n]
            return self.sample.take(are_short[:_N_HARD])
        if kind == "items":
            n_items = len(exact.items)
            rows = np.linspace(0, n_items - 1, min(len(users), n_items)).astype(np.intp)
            users = exact.items[rows[exact.items[rows].any(axis=1)]]
        is_head = np.ones(len(exact.items), dtype=np.bool_)
        if n_head:
            is_head[exact.codes.row[n_head:]] = False
        return _without_best(n, users, exact, exact.allow(is_head))


def most_excluded(k: int, index: Searcher, hard: HardQueries, target: float) -> int:
    """Return up to how many exclusions an index reaches its target for lists up to k.

    -1 where it never does, and where there are no users to measure.
    """
    if not index.search_k[k]:  # everything is scanned
        return len(index.items)
    most = -1
    for n in _EXCLUSIONS if len(hard.sample) else ():
        if not bears(k, index, hard, target, n):
            break
        most = n
    return most


def bears(k: int, index: Searcher, hard: HardQueries, target: float, n: int) -> bool:
    """Return whether an index reaches its target for lists up to k with n exclusions."""
    return all(
        Counted.of(index, queries, length).meets(best.first(length), target)
        for queries, best in hard.after(n, k, index.n_head)
        for length in _MEASURED[k]
    )


def recall_by_condition(
    index: Searcher, exact: Searcher, sample: Sample
) -> dict[str, dict[int, float | None]]:
    """Return the recall under every condition, by its name and the length of the list."""
    found: dict[str, dict[int, float | None]] = {}
    for name, queries, is_allowed in _conditions(index, exact, sample):
        masks = [one.allow(is_allowed) for one in (index, exact)]
        few = queries.take(range(min(_N_SCANNED, len(queries))))
        found[name] = {}
        for k in LENGTHS:
            # Few are enough of what is scanned: those lists are exact.
            asked = few if index.scans(k, queries.seen, masks[0]) else queries
            best = Counted.of(exact, asked, k, masks[1])
            found[name][k] = Counted.of(index, asked, k, masks[0]).recall(best)
    return found


def _without_best(
    n: int, users: NDArray[np.float32], exact: Searcher, allowed: Allowed | None = None
) -> Sample:
    """Return queries that exclude the n best items each, of those allowed."""
    rows = Sample(users, [_NOTHING] * len(users)).lists(exact, n, allowed)[0]
    return Sample(users, [row[row >= 0] for row in rows])


def _conditions(index: Searcher, exact: Searcher, sample: Sample) -> Iterator[_Condition]:
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
        is_scanned = n > max(index.most_excluded.values())
        users = few.users[: _N_SCANNED if is_scanned else None]
        yield _Condition(f"best_{n}_excluded", _without_best(n, users, exact))
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

"""Choose, by the work that real users cause, how much to scan and how far to search a forest.

An index is chosen by counted work, as measured times differ on a busy machine: the same items
and settings give the same index everywhere. `python -m benchmarks.index --costs` fits the constants
of the cost model to the times of queries; they hold the parts of a query in proportion to each
other, so that a machine twice as fast chooses alike.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.base.errors import CorruptVersionError
from recsys.index.annoy import AnnoyError
from recsys.index.clusters import cluster_items, n_axes_of
from recsys.index.compiled import COUNTED
from recsys.index.forest import FOREST, build_forest, open_forest
from recsys.index.measurement import Counted, HardQueries, Sample, bears, most_excluded
from recsys.index.quantized import PER_BLOCK
from recsys.index.searcher import LONG, SHORT, Searcher

if TYPE_CHECKING:
    from recsys.settings import IndexSettings

_BLOCKS = COUNTED.index("blocks")

_HEAD_SHARES = (0.5, 0.125, 0.03125)  # as long as a smaller head costs less
_WORTH_ITS_BYTES = 0.9  # what the cost has to fall to for a forest over more items
_FIRST_SEARCH_K = 32
_N_FIRST = 100  # of the sample, on whom a search is tried before all others are asked
_LUCK = 0.02  # what these may miss more than all
_WORTH_CLUSTERS = 0.25  # of the blocks, what a scan in the order of norms reads on its way
_LEAST_CLUSTERED = 10_000  # items: a scan of fewer takes as long as to score the centers
_MOST_CLUSTERS = 0.25  # share to scan: of more, the exact search costs as much
_TRIED = f"tried-{FOREST}"


@dataclass(frozen=True)
class CostModel:
    """Nanoseconds of each part of a query; `recsys.index.compiled.COUNTED` says what is counted."""

    query: float = 5400.0  # what every query takes
    masked: float = 0.05
    excluded: float = 7.0
    block: float = 6.5  # to score sixteen items by their codes
    code_byte: float = 0.0083  # and for each byte of these
    hit: float = 9.7
    node: float = 34.0  # to find it
    vector: float = 14.5  # to find it
    vector_byte: float = 0.017  # and for each byte of either
    listed: float = 118.0
    center_byte: float = 0.037  # of a cluster, to score it
    probed: float = 310.0  # to go to a cluster out of order
    lead_byte: float = 0.0234  # to score sixteen items by their codes in 4 bits

    def nanoseconds(self, work: NDArray[np.number], factors: int) -> NDArray[np.float64]:
        """Return what queries cost by their counts, (n, 10), or by means of these."""
        cost = np.full(len(work), self.query)  # (n,)
        for count, each in zip(work.T, self._of_each(factors), strict=True):
            cost += count * each
        return cost

    def _of_each(self, factors: int) -> list[float]:
        """Return what one of each of `COUNTED` costs."""
        code_bytes, vector_bytes, lead_bytes = bytes_of(factors)
        return [
            self.masked,
            self.excluded,
            self.block + self.code_byte * code_bytes,
            self.hit,
            self.node + self.vector_byte * vector_bytes,
            self.vector + self.vector_byte * vector_bytes,
            self.listed,
            self.center_byte * vector_bytes,
            self.probed,
            self.lead_byte * lead_bytes,
        ]


def bytes_of(factors: int) -> tuple[int, int, int]:
    """Return the bytes of a block of codes, of an embedding, and of a block in 4 bits."""
    n_codes = PER_BLOCK * 4 * (1 + -(-factors // 4))
    return n_codes, 4 * factors, PER_BLOCK * n_axes_of(factors) // 2 + PER_BLOCK


COSTS = CostModel()
"""The model that the build uses, and that the manifest records."""


def cost_of(counted: Counted, factors: int) -> float:
    """Return the mean cost of a query in nanoseconds."""
    return float(COSTS.nanoseconds(counted.mean_work()[None], factors)[0])


class Head(NamedTuple):
    """The items with the largest norms: their share, and how many these are in whole blocks."""

    share: float
    n_items: int


@dataclass(frozen=True, eq=False)
class MeasuredIndex:
    """An index that may be chosen, and what the sample of users gets of it."""

    index: Searcher
    counted: Mapping[int, Counted]  # by length of the list
    head: Head | None = None  # what is scanned before the forest; None without a forest

    @classmethod
    def exact(cls, index: Searcher, sample: Sample) -> "MeasuredIndex":
        """Count the work of an index without a forest."""
        counted = {k: Counted.of(index, sample, k) for k in (SHORT, LONG)}
        return cls(index, counted)

    def cost(self, k: int) -> float:
        """Return the mean cost of a list in nanoseconds, by the cost model."""
        return cost_of(self.counted[k], self.index.items.shape[1])

    def recall(self, exact: "MeasuredIndex") -> float:
        """Return the share of the exact short lists that is found; 1 without any list."""
        recall = self.counted[SHORT].recall(exact.counted[SHORT])
        return 1.0 if recall is None else recall

    def costs_no_more(self, other: "MeasuredIndex") -> bool:
        """Return whether neither length of list costs more than by another index."""
        return all(self.cost(k) <= other.cost(k) for k in (SHORT, LONG))

    def total_cost(self) -> float:
        """Return the cost of a short list and a long one."""
        return self.cost(SHORT) + self.cost(LONG)


def calibrate(
    exact: MeasuredIndex, folder: Path, hard: HardQueries, settings: "IndexSettings"
) -> MeasuredIndex | None:
    """Build the forest that costs least at the target, and leave it in the folder."""
    best: MeasuredIndex | None = None
    tried = folder / _TRIED
    try:
        for head in _heads(settings, len(exact.index.items)):
            found = _with_head(head, tried, exact, hard, settings)
            if found is None:
                continue
            if best is not None and not _is_better(found, best, exact, settings):
                break
            tried.replace(folder / FOREST)
            best = found
            if found.total_cost() >= _WORTH_ITS_BYTES * exact.total_cost():
                break  # the trees gain little, and with a smaller head they have more to do
    except AnnoyError:
        (folder / FOREST).unlink(missing_ok=True)
        raise
    finally:
        tried.unlink(missing_ok=True)
    return best


def calibrate_clusters(
    exact: MeasuredIndex, hard: HardQueries, settings: "IndexSettings"
) -> MeasuredIndex | None:
    """Put items into clusters and find how many of these to scan; None where norms do as well.

    Where the kind is to be "exact", all clusters are scanned.
    """
    items, codes = exact.index.items, exact.index.codes
    read = float(exact.counted[LONG].mean_work()[_BLOCKS]) / max(len(codes.codes), 1)
    if len(items) < _LEAST_CLUSTERED or read < _WORTH_CLUSTERS:
        return None
    codes, clusters = cluster_items(items, exact.index.factor, settings.seed)
    found = scanned = MeasuredIndex.exact(Searcher(items, codes, clusters=clusters), hard.sample)
    if settings.kind != "exact":
        most = int(_MOST_CLUSTERS * len(clusters.centers))
        chosen = {
            k: _least_search(k, found, _growing(1, most, 1.5), exact, hard, settings)
            for k in (SHORT, LONG)
        }
        search_k, counted = _by_length(chosen)
        if any(search_k.values()):  # else it is exact, whatever is excluded
            found = MeasuredIndex(found.index.with_limits(search_k), counted)
            found = limited(found, scanned, hard, settings.target_recall)
    is_better = found.total_cost() < _WORTH_ITS_BYTES * exact.total_cost()
    return found if is_better and found.costs_no_more(exact) else None


def _growing(first: int, last: int, by: float) -> Iterator[int]:
    """Yield numbers from the first to the last, each the one before times a factor."""
    number = min(first, last)
    while number < last:
        yield number
        number = min(max(int(by * number), number + 1), last)
    if last:
        yield last


def _least_search(
    k: int,
    scanned: MeasuredIndex,
    tried: Iterable[int],
    exact: MeasuredIndex,
    hard: HardQueries,
    settings: "IndexSettings",
    *,
    may_scan: bool = True,
) -> tuple[int, Counted]:
    """Return the first search_k that meets the target, also for the hardest queries.

    0 where a scan costs no more, or none meets it; the last one where there may be no scan.
    """
    factors, target = exact.index.items.shape[1], settings.target_recall
    sample = hard.sample
    few = sample.take(range(min(_N_FIRST, len(sample))))
    index, search_k = scanned.index, 0
    for search_k in tried:
        index = scanned.index.with_limits(dict.fromkeys((SHORT, LONG), search_k))
        counted = Counted.of(index, few, k)
        of_scan, best = (one.counted[k].take(len(few)) for one in (scanned, exact))
        if may_scan and cost_of(counted, factors) >= cost_of(of_scan, factors):
            break
        if counted.meets(best, target - _LUCK):
            counted = Counted.of(index, sample, k)
            if counted.meets(exact.counted[k], target) and (
                not may_scan or bears(k, index, hard, target, 0)
            ):
                return search_k, counted
    return (0, scanned.counted[k]) if may_scan else (search_k, Counted.of(index, sample, k))


def _by_length(
    chosen: Mapping[int, tuple[int, Counted]],
) -> tuple[dict[int, int], dict[int, Counted]]:
    return {k: one for k, (one, _) in chosen.items()}, {k: one for k, (_, one) in chosen.items()}


def limited(
    found: MeasuredIndex, scanned: MeasuredIndex, hard: HardQueries, target: float
) -> MeasuredIndex:
    """Let an index answer, without a scan, only kinds of queries on which it reaches the target."""
    most = {k: most_excluded(k, found.index, hard, target) for k in (SHORT, LONG)}
    n_seen = np.array([len(seen) for seen in hard.sample.seen])
    counted = {
        k: found.counted[k].where(n_seen <= most[k], scanned.counted[k]) for k in (SHORT, LONG)
    }
    return MeasuredIndex(found.index.with_limits(found.index.search_k, most), counted, found.head)


def _heads(settings: "IndexSettings", n_items: int) -> list[Head]:
    """Return the heads to try, the largest first; those of few items may be alike."""
    shares = _HEAD_SHARES if settings.head_share is None else (settings.head_share,)
    heads = [Head(share, int(share * n_items) // PER_BLOCK * PER_BLOCK) for share in shares]
    return list({head.n_items: head for head in reversed(heads)}.values())[::-1]


def _is_better(
    new: MeasuredIndex, old: MeasuredIndex, exact: MeasuredIndex, settings: "IndexSettings"
) -> bool:
    new_recall, old_recall = (one.recall(exact) for one in (new, old))
    if min(new_recall, old_recall) < settings.target_recall:
        return new_recall > old_recall
    return new.total_cost() < _WORTH_ITS_BYTES * old.total_cost()


def _with_head(
    head: Head,
    path: Path,
    exact: MeasuredIndex,
    hard: HardQueries,
    settings: "IndexSettings",
) -> MeasuredIndex | None:
    """Build the forest after a head, and find how far each length of list has to search."""
    items, codes = exact.index.items, exact.index.codes
    trees, seed = settings.trees, settings.seed
    if not build_forest(items, codes, path, n_head=head.n_items, trees=trees, seed=seed):
        return None
    # Where the forest may be left out, its lists are those of the exact scan.
    scanned = MeasuredIndex(Searcher(items, codes, _opened(path, exact)), exact.counted)
    most = settings.max_search_k
    chosen = {
        k: _least_search(
            k,
            scanned,
            _growing(_FIRST_SEARCH_K, most, 2),
            exact,
            hard,
            settings,
            may_scan=k == LONG,
        )
        for k in (SHORT, LONG)
    }
    search_k, counted = _by_length(chosen)
    return MeasuredIndex(scanned.index.with_limits(search_k), counted, head)


def _opened(path: Path, exact: MeasuredIndex) -> Any:
    try:
        return open_forest(path, *exact.index.items.shape)
    except CorruptVersionError as error:
        raise AnnoyError(f"annoy wrote something else than a forest: {error}") from error

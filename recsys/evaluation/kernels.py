"""Compiled loops: ranks of relevant items, measures beyond accuracy, bootstrap sums."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from recsys.base.jit import compiled
from recsys.base.splitmix import GOLDEN, splitmix64
from recsys.vectors import FloatMatrix

FloatArray = NDArray[np.float64]

_inline = njit(nogil=True, boundscheck=False, error_model="numpy")
_splitmix64: Any = _inline(splitmix64)


@compiled()
def count_draws(
    seeds: NDArray[np.int64],  # (n_resamples,): where the sequence of each row starts
    counts: NDArray[np.float64],  # out, (n_resamples, n); each row sums to n
) -> None:
    """Draw n of n units with replacement, row by row, and count how often each is drawn.

    The numbers are those of SplitMix64, cut to the units by Lemire's product (2019); what he
    rejects to be exact is one of 2^32 / n draws, and is kept. n is below 2^32.
    """
    n = np.uint64(counts.shape[1])
    for row in range(len(counts)):
        state, own = np.uint64(seeds[row]), counts[row]
        own[:] = 0
        for _ in range(len(own)):
            own[(_splitmix64(state) >> np.uint64(32)) * n >> np.uint64(32)] += 1
            state += GOLDEN


@compiled()
def describe(
    columns: NDArray[np.int32],  # (n, largest k): items, best first; -1 past the end
    hits: NDArray[np.bool_],  # (n, largest k)
    ks: NDArray[np.int64],  # (n_ks,), ascending
    share: FloatArray,  # (n_items,): of the users of train who have each item
    surprise: FloatArray,  # (n_items,): -log2 of the share
    place_by_popularity: NDArray[np.int64],  # (n_items,): 0 for the most popular
    known: FloatArray,  # out, (n_ks, n): mean share
    novelty: FloatArray,  # out, (n_ks, n): mean surprise
    serendipity: FloatArray,  # out, (n_ks, n): share of hits outside the k most popular
) -> None:
    """Fill in means over each list, for each of its lengths; 0 for an empty list."""
    for row in range(len(columns)):
        for length in range(len(ks)):
            n = _length(columns[row], ks[length])
            sums = (0.0, 0.0, 0)
            for place in range(n):
                item = columns[row, place]
                is_find = hits[row, place] and place_by_popularity[item] >= ks[length]
                sums = (sums[0] + share[item], sums[1] + surprise[item], sums[2] + is_find)
            known[length, row] = sums[0] / max(n, 1)
            novelty[length, row] = sums[1] / max(n, 1)
            serendipity[length, row] = sums[2] / max(n, 1)


@compiled()
def count_listed(
    columns: NDArray[np.int32], ks: NDArray[np.int64], counts: NDArray[np.int64]
) -> None:
    """Add to `counts`, (n_ks, n_items), how often each item is in the lists of each length."""
    for length in range(len(ks)):
        for row in range(len(columns)):
            for place in range(_length(columns[row], ks[length])):
                counts[length, columns[row, place]] += 1


@compiled()
def mean_cosines(
    columns: NDArray[np.int32],  # (n, largest k)
    ks: NDArray[np.int64],  # (n_ks,)
    directions: FloatMatrix,  # (n_items, factors): embeddings of length 1, or 0
    squares: FloatArray,  # (n_items,): their squared lengths
    cosines: FloatArray,  # out, (n_ks, n)
) -> None:
    """Fill in the mean cosine of the pairs of each list; 1 for a list without a pair.

    ``sum of pairs = (|sum of directions|^2 - sum of their squares) / 2``.
    """
    total = np.empty(directions.shape[1], dtype=np.float32)
    for row in range(len(columns)):
        total[:] = 0
        done, alone = 0, 0.0
        for length in range(len(ks)):
            n = _length(columns[row], ks[length])
            for place in range(done, n):
                item = columns[row, place]
                alone += squares[item]
                for factor in range(len(total)):
                    total[factor] += directions[item, factor]
            done = n
            pairs = n * (n - 1.0)
            cosines[length, row] = (_squared(total) - alone) / pairs if pairs > 0 else 1.0


@_inline
def _length(columns: Any, k: int) -> Any:
    """Return the length of a list cut at k."""
    n = min(len(columns), k)
    while n > 0 and columns[n - 1] < 0:
        n -= 1
    return n


@_inline
def _squared(total: Any) -> float:
    squared = 0.0
    for factor in range(len(total)):
        squared += np.float64(total[factor]) * total[factor]
    return squared


EXCLUDED = np.float32(-np.inf)
_GROUPS_PER_PLACE = 4  # of the list: more cost time, fewer let more candidates pass
_MIN_GROUPS = 256
_RUN = 64  # scores that are tested together for one that reaches the floor


@compiled()
def rank_block(
    scores: NDArray[np.float32],  # (n, n_items), not NaN; those of seen items are overwritten
    users: NDArray[np.int32],  # (n,): rows of the two CSR matrices
    seen_indptr: NDArray[np.int64],
    seen_indices: NDArray[np.integer],
    relevant_indptr: NDArray[np.int64],
    relevant_indices: NDArray[np.integer],
    columns: NDArray[np.int32],  # out, (n, k): the lists, -1 past the end of a short one
    hits: NDArray[np.bool_],  # out, (n, k): which of them are relevant
    n_listed: NDArray[np.int32],  # out, (n,): lengths of the lists
    n_misordered: NDArray[np.int64],  # out, (n,): pairs of a relevant and another item, reversed
) -> None:
    """List the best unseen items of each user, mark the relevant ones and count wrong pairs.

    A score of minus infinity is never listed. No entry is both seen and relevant.
    """
    n_items, k = scores.shape[1], columns.shape[1]
    n_groups = max(_GROUPS_PER_PLACE * k, _MIN_GROUPS)
    best = np.empty(n_groups, dtype=np.float32)
    keys = np.empty(n_items, dtype=np.int64)
    for row in range(len(users)):
        user, own = users[row], scores[row]
        seen = seen_indices[seen_indptr[user] : seen_indptr[user + 1]]
        relevant = relevant_indices[relevant_indptr[user] : relevant_indptr[user + 1]]
        for item in seen:
            own[item] = EXCLUDED
        floor = EXCLUDED
        if n_items >= 2 * n_groups:
            floor = _floor(own, best, k)
        n_listed[row] = _list(own, floor, keys, columns[row])
        n_unseen = n_items - len(seen)
        n_misordered[row] = _mark(own, relevant, n_unseen, n_listed[row], hits[row])


@_inline
def _floor(own: Any, best: Any, k: int) -> Any:
    """Return a score that k or more columns reach: the k-th best of the bests of groups.

    Every n-th column is in the same group, so that neighbours are compared with neighbours. A few
    columns at the end play in no group: the floor stays a floor without them.
    """
    size = len(own) // len(best)
    groups = own[: size * len(best)].reshape(size, len(best))
    best[:] = groups[0]
    for place in range(1, size):
        for group in range(len(best)):
            score = groups[place, group]
            best[group] = score if score > best[group] else best[group]
    return _nth(best, len(best) - k)


@_inline
def _nth(values: Any, n: int) -> Any:
    """Return what stands at place n in ascending order (Hoare's find); the values change places.

    `np.partition` would do, but compiling it takes seconds.
    """
    low, high = 0, len(values) - 1
    while low < high:
        pivot, left, right = values[(low + high) // 2], low, high
        while left <= right:
            while values[left] < pivot:
                left += 1
            while values[right] > pivot:
                right -= 1
            if left <= right:
                values[left], values[right] = values[right], values[left]
                left += 1
                right -= 1
        if n <= right:
            high = right
        elif n >= left:
            low = left
        else:
            break
    return values[n]


@_inline
def _list(own: Any, floor: Any, keys: Any, columns: Any) -> int:
    """Fill in the best columns, best first, ties by lower column; return how many there are."""
    n = _candidates(own, floor, keys, len(columns))
    keys[:n].sort()
    n_listed = min(n, len(columns))
    for place in range(n_listed):
        columns[place] = np.int32(-keys[n - 1 - place])  # the lower half of a key
    columns[n_listed:] = -1
    return n_listed


@_inline
def _candidates(own: Any, floor: Any, keys: Any, k: int) -> int:
    """Collect the keys of the columns above the floor, and of the first k at it."""
    n, n_at_floor = 0, 0
    for start in range(0, len(own), _RUN):
        run = own[start : start + _RUN]
        if _n_reaching(run, floor) == 0:
            continue
        for place in range(len(run)):
            score = run[place]
            if score < floor or score == EXCLUDED:
                continue
            if score == floor:
                n_at_floor += 1
                if n_at_floor > k:
                    continue
            keys[n] = _key(score, start + place)
            n += 1
    return n


@_inline
def _key(score: Any, column: int) -> Any:
    """Return an integer that is larger for a higher score, and of equal ones for a lower column."""
    bits = np.float32(score + np.float32(0)).view(np.int32)  # adding 0 makes -0.0 tie with 0.0
    # The bits of negative floats sort backwards; flipped, all of them sort like the numbers.
    ascending = np.int64(bits ^ ((bits >> 31) & np.int32(0x7FFFFFFF)))
    return (ascending << 32) - column


@_inline
def _mark(own: Any, relevant: Any, n_unseen: int, n_listed: int, hits: Any) -> int:
    """Mark the ranks of relevant items in the list; return how many pairs are in wrong order.

    An item with i others above it has rank i + 1, so one count serves the list and the AUC. Items
    that are never listed, as their score is minus infinity, have the last ranks.
    """
    hits[:] = False
    n_above, n_unlisted = 0, 0
    for item in relevant:
        score = own[item]
        above = n_unseen - 1 - n_unlisted
        if score == EXCLUDED:
            n_unlisted += 1
        else:
            above = _n_reaching(own[:item], score) + _n_above(own[item:], score)
        n_above += above
        if above < n_listed:
            hits[above] = True
    # Of each pair of relevant items one is above the other.
    return n_above - len(relevant) * (len(relevant) - 1) // 2


@_inline
def _n_reaching(scores: Any, floor: Any) -> Any:
    n = np.int32(0)
    for at in range(len(scores)):
        n = np.int32(n + np.int32(scores[at] >= floor))
    return n


@_inline
def _n_above(scores: Any, floor: Any) -> Any:
    n = np.int32(0)
    for at in range(len(scores)):
        n = np.int32(n + np.int32(scores[at] > floor))
    return n

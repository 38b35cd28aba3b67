"""The strongest associations of each item: shifted PMI over shared users."""

from math import log
from typing import TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.jit import compiled, nth
from recsys.base.threads import ranges_of_equal_work, threads
from recsys.models.protocol import power_of_counts


@compiled()
def associated_items(
    item_indptr: NDArray[np.integer],  # the histories as CSR by item
    item_users: NDArray[np.integer],
    user_indptr: NDArray[np.integer],  # and by user
    user_items: NDArray[np.integer],
    pair_weight: NDArray[np.float32],  # (n_users,): what a pair in this user's history counts for
    commonness: NDArray[np.float64],  # (n_items,)
    shift: float,  # log k, see `Item2Vec`
    discount: float,  # delta
    first: int,
    last: int,
    columns: NDArray[np.int32],  # out, (last - first, neighbors)
    values: NDArray[np.float32],  # out, likewise
    counts: NDArray[np.int64],  # out, (last - first,): filled entries of each row
) -> None:
    """Write the strongest positive associations of items ``first..last-1``.

    Two items are at chance level where their sum of pair weights is the product of how common both
    are. Rows are filled in the order in which the histories bring the items.
    """
    n_items = len(item_indptr) - 1
    together = np.zeros(n_items, np.float64)  # sum of weights of this item with every other
    met = np.empty(n_items, np.int32)
    strength = np.empty(n_items, np.float32)
    most = columns.shape[1]
    for item in range(first, last):
        n_met = 0
        for entry in range(item_indptr[item], item_indptr[item + 1]):
            user = item_users[entry]
            for j in range(user_indptr[user], user_indptr[user + 1]):
                other = user_items[j]
                if together[other] == 0:
                    met[n_met] = other
                    n_met += 1
                together[other] += pair_weight[user]
        n_positive = 0
        for j in range(n_met):
            other, weight = met[j], together[met[j]]
            together[other] = 0
            if other == item or weight == 0:
                continue
            above = log(weight / (commonness[item] * commonness[other])) - shift
            if above > 0:
                met[n_positive] = other  # never ahead of j
                strength[n_positive] = above * weight / (weight + discount)
                n_positive += 1
        counts[item - first] = _keep_strongest(
            met[:n_positive],
            strength[:n_positive],
            most,
            columns[item - first],
            values[item - first],
        )


@compiled()
def _keep_strongest(
    items: NDArray[np.int32],
    strength: NDArray[np.float32],
    most: int,
    columns: NDArray[np.int32],
    values: NDArray[np.float32],
) -> int:
    """Copy the `most` strongest, or fewer, in the order in which they come; return how many."""
    floor, n_ties = np.float32(0), 0
    if len(strength) > most:
        floor, n_ties = nth(strength.copy(), len(strength) - most), most
        for j in range(len(strength)):
            n_ties -= int(strength[j] > floor)
    kept = 0
    for j in range(len(strength)):
        if strength[j] <= floor:
            if strength[j] < floor or n_ties == 0:
                continue
            n_ties -= 1
        columns[kept] = items[j]
        values[kept] = strength[j]
        kept += 1
    return kept


_PARTS, _PART_ROWS = 64, 1024
_Part: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]


def strongest_associations(
    user_items: sp.csr_array,
    *,
    negatives: float,
    context_exponent: float,
    discount: float,
    history_exponent: float,
    neighbors: int,
    n_threads: int | None = None,
) -> sp.csr_array:
    """Return P of `Item2Vec`, float32 (n_items, n_items): symmetric, zero on the diagonal.

    A row is made from the histories of the item's users, in one array over the items, and keeps its
    `neighbors` largest entries: the matrix of all co-occurrences never exists. An entry that either
    item keeps is there for both. `user_items` is as `checked` returns it, of which the data do not
    count; `n_threads` does not change the result.
    """
    n_items = user_items.shape[1]
    pair_weight, commonness = _chance(user_items, context_exponent, history_exponent)
    by_item = sp.csr_array(user_items.T.tocsr())

    def part_of(part: tuple[int, int]) -> _Part:
        return _rows(
            by_item,
            user_items,
            pair_weight,
            commonness,
            float(np.log(negatives)),
            discount,
            part,
            min(neighbors, n_items),
        )

    parts = ranges_of_equal_work(by_item.indptr, max(_PARTS, n_items // _PART_ROWS))
    with threads(n_threads) as pool:
        made = pool.map(part_of, parts)
    counts, columns, values = (np.concatenate(arrays) for arrays in zip(*made, strict=True))
    indptr = np.concatenate([[0], np.cumsum(counts)])
    one_sided = sp.csr_array((values, columns, indptr), shape=(n_items, n_items))
    return sp.csr_array(one_sided.maximum(one_sided.T.tocsr()))


def _chance(
    user_items: sp.csr_array, context_exponent: float, history_exponent: float
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Return what a pair in each user's history counts for, and how common each item is.

    Two items meet by chance as often as the product of how common they are.
    """
    per_user = np.diff(user_items.indptr)
    others = np.maximum(per_user - 1, 0)  # (n_users,)
    pair_weight = power_of_counts(others, -history_exponent)
    # An item meets every other item of a history once.
    in_history = np.repeat(pair_weight * others, per_user)
    n_i = np.bincount(user_items.indices, in_history, minlength=user_items.shape[1])
    smoothed = power_of_counts(n_i, context_exponent).astype(np.float64)
    return pair_weight, smoothed / max(smoothed.sum(), 1e-12) * np.sqrt(n_i.sum())


def _rows(
    by_item: sp.csr_array,
    user_items: sp.csr_array,
    pair_weight: NDArray[np.float32],
    commonness: NDArray[np.float64],
    shift: float,
    discount: float,
    part: tuple[int, int],
    neighbors: int,
) -> _Part:
    """Return the entries of some rows: how many of each, their columns and their values."""
    n_rows = part[1] - part[0]
    columns = np.empty((n_rows, neighbors), dtype=np.int32)
    values = np.empty((n_rows, neighbors), dtype=np.float32)
    counts = np.empty(n_rows, dtype=np.int64)
    associated_items(
        by_item.indptr,
        by_item.indices,
        user_items.indptr,
        user_items.indices,
        pair_weight,
        commonness,
        shift,
        discount,
        *part,
        columns,
        values,
        counts,
    )
    filled = np.arange(neighbors) < counts[:, None]
    return counts, columns[filled], values[filled]

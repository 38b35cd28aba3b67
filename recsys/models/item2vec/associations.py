"""Which items share users more than chance would have it: positive mutual information, sparse."""

from typing import TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.compiled.parallel import equal_parts, threads
from recsys.models.matrix import power_of_counts

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
    """Return the shifted positive mutual information of items, as `Item2Vec` defines it.

    A row is made from the histories of the item's users, in one array over the items, and leaves
    no more than `neighbors` entries behind: the matrix of all co-occurrences never exists.

    Parameters
    ----------
    user_items : csr_array, shape (n_users, n_items)
        As `checked` returns it; the entries count and the data do not.
    negatives, context_exponent, discount, history_exponent : float
        k, s, delta and h.
    neighbors : int
        Entries kept of each row, the largest; an entry that either item keeps is there for both.
    n_threads : int, optional
        Does not change the result. One for each core by default.

    Returns
    -------
    csr_array of float32, shape (n_items, n_items)
        Symmetric, zero on the diagonal.
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

    parts = equal_parts(by_item.indptr, max(_PARTS, n_items // _PART_ROWS))
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
    others = np.maximum(per_user - 1, 0)
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
    from recsys.models.item2vec.cooccurrence_kernel import associated_items

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

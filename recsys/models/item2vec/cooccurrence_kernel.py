"""The hot loop of item2vec: which items share users more than chance would have it, compiled."""

from math import log

import numpy as np
from numpy.typing import NDArray

from recsys.compiled.jit import compiled


@compiled()
def associated_items(
    item_indptr: NDArray[np.integer],
    item_users: NDArray[np.integer],
    user_indptr: NDArray[np.integer],
    user_items: NDArray[np.integer],
    pair_weight: NDArray[np.float32],
    commonness: NDArray[np.float64],
    shift: float,
    discount: float,
    first: int,
    last: int,
    columns: NDArray[np.int32],
    values: NDArray[np.float32],
    counts: NDArray[np.int64],
) -> None:
    """Write the strongest positive associations of items `first` to `last`.

    Parameters
    ----------
    item_indptr, item_users, user_indptr, user_items : ndarray
        CSR of the histories, by item and by user.
    pair_weight : ndarray, shape (n_users,)
        What two items of this user's history count for.
    commonness : ndarray, shape (n_items,)
        Two items are at chance level where their sum of weights is the product of both.
    shift, discount : float
        See `Item2Vec`.
    columns, values : ndarray, shape (last - first, m)
        Filled row by row, in the order in which the histories bring the items.
    counts : ndarray, shape (last - first,)
        How many of each row are filled.
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
    """Copy the strongest, at most so many, in the order in which they come; return the number."""
    floor, n_ties = np.float32(0), 0
    if len(strength) > most:
        floor = np.partition(strength, len(strength) - most)[len(strength) - most]
        n_ties = most - int((strength > floor).sum())
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

"""Order within histories: how many steps back an item is, and which items are near one another."""

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

if TYPE_CHECKING:  # which is weighed by it
    from recsys.logs.interactions import Interactions


def fall_with_steps(
    matrix: sp.csr_array, pair: NDArray[np.integer], when: NDArray[np.integer], recency: float
) -> None:
    """Multiply each weight by ``steps ** -recency``, in place; pairs sort as the matrix does.

    The steps of an item are 1 and the number of items that the same user met later, each item at
    the user's last event with it; so items of one time have the same steps.
    """
    latest = when[last_of_each(pair, when)]  # (nnz,)
    start, user = matrix.indptr[:-1], np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    order = np.lexsort((-latest, user))
    newer = order[:-1]
    is_tied = (user[order[1:]] == user[newer]) & (latest[order[1:]] == latest[newer])
    place = np.arange(len(order))
    place[1:][is_tied] = 0
    steps = np.empty(len(order))
    steps[order] = np.maximum.accumulate(place) - start[user] + 1
    matrix.data = (matrix.data * steps**-recency).astype(np.float32)


def last_of_each(pair: NDArray[np.integer], by: NDArray[np.generic] | None) -> NDArray[np.intp]:
    """Return the event of each pair with the largest value, or the last one; pairs ascend."""
    order = np.argsort(pair, kind="stable") if by is None else np.lexsort((by, pair))
    last: NDArray[np.intp] = order[np.diff(pair[order], append=-1) != 0]
    return last


def windows(log: "Interactions", length: int) -> sp.csr_array:
    """Return every run of so many items that follow one another in a history, as a user.

    Also the shorter runs at both ends: two items are together in as many runs as the length
    exceeds their distance. Each run of n users is a row of ones; a user's items are in the order of
    the last event with each.
    """
    last = last_of_each(log.pair_keys(), log.when)
    in_order = last[np.lexsort((last, log.when[last], log.user_idx[last]))]
    user, item = log.user_idx[in_order].astype(np.int64), log.item_idx[in_order]
    first = np.arange(len(user)) + user * (length - 1)  # run that ends with the item
    runs = (first[:, None] + np.arange(length)).ravel()
    shape = (len(user) + len(log.users) * (length - 1), len(log.items))
    ones = np.ones(len(runs), dtype=np.float32)
    return sp.coo_array((ones, (runs, np.repeat(item, length))), shape=shape).tocsr()

"""Users with too few items, and items with too few users, are left out."""

from dataclasses import replace

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.logs.interactions import Interactions

Mask = NDArray[np.bool_]


def keep_minimum_counts(
    log: Interactions, *, min_user_items: int = 1, min_item_users: int = 1, k_core: bool = False
) -> Interactions:
    """Leave out users with too few distinct items and items with too few distinct users.

    Both are counted once, on the whole log; with `k_core` again until both hold for all that is
    left: the core of the bipartite graph, which does not depend on the order of removal. What a
    user disliked is no item of the user, and goes with the user or the item.
    """
    if min_user_items <= 1 and min_item_users <= 1:
        return log
    policy = log.duplicates if log.dislikes is not None else "count"
    pairs = replace(log, duplicates=policy, half_life_days=None).user_items()
    users, items = _enough(pairs, min_user_items, min_item_users)
    while k_core:
        pairs = sp.csr_array(sp.diags_array(users * 1.0) @ pairs @ sp.diags_array(items * 1.0))
        pairs.eliminate_zeros()
        before = int(users.sum()) + int(items.sum())
        users, items = _enough(pairs, min_user_items, min_item_users)
        if int(users.sum()) + int(items.sum()) == before:
            break
    kept = log.select_pairs(users, items)
    reason = "k-core" if k_core else "minimum counts"
    row_counts = log.row_counts.leaving_out(reason, log.n_rows - kept.n_rows)
    return replace(kept, row_counts=row_counts).compact()


def _enough(pairs: sp.csr_array, min_user_items: int, min_item_users: int) -> tuple[Mask, Mask]:
    items_of_user = np.diff(pairs.indptr)
    users_of_item = np.bincount(pairs.indices, minlength=pairs.shape[1])
    return items_of_user >= min_user_items, users_of_item >= min_item_users

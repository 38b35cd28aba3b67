"""Minimum counts: users with too few items and items with too few users, once or to a k-core."""

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

    Without `k_core` both are counted once, on the whole log; what one removes is not taken into
    account by the other. With it the two are repeated until both hold for all that is left: the
    (min_user_items, min_item_users)-core of the bipartite graph, which does not depend on the
    order of removal.

    Returns
    -------
    Interactions
        Over the users and items that are left; the account says how many events were left out.
    """
    if min_user_items <= 1 and min_item_users <= 1:
        return log
    pairs = replace(log, duplicates="count", half_life_days=None).user_items()
    users, items = _enough(pairs, min_user_items, min_item_users)
    while k_core:
        pairs = sp.csr_array(sp.diags_array(users * 1.0) @ pairs @ sp.diags_array(items * 1.0))
        pairs.eliminate_zeros()
        before = int(users.sum()) + int(items.sum())
        users, items = _enough(pairs, min_user_items, min_item_users)
        if int(users.sum()) + int(items.sum()) == before:
            break
    kept = users[log.user_idx] & items[log.item_idx]
    reason = "k-core" if k_core else "minimum counts"
    account = log.account.leaving_out(reason, len(log) - int(kept.sum()))
    return replace(log.select(kept), account=account).compact()


def _enough(pairs: sp.csr_array, min_user_items: int, min_item_users: int) -> tuple[Mask, Mask]:
    items_of_user = np.diff(pairs.indptr)
    users_of_item = np.bincount(pairs.indices, minlength=pairs.shape[1])
    return items_of_user >= min_user_items, users_of_item >= min_item_users

"""Generated matrices of any size, shaped like a log of a media service."""

import numpy as np
import scipy.sparse as sp

N_TASTES = 50


def tasteful_matrix(n_interactions: int, seed: int = 0) -> sp.csr_array:
    """Return ones for about so many pairs: 143 a user, popularity like rank^-0.9, 50 tastes.

    Users, items and interactions grow together, as 140 k, 60 k and 20 M do.
    """
    rng = np.random.default_rng(seed)
    n_users = max(n_interactions // 143, 100)
    n_items = max(n_interactions // 333, 100) // N_TASTES * N_TASTES
    activity = rng.lognormal(0, 1.1, n_users)
    popularity = (np.arange(n_items) + 30.0) ** -0.9
    rng.shuffle(popularity)
    taste = rng.integers(0, N_TASTES, n_users)
    n_drawn = int(n_interactions * 1.3)
    users = rng.choice(n_users, n_drawn, p=activity / activity.sum()).astype(np.int64)
    items = rng.choice(n_items, n_drawn, p=popularity / popularity.sum()).astype(np.int64)
    own = rng.random(n_drawn) < 0.6  # six in ten events follow the user's taste
    items[own] = items[own] // N_TASTES * N_TASTES + taste[users[own]]
    pairs = np.unique(users * n_items + items)
    if len(pairs) > n_interactions:
        pairs = np.sort(rng.choice(pairs, n_interactions, replace=False))
    counts = np.bincount(pairs // n_items, minlength=n_users)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    data = np.ones(len(pairs), dtype=np.float32)
    return sp.csr_array(
        (data, (pairs % n_items).astype(np.int32), indptr.astype(np.int32)),
        shape=(n_users, n_items),
    )

"""Small worlds whose right answers are known."""

import numpy as np
import scipy.sparse as sp

from recsys.logs.interactions import Interactions
from recsys.vectors import Ids

DAY = 86_400
START = 1_700_000_000  # unix seconds


def checkerboard(n: int) -> sp.csr_array:
    """Square world of two tastes: user u likes item i where both are even or both are odd.

    The diagonal is left out, so that the one item a user has not seen and should like is known:
    the one with the user's own number.
    """
    rows = np.arange(n)
    liked = (rows[:, None] + rows[None, :]) % 2 == 0
    np.fill_diagonal(liked, False)
    return sp.csr_array(liked.astype(np.float32))


def random_user_items(
    n_users: int, n_items: int, density: float, seed: int = 0, max_weight: int = 5
) -> sp.csr_array:
    """Random weights, integers from 1 to max_weight."""
    rng = np.random.default_rng(seed)
    matrix = sp.random_array((n_users, n_items), density=density, rng=rng, format="csr")
    matrix.data = rng.integers(1, max_weight + 1, matrix.nnz).astype(np.float32)
    return sp.csr_array(matrix.astype(np.float32))


def as_interactions(user_items: sp.csr_array, *, timed: bool = True) -> Interactions:
    """One event per entry, users ``u0..``, items ``i0..``, one event an hour in matrix order."""
    entries = sp.coo_array(user_items)
    n = entries.nnz
    return Interactions(
        user_idx=entries.row.astype(np.int32),
        item_idx=entries.col.astype(np.int32),
        weight=entries.data.astype(np.float32),
        timestamp=START + 3600 * np.arange(n, dtype=np.int64) if timed else None,
        users=Ids([f"u{row}" for row in range(user_items.shape[0])]),
        items=Ids([f"i{row}" for row in range(user_items.shape[1])]),
    )


def tastes(
    n_users: int = 60, n_items: int = 40, n_tastes: int = 4, per_user: int = 6, seed: int = 0
) -> Interactions:
    """Users who mostly pick items of their own taste (row modulo n_tastes), in random order."""
    rng = np.random.default_rng(seed)
    users, items = [], []
    for user in range(n_users):
        own = np.arange(user % n_tastes, n_items, n_tastes)
        chosen = rng.choice(own, size=min(per_user, len(own)), replace=False)
        users.extend([user] * len(chosen))
        items.extend(chosen.tolist())
    order = rng.permutation(len(users))
    n = len(order)
    return Interactions(
        user_idx=np.array(users, dtype=np.int32)[order],
        item_idx=np.array(items, dtype=np.int32)[order],
        weight=np.ones(n, dtype=np.float32),
        timestamp=START + 3600 * np.arange(n, dtype=np.int64),
        users=Ids([f"u{row}" for row in range(n_users)]),
        items=Ids([f"i{row}" for row in range(n_items)]),
    )

"""Generated matrices of any size, shaped like a log of a media service."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.vectors import FloatMatrix

N_TASTES = 50
USERS_AT_ONCE = 50_000


def tasteful_matrix(
    n_interactions: int, seed: int = 0, *, n_users: int | None = None, n_items: int | None = None
) -> sp.csr_array:
    """Return ones for about so many pairs: popularity like rank^-0.9, 50 tastes.

    By default users, items and interactions grow together, as 140 k, 60 k and 20 M do.
    """
    rng = np.random.default_rng(seed)
    n_users = n_users or max(n_interactions // 143, 100)
    n_items = (n_items or max(n_interactions // 333, 100)) // N_TASTES * N_TASTES
    activity = rng.lognormal(0, 1.1, n_users)
    n_drawn = rng.multinomial(int(n_interactions * 1.3), activity / activity.sum())
    popularity = (np.arange(n_items) + 30.0) ** -0.9
    rng.shuffle(popularity)
    up_to_item = np.cumsum(popularity / popularity.sum())
    pairs = np.concatenate(
        [
            distinct_pairs(first, n_drawn[first : first + USERS_AT_ONCE], up_to_item, rng)
            for first in range(0, n_users, USERS_AT_ONCE)
        ]
    )
    pairs = pairs[rng.random(len(pairs)) < n_interactions / len(pairs)]
    counts = np.bincount(pairs // n_items, minlength=n_users)
    indptr = np.concatenate([[0], np.cumsum(counts)])
    data = np.ones(len(pairs), dtype=np.float32)
    return sp.csr_array(
        (data, (pairs % n_items).astype(np.int32), indptr.astype(np.int32)),
        shape=(n_users, n_items),
    )


def distinct_pairs(
    first: int,
    n_drawn: NDArray[np.int64],
    up_to_item: NDArray[np.float64],
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Return ``user * n_items + item``, sorted, for the users from `first` on.

    Parameters
    ----------
    first : int
        The first of the users.
    n_drawn : int64, shape (n,)
        Items to draw for each of them; what is drawn twice is there once.
    up_to_item : float64, shape (n_items,)
        The share of popularity of each item and those before it.
    rng : Generator
    """
    users = np.repeat(first + np.arange(len(n_drawn)), n_drawn)
    taste = np.repeat(rng.integers(0, N_TASTES, len(n_drawn)), n_drawn)
    items = np.searchsorted(up_to_item, rng.random(len(users)))
    np.minimum(items, len(up_to_item) - 1, out=items)  # the last share is 1 but for rounding
    own = rng.random(len(users)) < 0.6  # six in ten events follow the user's taste
    items[own] = items[own] // N_TASTES * N_TASTES + taste[own]
    pairs = np.sort(users * len(up_to_item) + items)
    distinct: NDArray[np.int64] = pairs[np.concatenate([[True], pairs[1:] != pairs[:-1]])]
    return distinct


def flat_vectors(
    n_items: int, n_users: int, factors: int, seed: int = 0
) -> tuple[FloatMatrix, FloatMatrix]:
    """Return users and items in 2000 clusters whose norms say little about who is best.

    Lengths are lognormal (0, 0.5): of a million items, the largest is some ten times the median.
    """
    rng = np.random.default_rng(seed)
    spectrum = ((np.arange(factors) + 1.0) ** -0.35).astype(np.float32)
    centers = rng.standard_normal((2000, factors), dtype=np.float32)

    def around_centers(n: int) -> FloatMatrix:
        vectors = rng.standard_normal((n, factors), dtype=np.float32)
        vectors *= np.float32(0.7)
        vectors += centers[rng.integers(len(centers), size=n)]
        vectors *= spectrum
        lengths = rng.lognormal(0, 0.5, n) / np.sqrt(np.einsum("if,if->i", vectors, vectors))
        vectors *= lengths[:, None].astype(np.float32)
        return vectors

    return around_centers(n_users), around_centers(n_items)

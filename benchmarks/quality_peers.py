"""What peers and older methods reach: popularity, item-item BM25, EASE, BPR and implicit's ALS.

Settings of BM25 are the best of five on each user's last fifth of Gowalla's train part; those of
EASE, BPR and implicit's ALS are not tuned here, so their rows say what they reach at the least.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.linalg import lapack
from threadpoolctl import threadpool_limits

from recsys.evaluation import Scorer
from recsys.models import Popularity
from recsys.vectors import Embeddings, FloatMatrix


@dataclass(frozen=True)
class ItemToItem:
    """A user's score of an item: the sum of what the items of the history say about it.

    Parameters
    ----------
    user_items : csr_array, shape (n_users, n_items)
    weights : csr_array or ndarray, shape (n_items, n_items)
        Column i is what the items say about i.
    """

    user_items: sp.csr_array
    weights: Any

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of users and of items."""
        n_users, n_items = self.user_items.shape
        return n_users, n_items

    def scores(self, user_idx: NDArray[np.integer], out: FloatMatrix | None = None) -> FloatMatrix:
        """Return float32 (n, n_items)."""
        product = self.user_items[user_idx] @ self.weights
        dense = product.toarray() if sp.issparse(product) else product
        if out is None:
            return np.asarray(dense, dtype=np.float32)
        out[:] = dense
        return out


def peers(user_items: sp.csr_array) -> Iterator[tuple[str, Callable[[], Scorer]]]:
    """Yield the name and the fit of each peer that is here."""
    yield "popularity", lambda: Popularity().fit(user_items)
    if find_spec("implicit") is not None:
        yield "item-item BM25", partial(bm25, user_items)
        for factors in (64, 128):
            yield f"implicit ALS {factors}", partial(implicit_als, user_items, factors)
            yield f"implicit BPR {factors}", partial(implicit_bpr, user_items, factors)
    yield "EASE", partial(ease, user_items)


def bm25(
    user_items: sp.csr_array, neighbors: int = 100, k1: float = 0.1, b: float = 0.3
) -> ItemToItem:
    """Return implicit's nearest neighbours by BM25."""
    from implicit.nearest_neighbours import BM25Recommender

    peer = BM25Recommender(K=neighbors, K1=k1, B=b)
    peer.fit(sp.csr_matrix(user_items), show_progress=False)
    return ItemToItem(user_items, sp.csr_array(peer.similarity))


def ease(user_items: sp.csr_array, regularization: float = 500.0) -> ItemToItem:
    """Return EASE (Steck, WWW 2019, arXiv 1905.03375, equation 8): one inverse of n_items^2."""
    weights = np.asfortranarray((user_items.T @ user_items).toarray(), dtype=np.float32)
    weights[np.diag_indices_from(weights)] += np.float32(regularization)
    for step in (lapack.spotrf, lapack.spotri):
        weights, failed = step(weights, lower=0, overwrite_a=1)
        if failed:
            raise ArithmeticError(f"EASE: {step.__name__} failed with {failed}")
    for row in range(len(weights) - 1):  # only the upper triangle was computed
        weights[row + 1 :, row] = weights[row, row + 1 :]
    weights /= -np.diag(weights).copy()
    np.fill_diagonal(weights, 0)
    return ItemToItem(user_items, weights)


def implicit_als(user_items: sp.csr_array, factors: int) -> Embeddings:
    """Return implicit's ALS."""
    from implicit.cpu.als import AlternatingLeastSquares

    return _fitted(
        AlternatingLeastSquares(
            factors, regularization=1.0, alpha=100.0, iterations=15, random_state=0
        ),
        user_items,
    )


def implicit_bpr(
    user_items: sp.csr_array,
    factors: int,
    learning_rate: float = 0.05,
    regularization: float = 0.01,
    iterations: int = 200,
) -> Embeddings:
    """Return implicit's BPR."""
    from implicit.bpr import BayesianPersonalizedRanking

    return _fitted(
        BayesianPersonalizedRanking(
            factors,
            learning_rate=learning_rate,
            regularization=regularization,
            iterations=iterations,
            random_state=0,
        ),
        user_items,
    )


def _fitted(peer: Any, user_items: sp.csr_array) -> Embeddings:
    with threadpool_limits(1, user_api="blas"):
        peer.fit(sp.csr_matrix(user_items), show_progress=False)
    return Embeddings(np.asarray(peer.user_factors), np.asarray(peer.item_factors))

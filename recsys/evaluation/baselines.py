"""Older methods to compare with, by `implicit`: item-item BM25 and BPR."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from recsys.vectors import Embeddings, FloatMatrix


@dataclass(frozen=True, eq=False)
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

    @property
    def n_bytes(self) -> int:
        """Bytes of the weights."""
        if not sp.issparse(self.weights):
            return int(self.weights.nbytes)
        arrays = (self.weights.data, self.weights.indices, self.weights.indptr)
        return sum(array.nbytes for array in arrays)

    def scores(
        self, user_idx: NDArray[np.integer] | slice, out: FloatMatrix | None = None
    ) -> FloatMatrix:
        """Return float32 (n, n_items)."""
        product = self.user_items[user_idx] @ self.weights
        dense = product.toarray() if sp.issparse(product) else product
        if out is None:
            return np.asarray(dense, dtype=np.float32)
        out[:] = dense
        return out


def knn(
    user_items: sp.csr_array, neighbors: int = 100, k1: float = 0.1, b: float = 0.3
) -> ItemToItem:
    """Return the items most alike by the users they share, weighted by BM25.

    Parameters
    ----------
    user_items : csr_array, shape (n_users, n_items)
    neighbors : int
        Of each item.
    k1, b : float
        Of BM25. The defaults did well on Gowalla's validation part.
    """
    from implicit.nearest_neighbours import BM25Recommender

    peer = BM25Recommender(K=neighbors, K1=k1, B=b)
    with warnings.catch_warnings():  # of a matrix that it made itself
        warnings.simplefilter("ignore")
        peer.fit(sp.csr_matrix(user_items), show_progress=False)
    return ItemToItem(user_items, sp.csr_array(peer.similarity))


def bpr(
    user_items: sp.csr_array,
    factors: int = 64,
    learning_rate: float = 0.02,
    regularization: float = 0.003,
    iterations: int = 150,
    seed: int = 0,
) -> Embeddings:
    """Return embeddings by Bayesian personalized ranking (Rendle et al., UAI 2009).

    Parameters
    ----------
    user_items : csr_array, shape (n_users, n_items)
    factors, iterations, seed : int
    learning_rate, regularization : float
        The defaults are the best of eleven settings on Gowalla's validation part.
    """
    from implicit.bpr import BayesianPersonalizedRanking

    peer = BayesianPersonalizedRanking(
        factors,
        learning_rate=learning_rate,
        regularization=regularization,
        iterations=iterations,
        random_state=seed,
    )
    with threadpool_limits(1, user_api="blas"):  # as implicit asks for
        peer.fit(sp.csr_matrix(user_items), show_progress=False)
    return Embeddings(np.asarray(peer.user_factors), np.asarray(peer.item_factors))


Fitted = Embeddings | ItemToItem
"""What scores all items for some users, and says how many bytes it takes."""

BASELINES: Mapping[str, Callable[..., Fitted]] = {"knn": knn, "bpr": bpr}
"""Baselines by the name that a comparison calls them."""

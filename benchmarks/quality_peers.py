"""What peers and older methods reach: popularity, item-item BM25, EASE, BPR and implicit's ALS.

Settings of BM25 are the best of five, those of BPR of eleven, on later parts of Gowalla's train
part; those of EASE and implicit's ALS are not tuned here: their rows say what they reach at least.
"""

from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec

import numpy as np
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from recsys.evaluation import Scorer
from recsys.evaluation.baselines import ItemToItem, bpr, knn
from recsys.models import Popularity
from recsys.vectors import Embeddings, FloatMatrix

LARGEST_FOR_LAPACK = 12_000  # rows


def peers(user_items: sp.csr_array) -> Iterator[tuple[str, Callable[[], Scorer]]]:
    """Yield the name and the fit of each peer that is here."""
    yield "popularity", lambda: Popularity().fit(user_items)
    if find_spec("implicit") is not None:
        yield "item-item BM25", partial(knn, user_items)
        for factors in (64, 128):
            yield f"implicit ALS {factors}", partial(implicit_als, user_items, factors)
            yield f"implicit BPR {factors}", partial(bpr, user_items, factors)
    yield "EASE", partial(ease, user_items)


def ease(user_items: sp.csr_array, regularization: float = 500.0) -> ItemToItem:
    """Return EASE (Steck, WWW 2019, arXiv 1905.03375, equation 8): one inverse of n_items^2."""
    weights = (user_items.T @ user_items).toarray().astype(np.float32)
    weights[np.diag_indices_from(weights)] += np.float32(regularization)
    invert(weights)
    weights /= -np.diag(weights).copy()
    np.fill_diagonal(weights, 0)
    return ItemToItem(user_items, weights)


def invert(matrix: FloatMatrix) -> None:
    """Invert a symmetric positive definite matrix in place, by halves.

    LAPACK counts with 32 bits, which the offsets into a matrix of 40,000 rows and more outgrow.
    """
    n = len(matrix)
    if n <= LARGEST_FOR_LAPACK:
        matrix[:] = np.linalg.inv(matrix)
        return
    a, b = slice(0, n // 2), slice(n // 2, n)
    invert(matrix[a, a])
    product = matrix[a, a] @ matrix[a, b]
    matrix[b, b] -= matrix[b, a] @ product
    invert(matrix[b, b])
    matrix[a, b] = -(product @ matrix[b, b])
    matrix[b, a] = matrix[a, b].T
    matrix[a, a] -= matrix[a, b] @ product.T


def implicit_als(user_items: sp.csr_array, factors: int) -> Embeddings:
    """Return implicit's ALS."""
    from implicit.cpu.als import AlternatingLeastSquares

    peer = AlternatingLeastSquares(
        factors, regularization=1.0, alpha=100.0, iterations=15, random_state=0
    )
    with threadpool_limits(1, user_api="blas"):
        peer.fit(sp.csr_matrix(user_items), show_progress=False)
    return Embeddings(np.asarray(peer.user_factors), np.asarray(peer.item_factors))

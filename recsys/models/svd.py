"""Truncated SVD of the degree-normalized matrix."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import svds

from recsys.models.matrix import checked, popularity_of, require
from recsys.models.protocol import FoldIn
from recsys.progress import OnStep
from recsys.vectors import Embeddings, FloatMatrix, FloatVector


@dataclass(frozen=True)
class SVD:
    """Truncated SVD of ``A = D_u^-a R D_i^-b``.

    R holds the weights, D_u the number of items of each user, D_i the number of users of each
    item. With ``A = U S V'`` a user is ``r_u D_i^-b V S^(p/2)`` and an item is
    ``D_i^b V S^(p/2)``. Exponents of 1/2 with ``p = 0`` give the linear part of GF-CF (Shen et
    al., arXiv 2108.07567); exponents of 0 give PureSVD (Cremonesi et al., RecSys 2010).

    Parameters
    ----------
    factors : int
        Dimension of the embeddings. Beyond the rank of the matrix the columns are zero.
    user_exponent, item_exponent : float
        a and b, 0 or more.
    spectral_power : float
        p, 0 or more: how much more the strong directions count.
    seed : int
        Of the random start of the iteration.

    Raises
    ------
    ConfigError
        If a hyperparameter is out of range.
    """

    name: ClassVar[str] = "svd"

    factors: int = 64
    user_exponent: float = 0.5
    item_exponent: float = 0.5
    spectral_power: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        require("svd.factors", self.factors, least=1)
        require("svd.user_exponent", self.user_exponent, least=0)
        require("svd.item_exponent", self.item_exponent, least=0)
        require("svd.spectral_power", self.spectral_power, least=0)
        require("svd.seed", self.seed, least=0)

    def fit(self, user_items: sp.csr_array, on_step: OnStep | None = None) -> Embeddings:
        """Factorize a matrix of weights.

        Parameters
        ----------
        user_items : csr_array, shape (n_users, n_items)
            Finite weights above 0; rows are users.
        on_step : callable, optional
            Told when the one step is done.

        Returns
        -------
        Embeddings

        Raises
        ------
        DataError
            If the matrix is empty or a weight is negative or not finite.
        """
        matrix = checked(user_items)
        popularity = popularity_of(matrix)
        normalized = _normalized(matrix, popularity, self.user_exponent, self.item_exponent)
        values, V = _truncated_svd(normalized, self.factors, self.seed)  # (d,), (n_items, d)
        scale = _power(popularity, self.item_exponent)
        # The filter S^p is split evenly over both sides, so that a fold-in needs nothing but
        # the stored items: a user is r_u D_i^-2b times them.
        items = (scale[:, None] * V * values ** (self.spectral_power / 2)).astype(np.float32)
        if on_step is not None:
            on_step(1, 1)
        return Embeddings(users=self.fold_in(items, popularity)(matrix), items=items)

    def fold_in(self, items: FloatMatrix, popularity: NDArray[np.integer]) -> FoldIn:
        """Prepare the projection on these items: ``x = r_u D_i^-2b Y``.

        Parameters
        ----------
        items : ndarray of float32, shape (n_items, factors)
        popularity : ndarray of int, shape (n_items,)
            Number of users of each item.

        Returns
        -------
        FoldIn
            Takes histories (n, n_items), gives embeddings (n, factors).
        """
        projection = _power(popularity, -2 * self.item_exponent)[:, None] * items

        def embed(user_items: sp.csr_array) -> FloatMatrix:
            users: FloatMatrix = checked(user_items) @ projection
            return users

        return embed


def _normalized(
    matrix: sp.csr_array,
    popularity: NDArray[np.integer],
    user_exponent: float,
    item_exponent: float,
) -> sp.csr_array:
    """Divide each weight by powers of its user's and its item's number of interactions."""
    per_user = np.diff(matrix.indptr)
    user_scale = np.repeat(_power(per_user, -user_exponent), per_user)
    item_scale = _power(popularity, -item_exponent)[matrix.indices]
    data = matrix.data * user_scale * item_scale
    return sp.csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)


def _power(counts: NDArray[np.integer], exponent: float) -> FloatVector:
    """Raise counts to a power; a count of zero gives zero."""
    powers = np.zeros(len(counts), dtype=np.float32)
    np.power(counts, exponent, out=powers, where=counts > 0, casting="unsafe", dtype=np.float64)
    return powers


def _truncated_svd(
    matrix: sp.csr_array, factors: int, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the largest singular values and right vectors, zero beyond the rank, signs fixed.

    Returns
    -------
    values : ndarray of float64, shape (factors,)
    V : ndarray of float64, shape (n_items, factors)
    """
    smaller = min(matrix.shape)
    wanted = min(factors, smaller)
    matrix = matrix.astype(np.float64)
    if wanted <= smaller // 2:
        start = np.random.default_rng(seed).standard_normal(smaller)
        _, found, rows = svds(matrix, k=wanted, v0=start, return_singular_vectors="vh")
    else:  # ARPACK cannot find nearly all vectors; a matrix this small can be dense
        _, found, rows = np.linalg.svd(matrix.toarray(), full_matrices=False)
    order = np.argsort(-found, kind="stable")[:wanted]
    found, rows = found[order], rows[order]
    is_zero = found <= found.max(initial=0.0) * 1e-7  # directions beyond the rank are arbitrary
    found[is_zero], rows[is_zero] = 0.0, 0.0
    # A singular vector is defined up to its sign: make its largest entry positive.
    largest = np.abs(rows).argmax(axis=1)
    rows *= np.where(rows[np.arange(wanted), largest] < 0, -1.0, 1.0)[:, None]
    values = np.zeros(factors)
    V = np.zeros((matrix.shape[1], factors))
    values[:wanted], V[:, :wanted] = found, rows.T
    return values, V

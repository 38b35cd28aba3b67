"""ALS in a few lines of dense NumPy: the slow, obvious twin that tests compare the solver to.

Letters are those of the formula in `recsys.ALS`: W the weights, below 0 of dislikes, s the scale of
unobserved pairs, r the weight of a row, X and Y the embeddings.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.models.als import ALS
from recsys.vectors import Embeddings, FloatMatrix

Dense = NDArray[np.float64]


class Terms(NamedTuple):
    """What the loss is made of, in addition to the embeddings."""

    W: Dense  # (n_users, n_items), 0 where nothing was observed, below 0 of a dislike
    s: Dense  # (n_users,)
    reg_users: Dense  # (n_users,)
    reg_items: Dense  # (n_items,)


def terms_of(als: ALS, user_items: sp.csr_array) -> Terms:
    """Return the terms of the loss for a matrix without empty rows or columns."""
    R = user_items.toarray().astype(np.float64)
    R /= R[R > 0].mean()
    n_u, n_i = (R > 0).sum(axis=1), (R > 0).sum(axis=0)
    W = np.sign(R) * np.abs(R) ** als.weight_exponent
    W *= n_u[:, None] ** -als.user_exponent * n_i**-als.item_exponent
    s = n_u**-als.unobserved_exponent
    a0, nu = als.unobserved_weight, als.regularization_exponent
    kappa = als.unobserved_regularization
    r_u = np.abs(W).sum(axis=1) + kappa * a0 * s * len(n_i)
    r_i = np.abs(W).sum(axis=0) + kappa * a0 * s.sum()
    return Terms(W, s, als.regularization * r_u**nu, als.regularization * r_i**nu)


def loss(als: ALS, user_items: sp.csr_array, embeddings: Embeddings) -> float:
    """Return the quantity that ALS minimizes, over all pairs."""
    terms = terms_of(als, user_items)
    X, Y = embeddings.users.astype(np.float64), embeddings.items.astype(np.float64)
    scores = X @ Y.T
    observed = (np.abs(terms.W) * ((terms.W > 0) - scores) ** 2).sum()
    everywhere = als.unobserved_weight * (terms.s[:, None] * scores**2).sum()
    penalty = (terms.reg_users * (X**2).sum(axis=1)).sum()
    penalty += (terms.reg_items * (Y**2).sum(axis=1)).sum()
    return float(observed + everywhere + penalty)


def solve(W: Dense, s: Dense, scale: Dense, reg: Dense, Y: Dense, a0: float) -> Dense:
    r"""Solve every row x of one side exactly, with the other side Y fixed.

    .. math::

        (a_0 s\, Y' \mathrm{diag}(scale) Y + Y' \mathrm{diag}(|w|) Y + reg\, I) x = Y' \max(w, 0)
    """
    gram = Y.T @ (scale[:, None] * Y)
    identity = np.eye(Y.shape[1])
    return np.stack(
        [
            np.linalg.solve(
                a0 * s_row * gram + Y.T @ (np.abs(w)[:, None] * Y) + reg_row * identity,
                Y.T @ np.maximum(w, 0),
            )
            for w, s_row, reg_row in zip(W, s, reg, strict=True)
        ]
    )


def solve_users(als: ALS, user_items: sp.csr_array, items: FloatMatrix) -> Dense:
    """Return the exact users for some items."""
    terms = terms_of(als, user_items)
    ones = np.ones(len(items))
    Y = items.astype(np.float64)
    return solve(terms.W, terms.s, ones, terms.reg_users, Y, als.unobserved_weight)


def fit(als: ALS, user_items: sp.csr_array, start: FloatMatrix) -> Embeddings:
    """Alternate exactly from given item embeddings, ending on the users."""
    terms = terms_of(als, user_items)
    ones, Y = np.ones(len(start)), start.astype(np.float64)
    for _ in range(als.iterations):
        X = solve(terms.W, terms.s, ones, terms.reg_users, Y, als.unobserved_weight)
        Y = solve(terms.W.T, ones, terms.s, terms.reg_items, X, als.unobserved_weight)
    X = solve(terms.W, terms.s, ones, terms.reg_users, Y, als.unobserved_weight)
    return Embeddings(X.astype(np.float32), Y.astype(np.float32))

"""ALS in a few lines of NumPy: the slow, obvious twin that tests compare the solver to."""

import numpy as np
import scipy.sparse as sp

from recsys.vectors import Embeddings, FloatMatrix


def solve_rows(
    matrix: sp.csr_array, fixed: FloatMatrix, regularization: float, unobserved_weight: float
) -> FloatMatrix:
    r"""Solve one side with the other fixed, each row exactly.

    With ``Y = fixed`` and the row's weights ``w`` on the rows ``Y_o`` of Y,

    .. math:: (a_0 Y'Y + Y_o' \mathrm{diag}(w) Y_o + \lambda I) x = Y_o' (w + a_0)

    Parameters
    ----------
    matrix : csr_array, shape (n_rows, n_fixed)
    fixed : ndarray, shape (n_fixed, factors)
    regularization, unobserved_weight : float

    Returns
    -------
    ndarray of float32, shape (n_rows, factors)
    """
    Y = fixed.astype(np.float64)
    factors = Y.shape[1]
    dense = unobserved_weight * Y.T @ Y + regularization * np.eye(factors)
    solved = np.zeros((matrix.shape[0], factors), dtype=np.float32)
    for row in range(matrix.shape[0]):
        observed = slice(matrix.indptr[row], matrix.indptr[row + 1])
        weight = matrix.data[observed].astype(np.float64)
        Y_o = Y[matrix.indices[observed]]
        solved[row] = np.linalg.solve(
            dense + Y_o.T @ (weight[:, None] * Y_o), Y_o.T @ (weight + unobserved_weight)
        )
    return solved


def fit(
    user_items: sp.csr_array,
    start: FloatMatrix,
    regularization: float,
    unobserved_weight: float,
    iterations: int,
) -> Embeddings:
    """Alternate from given item embeddings, ending on the users.

    Parameters
    ----------
    user_items : csr_array, shape (n_users, n_items)
    start : ndarray of float32, shape (n_items, factors)
    regularization, unobserved_weight : float
    iterations : int

    Returns
    -------
    Embeddings
    """
    item_users = sp.csr_array(user_items.T)
    items = start
    for _ in range(iterations):
        users = solve_rows(user_items, items, regularization, unobserved_weight)
        items = solve_rows(item_users, users, regularization, unobserved_weight)
    return Embeddings(solve_rows(user_items, items, regularization, unobserved_weight), items)


def loss(
    user_items: sp.csr_array,
    embeddings: Embeddings,
    regularization: float,
    unobserved_weight: float,
) -> float:
    """Return the quantity that ALS minimizes (see `recsys.ALS`), over all pairs, densely."""
    X, Y = embeddings.users.astype(np.float64), embeddings.items.astype(np.float64)
    weight = user_items.toarray().astype(np.float64)
    observed = weight > 0
    errors = (weight + unobserved_weight) * (observed - X @ Y.T) ** 2
    return float(errors.sum() + regularization * ((X**2).sum() + (Y**2).sum()))

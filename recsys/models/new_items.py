"""Fold in items: the embeddings of items that training did not see, from their first users.

Users stay as they are, and so do all other items. ALS and SVD solve a new item as they solve each
in training; of other models the map from the users of an item to its row is learned from the items
that they know. What its attributes say counts beside its users, and alone where it has none.
"""

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.aligned import aligned_zeros
from recsys.base.signed import liked
from recsys.base.threads import threads
from recsys.models.als import ALS
from recsys.models.als.basis import diagonal
from recsys.models.als.gram import turn
from recsys.models.als.prior import FixedPrior
from recsys.models.als.sweep import (
    EXACT,
    EXACT_STEPS,
    eigenbasis,
    items_at,
    padded,
    solve_side,
    users_at_zero,
    weighted,
)
from recsys.models.blend import Blend
from recsys.models.mapped import summands_of
from recsys.models.popularity import Popularity
from recsys.models.protocol import (
    Model,
    in_mean_weights,
    popularity_of,
    power_of_counts,
)
from recsys.models.requirements import as_taken
from recsys.models.svd import SVD
from recsys.vectors import Embeddings, FloatMatrix

_RIDGE = 1e-3  # times the mean square of a feature
_ALIKE = 100  # known items, of about as many users, that say what is usual
_PRIOR_USERS = 5.0
_SMALLEST = 1e-7  # of the largest singular value: below, a direction is rounding


class NewItems(NamedTuple):
    """Rows of new items: float32 (n_new, factors) each."""

    items: FloatMatrix
    summands: FloatMatrix | None = None  # where the model has them


def fold_in_items(
    model: Model,
    known: Embeddings,
    popularity: NDArray[np.integer],
    user_items: sp.csr_array,
    mean_weight: float = 1.0,
    priors: FloatMatrix | None = None,
) -> NewItems:
    """Return the embeddings of items that training did not see, against users that stay.

    Parameters
    ----------
    model : Model
        That the embeddings are of.
    known : Embeddings
        All users, (n_users, factors), and the items that training saw, (n_known, factors).
    popularity : ndarray of int, shape (n_known,)
        Number of users of each of these items in training, as `Model.fold_in` takes it.
    user_items : csr_array, shape (n_users, n_known + n_new)
        Weights as in training, below 0 of dislikes; columns from n_known on are those of the new
        items.
    mean_weight : float
        Of the matrix that was fitted.
    priors : ndarray of float32, shape (n_new, factors), optional
        What the attributes of the new items say, rows of zeros where they say nothing: ALS
        regularizes their rows towards it, as training does. In the others it weighs as much as
        five users, and is the whole row of an item without any; their summands likewise.
    """
    user_items = as_taken(model, user_items)
    clean = in_mean_weights(user_items, mean_weight, signed=True)
    if priors is not None and isinstance(model, ALS):
        return NewItems(_of_als(model, known, clean, priors))
    found = _of_users(model, known, popularity, user_items, clean, mean_weight)
    if priors is None:
        return found
    n_users = popularity_of(liked(clean))[len(known.items) :, None]
    is_described = np.asarray(priors.any(axis=1))[:, None]
    share = np.where(is_described, _PRIOR_USERS / (n_users + _PRIOR_USERS), 0)
    items = (1 - share) * found.items + share * priors
    summands = found.summands
    if summands is not None:
        of_priors = summands_of(priors, known, popularity)
        summands = ((1 - share) * summands + share * of_priors).astype(np.float32)
    return NewItems(items.astype(np.float32), summands)


def _of_users(
    model: Model,
    known: Embeddings,
    popularity: NDArray[np.integer],
    user_items: sp.csr_array,
    clean: sp.csr_array,  # in mean weights
    mean_weight: float,
) -> NewItems:
    if isinstance(model, Blend):
        return NewItems(_of_blend(model, known, popularity, user_items, mean_weight))
    if isinstance(model, SVD):  # which knows when the unit of weights counts
        return NewItems(_of_svd(model, known, user_items, mean_weight))
    if isinstance(model, ALS):
        return NewItems(_of_als(model, known, clean))
    if isinstance(model, Popularity):
        counts = popularity_of(clean)[len(known.items) :]
        return NewItems(counts.astype(np.float32)[:, None])
    return _learned(known, clean)


def _learned(known: Embeddings, clean: sp.csr_array) -> NewItems:
    """Map the mean user of each item as those of the known items are mapped best.

    The mean of users leads to rows that are near too many of them. So the scores that a new item
    gets from all users are given the mean and the deviation that those of known items have which
    about as many users know.
    """
    item_users = sp.csr_array(clean.T.tocsr())  # (n_known + n_new, n_users)
    total = item_users @ np.ones(item_users.shape[1], dtype=np.float32)
    features = (item_users @ known.users) / np.maximum(total, np.finfo(np.float32).tiny)[:, None]
    n_users, n_known = popularity_of(clean), len(known.items)
    learned = _Map(features, n_users, n_known)
    items = learned.applied(known.items)
    summands = None
    if known.summands is not None:
        rows = learned.applied(known.summands)
        lengths = learned.usual(np.linalg.norm(known.summands, axis=1).astype(np.float64))
        summands = (rows * _ratio(lengths, np.linalg.norm(rows, axis=1))).astype(np.float32)
    return NewItems(_as_usual(items, known, learned), summands)


def _as_usual(rows: NDArray[np.float64], known: Embeddings, learned: "_Map") -> FloatMatrix:
    """Give the scores of rows over all users the mean and the deviation of known items."""
    users = known.users.astype(np.float64)
    mean = users.mean(axis=0)
    covariance = users.T @ users / max(len(users), 1) - np.outer(mean, mean)

    def deviation(rows: NDArray[np.floating]) -> NDArray[np.float64]:
        variance = np.einsum("ij,ij->i", rows @ covariance, rows)
        return np.asarray(np.sqrt(np.maximum(variance, 0)), dtype=np.float64)

    usual = learned.usual(known.items @ mean), learned.usual(deviation(known.items))
    has_users = rows.any(axis=1)
    rows = rows * _ratio(usual[1], deviation(rows))
    square = float(mean @ mean)
    shift = np.where(has_users, usual[0] - rows @ mean, 0) / (square if square else 1)
    return np.asarray(rows + shift[:, None] * mean, dtype=np.float32)


def _ratio(wanted: NDArray[np.float64], got: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what rows are to be multiplied by, (n, 1); 0 where there is nothing."""
    return np.divide(wanted, got, out=np.zeros_like(wanted), where=got > 0)[:, None]


class _Map:
    """A linear map from the mean user of an item to its row, by ridge regression.

    Parameters
    ----------
    features : ndarray, shape (n_known + n_new, factors)
    n_users : ndarray of int, shape (n_known + n_new,)
    """

    def __init__(self, features: FloatMatrix, n_users: NDArray[np.int64], n_known: int) -> None:
        self._of_new, self._n_users_of_new = features[n_known:], n_users[n_known:]
        self._is_used = n_users[:n_known] > 0
        self._n_users = n_users[:n_known][self._is_used]
        self._features = features[:n_known][self._is_used].astype(np.float64)

    def applied(self, rows: FloatMatrix) -> NDArray[np.float64]:  # (n_new, factors)
        """Return the rows of new items, as the map that gives known items theirs has them."""
        known, weight = self._features, self._n_users[:, None]
        gram = known.T @ (weight * known)
        ridge = _RIDGE * max(float(np.trace(gram)) / len(gram), _SMALLEST)
        right = known.T @ (weight * rows[self._is_used])
        found = self._of_new @ np.linalg.solve(gram + ridge * np.eye(len(gram)), right)
        return np.asarray(found, dtype=np.float64)

    def usual(self, values: NDArray[np.floating]) -> NDArray[np.float64]:  # (n_new,)
        """Return the median of a value of the known items that about as many users know."""
        if not len(self._n_users):
            return np.zeros(len(self._n_users_of_new))
        order = np.argsort(self._n_users, kind="stable")
        sorted_values = values[self._is_used][order]
        start = np.searchsorted(self._n_users[order], self._n_users_of_new) - _ALIKE // 2
        start = np.clip(start, 0, max(len(order) - _ALIKE, 0))
        firsts, which = np.unique(start, return_inverse=True)
        medians = [float(np.median(sorted_values[one : one + _ALIKE])) for one in firsts.tolist()]
        return np.asarray(medians)[which]


def _of_als(
    model: ALS, known: Embeddings, clean: sp.csr_array, priors: FloatMatrix | None = None
) -> FloatMatrix:
    """Solve the rows of the items, as the half-sweep over items does, to the end."""
    weights = weighted(model, clean)
    item_users = sp.csr_array(weights[:, len(known.items) :].T.tocsr())
    of_users = users_at_zero(model, weights, 0).dense_scale
    users = padded(known.users)  # (n_users, width)
    with threads() as pool:
        eigenvalues, basis = eigenbasis(users, of_users, pool, factors=known.factors)
        turn(users, basis, pool)
        dense = diagonal(eigenvalues, model.unobserved_weight)
        vectors = aligned_zeros(item_users.shape[0], users.shape[1])
        items = items_at(model, vectors, item_users, of_users)
        if priors is not None:
            items.prior = FixedPrior(padded(priors))
            turn(items.prior.map, basis, pool)
        solve_side(items, users, dense, pool, steps=EXACT_STEPS, tolerance=EXACT)
        items.fill(pool)
        turn(vectors, np.ascontiguousarray(basis.T), pool)
    return np.ascontiguousarray(vectors[:, : known.factors])


def _of_svd(
    model: SVD, known: Embeddings, user_items: sp.csr_array, mean_weight: float
) -> FloatMatrix:
    r"""Project the columns of the items on the left singular vectors.

    With users :math:`X = D_u^a U S^{1 + p/2}` an item is :math:`d^c S^{-2} X' D_u^{-2a} r` of its
    column r, and the singular values are those of :math:`X' D_u^{-2a} X = S^{2+p}`. Centered, the
    same holds of users less their mean, and the last factor is that of the mean.
    """
    clean = model.powered(user_items, mean_weight)  # R to the power w
    width = known.factors - model.centered
    per_user = power_of_counts(np.diff(clean.indptr), -model.user_exponent)  # D_u^-a
    turned = per_user[:, None].astype(np.float64) * known.users[:, :width]
    mean = turned.mean(axis=0) if model.centered else np.zeros(width)
    turned -= mean
    columns = sp.csr_array(clean.T.tocsr()) * per_user  # (n_known + n_new, n_users): D_u^-a R
    n_users, n_known = popularity_of(clean), len(known.items)
    squares, basis = np.linalg.eigh(turned.T @ turned)
    is_sound = squares > max(float(squares.max(initial=0)), 0) * _SMALLEST**2
    inverse = np.zeros(width)
    inverse[is_sound] = squares[is_sound] ** (-2 / (2 + model.spectral_power))

    def rows_of(part: sp.csr_array, n_users: NDArray[np.int64]) -> NDArray[np.float64]:
        of_count = power_of_counts(n_users, model.popularity_exponent)[:, None]
        rows: NDArray[np.float64] = of_count * (part @ turned @ (basis * inverse) @ basis.T)
        return rows

    items = rows_of(columns[n_known:], n_users[n_known:])
    if model.recency or model.window:  # X is of other weights than V: up to a scale, at best
        before = rows_of(columns[:n_known], n_users[:n_known])
        energy = float((before * before).sum())
        items *= float((before * known.items[:, :width]).sum()) / energy if energy else 0.0
    if model.centered:
        whole = power_of_counts(n_users[n_known:], model.item_exponent + model.popularity_exponent)
        own_mean = columns[n_known:].mean(axis=1) * power_of_counts(
            n_users[n_known:], -model.item_exponent
        )
        items = np.column_stack([items, whole * own_mean - items @ mean])
    return np.ascontiguousarray(items, dtype=np.float32)


def _of_blend(
    model: Blend,
    known: Embeddings,
    popularity: NDArray[np.integer],
    user_items: sp.csr_array,
    mean_weight: float,
) -> FloatMatrix:
    """Fold in to both; the users of each are found again, as those of the blend are scaled."""
    parts = []
    of_known = sp.csr_array(user_items[:, : len(known.items)])
    models: tuple[Model, Model] = (model.als, model.svd)
    for one, items in zip(models, model.halves(known.items), strict=True):
        users = one.fold_in(items, popularity, mean_weight)(as_taken(one, of_known))
        half = Embeddings(users, items)
        parts.append(fold_in_items(one, half, popularity, user_items, mean_weight).items)
    return np.hstack(parts)

r"""Align retrained embeddings with earlier ones, by an orthogonal map.

Two trainings of one model agree on dot products and on nothing else: their coordinates are
unrelated rotations. The orthogonal map R that brings the items Y of one closest to those of
another, Z,

.. math::

    \min_{R'R = I} \sum_i w_i\, |y_i R - z_i|^2, \qquad
    \sum_i w_i\, y_i' z_i = U S V', \quad R = U V'

(Schoenemann 1966, "A generalized solution of the orthogonal Procrustes problem"), changes no dot
product if it is applied to users and items both. It may mirror as well as turn, and never scales.

Some items really move, and a least-squares fit would follow them. So the fit is repeated with
weights :math:`w_i \min(1, k / r_i)`, :math:`r_i = |y_i R - z_i|`: Huber's function on the
residuals, as in Verboon and Heiser 1992, "Resistant orthogonal Procrustes analysis".
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.base.errors import DataError
from recsys.base.threads import one_blas_thread
from recsys.vectors.embeddings import Embeddings, FloatMatrix
from recsys.vectors.ids import Ids
from recsys.vectors.vector import unit_rows

Rotation = NDArray[np.float64]
Weights = NDArray[np.float64]

_ROUNDS = 10  # of reweighting: exact to float32 even when a third of the items moved
_QUANTILE, _CUT = 0.25, 2.0  # k is twice the lower quartile of the residuals
_NO_DISTANCE = 1e-12  # keeps a quotient of residuals that are all 0
_MAX_FITTED = 50_000  # items: a rotation has factors^2 / 2 free numbers, so more add only time
_N_OTHERS = 5  # items that each is compared to, for the similarity by chance
_NO_SPREAD = 1e-6  # of cosines: float32 cannot tell such items apart
_BLOCK_ROWS = 1 << 14  # in double precision at a time


@dataclass(frozen=True, eq=False)
class Alignment:
    """An orthogonal map onto the space of other embeddings, and how well it fits.

    Parameters
    ----------
    rotation : ndarray of float64, shape (factors, factors)
        R: a vector y becomes ``y @ R``.
    n_shared : int
        Items with a vector in both; the rotation comes from them.
    residual : float
        ``|Y R - Z| / |Z|`` over these items, in Frobenius norms; 0 where all of them coincide. It
        includes a common growth of all vectors, which no rotation can undo.
    cosine_raw, cosine_aligned : float
        Mean cosine of an item's two vectors, before and after.
    agreement : float
        How much more similar an item's two vectors are than those of two items with about as many
        users, from 0 (not at all) to 1 (identical): ``(c - c0) / (1 - c0)`` with c and c0 the
        weighted mean cosines of both, the correction for chance of Cohen 1960. Each half of the
        items is rotated by the fit to the other half. So it is near 0 where two spaces have nothing
        in common, even for few items or where all vectors of a space point in similar directions;
        cosines are not: see ``python -m benchmarks.alignment --limits``.
    """

    rotation: Rotation
    n_shared: int
    residual: float
    cosine_raw: float
    cosine_aligned: float
    agreement: float

    def apply(self, embeddings: Embeddings) -> Embeddings:
        """Return users and items in the other space; every score stays, up to rounding."""
        matrices = embeddings.matrices.items()
        rotated: dict[str, Any] = {name: _rotated(one, self.rotation) for name, one in matrices}
        return replace(embeddings, **rotated)


def align(
    items: FloatMatrix,
    onto: FloatMatrix,
    weight: NDArray[np.integer] | NDArray[np.floating] | None = None,
    *,
    blocks: Sequence[slice] | None = None,
    rounds: int = _ROUNDS,
) -> Alignment:
    """Find the rotation of item embeddings onto earlier ones of the same items.

    Only directions count: each vector is scaled to length 1 first, so that neither the longest
    vectors nor a common growth decide. Items are weighted by their number of users instead, as the
    vector of an item with few users is mostly chance: more weight keeps more of users' lists and
    less of the mean cosine. The resistant fit is nearly as good as least squares where nothing was
    relabelled (``python -m benchmarks.alignment --weights``).

    Parameters
    ----------
    items, onto : ndarray of float32, shape (n, factors)
        Row i of both is the same item. A zero row, of an item without interactions, is left out.
    weight : ndarray of int or float, shape (n,), optional
        How much an item counts: its number of users. Default: 1. The 50,000 items of the largest
        weight are fitted.
    blocks : sequence of slice, optional
        Ranges of coordinates, each of which is rotated in itself; coordinates outside of all of
        them stay as they are. Default: one block of all.
    rounds : int
        Times that the fit is repeated with less weight on items that moved; 0 for least squares.

    Raises
    ------
    DataError
        If the shapes differ, or fewer items are shared than a block has coordinates: so few fit
        any rotation.

    Examples
    --------
    >>> import numpy as np
    >>> old = np.array([[1, 0], [0, 2], [3, 4]], dtype=np.float32)
    >>> turned = np.array([[0, 1], [2, 0], [4, 3]], dtype=np.float32)
    >>> found = align(turned, old)
    >>> round(found.cosine_raw, 2), round(found.cosine_aligned, 6)
    (0.32, 1.0)
    >>> np.allclose(found.apply(Embeddings(turned, turned)).items, old)
    True
    """
    _require_rows(items, onto, weight)
    shared = items.any(axis=1) & onto.any(axis=1)
    blocks = [slice(0, items.shape[1])] if blocks is None else blocks
    _require_enough(int(shared.sum()), blocks)
    ours, theirs = items[shared], onto[shared]
    weights = np.ones(len(ours)) if weight is None else weight[shared].astype(np.float64)
    # Its products are small: a second thread would cost more than it does, and change last bits.
    with one_blas_thread():
        rotation = _rotation(ours, theirs, weights, blocks, rounds)
        cosines = _cosines(_rotated(ours, rotation), theirs)
        return Alignment(
            rotation=rotation,
            n_shared=len(ours),
            residual=_relative_residual(ours, theirs, rotation),
            cosine_raw=_mean(_cosines(ours, theirs)),
            cosine_aligned=_mean(cosines),
            agreement=_agreement(ours, theirs, weights, blocks, rounds),
        )


def shared_rows(ids: Ids, parent: Ids) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
    """Return the rows of the ids that are in both, in the first and in the second."""
    rows = parent.rows_of(ids)
    ours = np.flatnonzero(rows >= 0)
    return ours, rows[ours]


def _rotation(
    items: FloatMatrix, onto: FloatMatrix, weight: Weights, blocks: Sequence[slice], rounds: int
) -> Rotation:
    """Return the rotation of every block; coordinates outside of all blocks stay."""
    rotation = np.eye(items.shape[1])
    heaviest = np.argsort(-weight, kind="stable")[:_MAX_FITTED]
    for block in blocks:
        ours, theirs = (unit_rows(matrix[heaviest, block]) for matrix in (items, onto))
        rotation[block, block] = _resistant(ours, theirs, weight[heaviest], rounds)
    return rotation


def _resistant(items: FloatMatrix, onto: FloatMatrix, weight: Weights, rounds: int) -> Rotation:
    rotation = _least_squares(items, onto, weight)
    for _ in range(rounds):
        distance = np.maximum(_distances(items, onto, rotation), _NO_DISTANCE)
        cut = _CUT * np.quantile(distance, _QUANTILE)
        rotation = _least_squares(items, onto, weight * np.minimum(1, cut / distance))
    return rotation


def _least_squares(items: FloatMatrix, onto: FloatMatrix, weight: Weights) -> Rotation:
    covariance = np.zeros((items.shape[1], items.shape[1]))
    for rows in _row_blocks(len(items)):
        covariance += (items[rows] * weight[rows, None]).T @ onto[rows].astype(np.float64)
    left, _, right = np.linalg.svd(covariance)
    rotation: Rotation = left @ right
    return rotation


def _agreement(
    items: FloatMatrix, onto: FloatMatrix, weight: Weights, blocks: Sequence[slice], rounds: int
) -> float:
    """Return `Alignment.agreement`, each half of the items rotated by the fit to the other half."""
    # Halves by weight; items of equal weight by their vectors, not by the order of rows.
    mark = onto @ np.random.default_rng(0).standard_normal(onto.shape[1])
    order = np.lexsort((mark, weight))
    same = chance = 0.0
    for fitted, left_out in ((order[::2], order[1::2]), (order[1::2], order[::2])):
        rotation = _rotation(items[fitted], onto[fitted], weight[fitted], blocks, rounds)
        ours, theirs = unit_rows(_rotated(items[left_out], rotation)), unit_rows(onto[left_out])
        same += float(weight[left_out] @ _products(ours, theirs))
        for shift in range(1, _N_OTHERS + 1):  # neighbours in the order have similar weights
            others = np.roll(theirs, shift, axis=0)
            chance += float(weight[left_out] @ _products(ours, others)) / _N_OTHERS
    total = max(float(weight.sum()), _NO_DISTANCE)
    return 1 - (1 - same / total) / max(1 - chance / total, _NO_SPREAD)


def _rotated(matrix: FloatMatrix, rotation: Rotation) -> FloatMatrix:
    rotated = np.empty(matrix.shape, dtype=np.float32)
    for rows in _row_blocks(len(matrix)):
        rotated[rows] = matrix[rows].astype(np.float64) @ rotation
    return rotated


def _distances(items: FloatMatrix, onto: FloatMatrix, rotation: Rotation) -> Weights:
    """Return the distance of each item from its earlier vector."""
    found: Weights = np.empty(len(items))
    for rows in _row_blocks(len(items)):
        found[rows] = np.linalg.norm(items[rows].astype(np.float64) @ rotation - onto[rows], axis=1)
    return found


def _relative_residual(items: FloatMatrix, onto: FloatMatrix, rotation: Rotation) -> float:
    size = float(np.linalg.norm(onto.astype(np.float64)))
    return float(np.linalg.norm(_distances(items, onto, rotation))) / size if size else 0.0


def _cosines(a: FloatMatrix, b: FloatMatrix) -> Weights:
    return _products(unit_rows(a), unit_rows(b))


def _products(a: FloatMatrix, b: FloatMatrix) -> Weights:
    """Return the dot product of each row with the same row of the other matrix."""
    products: Weights = np.einsum("ij,ij->i", a, b, dtype=np.float64)
    return products


def _mean(values: Weights) -> float:
    return float(values.mean()) if len(values) else 0.0


def _row_blocks(n_rows: int) -> Iterator[slice]:
    return (slice(start, start + _BLOCK_ROWS) for start in range(0, n_rows, _BLOCK_ROWS))


def _require_rows(items: FloatMatrix, onto: FloatMatrix, weight: NDArray[Any] | None) -> None:
    if items.shape != onto.shape:
        raise DataError(
            f"align: expected two matrices of one shape, got {items.shape} and {onto.shape}; "
            "row i of both is the same item, and spaces of different factors have no rotation"
        )
    if weight is None:
        return
    if weight.shape != (len(items),) or not (np.isfinite(weight) & (weight >= 0)).all():
        raise DataError(
            f"align: expected a finite weight of 0 or more for each of {len(items)} items, "
            f"got others, or of shape {weight.shape}"
        )


def _require_enough(n_shared: int, blocks: Sequence[slice]) -> None:
    widest = max((block.stop - block.start for block in blocks), default=0)
    if n_shared < widest:
        raise DataError(
            f"align: expected {widest} shared items or more, one for each factor, got {n_shared}; "
            "so few fit any rotation, so begin a new space"
        )

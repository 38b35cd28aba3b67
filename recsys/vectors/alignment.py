r"""Retrained embeddings in the coordinates of those before them, by an orthogonal map.

Two trainings of one model agree on dot products and on nothing else: their vectors lie in unrelated
rotations. The orthogonal map R that brings the items Y of one closest to those of another, Z,

.. math::

    \min_{R'R = I} \sum_i w_i\, |y_i R - z_i|^2, \qquad
    \sum_i w_i\, y_i' z_i = U S V', \quad R = U V'

(Schoenemann 1966, "A generalized solution of the orthogonal Procrustes problem"), changes no dot
product where users and items both take it. It may mirror as well as turn, and never scales.

Some items really move, and a least-squares fit would follow them. So the fit is repeated with
weights :math:`w_i \min(1, k / r_i)`, :math:`r_i = |y_i R - z_i|`: Huber's function on the
residuals, as in Verboon and Heiser 1992, "Resistant orthogonal Procrustes analysis".
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.base.errors import DataError
from recsys.vectors.embeddings import Embeddings, FloatMatrix
from recsys.vectors.ids import Ids
from recsys.vectors.vector import unit_rows

Rotation = NDArray[np.float64]
Weights = NDArray[np.float64]
Rows = NDArray[np.integer]

_ROUNDS = 10  # of weights anew: with a third of the items moved, the digits of float32 are right
_QUANTILE, _CUT = 0.25, 2.0  # k is twice the lower quartile of the residuals
_NO_DISTANCE = 1e-12  # keeps a quotient of residuals that are all 0
_MOST_FITTED = 50_000  # items: a rotation has factors^2 / 2 free numbers, so more add only time
_N_OTHERS = 5  # items that each is compared with, for what is alike by chance
_NO_SPREAD = 1e-6  # of cosines: float32 cannot tell such items apart
_ROWS = 1 << 14  # that are in double precision at a time


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
        ``|Y R - Z| / |Z|`` over these items, of Frobenius norms; 0 where all of them coincide. It
        counts a common growth of all vectors too, which no rotation can undo.
    cosine_raw, cosine_aligned : float
        Mean cosine of an item's two vectors, before and after.
    agreement : float
        How much more alike an item's two vectors are than those of two items with about as many
        users, from 0 (not at all) to 1 (as much as can be): ``(c - c0) / (1 - c0)`` with c and c0
        the mean cosines of both, by weight; Cohen 1960 corrects for chance so. Each half of the
        items is turned as the other half says. So it is near 0 where two spaces have nothing in
        common, however few the items, and though all vectors of a space point in similar
        directions; cosines are not: see ``python -m benchmarks.alignment --limits``.
    """

    rotation: Rotation
    n_shared: int
    residual: float
    cosine_raw: float
    cosine_aligned: float
    agreement: float

    def apply(self, embeddings: Embeddings) -> Embeddings:
        """Return users and items in the other space; every score stays, up to rounding."""
        return Embeddings(
            _turned(embeddings.users, self.rotation), _turned(embeddings.items, self.rotation)
        )


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
    vectors decide nor a common growth. They are weighted instead, as the vector of an item with few
    users is mostly chance: by the number of users. The more of that, the more of users' lists is
    kept and the less of the mean cosine; resistance costs least squares little where nothing was
    relabelled (``python -m benchmarks.alignment --weights``).

    Parameters
    ----------
    items, onto : ndarray of float32, shape (n, factors)
        Row i of both is the same item. A zero row, of an item without interactions, is left out.
    weight : ndarray of int or float, shape (n,), optional
        How much an item counts: its number of users. Default: all alike. Of many items, the 50,000
        that weigh the most are fitted.
    blocks : sequence of slice, optional
        Runs of coordinates, each of which is rotated in itself; coordinates outside of all of them
        stay as they are. Default: one block of all.
    rounds : int
        Times that the fit is repeated with less weight on what moved; 0 for least squares.

    Returns
    -------
    Alignment

    Raises
    ------
    DataError
        If the shapes differ, or fewer items are shared than a block has coordinates: any such
        items fit one another.

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
    rotation = _rotation(ours, theirs, weights, blocks, rounds)
    cosines = _cosines(_turned(ours, rotation), theirs)
    return Alignment(
        rotation=rotation,
        n_shared=len(ours),
        residual=_relative_residual(ours, theirs, rotation),
        cosine_raw=_mean(_cosines(ours, theirs)),
        cosine_aligned=_mean(cosines),
        agreement=_agreement(ours, theirs, weights, blocks, rounds),
    )


def shared_rows(ids: Ids, parent: Ids) -> tuple[Rows, Rows]:
    """Return the rows of the ids that are in both, in the first and in the second."""
    rows = parent.rows_of(ids)
    ours = np.flatnonzero(rows >= 0)
    return ours, rows[ours]


def _rotation(
    items: FloatMatrix, onto: FloatMatrix, weight: Weights, blocks: Sequence[slice], rounds: int
) -> Rotation:
    """Return the rotation of every block, and ones for the coordinates in none."""
    rotation = np.eye(items.shape[1])
    heaviest = np.argsort(-weight, kind="stable")[:_MOST_FITTED]
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
    for rows in _parts(len(items)):
        covariance += (items[rows] * weight[rows, None]).T @ onto[rows].astype(np.float64)
    left, _, right = np.linalg.svd(covariance)
    rotation: Rotation = left @ right
    return rotation


def _agreement(
    items: FloatMatrix, onto: FloatMatrix, weight: Weights, blocks: Sequence[slice], rounds: int
) -> float:
    """Return how much more alike an item is to itself than to others, in each half by the other."""
    # Every other item by weight; equal ones by what they are, not by where they stand.
    mark = onto @ np.random.default_rng(0).standard_normal(onto.shape[1])
    order = np.lexsort((mark, weight))
    same = chance = 0.0
    for fitted, left_out in ((order[::2], order[1::2]), (order[1::2], order[::2])):
        rotation = _rotation(items[fitted], onto[fitted], weight[fitted], blocks, rounds)
        ours, theirs = unit_rows(_turned(items[left_out], rotation)), unit_rows(onto[left_out])
        same += float(weight[left_out] @ _products(ours, theirs))
        for shift in range(1, _N_OTHERS + 1):  # neighbours in the order weigh about as much
            others = np.roll(theirs, shift, axis=0)
            chance += float(weight[left_out] @ _products(ours, others)) / _N_OTHERS
    total = max(float(weight.sum()), _NO_DISTANCE)
    return 1 - (1 - same / total) / max(1 - chance / total, _NO_SPREAD)


def _turned(matrix: FloatMatrix, rotation: Rotation) -> FloatMatrix:
    turned = np.empty(matrix.shape, dtype=np.float32)
    for rows in _parts(len(matrix)):
        turned[rows] = matrix[rows].astype(np.float64) @ rotation
    return turned


def _distances(items: FloatMatrix, onto: FloatMatrix, rotation: Rotation) -> Weights:
    """Return how far each item is from where it was."""
    found: Weights = np.empty(len(items))
    for rows in _parts(len(items)):
        found[rows] = np.linalg.norm(items[rows].astype(np.float64) @ rotation - onto[rows], axis=1)
    return found


def _relative_residual(items: FloatMatrix, onto: FloatMatrix, rotation: Rotation) -> float:
    size = float(np.linalg.norm(onto.astype(np.float64)))
    return float(np.linalg.norm(_distances(items, onto, rotation))) / size if size else 0.0


def _cosines(a: FloatMatrix, b: FloatMatrix) -> Weights:
    return _products(unit_rows(a), unit_rows(b))


def _products(a: FloatMatrix, b: FloatMatrix) -> Weights:
    """Return the dot product of each row with the same of the other matrix."""
    products: Weights = np.einsum("ij,ij->i", a, b, dtype=np.float64)
    return products


def _mean(values: Weights) -> float:
    return float(values.mean()) if len(values) else 0.0


def _parts(n_rows: int) -> Iterator[slice]:
    return (slice(start, start + _ROWS) for start in range(0, n_rows, _ROWS))


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

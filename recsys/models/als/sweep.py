"""One side of ALS at a time: the shared dense part, its eigenbasis, and all rows in parallel.

The work of a half-sweep over n_rows rows with n_fixed columns, nnz interactions and d factors is
``n_fixed d^2`` flops for the Gram matrix, ``2 (n_rows + n_fixed) d^2`` to turn both sides into its
eigenbasis, and 6 or 10 ``nnz d`` for the rows. Results do not depend on the number of threads:
every row is solved by itself, and sums over rows are made chunk by chunk, in order.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.errors import DataError
from recsys.base.mapped import beside, parts
from recsys.base.packing import csr_of, row_sums, transposed
from recsys.base.simd import N_LANES
from recsys.base.threads import Threads, ranges_of_equal_work
from recsys.features import Features
from recsys.models.als.prior import FixedPrior, Prior
from recsys.models.als.row_solver import N_SCRATCH, Fixed, Number, halve_rows, solve_rows
from recsys.models.protocol import popularity_of, power_of_counts
from recsys.vectors import Embeddings, FloatMatrix, FloatVector

if TYPE_CHECKING:  # ALS is made of sweeps
    from recsys.models.als.als import ALS

START_SCALE = 0.1  # uniform in [0, 0.1): as good a start as any tried, at 64 and at 256 factors
CHUNK = 2048  # rows of a matrix that one thread multiplies at a time
_N_PARTS = 64  # of the rows; more than threads, so that none waits long for the last one
_LINE = 64  # bytes of a cache line
HALF_EXPONENT = 15  # float16 goes up to 2^16


@dataclass
class Side:
    """Users or items: their interactions, and their vectors so far."""

    matrix: sp.csr_array  # weights (n_rows, n_fixed); columns are rows of the other side
    vectors: FloatMatrix  # (n_rows, width), as `padded` makes them
    regularization: FloatVector  # (n_rows,), above 0
    dense_scale: FloatVector  # (n_rows,): weight of a row's unobserved pairs, in unobserved weights
    prior: Prior | FixedPrior | None = None  # what rows are regularized towards; None: towards 0

    def penalty(self, pool: Threads) -> float:
        """Return ``sum regularization |x - p|^2`` with the ridge of the map, p = 0 without one."""
        distance, of_map = self.vectors, 0.0
        if self.prior is not None:
            distance, of_map = distance - self.prior.rows(pool), self.prior.penalty()
        squares = np.einsum("ij,ij->i", distance, distance)
        return float(self.regularization.astype(np.float64) @ squares) + of_map

    def turn(self, basis: FloatMatrix, pool: Threads) -> None:
        """Multiply all that is in its space by a basis."""
        turn(self.vectors, basis, pool)
        if self.prior is not None:
            turn(self.prior.map, basis, pool)

    def fill(self, pool: Threads) -> None:
        """Give the rows without interactions their prior."""
        if self.prior is not None:
            is_empty = np.diff(self.matrix.indptr) == 0
            self.vectors[is_empty] = self.prior.rows(pool)[is_empty]


def padded(vectors: FloatMatrix) -> FloatMatrix:
    """Return a copy with zero columns added, so that rows are whole cache lines."""
    n_rows, factors = vectors.shape
    wide = aligned_zeros(n_rows, -(-factors // N_LANES) * N_LANES)
    wide[:, :factors] = vectors
    return wide


def aligned_zeros(n_rows: int, width: int, dtype: type[np.generic] = np.float32) -> NDArray[Any]:
    """Return zeros that start with a cache line.

    NumPy starts 16 bytes into one, so that every read of a register would touch two lines: the
    half-sweep over items was measured twice as slow.
    """
    n_bytes = n_rows * width * np.dtype(dtype).itemsize
    room = np.zeros(n_bytes + _LINE, dtype=np.uint8)
    first = -room.ctypes.data % _LINE
    return room[first : first + n_bytes].view(dtype).reshape(n_rows, width)


def sides(
    als: "ALS",
    user_items: sp.csr_array,
    start: Embeddings | None,
    features: Features | None = None,
) -> tuple[Side, Side]:
    """Return users and items where a fit begins: at random, or at the rows of `start`."""
    n_items = user_items.shape[1]
    if start is None:
        rng = np.random.default_rng(als.seed)
        first = START_SCALE * rng.random((n_items, als.factors), dtype=np.float32)
    else:
        _require_rows(start, (*user_items.shape, als.factors))
        first = start.items
    vectors = padded(first)  # (n_items, width)
    weights = weighted(als, user_items, popularity_of(user_items))
    users = users_at_zero(als, weights, vectors.shape[1])
    if start is not None:
        users.vectors[:, : als.factors] = start.users
    items = items_at(als, vectors, transposed(weights), users.dense_scale)
    if features is not None:
        features.require_rows(*user_items.shape)
        for side, described in ((users, features.users), (items, features.items)):
            if described is not None:
                side.prior = _prior_of(als, side, described)
    return users, items


def _prior_of(als: "ALS", side: Side, features: sp.csr_array) -> Prior:
    """Return the prior of a side; only rows with interactions tell what the map is."""
    weights = np.where(np.diff(side.matrix.indptr) > 0, side.regularization, 0)
    return Prior(features, weights, als.feature_ridge, side.vectors.shape[1])


def items_at(
    als: "ALS", vectors: FloatMatrix, item_users: sp.csr_array, of_users: FloatVector
) -> Side:
    """Return items at some vectors; `of_users` is the dense scale of all users."""
    unobserved = als.unobserved_weight * of_users.sum()
    weight = row_sums(item_users) + als.unobserved_regularization * unobserved
    ones = np.ones(item_users.shape[0], dtype=np.float32)
    return Side(item_users, vectors, _regularization(als, weight), ones)


def users_at_zero(als: "ALS", weights: sp.csr_array, width: int) -> Side:
    """Return users at zero vectors, for weights as `weighted` returns them."""
    n_users, n_items = weights.shape
    scale = power_of_counts(np.diff(weights.indptr), -als.unobserved_exponent)  # (n_users,)
    unobserved = als.unobserved_weight * n_items * scale
    weight = row_sums(weights) + als.unobserved_regularization * unobserved
    vectors = aligned_zeros(n_users, width)
    return Side(weights, vectors, _regularization(als, weight), scale)


def weighted(als: "ALS", user_items: sp.csr_array, popularity: NDArray[np.integer]) -> sp.csr_array:
    """Return ``w^e n_u^-a n_i^-b``: weights by the numbers of interactions of user and item."""
    if not (als.user_exponent or als.item_exponent or als.weight_exponent != 1):
        return user_items
    indptr, indices = user_items.indptr, user_items.indices
    of_users = power_of_counts(np.diff(indptr), -als.user_exponent)
    of_items = power_of_counts(popularity, -als.item_exponent)
    data = beside(indices, len(indices), np.float32)
    for part in parts(len(indices)):
        user = np.searchsorted(indptr, np.arange(part.start, part.stop), side="right") - 1
        weight = user_items.data[part] ** als.weight_exponent
        data[part] = weight * of_users[user] * of_items[indices[part]]
    return csr_of(data, indices, indptr, user_items.shape)


def _regularization(als: "ALS", weight: NDArray[np.floating]) -> FloatVector:
    """Return ``regularization * weight ** exponent``, above 0 also where there is no weight."""
    at_least = np.maximum(weight, np.finfo(np.float32).tiny)
    powers: FloatVector = (at_least**als.regularization_exponent).astype(np.float32)
    return powers * np.float32(als.regularization)


def _require_rows(start: Embeddings, expected: tuple[int, int, int]) -> None:
    got = (len(start.users), len(start.items), start.factors)
    if got != expected:
        raise DataError(
            f"als: expected a start of (users, items, factors) {expected}, got {got}; bring it "
            "to the rows of this matrix with Embeddings.reindexed"
        )


def solve(
    rows: Side,
    fixed: Side,
    unobserved_weight: float,
    pool: Threads,
    *,
    factors: int,
    in_halves: bool,
    steps: int,
    tolerance: float = 0.0,
    from_zero: bool = False,
) -> float:
    """Solve one side with the other fixed, both turned into the eigenbasis of the fixed one.

    Scores do not change when both sides turn. Turning back is not needed: the next half-sweep
    turns both again. With features, the map from them to the rows is solved first.
    """
    eigenvalues, basis = eigenbasis(fixed.vectors, fixed.dense_scale, pool, factors=factors)
    fixed.turn(basis, pool)
    rows.turn(basis, pool)
    if rows.prior is not None:
        rows.prior.solve(rows.vectors, pool)
    if from_zero:  # where a fold-in starts
        rows.vectors[:] = 0
    spectrum = (unobserved_weight * eigenvalues).astype(np.float32)
    columns, scale = halved(fixed.vectors, pool) if in_halves else (fixed.vectors, 1.0)
    return solve_turned(
        rows, columns, spectrum, pool, scale=scale, steps=steps, tolerance=tolerance
    )


def solve_turned(
    rows: Side,
    fixed: Fixed,
    spectrum: FloatVector,
    pool: Threads,
    *,
    scale: float = 1.0,
    steps: int,
    tolerance: float = 0.0,
) -> float:
    """Do the part of `solve` that is left when both sides are in the eigenbasis."""
    indptr = rows.matrix.indptr.astype(np.int64, copy=False)
    none = np.zeros((0, fixed.shape[1]), dtype=np.float32)
    prior = none if rows.prior is None else rows.prior.rows(pool)

    def work(part: tuple[int, int]) -> Number:
        return solve_rows(
            indptr, rows.matrix.indices, rows.matrix.data, fixed, scale, rows.vectors, spectrum,
            rows.dense_scale, rows.regularization, prior, aligned_zeros(N_SCRATCH, fixed.shape[1]),
            *part, steps, tolerance,
        )  # fmt: skip

    return float(sum(pool.map(work, ranges_of_equal_work(indptr, _N_PARTS))))


def halved(vectors: FloatMatrix, pool: Threads) -> tuple[NDArray[np.uint16], float]:
    """Round vectors to half precision in place; return them in it, and what they are multiplied by.

    The scale, a power of two, takes the largest entry near the largest that float16 holds, so that
    entries down to 1e-9 of it keep some digits.
    """
    bounds = range(0, len(vectors), CHUNK)
    largest = max(pool.map(lambda start: _largest(vectors[start : start + CHUNK]), bounds))
    exponent = HALF_EXPONENT - np.frexp(largest)[1] if 0 < largest < np.inf else 0
    scale = float(np.ldexp(1.0, exponent))
    halves = aligned_zeros(len(vectors), vectors.shape[1], np.uint16)
    pool.map(
        lambda start: halve_rows(vectors, scale, start, min(start + CHUNK, len(vectors)), halves),
        bounds,
    )
    return halves, scale


def _largest(vectors: FloatMatrix) -> float:
    return float(max(vectors.max(), -vectors.min()))


def eigenbasis(
    vectors: FloatMatrix, scale: FloatVector, pool: Threads, *, factors: int
) -> tuple[NDArray[np.float64], FloatMatrix]:  # (width,), (width, width)
    """Return the eigenvalues of ``F' diag(scale) F``, largest first, and its eigenvectors.

    Eigenvectors are columns, the largest entry of each positive; padding is zero.
    """
    return basis_of(gram(vectors, scale, pool), factors)


def basis_of(
    of_rows: NDArray[np.float64], factors: int
) -> tuple[NDArray[np.float64], FloatMatrix]:  # (width,), (width, width)
    """Do the part of `eigenbasis` that is left when the Gram matrix is known."""
    width, dense = len(of_rows), of_rows[:factors, :factors]
    if not np.isfinite(dense).all():  # has no eigenvectors; the loss will not be finite either
        return np.full(width, np.nan), np.eye(width, dtype=np.float32)
    found, turned = scipy.linalg.eigh(dense, driver="evd", check_finite=False)
    found, turned = found[::-1], turned[:, ::-1]
    largest = np.abs(turned).argmax(axis=0)
    signs = np.where(turned[largest, np.arange(factors)] < 0, -1.0, 1.0)
    eigenvalues, basis = np.zeros(width), np.zeros((width, width), dtype=np.float32)
    eigenvalues[:factors], basis[:factors, :factors] = found.clip(min=0), turned * signs
    return eigenvalues, basis


def gram(vectors: FloatMatrix, scale: FloatVector, pool: Threads) -> NDArray[np.float64]:
    """Return ``F' diag(scale) F``, float64 (width, width)."""
    is_scaled = bool((scale != 1).any())

    def work(start: int) -> FloatMatrix:
        chunk = vectors[start : start + CHUNK]
        if is_scaled:
            chunk = chunk * np.sqrt(scale[start : start + CHUNK, None])
        product: FloatMatrix = chunk.T @ chunk  # NumPy sees the symmetry, and does half the work
        return product

    total = np.zeros((vectors.shape[1],) * 2)
    for product in pool.map(work, range(0, len(vectors), CHUNK)):
        total += product
    return total


def turn(vectors: FloatMatrix, basis: FloatMatrix, pool: Threads) -> None:
    """Multiply by the basis in place, chunk by chunk, so that no second matrix is needed."""

    def work(start: int) -> None:
        chunk = vectors[start : start + CHUNK]
        chunk[:] = chunk @ basis

    pool.map(work, range(0, len(vectors), CHUNK))

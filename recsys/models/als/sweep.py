"""One side of ALS at a time: the dense part that rows share, and all rows in parallel.

The work of a half-sweep over n_rows rows with n_fixed columns, nnz interactions and d factors is
``n_rows d^2`` flops for the Gram matrix of the result, 6 or 10 ``nnz d`` for the rows, and
``2 n_rows d^2`` for their pulls or, where both sides turn (see `recsys.models.als.basis`),
``2 (n_rows + n_fixed) d^2``.
Results do not depend on the number of threads: every row is solved by itself, and sums over rows
are made in one order (see `recsys.models.als.gram`).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.aligned import aligned_zeros
from recsys.base.errors import DataError
from recsys.base.mapped import beside, parts
from recsys.base.packing import csr_of, row_sums, transposed
from recsys.base.signed import has_dislikes, liked, likes_per_row
from recsys.base.simd import N_LANES
from recsys.base.threads import Threads, ranges_of_equal_work
from recsys.features import FeatureRows, Features
from recsys.models.als.basis import (
    Basis,
    Dense,
    Outline,
    basis_of,
    choose,
    diagonal,
)
from recsys.models.als.columns import Fixed, Number
from recsys.models.als.gram import RUN, gram, product, turn
from recsys.models.als.prior import FixedPrior, Prior, penalty_of
from recsys.models.als.rounding import Grid, RoundedSide, longest_of, round_side
from recsys.models.als.row_solver import N_SCRATCH, solve_rows
from recsys.models.protocol import popularity_of, power_of_counts
from recsys.vectors import Embeddings, FloatMatrix, FloatVector

if TYPE_CHECKING:  # ALS is made of sweeps
    from recsys.models.als.als import ALS

START_SCALE = 0.1  # uniform in [0, 0.1): as good a start as any tried, at 64 and at 256 factors
_N_PARTS, _MOST_PARTS = 64, 256  # of the rows, so that no thread waits long for the last one
_PER_PART = 16_384  # entries, which a part has at least where there are more than the fewest
EXACT_STEPS, EXACT = 200, 1e-6  # at most so many; and the tolerance of `solve_rows`
EXACT_OF_ALL = 3e-6  # the same of all users at the end of a fit, of which a pass is a tenth


@dataclass
class Side:
    """Users or items: their interactions, and their vectors so far."""

    matrix: sp.csr_array  # weights (n_rows, n_fixed), below 0 of dislikes; columns: the other side
    vectors: FloatMatrix  # (n_rows, width), as `padded` makes them
    regularization: FloatVector  # (n_rows,), above 0
    dense_scale: FloatVector  # (n_rows,): weight of a row's unobserved pairs, in unobserved weights
    prior: Prior | FixedPrior | None = None  # what features say of the rows
    share: float = 0.0  # of the regularization that pulls rows there; the rest pulls them to 0
    longest: float = 0.0  # norm of the longest vector
    penalty: float = 0.0  # of vectors that were solved, and of the map of their prior
    sums: NDArray[np.float64] | None = None  # see `gram`; None where nobody has asked
    rounded: RoundedSide | None = None  # its vectors as they were read last

    @cached_property
    def dislikes(self) -> bool | None:
        """True where a weight is below 0, else None: `solve_rows` has a kernel for each."""
        return has_dislikes(self.matrix) or None

    def gram(self, pool: Threads) -> NDArray[np.float64]:
        """Return ``X' diag(dense_scale) X`` of the vectors as they are, (width, width)."""
        if not self.longest:
            return np.zeros((self.vectors.shape[1],) * 2)
        if self.sums is None:
            self.sums = gram(self.vectors, self.dense_scale, pool)
        return self.sums

    def outline(self, pool: Threads) -> Outline:
        """Return what the choice of a basis asks for."""
        scale, penalty = float(self.dense_scale.mean()), float(self.regularization.mean())
        return Outline(self.gram(pool), scale, penalty)

    def turn(self, basis: FloatMatrix, pool: Threads) -> None:
        """Multiply all that is in its space by a basis."""
        turn(self.vectors, basis, pool)
        if self.prior is not None:
            self.prior.turn(basis, pool)

    def fill(self, pool: Threads) -> None:
        """Give the rows without interactions their prior."""
        if self.prior is not None:
            is_empty = np.diff(self.matrix.indptr) == 0
            self.vectors[is_empty] = self.prior.rows(pool)[is_empty]


def loss_of(
    observed: float, users: Side, items: Side, unobserved_weight: float, pool: Threads
) -> float:
    """Return the loss after the items were solved; all pairs together cost a product of sums."""
    everywhere = unobserved_weight * float((users.gram(pool) * items.gram(pool)).sum())
    return observed + everywhere + users.penalty + items.penalty


def padded(vectors: FloatMatrix) -> FloatMatrix:
    """Return a copy with zero columns added, so that rows are whole cache lines."""
    n_rows, factors = vectors.shape
    wide = aligned_zeros(n_rows, -(-factors // N_LANES) * N_LANES)
    wide[:, :factors] = vectors
    return wide


def sides(
    als: "ALS",
    user_items: sp.csr_array,
    start: Embeddings | None,
    features: Features | None,
    pool: Threads,
) -> tuple[Side, Side]:
    """Return users and items where a fit begins: at random, or at the rows of `start`."""
    first = first_items(als, user_items.shape, start)
    vectors = padded(first)  # (n_items, width)
    weights = weighted(als, user_items)
    users = users_at_zero(als, weights, vectors.shape[1], pool)
    if start is not None:
        users.vectors[:, : als.factors] = start.users
        users.longest = longest_of(start.users)
    items = items_at(als, vectors, transposed(weights, pool), users.dense_scale, pool)
    items.longest = longest_of(first)
    if features is not None:
        features.require_rows(*user_items.shape)
        for side, described in ((users, features.users), (items, features.items)):
            if described is not None:
                side.prior = _prior_of(als, side, described)
    return users, items


def first_items(als: "ALS", shape: tuple[int, int], start: Embeddings | None) -> FloatMatrix:
    """Return the items that a fit begins at, (n_items, factors)."""
    if start is not None:
        _require_rows(start, (*shape, als.factors))
        return start.items
    rng = np.random.default_rng(als.seed)
    first = rng.random((shape[1], als.factors), dtype=np.float32)
    first *= START_SCALE
    return first


def _prior_of(als: "ALS", side: Side, features: sp.csr_array | FeatureRows) -> Prior:
    """Return the prior of a side; only rows with interactions tell what the map is."""
    weights = np.where(np.diff(side.matrix.indptr) > 0, side.regularization, 0)
    return Prior(features, weights, als.feature_ridge, side.vectors.shape[1])


def items_at(
    als: "ALS",
    vectors: FloatMatrix,
    item_users: sp.csr_array,
    of_users: FloatVector,
    pool: Threads | None = None,
) -> Side:
    """Return items at some vectors; `of_users` is the dense scale of all users."""
    regularization = item_regularization(als, row_sums(item_users, pool), of_users)
    ones = np.ones(item_users.shape[0], dtype=np.float32)
    return Side(item_users, vectors, regularization, ones, share=als.feature_share)


def users_at_zero(
    als: "ALS", weights: sp.csr_array, width: int, pool: Threads | None = None
) -> Side:
    """Return users at zero vectors, for weights as `weighted` returns them."""
    regularization, scale = user_terms(als, weights, row_sums(weights, pool))
    vectors = aligned_zeros(weights.shape[0], width)
    return Side(weights, vectors, regularization, scale, share=als.feature_share)


def user_terms(
    als: "ALS", weights: sp.csr_array, sums: NDArray[np.float64]
) -> tuple[FloatVector, FloatVector]:
    """Return the regularization and the dense scale of users, whose weights sum to `sums`."""
    scale = power_of_counts(likes_per_row(weights), -als.unobserved_exponent)  # (n_users,)
    unobserved = als.unobserved_weight * weights.shape[1] * scale
    return _regularization(als, sums + als.unobserved_regularization * unobserved), scale


def item_regularization(
    als: "ALS", sums: NDArray[np.float64], of_users: FloatVector
) -> FloatVector:
    """Return the regularization of items, whose weights sum to `sums`."""
    unobserved = als.unobserved_weight * of_users.sum()
    return _regularization(als, sums + als.unobserved_regularization * unobserved)


def weighted(
    als: "ALS", user_items: sp.csr_array, popularity: NDArray[np.integer] | None = None
) -> sp.csr_array:
    """Return ``w^e n_u^-a n_i^-b``: weights by the numbers of interactions of user and item.

    A dislike is none of these, and keeps its sign. Without `popularity`, the interactions of the
    matrix itself count.
    """
    if not (als.user_exponent or als.item_exponent or als.weight_exponent != 1):
        return user_items
    if popularity is None:
        popularity = popularity_of(liked(user_items))
    indptr, indices = user_items.indptr, user_items.indices
    of_users = power_of_counts(likes_per_row(user_items), -als.user_exponent)
    of_items = power_of_counts(popularity, -als.item_exponent)
    data = beside(indices, len(indices), np.float32)
    for part in parts(len(indices)):
        user = np.searchsorted(indptr, np.arange(part.start, part.stop), side="right") - 1
        signed = user_items.data[part]
        weight = np.copysign(np.abs(signed) ** als.weight_exponent, signed)
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


def half_sweep(
    rows: Side,
    fixed: Side,
    unobserved_weight: float,
    pool: Threads,
    *,
    factors: int,
    steps: int,
    into: Basis,
) -> float:
    """Improve one side with the other fixed, and that rounded; return the observed loss.

    Scores do not change when both sides turn, and turning back is not needed. With features, the
    map from them to the rows follows the rows first.
    """
    outlines = fixed.outline(pool), rows.outline(pool)
    choice = choose(*outlines, unobserved_weight, factors, into)
    for side in (fixed, rows):
        if choice.basis is not None and side.longest:  # else there is nothing to turn
            side.turn(choice.basis, pool)
    fixed.sums = choice.of_fixed
    if rows.prior is not None:
        rows.prior.follow(rows.vectors, pool)
    columns, scale, grid = fixed.rounded = round_side(  # whose memory the next epoch takes again
        fixed.vectors, fixed.longest, choice.of_fixed, pool, fixed.rounded
    )
    return solve_side(rows, columns, choice.dense, pool, scale=scale, grid=grid, steps=steps)


def solve_exactly(
    rows: Side, fixed: Side, unobserved_weight: float, pool: Threads, *, factors: int
) -> None:
    """Solve one side to the end, both in the eigenbasis of the fixed one, not rounded."""
    rows.rounded = fixed.rounded = None
    eigenvalues, basis = basis_of(fixed.gram(pool), factors)
    for side in (fixed, rows):
        side.turn(basis, pool)
    if rows.prior is not None:
        rows.prior.solve(rows.vectors, pool)
    dense = diagonal(eigenvalues, unobserved_weight)
    solve_side(rows, fixed.vectors, dense, pool, steps=EXACT_STEPS, tolerance=EXACT_OF_ALL)


def solve_side(
    rows: Side,
    fixed: Fixed,
    dense: Dense,
    pool: Threads,
    *,
    scale: float = 1.0,
    grid: Grid | None = None,
    steps: int = EXACT_STEPS,
    tolerance: float = 0.0,
) -> float:
    """Solve rows from where they are; return the observed part of their loss."""
    indptr = rows.matrix.indptr.astype(np.int64, copy=False)
    width = fixed.shape[1]
    none = np.zeros((0, width), dtype=np.float32)
    scales, units = grid or (np.zeros(0, dtype=np.float32), none)
    prior = none if rows.prior is None else rows.prior.pulls(rows.share, pool)

    n_parts = min(max(_N_PARTS, int(indptr[-1]) // _PER_PART), _MOST_PARTS)
    ranges = ranges_of_equal_work(indptr, n_parts)
    if dense.matrix is not None:
        ranges = [
            (start, min(start + RUN, last))
            for first, last in ranges
            for start in range(first, last, RUN)
        ]
    n_pulls = 0 if dense.matrix is None else RUN
    rooms = [[aligned_zeros(n, width) for n in (N_SCRATCH, n_pulls)] for _ in range(pool.n)]

    def work(part: tuple[int, int]) -> tuple[Number, Number, Number]:
        first, last = part
        scratch, room = mine = rooms.pop()  # each thread works on one part at a time
        pulls = room[: last - first]
        if dense.matrix is not None:
            product(rows.vectors[first:last], dense.matrix, out=pulls)
        found: tuple[Number, Number, Number] = solve_rows(
            indptr, rows.matrix.indices, rows.matrix.data, fixed, scale, scales, units,
            rows.vectors, dense.spectrum, pulls, rows.dense_scale, rows.regularization, prior,
            scratch, first, last, steps, tolerance, rows.dislikes,
        )  # fmt: skip
        rooms.append(mine)
        return found

    observed, penalties, squares = zip(*pool.map(work, ranges), strict=True)
    rows.penalty, rows.longest = float(sum(penalties)), float(np.sqrt(max(squares)))
    rows.penalty += 0.0 if rows.prior is None else penalty_of(rows, rows.prior, pool)
    rows.sums = None
    return float(sum(observed))


def eigenbasis(
    vectors: FloatMatrix, scale: FloatVector, pool: Threads, *, factors: int
) -> tuple[NDArray[np.float64], FloatMatrix]:  # (width,), (width, width)
    """Return the eigenvalues of ``F' diag(scale) F``, largest first, and its eigenvectors.

    Eigenvectors are columns, the largest entry of each positive; padding is zero.
    """
    return basis_of(gram(vectors, scale, pool), factors)

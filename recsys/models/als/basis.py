"""In which coordinates ALS works: the eigenbasis of one side's Gram matrix, or one near both.

What all rows of a side share of their system is the Gram matrix of the other side. In its
eigenbasis it is a diagonal, which preconditions the rows; but the two sides have two eigenbases,
and Gram matrices change. While they change fast, both sides turn into the eigenbasis of the fixed
one in each half-sweep. Then both turn into one basis in which both matrices are nearly diagonal,
if there is one, and stay there, as long as it is near enough. A side that stays takes a product of
its rows with the dense part instead of the turn of both; where no basis lasts, that and the search
for one are work for nothing, so epochs look for one more and more rarely.
"""

from typing import Literal, NamedTuple

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from recsys.models.als.gram import Gram
from recsys.vectors import FloatMatrix, FloatVector

Basis = Literal["own", "common", "kept"]
"""The eigenbasis of the fixed side; what they have, while it is near; or, if not, one near both.

"own" is the first, "kept" the second or else the first, "common" the second, else the third, else
the first.
"""

_NEAR = 0.9  # see `is_near`
_PASSES = 3  # over all pairs of coordinates; more gain little where the basis is near by then
_MOST_PASSES = 8  # where the first find none, as on a log of games
_FEW = 20  # products that show a norm to a few percent
_DAMPING = 1e-3  # of pairs that no rotation makes better


class Outline(NamedTuple):
    """A side as the choice of a basis sees it."""

    gram: Gram  # (width, width): X' diag(dense_scale) X
    dense_scale: float  # mean of its rows
    regularization: float  # likewise


class Dense(NamedTuple):
    """What all rows of a side share of their system: ``G = unobserved_weight F' diag(scale) F``."""

    spectrum: FloatVector  # (width,): its diagonal
    matrix: FloatMatrix | None  # (width, width); None where it is diagonal


class Choice(NamedTuple):
    """What turns both sides, and after that the dense part and the fixed side's Gram matrix."""

    basis: FloatMatrix | None  # (width, width); None: they stay as they are
    dense: Dense
    of_fixed: Gram


def choose(
    fixed: Outline, rows: Outline, unobserved_weight: float, factors: int, into: Basis
) -> Choice:
    """Choose the coordinates in which rows are solved with the other side fixed."""
    if into == "own":
        return _own(fixed, unobserved_weight, factors)
    system = _system(fixed.gram, rows, unobserved_weight, factors)
    if is_near(system):
        return Choice(None, dense_of(fixed.gram, unobserved_weight), fixed.gram)
    if into == "kept":
        return _own(fixed, unobserved_weight, factors)
    other = _system(rows.gram, fixed, unobserved_weight, factors)
    common = common_basis(system, other)
    if not are_near(common, system, other):
        return _own(fixed, unobserved_weight, factors)
    basis = np.zeros(fixed.gram.shape)
    basis[:factors, :factors] = common
    of_fixed = basis.T @ fixed.gram @ basis
    return Choice(basis.astype(np.float32), dense_of(of_fixed, unobserved_weight), of_fixed)


def _own(fixed: Outline, unobserved_weight: float, factors: int) -> Choice:
    eigenvalues, basis = basis_of(fixed.gram, factors)
    dense = diagonal(eigenvalues, unobserved_weight)
    return Choice(basis, dense, np.diag(eigenvalues))


def _system(gram: Gram, rows: Outline, unobserved_weight: float, factors: int) -> Gram:
    """Return the dense part of the system of a mean row, (factors, factors)."""
    system: Gram = unobserved_weight * rows.dense_scale * gram[:factors, :factors]
    return system + rows.regularization * np.eye(factors)


def is_near(system: Gram) -> bool:
    """Return whether a diagonal can stand for all of a matrix in the length of a step.

    What lies beside it, in units of it, must have a norm below 1; then no step is more than twice
    as long as the best, and each lowers the loss.
    """
    scale = np.sqrt(np.diag(system))
    beside = system / np.outer(scale, scale) - np.eye(len(system))
    vector, norm = np.random.default_rng(0).standard_normal(len(system)), 0.0
    for _ in range(_FEW):  # by the power method
        vector = beside @ (vector / max(float(np.linalg.norm(vector)), np.finfo(np.float64).tiny))
        norm = float(np.linalg.norm(vector))
    return norm < _NEAR


def are_near(basis: Gram, one: Gram, other: Gram) -> bool:
    """Return whether both matrices are near a diagonal in a basis."""
    return all(is_near(basis.T @ matrix @ basis) for matrix in (one, other))


def common_basis(one: Gram, other: Gram) -> Gram:
    """Return an orthogonal basis in which two matrices are nearly diagonal, as columns.

    It begins at the eigenbasis of the first; passes go on until it is near both, or are many. A
    pass turns every pair of coordinates by the angle that leaves least beside both diagonals, in
    units of these, to first order: the rotations of Cardoso and Souloumiac (1996), all at once,
    made one by Cayley's transform.
    """
    identity = np.eye(len(one))
    if not (np.isfinite(one).all() and np.isfinite(other).all()):
        return identity  # the loss will not be finite either
    _, basis = _eigh(one)
    for number in range(_MOST_PASSES):
        if number >= _PASSES and are_near(basis, one, other):
            break
        wanted, curvature = np.zeros_like(one), np.full_like(one, _DAMPING)
        for matrix in (one, other):
            turned = basis.T @ matrix @ basis
            diagonal = np.diag(turned)
            unit, apart = np.outer(diagonal, diagonal), np.subtract.outer(diagonal, diagonal)
            wanted -= turned * apart / unit  # a difference of 0 on the diagonal
            curvature += apart * apart / unit
        angles = wanted / curvature
        basis = basis @ np.linalg.solve(identity - angles / 2, identity + angles / 2)
    return basis


def basis_of(
    of_rows: Gram, factors: int
) -> tuple[NDArray[np.float64], FloatMatrix]:  # (width,), (width, width)
    """Return the eigenvalues of a Gram matrix, largest first, and its eigenvectors as columns.

    The largest entry of each is positive; padding is zero.
    """
    width, dense = len(of_rows), of_rows[:factors, :factors]
    if not np.isfinite(dense).all():  # has no eigenvectors; the loss will not be finite either
        return np.full(width, np.nan), np.eye(width, dtype=np.float32)
    found, turned = _eigh(dense)
    eigenvalues, basis = np.zeros(width), np.zeros((width, width), dtype=np.float32)
    eigenvalues[:factors], basis[:factors, :factors] = found.clip(min=0), turned
    return eigenvalues, basis


def _eigh(matrix: Gram) -> tuple[NDArray[np.float64], Gram]:
    found, turned = scipy.linalg.eigh(matrix, driver="evd", check_finite=False)
    found, turned = found[::-1], turned[:, ::-1]
    largest = np.abs(turned).argmax(axis=0)
    return found, turned * np.where(turned[largest, np.arange(len(found))] < 0, -1.0, 1.0)


def dense_of(of_fixed: Gram, unobserved_weight: float) -> Dense:
    """Return the dense part that a Gram matrix makes."""
    matrix = (unobserved_weight * of_fixed).astype(np.float32)
    return Dense(np.ascontiguousarray(np.diag(matrix)), matrix)


def diagonal(eigenvalues: NDArray[np.float64], unobserved_weight: float) -> Dense:
    """Return the dense part in the eigenbasis of the Gram matrix."""
    return Dense((unobserved_weight * eigenvalues).astype(np.float32), None)

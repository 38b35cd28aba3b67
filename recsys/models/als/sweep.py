"""One side of ALS at a time: the shared dense part, its eigenbasis, and all rows in parallel.

The work of a half-sweep over n_rows rows with n_fixed columns, nnz interactions and d factors is
``n_fixed d^2`` flops for the Gram matrix, ``2 (n_rows + n_fixed) d^2`` to turn both sides into its
eigenbasis, and 6 or 10 ``nnz d`` for the rows. Results do not depend on the number of threads:
every row is solved by itself, and sums over rows are made chunk by chunk, in order.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.simd import N_LANES
from recsys.base.threads import Threads, equal_parts
from recsys.models.als.kernel import N_SCRATCH, Fixed, Number, halve_rows, solve_rows
from recsys.vectors import FloatMatrix, FloatVector

_CHUNK = 2048  # rows of a matrix that one thread multiplies at a time
_N_PARTS = 64  # of the rows; more than threads, so that none waits long for the last one
_LINE = 64  # bytes of a cache line
_HALF_EXPONENT = 15  # float16 goes up to 2^16


@dataclass
class Side:
    """Users or items: their interactions, and their vectors so far.

    Parameters
    ----------
    matrix : csr_array of float32, shape (n_rows, n_fixed)
        Weights; a row's columns are rows of the other side.
    vectors : ndarray of float32, shape (n_rows, width)
        As `padded` makes them.
    regularization : ndarray of float32, shape (n_rows,)
        Above 0.
    dense_scale : ndarray of float32, shape (n_rows,)
        How much the unobserved pairs of a row count, times the unobserved weight.
    """

    matrix: sp.csr_array
    vectors: FloatMatrix
    regularization: FloatVector
    dense_scale: FloatVector

    def penalty(self) -> float:
        """Return ``sum regularization |x|^2``."""
        squares = np.einsum("ij,ij->i", self.vectors, self.vectors)
        return float(self.regularization.astype(np.float64) @ squares)


def padded(vectors: FloatMatrix) -> FloatMatrix:
    """Return a copy with zero columns behind, so that rows are whole cache lines."""
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
) -> float:
    """Solve one side with the other fixed, both turned into the eigenbasis of the fixed one.

    Scores do not change when both sides turn. Turning back is not needed: the next half-sweep
    turns both again.

    Parameters
    ----------
    rows, fixed : Side
        Both change in place.
    unobserved_weight : float
    pool : Threads
    factors : int
        Columns of the vectors that are no padding.
    in_halves : bool
        Round the fixed side to half precision, which the rows are then solved for exactly.
    steps, tolerance
        As in `recsys.models.als.kernel.solve_rows`.

    Returns
    -------
    float
        The loss of the rows: everything but the penalty of the fixed side.
    """
    eigenvalues, basis = eigenbasis(fixed.vectors, fixed.dense_scale, pool, factors=factors)
    turn(fixed.vectors, basis, pool)
    turn(rows.vectors, basis, pool)
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

    def work(part: tuple[int, int]) -> Number:
        return solve_rows(
            indptr,
            rows.matrix.indices,
            rows.matrix.data,
            fixed,
            scale,
            rows.vectors,
            spectrum,
            rows.dense_scale,
            rows.regularization,
            aligned_zeros(N_SCRATCH, fixed.shape[1]),
            *part,
            steps,
            tolerance,
        )

    return float(sum(pool.map(work, equal_parts(indptr, _N_PARTS))))


def halved(vectors: FloatMatrix, pool: Threads) -> tuple[NDArray[np.uint16], float]:
    """Round vectors to half precision in place; return them in it, times a power of two.

    Returns
    -------
    halves : ndarray of uint16, shape (n_rows, width)
        Numbers of float16.
    scale : float
        With it the largest entry is near the largest that float16 holds, so that entries down to
        1e-9 of it keep some digits.
    """
    bounds = range(0, len(vectors), _CHUNK)
    largest = max(pool.map(lambda start: _largest(vectors[start : start + _CHUNK]), bounds))
    exponent = _HALF_EXPONENT - np.frexp(largest)[1] if 0 < largest < np.inf else 0
    scale = float(np.ldexp(1.0, exponent))
    halves = aligned_zeros(len(vectors), vectors.shape[1], np.uint16)
    pool.map(
        lambda start: halve_rows(vectors, scale, start, min(start + _CHUNK, len(vectors)), halves),
        bounds,
    )
    return halves, scale


def _largest(vectors: FloatMatrix) -> float:
    return float(max(vectors.max(), -vectors.min()))


def eigenbasis(
    vectors: FloatMatrix, scale: FloatVector, pool: Threads, *, factors: int
) -> tuple[NDArray[np.float64], FloatMatrix]:
    """Return the eigenvalues of ``F' diag(scale) F``, largest first, and its eigenvectors.

    Returns
    -------
    eigenvalues : ndarray of float64, shape (width,)
    basis : ndarray of float32, shape (width, width)
        Eigenvectors are columns, the largest entry of each positive; padding is zero.
    """
    width = vectors.shape[1]
    dense = gram(vectors, scale, pool)[:factors, :factors]
    if not np.isfinite(dense).all():  # has no eigenvectors; the loss will tell
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
        chunk = vectors[start : start + _CHUNK]
        if is_scaled:
            chunk = chunk * np.sqrt(scale[start : start + _CHUNK, None])
        product: FloatMatrix = chunk.T @ chunk  # NumPy sees the symmetry, and does half the work
        return product

    total = np.zeros((vectors.shape[1],) * 2)
    for product in pool.map(work, range(0, len(vectors), _CHUNK)):
        total += product
    return total


def turn(vectors: FloatMatrix, basis: FloatMatrix, pool: Threads) -> None:
    """Multiply by the basis in place, chunk by chunk, so that no second matrix is needed."""

    def work(start: int) -> None:
        chunk = vectors[start : start + _CHUNK]
        chunk[:] = chunk @ basis

    pool.map(work, range(0, len(vectors), _CHUNK))

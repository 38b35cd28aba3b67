"""The hot loop of ALS: solve rows by preconditioned conjugate gradients, compiled.

All rows share the dense part of their system. In the eigenbasis of the Gram matrix that part is a
diagonal, which costs nothing per row and is a near-perfect preconditioner; what is left of a row is
a sum over its observed columns::

    (diag(dense) + Z' diag(w) Z) x = Z' w        Z: the vectors of the row's columns, (n, width)

A step is a pass over the columns, four at a time: a dot product and an update each, 4 * width
flops. Columns are read where they lie, asked for a little ahead; copying them into a buffer first
was measured slower, as after the first pass they are in the cache either way. The last step needs
the dot products alone, as its length follows from them, and the loss needs no pass at all: it falls
by ``alpha * rho`` a step. So one step costs 6, two cost 10 flops per column and factor.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from recsys.models.compiled.prefetch import prefetch

Floats = NDArray[np.float32]

_AHEAD = 8  # columns; of 0, 4, 8 and 16 the fastest
_LINE = 16  # numbers in a cache line

_compile = njit(nogil=True, fastmath=True, boundscheck=False, error_model="numpy", cache=True)


@_compile
def _add_residual(
    fixed: Floats,
    columns: NDArray[np.int32],
    weight: Floats,
    start: int,
    stop: int,
    x: Floats,
    target: np.float32,
    out: Floats,
) -> np.float32:
    """Add ``Z' w (target - Z x)`` to out; return ``sum(w (target - Z x)^2)``."""
    zero = loss = np.float32(0)
    end = stop - 1
    for j in range(start, stop, 4):
        for ahead in range(j + _AHEAD, min(j + _AHEAD + 4, columns.shape[0])):
            for f in range(0, x.shape[0], _LINE):
                prefetch(fixed, columns[ahead], f)
        # Behind the last column the last one is taken again, with no weight.
        c0, c1 = columns[j], columns[min(j + 1, end)]
        c2, c3 = columns[min(j + 2, end)], columns[min(j + 3, end)]
        s0 = s1 = s2 = s3 = zero
        for f in range(x.shape[0]):
            s0 += fixed[c0, f] * x[f]
            s1 += fixed[c1, f] * x[f]
            s2 += fixed[c2, f] * x[f]
            s3 += fixed[c3, f] * x[f]
        s0, s1, s2, s3 = target - s0, target - s1, target - s2, target - s3
        w0 = weight[j] * s0
        w1 = weight[j + 1] * s1 if j + 1 < stop else zero
        w2 = weight[j + 2] * s2 if j + 2 < stop else zero
        w3 = weight[j + 3] * s3 if j + 3 < stop else zero
        loss += w0 * s0 + w1 * s1 + w2 * s2 + w3 * s3
        for f in range(x.shape[0]):
            out[f] += w0 * fixed[c0, f] + w1 * fixed[c1, f] + w2 * fixed[c2, f] + w3 * fixed[c3, f]
    return loss


@_compile
def _squared_scores(
    fixed: Floats,
    columns: NDArray[np.int32],
    weight: Floats,
    start: int,
    stop: int,
    x: Floats,
) -> np.float32:
    """Return ``sum(w (Z x)^2)``: the first half of `_add_residual`."""
    zero = total = np.float32(0)
    end = stop - 1
    for j in range(start, stop, 4):
        c0, c1 = columns[j], columns[min(j + 1, end)]
        c2, c3 = columns[min(j + 2, end)], columns[min(j + 3, end)]
        s0 = s1 = s2 = s3 = zero
        for f in range(x.shape[0]):
            s0 += fixed[c0, f] * x[f]
            s1 += fixed[c1, f] * x[f]
            s2 += fixed[c2, f] * x[f]
            s3 += fixed[c3, f] * x[f]
        total += weight[j] * s0 * s0
        total += weight[j + 1] * s1 * s1 if j + 1 < stop else zero
        total += weight[j + 2] * s2 * s2 if j + 2 < stop else zero
        total += weight[j + 3] * s3 * s3 if j + 3 < stop else zero
    return total


@_compile
def _precondition(
    residual: Floats, dense: Floats, beta: np.float32, direction: Floats
) -> np.float32:
    """Set ``direction = residual / dense + beta * direction``; return its squared length."""
    length = np.float32(0)
    for f in range(residual.shape[0]):
        direction[f] = residual[f] / dense[f] + beta * direction[f]
        length += dense[f] * direction[f] * direction[f]
    return length


@_compile
def solve_rows(
    indptr: NDArray[np.int64],
    columns: NDArray[np.int32],
    weight: Floats,
    fixed: Floats,
    rows: Floats,
    spectrum: Floats,
    dense_scale: Floats,
    regularization: Floats,
    first: int,
    last: int,
    steps: int,
    tolerance: float,
) -> float:
    """Improve rows ``first..last-1`` in place, from where they are.

    Parameters
    ----------
    indptr, columns, weight : ndarray of int64, int32, float32
        CSR of all rows.
    fixed : ndarray of float32, shape (n_fixed, width)
        Vectors of the columns, in the eigenbasis of their Gram matrix.
    rows : ndarray of float32, shape (n_rows, width)
        In the same basis; where the iteration starts, and its result. A row without
        interactions becomes zero.
    spectrum : ndarray of float32, shape (width,)
        ``unobserved_weight`` times the eigenvalues of the Gram matrix.
    dense_scale, regularization : ndarray of float32, shape (n_rows,)
        A row's dense part is ``dense_scale * spectrum + regularization``, above 0.
    steps : int
        At most so many steps of conjugate gradients, at least 1.
    tolerance : float
        Stop where the residual, as the preconditioner measures it, is so small a part of the first.

    Returns
    -------
    float
        The loss of these rows after the last step: ``sum w (1 - z.x)^2 + x' diag(dense) x``.
    """
    width = fixed.shape[1]
    dense, residual = np.empty(width, np.float32), np.empty(width, np.float32)
    direction, image = np.empty(width, np.float32), np.empty(width, np.float32)
    zero, one = np.float32(0), np.float32(1)
    total = 0.0
    for row in range(first, last):
        start, stop = indptr[row], indptr[row + 1]
        x = rows[row]
        if start == stop:
            x[:] = zero
            continue
        loss = zero
        for f in range(width):
            dense[f] = dense_scale[row] * spectrum[f] + regularization[row]
            residual[f] = -dense[f] * x[f]
            direction[f] = zero
            loss += dense[f] * x[f] * x[f]
        loss += _add_residual(fixed, columns, weight, start, stop, x, one, residual)
        curvature = _precondition(residual, dense, zero, direction)
        rho = np.float32(curvature)  # of the first direction both are residual' residual / dense
        enough = np.float32(tolerance * tolerance) * rho
        for step in range(steps):
            is_last = step + 1 == steps
            if is_last:
                curvature += _squared_scores(fixed, columns, weight, start, stop, direction)
            else:
                image[:] = zero
                curvature += _add_residual(
                    fixed, columns, weight, start, stop, direction, zero, image
                )
            if not curvature > zero:  # solved as exactly as float32 can
                break
            alpha = rho / curvature
            loss -= alpha * rho
            for f in range(width):
                x[f] += alpha * direction[f]
            if is_last:
                break
            next_rho = zero
            for f in range(width):
                residual[f] += alpha * (image[f] - dense[f] * direction[f])
                next_rho += residual[f] * residual[f] / dense[f]
            if next_rho <= enough:
                break
            curvature = _precondition(residual, dense, next_rho / rho, direction)
            rho = np.float32(next_rho)
        total += float(loss)
    return total

"""The hot loop of ALS: solve rows by preconditioned conjugate gradients, compiled.

All rows share the dense part G of their system. In its eigenbasis it is a diagonal, which costs
nothing per row and is a near-perfect preconditioner; what is left of a row is a sum over its
observed columns::

    (s G + l + Z' diag(w) Z) x = Z' w + l p      Z: the vectors of the row's columns, (n, width)

where a row is regularized, with weight l, towards p, what its features say, and else towards 0.

A weight below 0 is that of a dislike: its size counts on the left, and 0 stands for it on the
right, as the score should be 0 there. A kernel of its own does that (`dislikes` is True, not None:
Numba compiles one for each), so that a log without dislikes pays nothing.

Near the eigenbasis the diagonal is still nearly all of G. There the residual takes the dense part
as it is, from ``pulls = X G``, one product for many rows; so where the steps lead to is right in
any basis. The diagonal alone stands for it in the preconditioner and in the length of a step.

Preconditioned conjugate gradients (Hestenes and Stiefel 1952) solve it, as Takács, Pilászy and Tikk
(RecSys 2011) proposed for ALS, in the notation of Saad (2003, algorithm 9.1)::

    alpha = rho / p' A p;  x += alpha p;  r -= alpha A p;  rho = r' M^-1 r;  p = M^-1 r + beta p

A step is a pass over the columns, four at a time: a dot product and an update each, 4 * width
flops. The update by four columns waits for the sums of their products, so it shares a loop with the
products of the next four. Rounded columns are converted for the products, and kept for the update
in a few rows that the first cache holds.

Columns are read in place; copying all of a row's into a buffer first was measured slower, as after
the first pass they are in the cache either way. Only that pass prefetches: in the later ones it
would take as long as the arithmetic, and asking there for the columns of the next row was measured
to gain nothing, as columns on their way from the second cache take all there is to wait in.

The last step needs only the dot products, as its length follows from them, and so does what a step
changes in the observed part of the loss, whatever stood for the dense one. So one step costs 6, two
cost 10 flops per column and factor.

A solve to the end stops where ``rho <= tolerance^2 * gained``; `gained` is what x has lowered the
row's loss by, from that at zero. No eigenvalue of ``M^-1 A`` is below 1, so rho bounds what is left
to gain, and the error is at most `tolerance` of the solution in the norm of A, from any start.

The first pass waits for memory, not for arithmetic. The epochs read columns in half precision,
which is half as many bytes, or in whole numbers, a quarter (see `recsys.models.als.rounding`). Then
the steps are taken in the units of these: x, its pull and the dense part are multiplied by powers
of two, and x is divided by them again, which changes no digit.
"""

import numpy as np
from numpy.typing import NDArray

from recsys.base.jit import compiled
from recsys.base.simd import N_LANES, borrowed, four_totals, per_line, prefetch, same
from recsys.models.als.columns import (
    Fixed,
    Floats,
    Four,
    FourLanes,
    Number,
    add_columns,
    add_products,
    aim,
    four_columns,
    four_scales,
    four_scores,
    four_weights,
    inlined,
    is_in_bytes,
    is_rounded,
    no_products,
    size,
)
from recsys.models.als.row_vectors import (
    add_times,
    change_units,
    inner_product,
    loss_below_zero,
    precondition,
    scale_by,
    set_dense_part,
    set_pull,
    set_start,
    square_of,
    take_step,
)

N_SCRATCH = 12  # vectors that solving a row needs; see `solve_rows`

_AHEAD = 16  # rounded columns, or 8 whole ones; of 4, 8, 16 and 24 the fastest, or as fast
_ROUNDING = np.float32(1e-7)  # of a residual: no step makes it smaller

_compile = compiled(fastmath=True)


@inlined
def _errors(
    products: FourLanes,
    scales: Four,
    weight: Floats,
    j: int,
    stop: int,
    target: Number,
    dislikes: bool | None,
) -> tuple[Number, Number, Number, Number, Number]:
    """Return ``|w| (target - score)`` of four columns, of their products, and what they lose."""
    s0, s1, s2, s3 = four_totals(*products)
    d0, d1, d2, d3 = scales
    s0, s1, s2, s3 = s0 * d0, s1 * d1, s2 * d2, s3 * d3
    w0, w1, w2, w3 = four_weights(weight, j, stop)
    if dislikes is None:
        s0, s1, s2, s3 = target - s0, target - s1, target - s2, target - s3
    else:
        s0, s1 = aim(target, w0) - s0, aim(target, w1) - s1
        s2, s3 = aim(target, w2) - s2, aim(target, w3) - s3
        w0, w1, w2, w3 = size(w0), size(w1), size(w2), size(w3)
    w0, w1, w2, w3 = w0 * s0, w1 * s1, w2 * s2, w3 * s3
    return w0, w1, w2, w3, w0 * s0 + w1 * s1 + w2 * s2 + w3 * s3


@_compile
def _add_residual(
    fixed: Fixed,  # (n_fixed, width)
    down: Number,  # 1 / the scale of `fixed`
    scales: Floats,  # (n_fixed,), or empty; see `solve_rows`
    columns: NDArray[np.int32],  # (nnz,), those of the row from start to stop
    weight: Floats,  # (nnz,), below 0 of a dislike
    start: int,
    stop: int,
    x: Floats,  # (width,)
    target: Number,  # what the scores should be: 1, or 0 for the image of a direction
    dislikes: bool | None,
    is_far: bool,  # the columns are in no cache yet
    kept: Floats,  # (4, width), for columns between their two uses
    out: Floats,  # (width,)
) -> Number:
    """Add ``Z' |w| (target - Z x)`` to out; return ``sum(|w| (target - Z x)^2)``."""
    loss: Number = np.float32(0)
    line, far = per_line(fixed), _AHEAD if is_rounded(fixed) else _AHEAD // 2
    products, four = no_products(), four_columns(columns, start, stop)
    for f in range(0, x.shape[0], N_LANES):
        products = add_products(fixed, four, f, x, kept, products)
    for j in range(start, stop, 4):
        for ahead in range(j + far, min(j + far + 4, columns.shape[0]) if is_far else 0):
            for f in range(0, x.shape[0], line):
                prefetch(fixed, (columns[ahead], f))
        of_four = four_scales(fixed, down, scales, four)
        w0, w1, w2, w3, lost = _errors(products, of_four, weight, j, stop, target, dislikes)
        loss += lost
        d0, d1, d2, d3 = of_four
        times = same(w0 * d0), same(w1 * d1), same(w2 * d2), same(w3 * d3)
        if j + 4 < stop:
            products, following = no_products(), four_columns(columns, j + 4, stop)
            for f in range(0, x.shape[0], N_LANES):
                add_columns(fixed, four, f, kept, times, out)
                products = add_products(fixed, following, f, x, kept, products)
            four = following
        else:
            for f in range(0, x.shape[0], N_LANES):
                add_columns(fixed, four, f, kept, times, out)
    return loss


@_compile
def _squared_scores(
    fixed: Fixed,
    down: Number,
    scales: Floats,
    columns: NDArray[np.int32],
    weight: Floats,
    start: int,
    stop: int,
    x: Floats,
    dislikes: bool | None,
) -> Number:
    """Return ``sum(|w| (Z x)^2)``."""
    squares: Number = np.float32(0)
    for j in range(start, stop, 4):
        s0, s1, s2, s3 = four_scores(fixed, down, scales, four_columns(columns, j, stop), x)
        w0, w1, w2, w3 = four_weights(weight, j, stop)
        if dislikes is not None:
            w0, w1, w2, w3 = size(w0), size(w1), size(w2), size(w3)
        squares += w0 * s0 * s0 + w1 * s1 * s1 + w2 * s2 * s2 + w3 * s3 * s3
    return squares


@inlined
def _solve_row(
    fixed: Fixed,
    down: Number,
    scales: Floats,
    columns: NDArray[np.int32],
    weight: Floats,
    start: int,
    stop: int,
    x: Floats,  # the row, (width,)
    pull: Floats,  # (width,), and so are the next five; of x at the beginning
    dense: Floats,
    inverse: Floats,
    residual: Floats,
    direction: Floats,
    image: Floats,
    kept: Floats,  # (4, width)
    lowered: Number,  # see `loss_below_zero`
    steps: int,
    tolerance: Number,
    dislikes: bool | None,
) -> Number:
    """Improve one row in place; return the observed part of its loss."""
    zero, one, two = np.float32(0), np.float32(1), np.float32(2)
    set_start(pull, residual, direction)
    loss = _add_residual(
        fixed, down, scales, columns, weight, start, stop, x, one, dislikes, True, kept, residual
    )
    curvature = precondition(residual, dense, inverse, zero, direction)
    # Of the first direction, rho and the dense part of the curvature are both r' r / dense.
    rho = np.float32(curvature)
    gained = lowered - loss  # by x over zero, in all of the row's loss
    least = _ROUNDING * _ROUNDING * rho
    for step in range(steps):
        is_last = step + 1 == steps
        if is_last:
            squares = _squared_scores(
                fixed, down, scales, columns, weight, start, stop, direction, dislikes
            )
        else:
            image[:] = zero
            squares = _add_residual(
                fixed, down, scales, columns, weight, start, stop, direction, zero, dislikes, False,
                kept, image,
            )  # fmt: skip
        curvature += squares
        if not curvature > zero:  # solved as exactly as float32 can
            break
        alpha = rho / curvature
        # The observed part of the residual is r + pull, and p' r is rho.
        loss -= alpha * (two * (rho + inner_product(direction, pull)) - alpha * squares)
        add_times(direction, alpha, x)
        if is_last:
            break
        gained += alpha * rho
        next_rho = take_step(residual, alpha, image, dense, inverse, direction, pull)
        if next_rho <= max(tolerance * tolerance * gained, least):
            break
        curvature = precondition(residual, dense, inverse, next_rho / rho, direction)
        rho = np.float32(next_rho)
    return loss


@_compile
def solve_rows(
    indptr: NDArray[np.int64],  # (n_rows + 1,)
    columns: NDArray[np.int32],  # (nnz,)
    weight: Floats,  # (nnz,), below 0 of a dislike
    fixed: Fixed,  # (n_fixed, width)
    scale: float,  # what they are multiplied by there
    scales: Floats,  # (n_fixed,): what each is to be multiplied by; empty but for bytes
    units: Floats,  # (2, width): powers of two, those of each factor and one over them; likewise
    rows: Floats,  # (n_rows, width): where the iteration starts, and its result
    spectrum: Floats,  # (width,): the diagonal of G
    pulls: Floats,  # (last - first, width): rows first..last-1 times G; (0, width) if diagonal
    dense_scale: Floats,  # (n_rows,)
    regularization: Floats,  # (n_rows,)
    prior: Floats,  # (n_rows, width): what rows are regularized towards; (0, width): towards 0
    scratch: Floats,  # (N_SCRATCH, width)
    first: int,
    last: int,
    steps: int,
    tolerance: float,
    dislikes: bool | None = None,
) -> tuple[Number, Number, Number]:
    """Improve rows ``first..last-1`` in place, from where they are; return what they sum to.

    The dense part of a row is ``dense_scale * G + regularization``, above 0. A row without
    interactions becomes zero. Returned are the observed part of the loss, ``sum |w| (t - z.x)^2``
    after the last step with t 1, or 0 of a dislike, the penalty ``sum regularization |x - p|^2``,
    and the largest ``|x|^2``.
    """
    down = np.float32(1 / scale)
    columns, weight, fixed = borrowed(columns), borrowed(weight), borrowed(fixed)
    rows, spectrum, scratch = borrowed(rows), borrowed(spectrum), borrowed(scratch)
    pulls, prior = borrowed(pulls), borrowed(prior)
    scales, units = borrowed(scales), borrowed(units)
    dense, inverse, pull = scratch[0], scratch[1], scratch[2]
    residual, direction, image, kept = scratch[3], scratch[4], scratch[5], scratch[6:10]
    of_dense, of_inverse = dense, inverse
    if is_in_bytes(fixed):
        of_dense, of_inverse = scratch[10], scratch[11]
    observed: Number = 0.0
    penalty: Number = 0.0
    longest: Number = np.float32(0)
    times = plus = np.float32(-1)  # of the dense part as it is set; no row's is
    for row in range(first, last):
        start, stop = indptr[row], indptr[row + 1]
        x = rows[row]
        if start == stop:
            x[:] = np.float32(0)
            continue
        if dense_scale[row] != times or regularization[row] != plus:  # as of the row before, often
            times, plus = dense_scale[row], regularization[row]
            set_dense_part(spectrum, times, plus, dense, inverse)
            if is_in_bytes(fixed):
                change_units(units, dense, inverse, of_dense, of_inverse)
        of_row = prior[row : row + 1]
        set_pull(x, dense, pulls, row - first, dense_scale[row], regularization[row], of_row, pull)
        lowered: Number = np.float32(0)
        if tolerance > 0:
            lowered = loss_below_zero(weight, start, stop, x, pull, regularization[row], of_row)
        if is_in_bytes(fixed):
            scale_by(units[0], x, x)
            scale_by(units[1], pull, pull)
        observed += _solve_row(
            fixed, down, scales, columns, weight, start, stop, x, pull, of_dense, of_inverse,
            residual, direction, image, kept, lowered, steps, np.float32(tolerance), dislikes,
        )  # fmt: skip
        if is_in_bytes(fixed):
            scale_by(units[1], x, x)
        penalty += regularization[row] * square_of(x, of_row)
        longest = max(longest, inner_product(x, x))
    return observed, penalty, longest

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
flops. Columns are read in place; copying them into a buffer first was measured slower, as after the
first pass they are in the cache either way. Only that pass prefetches: in the later ones it would
take as long as the arithmetic. The last step needs only the dot
products, as its length follows from them, and so does what a step changes in the observed part of
the loss, whatever stood for the dense one. So one step costs 6, two cost 10 flops per column and
factor.

The first pass waits for memory, not for arithmetic. The epochs read columns in half precision,
which is half as many bytes.
"""

import numpy as np
from numpy.typing import NDArray

from recsys.base.jit import compiled
from recsys.base.simd import N_LANES, borrowed, load, per_line, prefetch, same, store, total
from recsys.models.als.columns import (
    Fixed,
    Floats,
    Number,
    aim,
    four_columns,
    four_scores,
    four_weights,
    inlined,
    size,
)

N_SCRATCH = 6  # vectors that solving a row needs; see `solve_rows`

_AHEAD = 16  # columns; of 4, 8, 16 and 24 the fastest, or as fast

_compile = compiled(fastmath=True)


@_compile
def halve_rows(
    vectors: Floats,  # (n_rows, width)
    scale: float,
    first: int,
    last: int,
    halves: Fixed,  # out, uint16 (n_rows, width)
) -> None:
    """Round rows ``first..last-1`` to half precision: in place, and into `halves` times `scale`.

    `scale` is a power of two that takes the largest of the vectors near the largest of float16.
    """
    up, down = same(np.float32(scale)), same(np.float32(1 / scale))
    for row in range(first, last):
        for f in range(0, vectors.shape[1], N_LANES):
            store(halves, (row, f), load(vectors, (row, f)) * up)
            store(vectors, (row, f), load(halves, (row, f)) * down)


@_compile
def _add_residual(
    fixed: Fixed,  # (n_fixed, width)
    down: Number,  # 1 / the scale of `fixed`
    columns: NDArray[np.int32],  # (nnz,), those of the row from start to stop
    weight: Floats,  # (nnz,), below 0 of a dislike
    start: int,
    stop: int,
    x: Floats,  # (width,)
    target: Number,  # what the scores should be: 1, or 0 for the image of a direction
    dislikes: bool | None,
    is_far: bool,  # the columns are in no cache yet
    out: Floats,  # (width,)
) -> Number:
    """Add ``Z' |w| (target - Z x)`` to out; return ``sum(|w| (target - Z x)^2)``."""
    loss: Number = np.float32(0)
    line = per_line(fixed)
    for j in range(start, stop, 4):
        for ahead in range(j + _AHEAD, min(j + _AHEAD + 4, columns.shape[0]) if is_far else 0):
            for f in range(0, x.shape[0], line):
                prefetch(fixed, (columns[ahead], f))
        four = four_columns(columns, j, stop)
        s0, s1, s2, s3 = four_scores(fixed, down, four, x)
        w0, w1, w2, w3 = four_weights(weight, j, stop)
        if dislikes is None:
            s0, s1, s2, s3 = target - s0, target - s1, target - s2, target - s3
        else:
            s0, s1 = aim(target, w0) - s0, aim(target, w1) - s1
            s2, s3 = aim(target, w2) - s2, aim(target, w3) - s3
            w0, w1, w2, w3 = size(w0), size(w1), size(w2), size(w3)
        w0, w1, w2, w3 = w0 * s0, w1 * s1, w2 * s2, w3 * s3
        loss += w0 * s0 + w1 * s1 + w2 * s2 + w3 * s3
        c0, c1, c2, c3 = four
        v0, v1, v2, v3 = same(w0 * down), same(w1 * down), same(w2 * down), same(w3 * down)
        for f in range(0, x.shape[0], N_LANES):
            added = load(fixed, (c0, f)) * v0 + load(fixed, (c1, f)) * v1
            added += load(fixed, (c2, f)) * v2 + load(fixed, (c3, f)) * v3
            store(out, f, load(out, f) + added)
    return loss


@_compile
def _squared_scores(
    fixed: Fixed,
    down: Number,
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
        s0, s1, s2, s3 = four_scores(fixed, down, four_columns(columns, j, stop), x)
        w0, w1, w2, w3 = four_weights(weight, j, stop)
        if dislikes is not None:
            w0, w1, w2, w3 = size(w0), size(w1), size(w2), size(w3)
        squares += w0 * s0 * s0 + w1 * s1 * s1 + w2 * s2 * s2 + w3 * s3 * s3
    return squares


@inlined
def _dense_part(
    spectrum: Floats, scale: Number, regularization: Number, dense: Floats, inverse: Floats
) -> None:
    """Set ``dense = scale * spectrum + regularization`` and its inverse."""
    times, plus, one = same(scale), same(regularization), same(np.float32(1))
    for f in range(0, dense.shape[0], N_LANES):
        part = times * load(spectrum, f) + plus
        store(dense, f, part)
        store(inverse, f, one / part)


@inlined
def _pull(
    x: Floats,
    dense: Floats,
    pulls: Floats,
    at: int,
    scale: Number,
    regularization: Number,
    prior: Floats,  # (n, width): its first row is that of this one, or there is none
    pull: Floats,
) -> None:
    """Set ``pull = scale * G x + regularization (x - prior)``, of ``G x = pulls[at]`` if given."""
    times, plus = same(scale), same(regularization)
    if pulls.shape[0] == 0:  # G is a diagonal
        for f in range(0, x.shape[0], N_LANES):
            store(pull, f, load(dense, f) * load(x, f))
    else:
        for f in range(0, x.shape[0], N_LANES):
            store(pull, f, times * load(pulls, (at, f)) + plus * load(x, f))
    if prior.shape[0] > 0:
        for f in range(0, x.shape[0], N_LANES):
            store(pull, f, load(pull, f) - plus * load(prior, (0, f)))


@inlined
def _start(pull: Floats, residual: Floats, direction: Floats) -> None:
    """Set the residual to that of the dense part, and the direction to zero."""
    zero = same(np.float32(0))
    for f in range(0, pull.shape[0], N_LANES):
        store(residual, f, zero - load(pull, f))
        store(direction, f, zero)


@inlined
def _precondition(
    residual: Floats, dense: Floats, inverse: Floats, beta: Number, direction: Floats
) -> Number:
    """Set ``direction = residual / dense + beta * direction``; return its squared length."""
    length, previous = same(np.float32(0)), same(beta)
    for f in range(0, residual.shape[0], N_LANES):
        next_direction = load(residual, f) * load(inverse, f) + previous * load(direction, f)
        store(direction, f, next_direction)
        length += load(dense, f) * next_direction * next_direction
    summed: Number = total(length)
    return summed


@inlined
def _dot(a: Floats, b: Floats) -> Number:
    """Return the dot product."""
    products = same(np.float32(0))
    for f in range(0, a.shape[0], N_LANES):
        products += load(a, f) * load(b, f)
    summed: Number = total(products)
    return summed


@inlined
def _square_of(x: Floats, prior: Floats) -> Number:
    """Return ``|x - prior|^2``; without a prior, that of x."""
    if prior.shape[0] == 0:
        return _dot(x, x)
    squares = same(np.float32(0))
    for f in range(0, x.shape[0], N_LANES):
        distance = load(x, f) - load(prior, (0, f))
        squares += distance * distance
    summed: Number = total(squares)
    return summed


@inlined
def _add(vector: Floats, alpha: Number, x: Floats) -> None:
    """Add ``alpha * vector`` to x."""
    times = same(alpha)
    for f in range(0, x.shape[0], N_LANES):
        store(x, f, load(x, f) + times * load(vector, f))


@inlined
def _lower(
    residual: Floats,
    alpha: Number,
    image: Floats,
    dense: Floats,
    inverse: Floats,
    direction: Floats,
    pull: Floats,
) -> Number:
    """Take a step's image from the residual; return ``residual' residual / dense``.

    `image` holds the negative of its observed part; the dense part goes to the pull as well.
    """
    times, rho = same(alpha), same(np.float32(0))
    for f in range(0, residual.shape[0], N_LANES):
        of_dense = load(dense, f) * load(direction, f)
        lowered = load(residual, f) + times * (load(image, f) - of_dense)
        store(residual, f, lowered)
        store(pull, f, load(pull, f) + times * of_dense)
        rho += lowered * lowered * load(inverse, f)
    summed: Number = total(rho)
    return summed


@inlined
def _solve_row(
    fixed: Fixed,
    down: Number,
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
    steps: int,
    tolerance: Number,
    dislikes: bool | None,
) -> Number:
    """Improve one row in place; return the observed part of its loss."""
    zero, one, two = np.float32(0), np.float32(1), np.float32(2)
    _start(pull, residual, direction)
    loss = _add_residual(
        fixed, down, columns, weight, start, stop, x, one, dislikes, True, residual
    )
    curvature = _precondition(residual, dense, inverse, zero, direction)
    # Of the first direction, rho and the dense part of the curvature are both r' r / dense.
    rho = np.float32(curvature)
    enough = tolerance * tolerance * rho
    for step in range(steps):
        is_last = step + 1 == steps
        if is_last:
            squares = _squared_scores(
                fixed, down, columns, weight, start, stop, direction, dislikes
            )
        else:
            image[:] = zero
            squares = _add_residual(
                fixed, down, columns, weight, start, stop, direction, zero, dislikes, False, image
            )
        curvature += squares
        if not curvature > zero:  # solved as exactly as float32 can
            break
        alpha = rho / curvature
        # The observed part of the residual is r + pull, and p' r is rho.
        loss -= alpha * (two * (rho + _dot(direction, pull)) - alpha * squares)
        _add(direction, alpha, x)
        if is_last:
            break
        next_rho = _lower(residual, alpha, image, dense, inverse, direction, pull)
        if next_rho <= enough:
            break
        curvature = _precondition(residual, dense, inverse, next_rho / rho, direction)
        rho = np.float32(next_rho)
    return loss


@_compile
def solve_rows(
    indptr: NDArray[np.int64],  # (n_rows + 1,)
    columns: NDArray[np.int32],  # (nnz,)
    weight: Floats,  # (nnz,), below 0 of a dislike
    fixed: Fixed,  # (n_fixed, width)
    scale: float,
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
    dense, inverse, pull = scratch[0], scratch[1], scratch[2]
    residual, direction, image = scratch[3], scratch[4], scratch[5]
    observed: Number = 0.0
    penalty: Number = 0.0
    longest: Number = np.float32(0)
    for row in range(first, last):
        start, stop = indptr[row], indptr[row + 1]
        x = rows[row]
        if start == stop:
            x[:] = np.float32(0)
            continue
        _dense_part(spectrum, dense_scale[row], regularization[row], dense, inverse)
        of_row = prior[row : row + 1]
        _pull(x, dense, pulls, row - first, dense_scale[row], regularization[row], of_row, pull)
        observed += _solve_row(
            fixed,
            down,
            columns,
            weight,
            start,
            stop,
            x,
            pull,
            dense,
            inverse,
            residual,
            direction,
            image,
            steps,
            np.float32(tolerance),
            dislikes,
        )
        penalty += regularization[row] * _square_of(x, of_row)
        longest = max(longest, _dot(x, x))
    return observed, penalty, longest

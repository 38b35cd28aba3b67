"""What a row's steps of conjugate gradients do to vectors as long as it: all but the columns."""

import numpy as np

from recsys.base.simd import N_LANES, load, same, store, total
from recsys.models.als.columns import Floats, Number, inlined


@inlined
def set_dense_part(
    spectrum: Floats, scale: Number, regularization: Number, dense: Floats, inverse: Floats
) -> None:
    """Set ``dense = scale * spectrum + regularization`` and its inverse."""
    times, plus, one = same(scale), same(regularization), same(np.float32(1))
    for f in range(0, dense.shape[0], N_LANES):
        part = times * load(spectrum, f) + plus
        store(dense, f, part)
        store(inverse, f, one / part)


@inlined
def scale_by(units: Floats, vector: Floats, out: Floats) -> None:
    """Set ``out = units * vector``."""
    for f in range(0, vector.shape[0], N_LANES):
        store(out, f, load(units, f) * load(vector, f))


@inlined
def change_units(
    units: Floats, dense: Floats, inverse: Floats, of_dense: Floats, of_inverse: Floats
) -> None:
    """Set ``of_dense = dense / units^2`` and its inverse; `units` is as in `solve_rows`."""
    for f in range(0, dense.shape[0], N_LANES):
        up, down = load(units, (0, f)), load(units, (1, f))
        store(of_dense, f, load(dense, f) * down * down)
        store(of_inverse, f, load(inverse, f) * up * up)


@inlined
def set_pull(
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
def set_start(pull: Floats, residual: Floats, direction: Floats) -> None:
    """Set the residual to that of the dense part, and the direction to zero."""
    zero = same(np.float32(0))
    for f in range(0, pull.shape[0], N_LANES):
        store(residual, f, zero - load(pull, f))
        store(direction, f, zero)


@inlined
def precondition(
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
def inner_product(a: Floats, b: Floats) -> Number:
    """Return the dot product."""
    products = same(np.float32(0))
    for f in range(0, a.shape[0], N_LANES):
        products += load(a, f) * load(b, f)
    summed: Number = total(products)
    return summed


@inlined
def square_of(x: Floats, prior: Floats) -> Number:
    """Return ``|x - prior|^2``; without a prior, that of x."""
    if prior.shape[0] == 0:
        return inner_product(x, x)
    squares = same(np.float32(0))
    for f in range(0, x.shape[0], N_LANES):
        distance = load(x, f) - load(prior, (0, f))
        squares += distance * distance
    summed: Number = total(squares)
    return summed


@inlined
def add_times(vector: Floats, alpha: Number, x: Floats) -> None:
    """Add ``alpha * vector`` to x."""
    times = same(alpha)
    for f in range(0, x.shape[0], N_LANES):
        store(x, f, load(x, f) + times * load(vector, f))


@inlined
def take_step(
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
def loss_below_zero(
    weight: Floats,
    start: int,
    stop: int,
    x: Floats,
    pull: Floats,
    regularization: Number,
    prior: Floats,
) -> Number:
    """Return the row's loss at zero, less the dense part of its loss at x."""
    liked: Number = np.float32(0)
    for j in range(start, stop):
        liked += max(weight[j], np.float32(0))
    lowered = liked - inner_product(x, pull)
    if prior.shape[0] > 0:
        lowered += regularization * inner_product(x, prior[0])
    return lowered

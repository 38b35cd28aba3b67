"""Four columns of a row at a time: their numbers, weights and dot products, for the row solver."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from recsys.base.simd import is_in_halves, load, load_low, same, store

Floats = NDArray[np.float32]
Fixed = NDArray[np.float32] | NDArray[np.uint32]  # the latter holds halves, see `halve_rows`
Number = float | np.floating[Any]  # a compiled function infers the type of a scalar
Four = tuple[Number, Number, Number, Number]
FourLanes = tuple[Any, Any, Any, Any]
FourColumns = tuple[int, int, int, int]

inlined = njit(inline="always", fastmath=True, boundscheck=False, error_model="numpy")


@inlined
def _entry(array: NDArray[Any], i: int) -> Any:
    """Return ``array[i]``; of a signed i, Numba would look whether it counts from the end."""
    return array[np.uint64(i)]


@inlined
def four_columns(columns: NDArray[np.int32], j: int, stop: int) -> FourColumns:
    """Return four columns from j; repeat the last column past the end."""
    end = stop - 1
    return (
        _entry(columns, j),
        _entry(columns, min(j + 1, end)),
        _entry(columns, min(j + 2, end)),
        _entry(columns, min(j + 3, end)),
    )


@inlined
def four_weights(weight: Floats, j: int, stop: int) -> Four:
    """Return four weights from j; 0 past the end."""
    zero = np.float32(0)
    return (
        _entry(weight, j),
        _entry(weight, j + 1) if j + 1 < stop else zero,
        _entry(weight, j + 2) if j + 2 < stop else zero,
        _entry(weight, j + 3) if j + 3 < stop else zero,
    )


@inlined
def aim(target: Number, w: Number) -> Number:
    """Return what a score should be: 0 where the weight says a dislike."""
    return target if w > np.float32(0) else np.float32(0)


@inlined
def size(w: Number) -> Number:
    """Return the size of a weight."""
    found: Number = np.abs(w)
    return found


@inlined
def no_products() -> FourLanes:
    """Return where the dot products of four columns begin."""
    zero = same(np.float32(0))
    return zero, zero, zero, zero


@inlined
def add_products(
    fixed: Fixed, four: FourColumns, f: int, x: Floats, so_far: FourLanes
) -> FourLanes:
    """Add the products of four columns with x, of 16 entries of `fixed` from f on."""
    c0, c1, c2, c3 = four
    s0, s1, s2, s3 = so_far
    part = load(x, f)
    s0 += load(fixed, (c0, f)) * part
    s1 += load(fixed, (c1, f)) * part
    s2 += load(fixed, (c2, f)) * part
    s3 += load(fixed, (c3, f)) * part
    if is_in_halves(fixed):
        part = load(x, f + fixed.shape[1])
        s0 += load_low(fixed, (c0, f)) * part
        s1 += load_low(fixed, (c1, f)) * part
        s2 += load_low(fixed, (c2, f)) * part
        s3 += load_low(fixed, (c3, f)) * part
    return s0, s1, s2, s3


@inlined
def add_columns(fixed: Fixed, four: FourColumns, f: int, times: FourLanes, out: Floats) -> None:
    """Add four columns, each so many times, to out, of 16 entries of `fixed` from f on."""
    c0, c1, c2, c3 = four
    v0, v1, v2, v3 = times
    added = load(fixed, (c0, f)) * v0 + load(fixed, (c1, f)) * v1
    added += load(fixed, (c2, f)) * v2 + load(fixed, (c3, f)) * v3
    store(out, f, load(out, f) + added)
    if is_in_halves(fixed):
        low = f + fixed.shape[1]
        added = load_low(fixed, (c0, f)) * v0 + load_low(fixed, (c1, f)) * v1
        added += load_low(fixed, (c2, f)) * v2 + load_low(fixed, (c3, f)) * v3
        store(out, low, load(out, low) + added)

"""Four columns of a row at a time: their numbers, weights and dot products, for the row solver."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from recsys.base.simd import N_LANES, four_totals, load, per_line, same, store

Floats = NDArray[np.float32]
Fixed = NDArray[np.float32] | NDArray[np.uint16] | NDArray[np.int8]  # rounded, if not the first
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
def is_rounded(fixed: Fixed) -> bool:
    """Return whether columns are in half precision or in bytes, known when compiled."""
    found: bool = per_line(fixed) > N_LANES
    return found


@inlined
def is_in_bytes(fixed: Fixed) -> bool:
    """Return whether columns are in bytes, known when compiled."""
    found: bool = per_line(fixed) > 2 * N_LANES
    return found


@inlined
def four_scales(fixed: Fixed, down: Number, scales: Floats, four: FourColumns) -> Four:
    """Return what numbers of four columns are multiplied by: each by its own, or all by `down`."""
    if is_in_bytes(fixed):
        c0, c1, c2, c3 = four
        return _entry(scales, c0), _entry(scales, c1), _entry(scales, c2), _entry(scales, c3)
    return down, down, down, down


@inlined
def no_products() -> FourLanes:
    """Return where the dot products of four columns begin."""
    zero = same(np.float32(0))
    return zero, zero, zero, zero


@inlined
def add_products(
    fixed: Fixed, four: FourColumns, f: int, x: Floats, kept: Floats, so_far: FourLanes
) -> FourLanes:
    """Add the products of 16 numbers of four columns with those of x; keep what is rounded.

    Kept it is float32, so that it is converted once for two uses.
    """
    part = load(x, f)
    z0, z1 = load(fixed, (four[0], f)), load(fixed, (four[1], f))
    z2, z3 = load(fixed, (four[2], f)), load(fixed, (four[3], f))
    if is_rounded(fixed):
        store(kept, (0, f), z0)
        store(kept, (1, f), z1)
        store(kept, (2, f), z2)
        store(kept, (3, f), z3)
    s0, s1, s2, s3 = so_far
    return s0 + z0 * part, s1 + z1 * part, s2 + z2 * part, s3 + z3 * part


@inlined
def add_columns(
    fixed: Fixed, four: FourColumns, f: int, kept: Floats, times: FourLanes, out: Floats
) -> None:
    """Add 16 numbers of four columns, whose products were added last, to out so many times."""
    v0, v1, v2, v3 = times
    if is_rounded(fixed):
        added = load(kept, (0, f)) * v0 + load(kept, (1, f)) * v1
        added += load(kept, (2, f)) * v2 + load(kept, (3, f)) * v3
    else:
        added = load(fixed, (four[0], f)) * v0 + load(fixed, (four[1], f)) * v1
        added += load(fixed, (four[2], f)) * v2 + load(fixed, (four[3], f)) * v3
    store(out, f, load(out, f) + added)


@inlined
def four_scores(fixed: Fixed, down: Number, scales: Floats, four: FourColumns, x: Floats) -> Four:
    """Return the dot products of four columns with x."""
    c0, c1, c2, c3 = four
    s0 = s1 = s2 = s3 = same(np.float32(0))
    for f in range(0, x.shape[0], N_LANES):
        part = load(x, f)
        s0 += load(fixed, (c0, f)) * part
        s1 += load(fixed, (c1, f)) * part
        s2 += load(fixed, (c2, f)) * part
        s3 += load(fixed, (c3, f)) * part
    t0, t1, t2, t3 = four_totals(s0, s1, s2, s3)
    d0, d1, d2, d3 = four_scales(fixed, down, scales, four)
    return t0 * d0, t1 * d1, t2 * d2, t3 * d3

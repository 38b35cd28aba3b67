"""The scan: whoever can be among the best of some blocks, by scores in 8 bits and their bounds."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from recsys.compiled.heap import push, replace_least
from recsys.compiled.integers import (
    OFFSET,
    add_products,
    as_floats,
    count_bits,
    load_ints,
    lowest_bit,
    same_int,
    which_reach,
)
from recsys.compiled.simd import N_LANES, borrowed, load, prefetch, same, store
from recsys.index.memory import Catalogue, Floats, Ints, Masks, Query, Scratch

ROUNDING = 1e-5
"""What float32 may add to a dot product, as a share of the norms; the bounds allow for it."""

LARGEST_CODE = 127

# Without "nnan": a damaged file may hold what is no number, and must not lead astray.
FASTMATH = {"contract", "reassoc", "nsz"}
_inline = njit(fastmath=FASTMATH, boundscheck=False, error_model="numpy")


@_inline
def allow(allowed: Masks, exclude: Ints, position: Ints, mask: Masks) -> int:
    """Copy the mask, take out the excluded rows, and return how many are left."""
    n = 0
    for block in range(len(allowed)):
        bits = np.uint32(allowed[block])
        mask[block] = bits
        n += count_bits(bits)
    for row in exclude:
        if 0 <= row < len(position) and 0 <= position[row] < len(position):
            n -= take_out(mask, position[row])
    return n


@_inline
def take_out(mask: Masks, at: int) -> int:
    """Clear the bit of a position; return 1 if it was set, else 0."""
    bits, bit = mask[at >> 4], np.uint16(1 << (at & 15))
    if bits & bit:
        mask[at >> 4] = bits & ~bit
        return 1
    return 0


@_inline
def encode(user: Floats, code: NDArray[np.int8]) -> Query:
    """Write the user in 8 bits."""
    largest = np.float32(0)
    for f in range(len(user)):
        largest = max(largest, abs(user[f]))
    step = largest / np.float32(LARGEST_CODE)
    up = np.float32(1) / step if step > 0 else np.float32(0)
    norm = error = 0.0
    for f in range(len(user)):
        rounded = np.rint(user[f] * up)
        code[f] = np.int8(rounded)
        norm += np.float64(user[f]) ** 2
        error += np.float64(user[f] - rounded * step) ** 2
    return Query(np.float64(step), np.sqrt(norm), np.sqrt(error))


@_inline
def reach_of(catalogue: Catalogue, query: Query, block: int) -> float:
    """Return what no score in this block or a later one exceeds."""
    return np.float64(query.norm * catalogue.norms[block] * (1 + ROUNDING))


@_inline
def slack_of(catalogue: Catalogue, query: Query, block: int) -> np.float32:
    """Return how far the scores by code can be from those of the embeddings, in a block.

    With codes x' and y' of x and y: ``x y - x' y' = x (y - y') + (x - x') y'``.
    """
    norm, error = np.float64(catalogue.norms[block]), np.float64(catalogue.errors[block])
    slack = query.norm * (error + ROUNDING * norm) + query.error * (norm + error)
    return np.float32(slack)


@_inline
def keep(floors: Floats, n: int, score: np.float32) -> None:
    """Take a score, the n-th found, into the best so far, of which `floors` is the min-heap."""
    if n < len(floors):
        push(floors, n, score)
    elif score > floors[0]:
        replace_least(floors, len(floors), score)


@_inline
def scan(
    catalogue: Catalogue,
    scratch: Scratch,
    query: Query,
    first: int,
    last: int,
    floors: Floats,
    n: int,
) -> int:
    """Add whoever can be among the best of blocks ``first..last-1``; return how many are found."""
    codes, scales = borrowed(catalogue.codes), borrowed(catalogue.scales)
    packed, lanes, mask = borrowed(scratch.packed), borrowed(scratch.lanes), borrowed(scratch.mask)
    k, width = len(floors), len(packed)
    offset = 0
    for f in range(len(scratch.query)):
        offset -= OFFSET * scratch.query[f]
    step = same(np.float32(query.step))
    for block in range(first, last):
        wanted = np.uint32(mask[block])
        if wanted == 0:
            continue
        floor = floors[0] if n >= k else np.float32(-np.inf)
        if reach_of(catalogue, query, block) < floor:
            break
        sums = same_int(offset)
        for f in range(width):
            sums = add_products(sums, load_ints(codes, (block, f, 0)), packed[f])
        estimates = as_floats(sums) * load(scales, (block, width, 0)) * step
        slack = slack_of(catalogue, query, block)
        hits = which_reach(estimates, same(floor - slack)) & wanted
        if hits == 0:
            continue
        store(lanes, 0, estimates)
        while hits != 0:
            lane = lowest_bit(hits)
            hits &= hits - np.uint32(1)
            scratch.found[n] = N_LANES * block + lane
            scratch.lowest[n] = lanes[lane] - slack
            keep(floors, n, lanes[lane] - slack)
            n += 1
    return n


@_inline
def ask_for(items: Floats, row: int) -> None:
    """Ask for the embedding of a row ahead of its use."""
    for f in range(0, items.shape[1], N_LANES):
        prefetch(items, (row, f))


@_inline
def row_at(catalogue: Catalogue, at: int) -> int:
    """Return the row at a position; some row, where a damaged file names none."""
    return max(0, min(int(catalogue.row[at]), len(catalogue.items) - 1))


@_inline
def score_of(catalogue: Catalogue, row: int, user: Floats) -> np.float32:
    """Return the score of a row, which depends on nothing but its embedding and the user."""
    score = np.float32(0)
    for f in range(len(user)):
        score += catalogue.items[row, f] * user[f]
    if len(catalogue.factor):
        score *= catalogue.factor[row]
    return score

"""The pass that answers a query, compiled: score in 8 bits, search the forest, rescore, rank.

Items stand in the order of their norms, largest first, and sixteen of them in a block. The scan
scores block by block in 8 bits. What rounding can have added or taken is bounded, so that

- an item whose score is surely below k others' is dropped,
- a block whose norm is too small for anybody in it to enter the list ends the scan: by the
  inequality of Cauchy and Schwarz no score exceeds the product of the norms, and all later norms
  are smaller,
- the few that are left are scored in float32 from the embeddings, and ranked.

So a scan of all blocks gives the exact list. Behind the head an Annoy forest may stand for the
rest of the scan. It is walked here, not by Annoy: candidates then are checked against the mask,
scored and ranked as they come, without a list of Python's, and a damaged file can lead nowhere but
to other nodes of the forest.
"""


import numpy as np
from numba import njit
from numpy.typing import NDArray

from recsys.compiled.heap import key_of, number_of, payload_of, push, replace_least, sort_descending
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
from recsys.index.memory import Catalogue, Floats, Forest, Ints, Masks, Query, Scratch

ROUNDING = 1e-5
"""What float32 may add to a dot product, as a share of the norms; the bounds allow for it."""

LARGEST_CODE = 127

_AHEAD = 8  # rows asked for before they are scored
_NODE_HEAD = 3  # numbers of a node before its vector: descendants, two children

# Without "nnan": a damaged file may hold what is no number, and must not lead astray.
_FASTMATH = {"contract", "reassoc", "nsz"}
_inline = njit(fastmath=_FASTMATH, boundscheck=False, error_model="numpy")
_compile = njit(nogil=True, fastmath=_FASTMATH, boundscheck=False, error_model="numpy", cache=True)


@_compile
def search(
    catalogue: Catalogue,
    forest: Forest,
    scratch: Scratch,
    user: Floats,
    k: int,
    allowed: Masks,
    exclude: Ints,
    n_head: int,
    search_k: int,
) -> tuple[Ints, Floats]:
    """Return the rows and scores of the best allowed items that are not excluded.

    Parameters
    ----------
    catalogue : Catalogue
    forest : Forest
    scratch : Scratch
    user : float32 (factors,)
    k : int
    allowed : uint16 (n_blocks,)
        A bit for each position.
    exclude : int32 (n_excluded,)
        Rows; those beyond the catalogue say nothing.
    n_head : int
        Blocks to scan before the forest.
    search_k : int
        Candidates to take from the forest; 0 scans everything.

    Returns
    -------
    rows : int32 (n_found,)
    scores : float32 (n_found,)
    """
    k = min(k, allow(allowed, exclude, catalogue.position, scratch.mask))
    floors = np.empty(max(k, 0), np.float32)
    if k < 1:
        return np.empty(0, np.int32), floors
    query, n_blocks = encode(user, scratch.query), len(catalogue.norms)
    n = scan(catalogue, scratch, query, 0, n_head, floors, 0)
    if n_head < n_blocks and (n < k or reach_of(catalogue, query, n_head) >= floors[0]):
        if search_k > 0:
            n = walk(catalogue, forest, scratch, user, search_k, floors, n)
        if search_k == 0 or n < k:  # whoever was found is no longer in the mask
            n = scan(catalogue, scratch, query, n_head, n_blocks, floors, n)
    return ranked(catalogue, scratch, query, user, floors, n)


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
def walk(
    catalogue: Catalogue,
    forest: Forest,
    scratch: Scratch,
    user: Floats,
    search_k: int,
    floors: Floats,
    n: int,
) -> int:
    """Add up to `search_k` candidates of the forest, with their scores; return how many are found.

    Nodes are visited as Annoy does it: the next is the one for which the least margin on the way
    to it is the largest, over all trees.
    """
    nodes, mask = borrowed(forest.nodes), borrowed(scratch.mask)
    factors = len(user)
    leaf_size = factors + 1 + 2  # children of a node where the normal would be
    most_visits = search_k + 64 * len(forest.roots)
    queue = np.empty(len(forest.roots) + most_visits + 1, np.int64)
    waiting = 0
    for root in forest.roots:
        push(queue, waiting, -key_of(np.float32(np.inf), root))
        waiting += 1
    leaves = np.empty(search_k + leaf_size, np.int32)
    n_leaves = 0
    for _ in range(most_visits):
        if waiting == 0 or n_leaves >= search_k:
            break
        key = -queue[0]
        waiting -= 1
        replace_least(queue, waiting, queue[waiting])
        node = payload_of(key)
        n_below = nodes[node, 0]
        if node < forest.n_items:
            n_leaves = offer(leaves, n_leaves, forest.first + node, mask)
        elif n_below <= leaf_size:
            for child in range(n_below):
                item = nodes[node, 1 + child]
                if 0 <= item < forest.n_items:
                    n_leaves = offer(leaves, n_leaves, forest.first + item, mask)
        else:
            margin = np.float32(0)
            for f in range(factors):
                margin += forest.normals[node, _NODE_HEAD + f] * user[f]
            so_far = number_of(key)
            for child in range(2):  # child 1 lies where the margin is positive
                margin = -margin
                below = nodes[node, 1 + child]
                if 0 <= below < len(nodes):
                    push(queue, waiting, -key_of(min(so_far, margin), below))
                    waiting += 1
    return score_leaves(catalogue, scratch, user, leaves, n_leaves, floors, n)


@_inline
def offer(leaves: Ints, n: int, at: int, mask: Masks) -> int:
    """Add a position that is still in the mask, and take it out there."""
    if take_out(mask, at) == 0:
        return n
    leaves[n] = at
    return n + 1


@_inline
def score_leaves(
    catalogue: Catalogue,
    scratch: Scratch,
    user: Floats,
    leaves: Ints,
    n_leaves: int,
    floors: Floats,
    n: int,
) -> int:
    """Score positions exactly, and add those that can be among the best."""
    for j in range(n_leaves):
        if j + _AHEAD < n_leaves:
            ask_for(catalogue.items, row_at(catalogue, leaves[j + _AHEAD]))
        score = score_of(catalogue, row_at(catalogue, leaves[j]), user)
        if n < len(floors) or score >= floors[0]:
            scratch.found[n] = ~leaves[j]
            scratch.lowest[n] = score
            keep(floors, n, score)
            n += 1
    return n


@_inline
def ranked(
    catalogue: Catalogue,
    scratch: Scratch,
    query: Query,
    user: Floats,
    floors: Floats,
    n: int,
) -> tuple[Ints, Floats]:
    """Score exactly whoever can be among the best, and return these in order."""
    found, lowest = borrowed(scratch.found), borrowed(scratch.lowest)
    k, n_left = len(floors), 0
    floor = floors[0] if n >= k else np.float32(-np.inf)
    for j in range(n):
        at = found[j]
        if at < 0 or lowest[j] + 2 * slack_of(catalogue, query, at >> 4) >= floor:
            found[n_left], lowest[n_left] = at, lowest[j]
            n_left += 1
    keys, n_keys = np.empty(min(k, n_left), np.int64), 0
    for j in range(n_left):
        at, score = found[j], lowest[j]
        if j + _AHEAD < n_left and found[j + _AHEAD] >= 0:
            ask_for(catalogue.items, row_at(catalogue, found[j + _AHEAD]))
        row = row_at(catalogue, at if at >= 0 else ~at)
        if at >= 0:
            score = score_of(catalogue, row, user)
        key = key_of(score, row)
        if n_keys < len(keys):
            push(keys, n_keys, key)
            n_keys += 1
        elif key > keys[0]:
            replace_least(keys, n_keys, key)
    sort_descending(keys, n_keys)
    rows, scores = np.empty(n_keys, np.int32), np.empty(n_keys, np.float32)
    for j in range(n_keys):
        rows[j], scores[j] = payload_of(keys[j]), number_of(keys[j])
    return rows, scores


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

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
from recsys.compiled.simd import borrowed
from recsys.index.memory import Catalogue, Floats, Forest, Ints, Masks, Query, Scratch
from recsys.index.scan import (
    FASTMATH,
    allow,
    ask_for,
    encode,
    keep,
    reach_of,
    row_at,
    scan,
    score_of,
    slack_of,
    take_out,
)

_AHEAD = 8  # rows asked for before they are scored
_NODE_HEAD = 3  # numbers of a node before its vector: descendants, two children

_inline = njit(fastmath=FASTMATH, boundscheck=False, error_model="numpy")
_compile = njit(nogil=True, fastmath=FASTMATH, boundscheck=False, error_model="numpy", cache=True)


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


@_compile
def search_many(
    catalogue: Catalogue,
    forest: Forest,
    scratch: Scratch,
    users: Floats,
    k: int,
    allowed: Masks,
    starts: NDArray[np.int64],
    exclude: Ints,
    n_head: int,
    search_k: int,
    rows: Ints,
    scores: Floats,
) -> None:
    """Search for many users; see `search`.

    Parameters
    ----------
    users : float32 (n, factors)
    starts : int64 (n + 1,)
        User j must not get ``exclude[starts[j]:starts[j + 1]]``.
    exclude : int32
    rows, scores : int32 and float32 (n, k)
        Written to; behind the end of a short list stand -1 and minus infinity.
    """
    for j in range(len(users)):
        left_out = exclude[starts[j] : starts[j + 1]]
        found, best = search(
            catalogue, forest, scratch, users[j], k, allowed, left_out, n_head, search_k
        )
        n = len(found)
        rows[j, :n], scores[j, :n] = found, best
        rows[j, n:], scores[j, n:] = -1, -np.inf


@_compile
def rank(catalogue: Catalogue, user: Floats, rows: Ints, k: int) -> tuple[Ints, Floats]:
    """Score some rows exactly, and return the best k in order.

    Parameters
    ----------
    catalogue : Catalogue
    user : float32 (factors,)
    rows : int32 (n,)
        None of them twice.
    k : int
    """
    keys, n = np.empty(max(min(k, len(rows)), 0), np.int64), 0
    for j in range(len(rows)):
        if j + _AHEAD < len(rows):
            ask_for(catalogue.items, rows[j + _AHEAD])
        n = keep_key(keys, n, key_of(score_of(catalogue, rows[j], user), rows[j]))
    return in_order(keys, n)


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
        n_keys = keep_key(keys, n_keys, key_of(score, row))
    return in_order(keys, n_keys)


@_inline
def keep_key(keys: NDArray[np.int64], n: int, key: np.int64) -> int:
    """Take a key into the largest so far, a min-heap of n; return how many it holds then."""
    if n < len(keys):
        push(keys, n, key)
        return n + 1
    if n > 0 and key > keys[0]:
        replace_least(keys, n, key)
    return n


@_inline
def in_order(keys: NDArray[np.int64], n: int) -> tuple[Ints, Floats]:
    """Return the rows and scores of a min-heap of keys, best first."""
    sort_descending(keys, n)
    rows, scores = np.empty(n, np.int32), np.empty(n, np.float32)
    for j in range(n):
        rows[j], scores[j] = payload_of(keys[j]), number_of(keys[j])
    return rows, scores

"""Several events of one user with one item, of which one weight is made."""

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.mapped import Array, ascends, beside, parts
from recsys.logs.order import last_of_each
from recsys.settings import DuplicatePolicy


def merged(
    user_idx: NDArray[np.int32],
    item_idx: NDArray[np.int32],
    weight: NDArray[np.float32],
    timestamp: NDArray[np.int64] | None,
    duplicates: DuplicatePolicy,
    shape: tuple[int, int],
) -> sp.csr_array:
    """Return the weights of events as a matrix with one entry per pair, see `user_items`."""
    from recsys.base.packing import packed  # compiled, which not every command needs

    if duplicates == "last" and timestamp is not None and not ascends(timestamp):
        kept = last_of_each(user_idx.astype(np.int64) * shape[1] + item_idx, timestamp)
        user_idx, item_idx, weight = user_idx[kept], item_idx[kept], weight[kept]
    return packed(user_idx, item_idx, weight, shape, "sum" if duplicates == "count" else duplicates)


def merged_with_dislikes(
    user_idx: NDArray[np.int32],
    item_idx: NDArray[np.int32],
    weight: NDArray[np.float32],
    timestamp: NDArray[np.int64] | None,
    duplicates: DuplicatePolicy,
    shape: tuple[int, int],
) -> sp.csr_array:
    """Return the weights of events, below 0 of dislikes, as a matrix with one entry per pair.

    "sum" and "count" take dislikes from likes; a pair of which nothing is left is a dislike of next
    to no weight, as it was seen. "last" takes the latest event, "max" the one of the largest size;
    of equals, the last of the arrays.
    """
    from recsys.base.packing import packed  # compiled, which not every command needs
    from recsys.base.signed import SMALLEST

    if duplicates != "max":
        matrix = merged(user_idx, item_idx, weight, timestamp, duplicates, shape)
    else:
        matrix = packed(user_idx, item_idx, weight, shape, "strongest")
    for part in parts(matrix.nnz):
        data = matrix.data[part]
        data[data == 0] = -SMALLEST
    return matrix


def joined(first: Array, second: Array) -> Array:
    """Return one array after the other, where the first one lies."""
    both = beside(first, len(first) + len(second), first.dtype)
    both[: len(first)], both[len(first) :] = first, second
    return both

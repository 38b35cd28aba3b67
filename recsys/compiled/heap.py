"""Heaps in plain arrays, and numbers with a payload that sort like the pair."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from recsys.compiled.integers import bits_of, float_of

_inline = njit(boundscheck=False, error_model="numpy")

_ALL_BUT_SIGN = 0x7FFFFFFF


@_inline
def push(heap: NDArray[Any], n: int, value: Any) -> None:
    """Add a value to the min-heap ``heap[:n]``, which has room for one more."""
    place = n
    while place > 0:
        above = (place - 1) >> 1
        if heap[above] <= value:
            break
        heap[place] = heap[above]
        place = above
    heap[place] = value


@_inline
def replace_least(heap: NDArray[Any], n: int, value: Any) -> None:
    """Put a value in the place of the least of the min-heap ``heap[:n]``."""
    place = 0
    while True:
        below = 2 * place + 1
        if below >= n:
            break
        if below + 1 < n and heap[below + 1] < heap[below]:
            below += 1
        if heap[below] >= value:
            break
        heap[place] = heap[below]
        place = below
    heap[place] = value


@_inline
def sort_descending(heap: NDArray[Any], n: int) -> None:
    """Sort the min-heap ``heap[:n]``, in place."""
    while n > 1:
        n -= 1
        least = heap[0]
        replace_least(heap, n, heap[n])
        heap[n] = least


@_inline
def key_of(number: np.float32, payload: int) -> np.int64:
    """Return an integer that sorts by the number, and equal numbers by lower payload first.

    Parameters
    ----------
    number : float32
    payload : int
        0 or more, below 2^31.
    """
    bits = np.int64(bits_of(number + np.float32(0)))  # -0 becomes 0
    # The bits of negative floats sort backwards; flipped, all of them sort like the numbers.
    ascending = bits ^ ((bits >> 31) & _ALL_BUT_SIGN)
    return np.int64((ascending << 32) | (_ALL_BUT_SIGN - payload))


@_inline
def number_of(key: np.int64) -> np.float32:
    """Return the number of a key."""
    ascending = np.int64(key >> 32)
    number: np.float32 = float_of(np.int32(ascending ^ ((ascending >> 31) & _ALL_BUT_SIGN)))
    return number


@_inline
def payload_of(key: np.int64) -> int:
    """Return the payload of a key."""
    return int(_ALL_BUT_SIGN - (key & _ALL_BUT_SIGN))

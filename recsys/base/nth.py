"""Selection in compiled code: what stands at a place in ascending order."""

from typing import Any

from recsys.base.jit import compiled


@compiled()
def nth(values: Any, n: int) -> Any:
    """Return what stands at place n in ascending order (Hoare's find); the values change places.

    Those before place n are not larger afterwards, and those behind it not smaller. `np.partition`
    would do, but compiling it takes seconds.
    """
    low, high = 0, len(values) - 1
    while low < high:
        pivot, left, right = values[(low + high) // 2], low, high
        while left <= right:
            while values[left] < pivot:
                left += 1
            while values[right] > pivot:
                right -= 1
            if left <= right:
                values[left], values[right] = values[right], values[left]
                left += 1
                right -= 1
        if n <= right:
            high = right
        elif n >= left:
            low = left
        else:
            break
    return values[n]

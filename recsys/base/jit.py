"""Functions that Numba compiles at their first call and keeps in a cache; `nth`, for all rooms."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def compiled(**options: Any) -> Callable[[F], F]:
    """Return a decorator that compiles a function, without the GIL and without bounds checks.

    The machine code is kept next to the source, else in the cache folder of the user
    (``NUMBA_CACHE_DIR`` names another). Where neither can be written, as in a read-only
    container, every process compiles again.
    """
    settings = {"nogil": True, "boundscheck": False, "error_model": "numpy", **options}

    def decorate(function: F) -> F:
        try:
            found: F = njit(cache=True, **settings)(function)
        except RuntimeError:  # no folder for a cache
            found = njit(**settings)(function)
        return found

    return decorate


def keep_compiled(function: Any) -> None:
    """Have Numba keep what it compiles of a function of another package, where that can be written.

    A function that is not one of Numba stays as it is.
    """
    with suppress(AttributeError, RuntimeError):
        function.enable_caching()


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

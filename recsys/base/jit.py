"""Functions that Numba compiles at their first call and keeps in a cache on the disk."""

from collections.abc import Callable
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

"""Functions that Numba compiles when they are first called, and keeps."""

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def compiled(**options: Any) -> Callable[[F], F]:
    """Return a decorator that compiles a function, without Python's lock and checks of bounds.

    The machine code is kept beside the source, or else in the cache of the user
    (``NUMBA_CACHE_DIR`` names another folder). Where neither can be written, as in a container
    that is read-only, it is made anew in every process.
    """
    settings = {"nogil": True, "boundscheck": False, "error_model": "numpy", **options}

    def decorate(function: F) -> F:
        try:
            found: F = njit(cache=True, **settings)(function)
        except RuntimeError:  # there is no place for a cache
            found = njit(**settings)(function)
        return found

    return decorate

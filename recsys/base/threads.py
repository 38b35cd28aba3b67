"""Threads whose number never changes a result: the work is cut into the same ranges for any."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from recsys.base.process import usable_cores

S = TypeVar("S")
T = TypeVar("T")
_ROW_COST = 24  # the time of a row itself, in entries


class Threads:
    """A pool of threads for work that is cut without regard to their number.

    Attributes
    ----------
    n : int
        Number of threads.
    """

    def __init__(self, pool: ThreadPoolExecutor, n: int) -> None:
        self._pool = pool
        self.n = n

    def map(self, work: Callable[[S], T], parts: Iterable[S]) -> list[T]:
        """Run work on every part; return the results in the order of the parts."""
        return list(self._pool.map(work, parts))


@contextmanager
def threads(n: int | None = None) -> Iterator[Threads]:
    """Open a pool of n threads, one for each usable core by default.

    While it is open BLAS uses one thread: each of ours calls it, and how it cuts a product
    depends on the number of its threads.
    """
    n = n or usable_cores()
    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(n) as pool:
        yield Threads(pool, n)


def ranges_of_equal_work(indptr: NDArray[np.integer], n_parts: int) -> list[tuple[int, int]]:
    """Cut the rows of a CSR matrix into at most n_parts ranges of equal work, not equal count."""
    cost = indptr.astype(np.int64) + _ROW_COST * np.arange(len(indptr))
    bounds = np.searchsorted(cost, np.linspace(0, cost[-1], n_parts + 1)[1:-1])
    edges = np.unique([0, *bounds, len(indptr) - 1]).tolist()
    return list(pairwise(edges))


def chunks(n_rows: int, least: int = 4096, most: int = 64) -> list[slice]:
    """Cut n_rows into at most `most` ranges of `least` rows or more; the last may be shorter."""
    size = max(least, -(-n_rows // most))
    return [slice(start, min(start + size, n_rows)) for start in range(0, n_rows, size)]

"""Threads whose number never changes a result: the work is cut into the same ranges for any."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import count, pairwise
from threading import Lock
from typing import Any, Generic, TypeVar

import numpy as np
import threadpoolctl
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from recsys.base.environment import usable_cores
from recsys.base.stopping import check_stop

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
        """Run work on every part; return the results in the order of the parts.

        This thread works with the others, and each takes the next part when it is done with one:
        small parts cost no switch of threads. Of several errors the one of the first part is
        raised.
        """
        shared = _Parts(work, list(parts))
        others = [self._pool.submit(shared.take) for _ in range(min(self.n, len(shared)) - 1)]
        try:
            shared.take(check_stop)
        finally:
            shared.is_stopped = True  # there are none left, or an error ends it
            if others:  # to wait for none takes as long as a small part
                wait(others)
        return shared.results()


class _Parts(Generic[S, T]):
    """The parts of one call, which several threads take one after the other."""

    def __init__(self, work: Callable[[S], T], parts: list[S]) -> None:
        self._work, self._parts = work, parts
        self._next = count()
        self._found: dict[int, T] = {}
        self._errors: dict[int, BaseException] = {}
        self.is_stopped = False

    def __len__(self) -> int:
        return len(self._parts)

    def take(self, check: Callable[[], None] = lambda: None) -> None:
        """Work until no part is left or a part had an error; `check` is called before each."""
        while not self.is_stopped:
            check()
            number = next(self._next)  # which one thread at a time can do
            if number >= len(self._parts):
                return
            try:
                self._found[number] = self._work(self._parts[number])
            except BaseException as error:
                self._errors[number] = error
                self.is_stopped = True

    def results(self) -> list[T]:
        """Return what was found, or raise the error of the first part that had one."""
        if self._errors:
            raise self._errors[min(self._errors)]
        return [self._found[number] for number in range(len(self._parts))]


@contextmanager
def threads(n: int | None = None) -> Iterator[Threads]:
    """Open a pool of n threads, one for each usable core by default.

    While it is open BLAS uses one thread: each of ours calls it, and how it cuts a product
    depends on the number of its threads.
    """
    n = n or usable_cores()
    with one_blas_thread(), ThreadPoolExecutor(n) as pool:
        yield Threads(pool, n)


class _BlasLimit:
    """One thread for BLAS as long as any block needs it; the setting is the whole process's.

    A limit of each block by itself would restore what it saw at its beginning: the 1 of another
    block that ended first, for the life of the process.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._blocks = 0
        self._limit: Any = None
        self._n_modules = -1
        self._libraries: Any = None

    def begin(self) -> None:
        """Enter a block; the first one sets the limit."""
        with self._lock:
            if self._blocks == 0:
                _take_control()
                self._limit = self._found_libraries().limit(limits=1, user_api="blas")
            self._blocks += 1

    def end(self) -> None:
        """Leave a block; the last one restores what was before the first."""
        with self._lock:
            if self._blocks == 1:
                self._restore()
            self._blocks = max(self._blocks - 1, 0)  # 0 in a process that was forked inside it

    def forget_other_threads(self) -> None:
        """Begin anew in a forked process: blocks of threads that it does not have never end."""
        others, self._lock, self._blocks = self._blocks, Lock(), 0
        if others:
            self._restore()

    def _found_libraries(self) -> Any:
        """Return what controls the loaded libraries; looking for them takes milliseconds.

        A library comes with a module that is imported: they are looked for again after imports.
        """
        if self._n_modules != (n_modules := len(sys.modules)):
            self._libraries, self._n_modules = ThreadpoolController(), n_modules
        return self._libraries

    def _restore(self) -> None:
        _take_control()
        self._limit.restore_original_limits()
        _take_control()


def _take_control() -> None:
    """Let any thread set the threads of OpenBLAS next.

    From threadpoolctl 3.8 on, one thread has that right until it ends, and the limits that others
    set are silently none.
    """
    controller: Any = getattr(threadpoolctl, "OpenBLASController", None)
    if hasattr(controller, "clear_controlling_thread"):
        controller.clear_controlling_thread(force=True)


_blas = _BlasLimit()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_blas.forget_other_threads)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread while the block runs, in any number of threads at the same time."""
    _blas.begin()
    try:
        yield
    finally:
        _blas.end()


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

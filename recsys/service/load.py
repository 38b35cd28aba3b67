"""How much a worker takes on: threads for what takes longer, and what is turned away."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import thread_time
from typing import TypeVar

from recsys.base.service_settings import ServiceSettings
from recsys.service.problems import ProblemError

Answer = TypeVar("Answer")

_LEAST_LISTS = 32  # of a turn; before its time is looked at
_HELD_SECONDS = 0.25  # before who is turned away hears of it
_MOST_HELD = 4096


class Turns:
    """Bounds how long plain lists are waited for: what has come while some were made is a turn.

    The event loop takes what has come in turns, and makes one list after another. Under more load
    than a worker can carry, turns grow until all who ask wait in one. So those that find the turn
    too long are turned away, and the others wait for a turn or two.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._most_seconds = settings.max_turn_seconds
        self._n, self._began = 0, 0.0

    def require_place(self) -> None:
        """Raise a problem where this turn has taken too long.

        It is the time of the processor that counts: a pause of the machine turns nobody away.
        """
        self._n += 1
        if self._n == 1:
            asyncio.get_running_loop().call_soon(self._end)
        elif self._n == _LEAST_LISTS:
            self._began = thread_time()
        elif self._n > _LEAST_LISTS and thread_time() - self._began > self._most_seconds:
            raise ProblemError("overloaded", "more came at once than this turn holds; ask again")

    def _end(self) -> None:
        self._n = 0


class Held:
    """Lets those who are turned away wait, so that they do not ask again at once.

    A refusal takes more than half of the time of a list, nearly all of it the server's. Who asks
    again at once takes it from those who are let in; who waits takes none.
    """

    def __init__(self) -> None:
        self._n = 0

    async def wait(self) -> None:
        """Wait for a moment, if few others do."""
        if self._n >= _MOST_HELD:
            return
        self._n += 1
        try:
            await asyncio.sleep(_HELD_SECONDS)
        finally:
            self._n -= 1


class Threads:
    """Does what takes longer than a plain list in threads, of which few wait."""

    def __init__(self, settings: ServiceSettings) -> None:
        self._settings = settings
        self._pool = ThreadPoolExecutor(settings.threads, "recsys-answer")
        self._n_waiting = 0

    async def run(self, work: Callable[[], Answer]) -> Answer:
        """Do it in a thread; what finds too many before it is turned away at once.

        A thread cannot be stopped: what is too slow keeps its place until it is done.
        """
        if self._n_waiting >= self._settings.max_waiting:
            raise ProblemError("overloaded", f"{self._n_waiting} requests are waiting; ask again")
        loop = asyncio.get_running_loop()
        self._n_waiting += 1
        future = self._pool.submit(work)

        def done(_: object) -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._leave)

        future.add_done_callback(done)
        try:
            async with asyncio.timeout(self._settings.max_seconds):
                return await asyncio.wrap_future(future)
        except TimeoutError as error:
            raise ProblemError(
                "too_slow", f"expected an answer within {self._settings.max_seconds:g} seconds"
            ) from error

    def _leave(self) -> None:
        self._n_waiting -= 1

    def stop(self) -> None:
        """End when what runs is done."""
        self._pool.shutdown(wait=False, cancel_futures=True)

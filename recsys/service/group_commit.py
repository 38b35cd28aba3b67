"""Events of many requests in one commit: a disk that syncs 150 times a second takes thousands."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Condition, Thread
from typing import NamedTuple

from recsys.base.errors import RecsysError
from recsys.events import Added, Event
from recsys.service.problems import ProblemError

_MOST_WAITING = 20_000  # events that wait for the disk; more are answered 503 at once
_MOST_AT_ONCE = 5_000  # in one commit

Add = Callable[[Sequence[Event]], Added]


class Result(NamedTuple):
    """What became of the events of one request."""

    n_added: int
    n_repeated: int
    others: list[int]  # positions of events whose id belongs to another event


class _Waiting(NamedTuple):
    events: Sequence[Event]
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Result]"


class GroupCommit:
    """Commits events in a thread: those that have come while the last commit ran, together.

    Parameters
    ----------
    add : callable
        Keeps events durably; an error of ours is that of all requests of the commit.
    """

    def __init__(self, add: Add) -> None:
        self._add = add
        self._waiting: list[_Waiting] = []
        self._n_events = 0
        self._changed = Condition()
        self._thread: Thread | None = None
        self._is_over = False

    async def add(self, events: Sequence[Event], seconds: float) -> Result:
        """Keep the events of a request; they are durable when this returns."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(events, loop, loop.create_future())
        with self._changed:
            if self._n_events + len(events) > _MOST_WAITING or self._is_over:
                raise ProblemError("overloaded", "too many events wait for the disk; ask again")
            if self._thread is None:
                self._thread = Thread(target=self._run, name="recsys-events", daemon=True)
                self._thread.start()
            self._waiting.append(waiting)
            self._n_events += len(events)
            self._changed.notify()
        try:
            async with asyncio.timeout(seconds):
                return await waiting.future
        except TimeoutError as error:
            raise ProblemError(
                "too_slow", "the events may be kept; send them again, with the same ids"
            ) from error

    def stop(self) -> None:
        """Commit what waits, and end."""
        with self._changed:
            self._is_over = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while group := self._next():
            events = [event for one in group for event in one.events]
            try:
                results: list[Result] | Exception = _shared(group, self._add(events))
            except RecsysError as error:
                results = error
            except Exception as error:  # whatever it is, who waits must hear of it
                results = error
            for one, result in _paired(group, results):
                with suppress(RuntimeError):  # its loop is closed
                    one.loop.call_soon_threadsafe(_answer, one.future, result)

    def _next(self) -> list[_Waiting]:
        """Wait for requests, and take as many as one commit holds; none at the end."""
        with self._changed:
            while not self._waiting and not self._is_over:
                self._changed.wait()
            n_events, n = 0, 0
            while n < len(self._waiting) and (not n or n_events < _MOST_AT_ONCE):
                n_events += len(self._waiting[n].events)
                n += 1
            group, self._waiting = self._waiting[:n], self._waiting[n:]
            self._n_events -= n_events
            return group


def _shared(group: Sequence[_Waiting], added: Added) -> list[Result]:
    """Return what became of the events of each request."""
    others, found, first = set(added.others), [], 0
    for one in group:
        span = range(first, first + len(one.events))
        n_added = sum(added.is_new[position] for position in span)
        wrong = [position - first for position in span if position in others]
        found.append(Result(n_added, len(span) - n_added - len(wrong), wrong))
        first = span.stop
    return found


def _paired(
    group: Sequence[_Waiting], results: "list[Result] | Exception"
) -> "list[tuple[_Waiting, Result | Exception]]":
    if isinstance(results, Exception):
        return [(one, results) for one in group]
    return list(zip(group, results, strict=True))


def _answer(future: "asyncio.Future[Result]", result: Result | Exception) -> None:
    if future.done():  # who asked has gone, or waited too long
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)

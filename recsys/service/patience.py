"""Asks a database that may hang: who asks waits a moment only, and others then not at all."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from recsys.base.errors import EventsError

Found = TypeVar("Found")


class TooSlowError(EventsError):
    """The database has not answered in time; its connection may still be in use."""


class Patience:
    """Asks in one thread, as a database that is lost may neither answer nor refuse.

    A thread that waits for it cannot be stopped. So no other one joins it: until it is back, who
    asks is answered at once.

    Parameters
    ----------
    name : str
        Of the thread.
    seconds : float
        For an answer.
    """

    def __init__(self, name: str, seconds: float) -> None:
        self._pool, self._seconds = ThreadPoolExecutor(1, name), seconds
        self._stuck: Future[Any] | None = None

    def ask(self, question: Callable[[], Found]) -> Found:
        """Return the answer; raise a `TooSlowError` where there is none in time."""
        if self._stuck is not None and not self._stuck.done():
            raise TooSlowError("events: the database still does not answer")
        asked = self._pool.submit(question)
        try:
            return asked.result(self._seconds)
        except TimeoutError as error:
            if not asked.cancel():  # it runs; one that waits behind another is forgotten
                self._stuck = asked
            raise TooSlowError(
                f"events: expected an answer of the database within {self._seconds:g} seconds"
            ) from error

    def stop(self) -> None:
        """Ask no more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

"""SIGTERM and SIGINT: the work is left at once, and everything finished before is kept."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StoppedError(BaseException):
    """A signal asked the night to stop.

    No `Exception`, so that nothing on the way takes it for an error that it knows.

    Attributes
    ----------
    number : int
        Of the signal.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"stopped by {signal.Signals(number).name}")


class StopRequest:
    """Remembers a signal, as libraries may swallow or rename what a handler raises."""

    def __init__(self) -> None:
        self.number: int | None = None

    def take(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal."""
        self.number = number
        raise StoppedError(number)

    def check(self) -> None:
        """Raise a StoppedError if a signal has come."""
        if self.number is not None:
            raise StoppedError(self.number)


@contextmanager
def stoppable() -> Iterator[StopRequest]:
    """Turn SIGTERM and SIGINT into a StoppedError while the block runs, in the main thread."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.signal(number, request.take) for number in numbers}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""Stop on Ctrl-C and SIGTERM: the signal sets a flag, which is looked at between steps.

An exception that a handler raises lands anywhere: in the lock of an import or of an executor, which
nobody releases then. A second signal ends the process at once, also where it hangs: whatever was
being written was written aside, and the next start goes on as after a crash.
"""

import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_PATIENCE_SECONDS = 30  # after the first signal, for a step that does not end


class StoppedError(BaseException):
    """A signal asked the process to stop; `number` is the signal's.

    Not an `Exception`, so that no handler of errors on the way catches it.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"stopped by {signal.Signals(number).name}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Be pickled by the number, of which the message is made."""
        return type(self), (self.number,)


class StopRequest:
    """Remembers the first signal."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.wakers: list[Callable[[], None]] = []  # of calls that may wait for long
        self.shields = 0  # blocks that end what they began

    def take(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal."""
        if self.number is not None:
            end_now(number)
        self.number = number
        for wake in self.wakers[-1:]:
            wake()

    def check(self) -> None:
        """Raise a StoppedError if a signal has come."""
        if self.number is not None and not self.shields:
            raise StoppedError(self.number)


_request: StopRequest | None = None  # of the process, while it is stoppable


def check_stop() -> None:
    """Raise a StoppedError if a signal asked the process to stop; called between steps."""
    request = _request and _of_this_thread()
    if request is not None:
        request.check()


@contextmanager
def interruptible(wake: Callable[[], None] | None = None) -> Iterator[None]:
    """Let a signal end one call that may wait for long.

    Parameters
    ----------
    wake : callable, optional
        Makes the call end with an error. Default: the handler raises a StoppedError inside it, as
        is safe where the block is a single system call.
    """
    request = _of_this_thread()
    if request is None:
        yield
        return
    request.wakers.append(wake or request.check)
    try:
        request.check()
        yield
    finally:
        request.wakers.pop()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Keep a signal waiting until what the block does is done: it would leave a half."""
    request = _of_this_thread()
    if request is None:
        yield
        return
    request.shields += 1
    try:
        yield
    finally:
        request.shields -= 1


def _of_this_thread() -> StopRequest | None:
    """Return the request in the main thread, which alone handles signals."""
    return _request if threading.current_thread() is threading.main_thread() else None


@contextmanager
def stoppable(*, watched: bool = False) -> Iterator[StopRequest]:
    """Remember SIGTERM and SIGINT while the block runs, in the main thread.

    Parameters
    ----------
    watched : bool
        Also end the process where it does not come to its next step. The process ends with the
        block: a signal that comes later is ignored.
    """
    global _request
    if _request is not None or threading.current_thread() is not threading.main_thread():
        yield _request or StopRequest()
        return
    _request = StopRequest()
    before = {number: signal.signal(number, _request.take) for number in _SIGNALS}
    watch = _Watch() if watched else None
    try:
        yield _request
    finally:
        if watch is not None:
            watch.end()
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if watched else handler)
        _request = None


class _Watch:
    """A thread that hears of signals also where the main thread runs no line of Python."""

    def __init__(self) -> None:
        self._hears, self._speaks = os.pipe()
        os.set_blocking(self._speaks, False)
        self._before = signal.set_wakeup_fd(self._speaks, warn_on_full_buffer=False)
        threading.Thread(target=self._listen, name="signals", daemon=True).start()

    def end(self) -> None:
        """Hear no more signals; the thread ends with its pipe."""
        signal.set_wakeup_fd(self._before)
        os.close(self._speaks)

    def _listen(self) -> None:
        first = self._next_signal(None)
        if first is not None:
            second = self._next_signal(_PATIENCE_SECONDS)
            if second is not None:
                end_now(second or first)
        os.close(self._hears)

    def _next_signal(self, seconds: float | None) -> int | None:
        """Return the number of the next signal, 0 after some seconds, None at the end."""
        while True:
            if not select.select([self._hears], [], [], seconds)[0]:
                return 0
            heard = os.read(self._hears, 1)
            if not heard or heard[0] in _SIGNALS:
                return heard[0] if heard else None


def end_now(number: int) -> None:
    """End the process without any more work: what hangs is not waited for."""
    os.write(2, b"recsys: ended at once; the next start goes on as after a crash\n")
    os._exit(128 + number)

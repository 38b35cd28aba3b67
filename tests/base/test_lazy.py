"""Properties that are computed once, also where threads and forks meet."""

import os
import threading

from recsys.base.lazy import lazy_property


class _Thing:
    def __init__(self) -> None:
        self.began, self.may_end = threading.Event(), threading.Event()

    @lazy_property
    def value(self) -> list[int]:
        """Wait for who tests it."""
        self.began.set()
        self.may_end.wait()
        return [1]


def test_it_is_computed_once_and_documented() -> None:
    thing = _Thing()
    thing.may_end.set()

    assert thing.value is thing.value
    assert _Thing.value.__doc__ == "Wait for who tests it."


def test_a_fork_does_not_wait_for_what_another_thread_computes() -> None:
    slow, other = _Thing(), _Thing()
    other.may_end.set()
    thread = threading.Thread(target=lambda: slow.value)
    thread.start()
    slow.began.wait()

    child = os.fork()
    if child == 0:
        os._exit(0 if other.value == [1] else 1)
    slow.may_end.set()
    thread.join()

    assert os.waitpid(child, 0)[1] == 0

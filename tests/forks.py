"""Work in forks of this process, which can be killed before any operation that changes a file.

The process that forks must have started no threads.
"""

import gc
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from recsys.base.environment import environment
from recsys.base.threads import one_blas_thread
from recsys.store import versions

FILE_OPERATIONS = {"os.mkdir", "os.rename", "os.chmod", "os.remove", "os.rmdir", "fcntl.flock"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
GOT_THROUGH = 100  # exit status of a child that got through
_STORE = Path(__file__).parent / "store" / "fixtures" / "format3" / "store"


def warm() -> None:
    """Load what each fork that publishes would, and leave what is there to no collector of forks.

    That is what is said of packages and of the machine, how a manifest is checked, and where BLAS
    is: call it after all imports, as others are looked through for BLAS again.
    """
    import pyarrow.pandas_compat  # noqa: F401

    environment()
    _ = versions(_STORE)[0].manifest
    with one_blas_thread():
        pass
    gc.collect()
    gc.freeze()


def write_line(**facts: object) -> None:
    """Write one JSON line, unbuffered: every fork would write what is still in a buffer."""
    os.write(1, json.dumps(facts).encode() + b"\n")


def fork(work: Callable[[], None]) -> int:
    """Start some work in a fork, which exits with GOT_THROUGH at its end; return its process id."""
    child = os.fork()
    if child == 0:
        gc.freeze()  # what was there is left to no collector, which would write to all of its pages
        try:
            work()
            os._exit(GOT_THROUGH)
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
    return child


def wait_for(child: int) -> int:
    """Wait for a fork to end; return its exit status, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def in_fork(work: Callable[[], None]) -> int:
    """Run some work in a fork; return GOT_THROUGH, or minus the signal that ended it."""
    return wait_for(fork(work))


Act = Callable[[int, str, tuple[Any, ...]], None]
"""Gets the number of an operation, from 1, its audit event and the arguments of that."""


def before_operations(store: str, act: Act) -> None:
    """Call something before every operation of this process that changes a file."""
    done = [0]

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        opens = event == "open" and str(arguments[0]).startswith(store) and arguments[2] & WRITING
        if opens or event in FILE_OPERATIONS:
            done[0] += 1
            act(done[0], event, arguments)

    sys.addaudithook(count)


def kill_before_operation(n: int, store: str) -> None:
    """Kill this process with SIGKILL before its n-th operation that changes a file."""

    def act(done: int, _event: str, _arguments: tuple[Any, ...]) -> None:
        if done == n:
            os.kill(os.getpid(), signal.SIGKILL)

    before_operations(store, act)

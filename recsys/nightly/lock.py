"""One night at a time on a store; the lock of a dead process is free."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from recsys.errors import StoreError

LOCK = ".nightly.lock"


@contextmanager
def only_night(store: Path) -> Iterator[None]:
    """Be the only night of a store while the block runs.

    Raises
    ------
    StoreError
        If another one runs: at once, as a night that waited for another would train twice.
    """
    path = store / LOCK
    with path.open("a+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.seek(0)
            process = file.read(20).decode(errors="replace").strip() or "unknown"
            raise StoreError(
                f"store {store}: expected no other night, got one that runs in process {process}; "
                "let it end, or stop it with SIGTERM"
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n".encode())
        file.flush()
        yield

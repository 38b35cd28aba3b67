"""Guards of a night: one at a time, a clock that does not go back."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from recsys.base.durable import moment_of
from recsys.base.errors import StoreError
from recsys.base.locks import HeldError, only_writer
from recsys.store import versions

LOCK = ".nightly.lock"


@contextmanager
def only_night(store: Path) -> Iterator[None]:
    """Lock a store for one night while the block runs."""
    path = store / LOCK
    with ExitStack() as held:
        try:
            held.enter_context(only_writer(path, wait=False))
        except HeldError as error:
            process = path.read_bytes()[:20].decode(errors="replace").strip() or "unknown"
            raise StoreError(
                f"store {store}: expected no other night, got one that runs in process {process}; "
                "let it end, or stop it with SIGTERM"
            ) from error
        with suppress(PermissionError):  # the file of another user, which is locked all the same
            path.write_text(f"{os.getpid()}\n")
        yield


RUNS = "runs"
RUN_NAME = re.compile(r"\d{8}T\d{6}Z", re.ASCII)


def now_of(store: Path) -> int:
    """Return the time in seconds since 1970: the clock's, but later than every version and run.

    After the clock was set back yesterday's events would be in the future, and tonight's names
    older than yesterday's.
    """
    names = [version.name.partition("-")[0] for version in versions(store)[:1]]
    names += sorted(path.name for path in runs_in(store))[-1:]
    known = [int(moment_of(name).timestamp()) + 1 for name in names]
    return max([int(time.time()), *known])


def runs_in(store: Path) -> list[Path]:
    """Return the folders of the runs of a store, oldest first."""
    folder = store / RUNS
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if RUN_NAME.fullmatch(path.name))

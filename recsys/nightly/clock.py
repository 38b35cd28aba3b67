"""Time that does not go back, whatever the clock of the machine does."""

import re
import time
from datetime import UTC, datetime
from pathlib import Path

from recsys.store import versions

STAMP = "%Y%m%dT%H%M%SZ"
RUNS = "runs"
RUN_NAME = re.compile(r"\d{8}T\d{6}Z", re.ASCII)


def now_of(store: Path) -> int:
    """Return the time in seconds since 1970: the clock's, but after every version and every run.

    A clock that was set back would make yesterday's events "in the future", and tonight's names
    older than yesterday's.

    Parameters
    ----------
    store : path
        A store that is there.
    """
    names = [version.name.partition("-")[0] for version in versions(store)[:1]]
    names += sorted(path.name for path in runs_in(store))[-1:]
    known = [datetime.strptime(name, STAMP).replace(tzinfo=UTC).timestamp() for name in names]
    return max([int(time.time()), *(int(moment) + 1 for moment in known)])


def stamp_of(seconds: int) -> str:
    """Return a moment as names of runs and versions have it."""
    return f"{datetime.fromtimestamp(seconds, UTC):{STAMP}}"


def runs_in(store: Path) -> list[Path]:
    """Return the folders of the runs of a store, oldest first."""
    folder = store / RUNS
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if RUN_NAME.fullmatch(path.name))

"""Refreshes the store every so many minutes, in a process of its own beside the workers.

The service learns nothing itself: what is run is a command, and its memory ends with it. The
version that it publishes is taken up by the workers as any other.
"""

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Any, Self

from recsys.base.durable import replace_text
from recsys.base.exposition import family, gauge

log = logging.getLogger("recsys.service")

_COUNTS = "refreshes.json"
_RESULTS = ("published", "nothing_new", "failed")
_MOST_OF_ERROR = 2_000  # characters
_STOP_SECONDS = 10.0  # for a refresh that is told to stop


class Refresher:
    """Runs a command again and again while the block runs; never two at once.

    Parameters
    ----------
    arguments : sequence of str
        Of `recsys`: its command refresh, whose report is JSON.
    minutes : float
        From the end of one to the beginning of the next.
    folder : path
        What all workers of the service share: the counts are kept there.
    """

    def __init__(self, arguments: Sequence[str], minutes: float, folder: Path) -> None:
        self._command = [sys.executable, "-P", "-m", "recsys", *arguments]
        self._seconds, self._path = minutes * 60, folder / _COUNTS
        self._counts: dict[str, float] = dict.fromkeys(_RESULTS, 0)
        self._stop, self._lock = Event(), Lock()
        self._process: subprocess.Popen[str] | None = None
        self._thread = Thread(target=self._run, name="recsys-refresh", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop what runs: the next refresh goes on where this one was."""
        with self._lock:
            self._stop.set()
            if self._process is not None:
                self._process.terminate()
        self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        while not self._stop.wait(self._seconds):
            self.refresh()

    def refresh(self) -> None:
        """Run the command once, and log and count what became of it."""
        try:
            result, facts = self._refreshed()
        except (OSError, ValueError, KeyError, TypeError) as error:
            result, facts = "failed", {"error": str(error)}
        if self._stop.is_set():
            return
        self._counts[result] += 1
        self._counts["last"] = time.time()
        with suppress(OSError):  # a full disk: the counts are late
            replace_text(self._path, json.dumps(self._counts))
        level = logging.WARNING if result == "failed" else logging.INFO
        log.log(level, "refresh", extra={"facts": {"result": result, **facts}})

    def _refreshed(self) -> tuple[str, dict[str, Any]]:
        """Return the result, and what there is to say of it."""
        path = os.pathsep.join(filter(None, sys.path))  # the same packages as here
        with self._lock:
            if self._stop.is_set():
                return "failed", {}
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": path},
            )
        out, err = self._process.communicate()
        if self._process.returncode:
            said = [line for line in err.splitlines() if not line.startswith("{")]
            error = "\n".join(said)[-_MOST_OF_ERROR:] or _ended(self._process.returncode)
            return "failed", {"error": error}
        report = json.loads(out)
        facts = {stage["name"]: stage["facts"] for stage in report["stages"]}
        is_idle = facts["publish"].get("nothing_new", False)
        found = {"version": report["version"], "seconds": round(report["seconds"], 3)}
        if is_idle:
            return "nothing_new", found
        return "published", found | dict(facts["fold_in"])


def _ended(code: int) -> str:
    """Say how a process ended that has said nothing, as one that the kernel ends for its memory."""
    if code >= 0:
        return f"it ended with {code}"
    return f"it was ended by {signal.Signals(-code).name}"


def refresh_metrics(folder: Path) -> Iterator[str]:
    """Yield the metrics of the refreshes of a service; none where it has none."""
    try:
        counts = json.loads((folder / _COUNTS).read_text())
    except (OSError, ValueError):
        return
    yield family(
        "recsys_service_refreshes_total",
        "Refreshes between two nights, by result.",
        [({"result": result}, float(counts[result])) for result in _RESULTS],
        "counter",
    )
    yield gauge(
        "recsys_service_last_refresh_timestamp_seconds",
        "When the last refresh ended, in seconds since 1970.",
        counts.get("last"),
    )

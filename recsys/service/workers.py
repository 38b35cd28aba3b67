"""What the workers of one service know of each other: who lives, which version each has open.

Each keeps a small file in the folder that they share. Those that live are the children of the
process that started this one, so what an ended worker has left is told from what is true.
"""

import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

from recsys.base.exposition import family, gauge
from recsys.base.service_settings import ServiceSettings
from recsys.service.certificate import certificate_until
from recsys.service.counters import living_workers
from recsys.service.opened import Opened
from recsys.service.refresher import refresh_metrics

log = logging.getLogger("recsys.service")


@dataclass(frozen=True)
class State:
    """What a worker says of itself."""

    version: str | None = None
    created: float = 0.0  # of the version, in seconds since 1970
    opened: float = 0.0  # by the worker
    certificate_until: float | None = None


class Workers:
    """The state of each worker.

    Parameters
    ----------
    settings : ServiceSettings
    folder : path, optional
        Where their files are. Default: this process is alone.
    """

    def __init__(self, settings: ServiceSettings, folder: Path | None = None) -> None:
        self._folder = folder
        until = None
        if settings.tls_certificate is not None and settings.tls_key is not None:
            until = certificate_until(settings.tls_certificate, settings.tls_key)
        self._own = State(certificate_until=until)
        self._write()

    def report(self, opened: Opened | None) -> None:
        """Say which version this worker has open, where it is another one than before."""
        version = None if opened is None else opened.version
        if version == self._own.version or opened is None:
            return
        created = datetime.fromisoformat(opened.manifest.created).timestamp()
        self._own = replace(self._own, version=version, created=created, opened=opened.since)
        self._write()

    def _write(self) -> None:
        if self._folder is None:
            return
        path = self._folder / f"{os.getpid()}.worker"
        new = path.with_suffix(".new")
        try:
            new.write_text(json.dumps(asdict(self._own)))
            new.replace(path)
        except OSError as error:  # a full disk: lists go on
            log.error("this worker is not shown in metrics: %s", error)

    def states(self) -> dict[int, State]:
        """Return the state of each living worker, by the number of its process."""
        found = {os.getpid(): self._own}
        if self._folder is None:
            return found
        for pid in living_workers() - {os.getpid()}:
            with suppress(OSError, ValueError):  # of no worker, or it ended just now
                text = (self._folder / f"{pid}.worker").read_text()
                found[pid] = State(**json.loads(text))
        return found

    def text(self) -> str:
        """Return the gauges for Prometheus."""
        return "".join(self._gauges())

    def _gauges(self) -> Iterator[str]:
        states = self.states()
        ready = [state for state in states.values() if state.version is not None]
        yield gauge("recsys_service_workers", "Workers that live.", float(len(states)))
        is_ready = float(len(ready) == len(states))
        yield gauge("recsys_service_ready", "1 if every worker has a version open.", is_ready)
        versions = sorted({str(state.version) for state in ready})
        yield family(
            "recsys_service_version_info",
            "Workers that have the version open.",
            [
                ({"version": version}, float(sum(state.version == version for state in ready)))
                for version in versions
            ],
        )
        if self._folder is not None:
            yield from refresh_metrics(self._folder)
        now = time.time()
        age = max((now - state.created for state in ready), default=None)
        yield gauge("recsys_service_version_age_seconds", "Of the oldest open one.", age)
        expiries = [state.certificate_until for state in states.values() if state.certificate_until]
        name, help_ = "recsys_service_certificate_expires_timestamp_seconds", "Since 1970."
        yield gauge(name, help_, min(expiries, default=None))
        for name, help_, amount in (
            ("private_bytes", "Memory that workers share with nobody.", _private_bytes),
            ("open_files", "Files and connections that workers have open.", _open_files),
        ):
            total = 0.0
            for pid in states:
                with suppress(OSError):
                    total += amount(pid)
            yield gauge(f"recsys_service_{name}", help_, total)


def _private_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))


def _open_files(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())

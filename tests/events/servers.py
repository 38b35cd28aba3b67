"""A PostgreSQL server of this machine, for the tests that need a real one."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any


def binaries() -> Path | None:
    """Where PostgreSQL's programs are; Debian leaves initdb out of the path."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return installed[-1].parent if installed else None


@contextmanager
def postgres(*, durable: bool = False) -> Iterator["Server"]:
    """Run a server, which its own user has, as it refuses to run as root."""
    place = binaries()
    if place is None:
        raise FileNotFoundError("initdb: apt-get install postgresql")
    user: dict[str, Any] = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
    with TemporaryDirectory(prefix="recsys-pg-", dir="/tmp") as folder:
        if user:
            shutil.chown(folder, "postgres")
        data = Path(folder) / "data"
        make = [
            place / "initdb",
            "-D",
            data,
            "-A",
            "trust",
            "-U",
            "recsys",
            "-E",
            "UTF8",
            "--no-sync",
        ]
        subprocess.run(make, check=True, capture_output=True, cwd=folder, **user)
        server = Server(place, data, folder, user, durable)
        server.start()
        try:
            yield server
        finally:
            server.stop()


class Server:
    """A server that listens to a socket in its folder."""

    def __init__(
        self, place: Path, data: Path, folder: str, user: dict[str, Any], durable: bool
    ) -> None:
        self._place, self.data, self._folder, self._user = place, data, folder, user
        self._options = f"-k {folder} -c listen_addresses='' -c max_connections=50"
        if not durable:
            self._options += " -c fsync=off"

    @property
    def address(self) -> str:
        return f"postgresql://recsys@/postgres?host={self._folder}"

    def start(self) -> None:
        self._run("start", "-o", self._options, "-l", str(self.data / "log"))

    def stop(self, how: str = "immediate") -> None:
        self._run("stop", "-m", how, check=False)

    def _run(self, command: str, *rest: str, check: bool = True) -> None:
        words = [self._place / "pg_ctl", command, "-D", self.data, "-w", *rest]
        subprocess.run(
            words, check=check, stdout=subprocess.DEVNULL, cwd=self._folder, **self._user
        )

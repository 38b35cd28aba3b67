"""A SeaweedFS with an S3 gateway, started for tests."""

# ruff: noqa: S310 (the addresses are of this machine)

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

BUCKET = "shop"
KEY, SECRET = "tester", "a-secret-of-tests"
_START_SECONDS = 60
_STARTS = 3


@dataclass(frozen=True)
class Seaweed:
    endpoint: str
    filer: str
    root = f"s3://{BUCKET}"
    no_bucket = "there is no such bucket"
    endpoint_name = "AWS_ENDPOINT_URL"
    secrets = (KEY, SECRET)
    wrong = (
        ("AWS_SECRET_ACCESS_KEY", "wr0ng-secret", "the secret key is wrong"),
        ("AWS_ACCESS_KEY_ID", "nobody", "the access key is not known there"),
    )

    def make_bucket(self, name: str) -> None:
        asked = urllib.request.Request(f"{self.filer}/buckets/{name}/", method="POST")
        try:
            urllib.request.urlopen(asked).read()
        except urllib.error.HTTPError as error:
            if error.code != HTTPStatus.CONFLICT:  # it is there
                raise

    def environment(self, endpoint: str | None = None) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": endpoint or self.endpoint,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }


def program() -> str | None:
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


def free_ports(n: int) -> list[int]:
    """Return ports that are free, as are those 10,000 above, which SeaweedFS takes for gRPC."""
    found: list[int] = []
    while len(found) < n:  # at random: a server for another worker starts at the same time
        port = 20_000 + secrets.randbelow(20_000)
        if all(_is_free(one) for one in (port, port + 10_000)):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


@contextmanager
def seaweed(folder: Path) -> Iterator[Seaweed]:
    """Run a server; with other ports again where another process has taken one meanwhile."""
    for attempt in range(_STARTS):
        found, process = _started(folder / str(attempt))
        try:
            if _answers(found, process):
                yield found
                return
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    log = (folder / str(_STARTS - 1) / "log").read_text()
    raise AssertionError(f"SeaweedFS did not start: {log[-2000:]}")


def _started(folder: Path) -> tuple[Seaweed, "subprocess.Popen[bytes]"]:
    master, volume, filer, s3 = free_ports(4)
    found = program()
    assert found is not None
    (folder / "data").mkdir(parents=True)
    command = [
        *(found, "server", f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
        *(f"-master.port={master}", "-master.volumeSizeLimitMB=64", "-volume.max=30"),
        *(f"-volume.port={volume}", "-filer", f"-filer.port={filer}", "-s3", f"-s3.port={s3}"),
        *("-s3.port.iceberg=0", "-s3.port.lance=0"),  # both have fixed ports
    ]
    environment = {**os.environ, "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, env=environment, cwd=folder, start_new_session=True
        )
    return Seaweed(f"http://127.0.0.1:{s3}", f"http://127.0.0.1:{filer}"), process


def _answers(found: Seaweed, process: "subprocess.Popen[bytes]") -> bool:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            found.make_bucket(BUCKET)
            urllib.request.urlopen(found.endpoint).read()
        except urllib.error.HTTPError as error:
            if error.code == HTTPStatus.FORBIDDEN:  # it asks for a signature
                return True
        except OSError:
            pass
        time.sleep(0.05)
    return False

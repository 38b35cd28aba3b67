"""An Azurite, Microsoft's emulator of Azure's blobs, started for tests where it is installed."""

# ruff: noqa: S310 (the addresses are of this machine)

import base64
import hashlib
import hmac
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import formatdate
from pathlib import Path

from tests.objects.seaweed import free_ports

ACCOUNT, CONTAINER = "devstoreaccount1", "shop"
# The account and the key that every Azurite has.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
_FOLDER = Path(__file__).parents[2] / ".azurite"  # of `make azurite`
_START_SECONDS = 60


@dataclass(frozen=True)
class Azurite:
    endpoint: str
    root = f"abfs://{CONTAINER}@{ACCOUNT}.dfs.core.windows.net"
    no_bucket = "there is no such container"
    endpoint_name = "AZURE_STORAGE_ENDPOINT"
    secrets = (KEY,)
    # Azure itself says AuthenticationFailed.
    wrong = (("AZURE_STORAGE_ACCOUNT_KEY", "d3Jvbmc=", "these credentials have no right"),)

    def environment(self, endpoint: str | None = None) -> dict[str, str]:
        return {
            "AZURE_STORAGE_ENDPOINT": f"{endpoint or self.endpoint}/{ACCOUNT}",
            "AZURE_STORAGE_ACCOUNT_KEY": KEY,
        }

    def make_container(self) -> None:
        address = f"/{ACCOUNT}/{CONTAINER}"
        headers = {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2023-11-03"}
        signed = "".join(f"{name}:{value}\n" for name, value in headers.items())
        no_headers = "\n" * 12
        text = f"PUT{no_headers}{signed}/{ACCOUNT}{address}\nrestype:container"
        digest = hmac.digest(base64.b64decode(KEY), text.encode(), hashlib.sha256)
        headers["Authorization"] = f"SharedKey {ACCOUNT}:{base64.b64encode(digest).decode()}"
        where = f"{self.endpoint}{address}?restype=container"
        urllib.request.urlopen(urllib.request.Request(where, method="PUT", headers=headers)).read()


def program() -> str | None:
    beside = _FOLDER / "node_modules" / ".bin" / "azurite-blob"
    return str(beside) if beside.exists() else shutil.which("azurite-blob")


@contextmanager
def azurite(folder: Path) -> Iterator[Azurite]:
    found, (port,) = program(), free_ports(1)
    assert found is not None
    command = [found, "--inMemoryPersistence", "--silent", "--disableTelemetry"]
    command += ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--skipApiVersionCheck"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        started = Azurite(f"http://127.0.0.1:{port}")
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end and process.poll() is None:
            with suppress(OSError):
                started.make_container()
                break
            time.sleep(0.1)
        yield started
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()

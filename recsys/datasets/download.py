"""Download a file with pooch, which verifies it; go on where a download broke off."""

import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pooch  # type: ignore[import-untyped]
import requests

from recsys.base.errors import DataError, briefly
from recsys.base.progress import OnStep

CHUNK_BYTES = 1 << 20
TIMEOUT = (10, 60)  # seconds to connect, and between two chunks
HTTP_PARTIAL, HTTP_RANGE_NOT_SATISFIABLE = 206, 416


def download(url: str, path: Path, checksum: str | None, on_step: OnStep | None = None) -> Path:
    """Download a file, or return it where it is here already and its checksum holds.

    A download that breaks off leaves ``<path>.part``, from which the next one goes on if the server
    can; a file under its own name is always whole, and verified by ``md5:...`` or ``sha256:...``.
    """
    pooch.get_logger().setLevel(logging.WARNING)  # the caller shows progress
    partial = path.with_name(f"{path.name}.part")
    try:
        pooch.retrieve(
            url,
            known_hash=checksum,
            fname=path.name,
            path=path.parent,
            downloader=_resuming(partial, on_step),
        )
    except requests.RequestException as error:
        kept = f"; {partial} is kept, and another try goes on from there"
        raise DataError(
            f"cannot download {url}: {_reason(error)}{kept if partial.exists() else ''}"
        ) from error
    except ValueError as error:
        raise DataError(
            f"{url} is not the file that was expected: its checksum is not {checksum}; the "
            "download was deleted; try again, and if that fails the publisher changed the file"
        ) from error
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def _resuming(partial: Path, on_step: OnStep | None) -> Callable[..., None]:
    """Return a downloader for pooch, which verifies what it wrote and gives it its name."""

    def receive(url: str, output_file: str, *_: object) -> None:
        done = partial.stat().st_size if partial.exists() else 0
        headers = {"Range": f"bytes={done}-"} if done else {}
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            if response.status_code != HTTP_RANGE_NOT_SATISFIABLE:  # else nothing is missing
                response.raise_for_status()
                done = done if response.status_code == HTTP_PARTIAL else 0
                _append(response, partial, done, on_step)
        partial.replace(output_file)

    return receive


def _append(response: Any, partial: Path, done: int, on_step: OnStep | None) -> None:
    """Write the body after the bytes that are there already."""
    total = done + int(response.headers.get("Content-Length", 0))
    with partial.open("ab" if done else "wb") as file:
        for chunk in response.iter_content(CHUNK_BYTES):
            file.write(chunk)
            done += len(chunk)
            if on_step is not None:
                on_step(done, max(total, done))


def _reason(error: Exception) -> str:
    """Return in a few words why a request failed; the libraries below need five lines."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return "the server did not answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return "the server's certificate is not valid"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off"
    return "no connection to the server"


def published_checksum(url: str, path: Path) -> str:
    """Return the checksum that a publisher states in a small file, and keep that file.

    The file that was kept is used the next time, so that what was fetched once can be had
    without a network. It holds an MD5 or SHA-256, as ``md5sum`` or ``md5`` print it.
    """
    text = download(url, path, checksum=None).read_text("utf-8", errors="replace")
    for algorithm, n_digits in (("sha256", 64), ("md5", 32)):
        found = re.search(rf"\b[0-9a-fA-F]{{{n_digits}}}\b", text)
        if found:
            return f"{algorithm}:{found[0].lower()}"
    path.unlink()
    raise DataError(f"{url}: expected an MD5 or SHA-256 checksum, got {briefly(text)}")

"""Downloads that resume where they stopped and are kept only if their checksum holds."""

import logging
import re
from pathlib import Path
from typing import Any

from recsys.errors import DataError
from recsys.progress import OnStep

CHUNK_BYTES = 1 << 20
TIMEOUT = (10, 60)  # seconds to connect, and between two chunks
HTTP_PARTIAL, HTTP_RANGE_NOT_SATISFIABLE = 206, 416


def download(url: str, path: Path, checksum: str, on_step: OnStep | None = None) -> Path:
    """Download a file, or return it where it is here already and its checksum holds.

    A download that is interrupted leaves ``<path>.part``, from which the next one goes on if the
    server can; a file under its own name is always whole and verified.

    Parameters
    ----------
    url : str
    path : Path
        Where the file goes; its folder is made.
    checksum : str
        ``md5:...`` or ``sha256:...``.
    on_step : callable, optional
        Called with the bytes done and the bytes in all.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    DataError
        If the server cannot be reached, refuses, stops half-way, or sends another file than
        expected; or the folder cannot be written.
    """
    import pooch  # type: ignore[import-untyped]
    import requests

    pooch.get_logger().setLevel(logging.WARNING)  # what is being done is for the caller to tell
    part = path.with_name(f"{path.name}.part")
    try:
        pooch.retrieve(
            url,
            known_hash=checksum,
            fname=path.name,
            path=path.parent,
            downloader=_ResumingDownloader(part, on_step),
        )
    except requests.RequestException as error:
        kept = f"; {part} is kept, and another try goes on from there" if part.exists() else ""
        raise DataError(f"cannot download {url}: {_reason(error)}{kept}") from error
    except ValueError as error:
        raise DataError(
            f"{url} is not the file that was expected: its checksum is not {checksum}; the "
            "download was deleted; try again, and if that fails the publisher changed the file"
        ) from error
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def published_checksum(url: str, path: Path) -> str:
    """Return the checksum that a publisher states in a small file, and keep that file.

    The file that was kept is used the next time, so that what was fetched once can be had
    without a network.

    Parameters
    ----------
    url : str
        A text with one MD5 or SHA-256, as ``md5sum`` or ``md5`` print it.
    path : Path
        Where the file is kept.

    Returns
    -------
    str
        ``md5:...`` or ``sha256:...``.

    Raises
    ------
    DataError
        If the file cannot be had or kept, or holds no checksum.
    """
    if path.exists():
        return _checksum_in(path.read_text("utf-8"), str(path))
    import requests

    try:
        response = requests.get(url, timeout=TIMEOUT)
        response.raise_for_status()
    except requests.RequestException as error:
        raise DataError(f"cannot download the checksum {url}: {_reason(error)}") from error
    checksum = _checksum_in(response.text, url)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(response.text, "utf-8")
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error
    return checksum


def _checksum_in(text: str, where: str) -> str:
    """Find ``MD5 (a.zip) = 0cc1...``, ``0cc1...  a.zip``, or the same with a SHA-256."""
    for algorithm, n_digits in (("sha256", 64), ("md5", 32)):
        found = re.search(rf"\b[0-9a-fA-F]{{{n_digits}}}\b", text)
        if found:
            return f"{algorithm}:{found[0].lower()}"
    raise DataError(f"{where}: expected an MD5 or SHA-256 checksum, got {text[:60]!r}")


def _reason(error: Exception) -> str:
    """Say in a few words why a request failed; the libraries below say it in five lines."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return "the server did not answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return "the server's certificate is not valid"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off"
    return "no connection to the server"


class _ResumingDownloader:
    """What pooch calls to download: appends to a part file, and hands it over when it is whole."""

    def __init__(self, part: Path, on_step: OnStep | None) -> None:
        self.part = part
        self.on_step = on_step

    def __call__(self, url: str, output_file: str, *_: object) -> None:
        """Download `url` to the path `output_file`; pooch verifies it and gives it its name."""
        import requests

        done = self.part.stat().st_size if self.part.exists() else 0
        headers = {"Range": f"bytes={done}-"} if done else {}
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            if response.status_code != HTTP_RANGE_NOT_SATISFIABLE:  # else nothing is missing
                response.raise_for_status()
                self._receive(response, done if response.status_code == HTTP_PARTIAL else 0)
        self.part.replace(output_file)

    def _receive(self, response: Any, done: int) -> None:
        """Write the body to the part file behind the bytes that are there already."""
        total = done + int(response.headers.get("Content-Length", 0))
        with self.part.open("ab" if done else "wb") as part:
            for chunk in response.iter_content(CHUNK_BYTES):
                part.write(chunk)
                done += len(chunk)
                if self.on_step is not None:
                    self.on_step(done, max(total, done))

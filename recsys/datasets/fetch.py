"""Fetch a public log: download, resume, verify its checksum, unpack."""

import logging
import re
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from recsys.base.durable import replaced
from recsys.base.errors import DataError, did_you_mean
from recsys.base.progress import OnStep
from recsys.datasets.registry import DATASETS, BareLayout, Dataset

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
        with replaced(path) as aside:
            aside.write_text(response.text, "utf-8")
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


def describe(datasets: Mapping[str, Dataset] = DATASETS) -> list[dict[str, str | float | bool]]:
    """Return one row per dataset, for a table or for JSON.

    Returns
    -------
    list of dict
        Keys name, what, interactions, megabytes, terms, home, fetchable, and by_hand: what to do
        where it cannot be fetched.
    """
    return [
        {
            "name": dataset.name,
            "what": dataset.what,
            "interactions": dataset.n_interactions,
            "megabytes": dataset.megabytes,
            "terms": dataset.terms,
            "home": dataset.home,
            "fetchable": dataset.fetchable,
            "by_hand": dataset.by_hand,
        }
        for dataset in datasets.values()
    ]


def fetch(
    name: str,
    folder: str | Path,
    *,
    datasets: Mapping[str, Dataset] = DATASETS,
    on_step: OnStep | None = None,
) -> Path:
    """Download a public log, verify it, unpack it, and say where it is.

    What is here already is not downloaded again. The publisher's README, and the table of items
    where there is one, are unpacked next to the log.

    Parameters
    ----------
    name : str
        One of `DATASETS`.
    folder : path
        The files go to ``<folder>/<name>/``.
    datasets : mapping of str to Dataset, optional
        Another list of datasets.
    on_step : callable, optional
        Called with the bytes done and the bytes in all.

    Returns
    -------
    Path
        The log, to be read with ``DATASETS[name].settings``.

    Raises
    ------
    DataError
        If the dataset is unknown or has no checksum, the network or the publisher fails, the
        checksum differs, or the archive does not hold the log.

    Examples
    --------
    >>> path = fetch("ml-latest-small", "downloads")  # doctest: +SKIP
    >>> log = read_log(path, DATASETS["ml-latest-small"].settings)  # doctest: +SKIP
    """
    dataset = _find(name, datasets)
    target = Path(folder) / dataset.name
    archive = _fetch_archive(dataset, target, on_step)
    log = _unpack(archive, dataset, target)
    return log if dataset.layout is None else _as_parquet(log, dataset.layout)


def _find(name: str, datasets: Mapping[str, Dataset]) -> Dataset:
    """Return the dataset of a name that can be fetched."""
    if name not in datasets:
        raise DataError(
            f"datasets: there is no dataset {name!r}, only {', '.join(datasets)}"
            f"{did_you_mean(name, datasets)}"
        )
    dataset = datasets[name]
    if not dataset.fetchable:
        raise DataError(
            f"datasets: {name} cannot be fetched, as its publisher states no checksum; download "
            f"it from {dataset.home}, then {dataset.by_hand}"
        )
    return dataset


def _fetch_archive(dataset: Dataset, target: Path, on_step: OnStep | None) -> Path:
    """Return the verified archive."""
    url = str(dataset.url)
    archive = target / PurePosixPath(url).name
    try:
        return download(url, archive, dataset.checksum or _stated(dataset, archive), on_step)
    except DataError as error:
        raise DataError(f"datasets: {dataset.name}: {error} (its home is {dataset.home})") from None


def _stated(dataset: Dataset, archive: Path) -> str:
    """Return the checksum that the publisher states of an archive."""
    stated = archive.with_name(f"{archive.name}.checksum")
    if stated.exists() and not archive.exists():
        stated.unlink()  # what was stated of an earlier archive may no longer hold
    return published_checksum(str(dataset.checksum_url), stated)


def _unpack(archive: Path, dataset: Dataset, target: Path) -> Path:
    """Unpack the log, the items and the README, each under its own bare name.

    Names inside an archive never decide where a file goes, so that none can leave the folder.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            readme = [name for name in opened.namelist() if "readme" in name.lower()][:1]
            wanted = [dataset.log, *readme] + ([dataset.items] if dataset.items else [])
            for member in wanted:
                _unpack_member(opened, member, target / PurePosixPath(member).name)
    except KeyError as error:
        raise DataError(f"datasets: {archive} does not hold {error.args[0]}") from error
    except zipfile.BadZipFile as error:
        raise DataError(f"datasets: {archive} is not a zip archive: {error}") from error
    except OSError as error:
        raise DataError(f"datasets: cannot unpack {archive}: {error.strerror or error}") from error
    return target / PurePosixPath(dataset.log).name


def _unpack_member(archive: zipfile.ZipFile, member: str, path: Path) -> None:
    """Write a file of the archive, whole or not at all."""
    with (
        replaced(path) as aside,
        archive.open(member) as packed,
        aside.open("wb") as unpacked,
    ):
        shutil.copyfileobj(packed, unpacked)


def _as_parquet(log: Path, layout: BareLayout) -> Path:
    """Rewrite a log without a header as Parquet, beside it."""
    import duckdb

    path = log.with_name(f"{log.name}.parquet")
    try:
        with replaced(path) as aside, duckdb.connect() as connection:
            connection.read_csv(
                str(log), sep=layout.delimiter, header=False, names=list(layout.columns)
            ).write_parquet(str(aside), compression="zstd")
    except duckdb.Error as error:
        first_line = str(error).splitlines()[0]
        raise DataError(f"datasets: cannot read {log}: {first_line}") from error
    return path

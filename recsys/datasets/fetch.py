"""Fetch a public log: download it with pooch, go on where a download broke off, unpack it."""

import logging
import re
import shutil
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from recsys.base.distribution import extra, missing_package
from recsys.base.durable import replaced
from recsys.base.errors import DataError, did_you_mean
from recsys.base.progress import OnStep
from recsys.datasets.registry import DATASETS, BareLayout, Dataset

CHUNK_BYTES = 1 << 20
TIMEOUT = (10, 60)  # seconds to connect, and between two chunks
HTTP_PARTIAL, HTTP_RANGE_NOT_SATISFIABLE = 206, 416


def fetch(
    name: str,
    folder: str | Path,
    *,
    datasets: Mapping[str, Dataset] = DATASETS,
    on_step: OnStep | None = None,
) -> Path:
    """Download a public log, verify it, unpack it, and return its path.

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
    ConfigError
        If pooch is not installed.

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
    """Rewrite a log without a header as Parquet, next to it."""
    import duckdb  # not needed to list datasets

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


def download(url: str, path: Path, checksum: str | None, on_step: OnStep | None = None) -> Path:
    """Download a file, or return it where it is here already and its checksum holds.

    A download that breaks off leaves ``<path>.part``, from which the next one goes on if the server
    can; a file under its own name is always whole, and verified by ``md5:...`` or ``sha256:...``.

    Raises
    ------
    DataError
        If the server cannot be reached, refuses, stops half-way, or sends another file than
        expected; or the folder cannot be written.
    ConfigError
        If pooch is not installed.
    """
    try:
        import pooch  # type: ignore[import-untyped]  # an extra, and not needed to list datasets
        import requests
    except ImportError as error:
        raise missing_package("datasets", "pooch", extra("datasets")) from error

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
    import requests

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
    raise DataError(f"{url}: expected an MD5 or SHA-256 checksum, got {text[:60]!r}")

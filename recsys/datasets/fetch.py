"""Fetch a public log: download its archive, verify it, and unpack it."""

import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from recsys.base.durable import replaced
from recsys.base.environment import extra, missing_package
from recsys.base.errors import DataError, did_you_mean
from recsys.base.progress import OnStep
from recsys.datasets.public_logs import DATASETS, Dataset


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
    return _unpack(archive, dataset, target)


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
    try:  # imported here, as pooch is an extra that a list of datasets does not need
        from recsys.datasets.download import download, published_checksum
    except ImportError as error:
        raise missing_package("datasets", "pooch", extra("datasets")) from error

    url, checksum = str(dataset.url), dataset.checksum
    archive = target / PurePosixPath(url).name
    stated = archive.with_name(f"{archive.name}.checksum")
    try:
        if checksum is None:
            if stated.exists() and not archive.exists():
                stated.unlink()  # what was stated of an earlier archive may no longer hold
            checksum = published_checksum(str(dataset.checksum_url), stated)
        return download(url, archive, checksum, on_step)
    except DataError as error:
        raise DataError(f"datasets: {dataset.name}: {error} (its home is {dataset.home})") from None


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

"""Public interaction logs: `describe` lists them, `fetch` gets one and verifies what it gets.

Only a log whose checksum is known is fetched: stated in the registry as its publisher states it,
or in a file that the publisher keeps beside the archive. The others are listed with their home.
"""

import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from recsys.errors import DataError, did_you_mean
from recsys.logs.public.download import download, published_checksum
from recsys.logs.public.registry import DATASETS, BareLayout, Dataset
from recsys.progress import OnStep


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
    part = path.with_name(f"{path.name}.part")
    with archive.open(member) as packed, part.open("wb") as unpacked:
        shutil.copyfileobj(packed, unpacked)
    part.replace(path)


def _as_parquet(log: Path, layout: BareLayout) -> Path:
    """Rewrite a log without a header as Parquet, beside it."""
    import duckdb

    path = log.with_name(f"{log.name}.parquet")
    part = path.with_name(f"{path.name}.part")
    try:
        with duckdb.connect() as connection:
            connection.read_csv(
                str(log), sep=layout.delimiter, header=False, names=list(layout.columns)
            ).write_parquet(str(part), compression="zstd")
    except duckdb.Error as error:
        first_line = str(error).splitlines()[0]
        raise DataError(f"datasets: cannot read {log}: {first_line}") from error
    part.replace(path)
    return path

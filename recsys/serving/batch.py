"""Write the lists of all users of a version to Parquet files, resumable."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from recsys.base.durable import replace_text, replaced
from recsys.base.errors import ConfigError, DataError
from recsys.base.progress import OnStep, progress_bar
from recsys.serving.recommender import Recommender
from recsys.vectors.ids import checked_k

SETTINGS = "batch.json"

_BYTES_PER_ENTRY = 160  # of a list while its file is made: rows and scores twice, and five columns
_MIN_BYTES = 1 << 20


@dataclass(frozen=True)
class _ListSettings:
    """What the lists of a folder are; batch.json holds it."""

    version: str
    k: int
    include_seen: bool
    where: str | None
    users_per_part: int


def write_batch(
    recommender: Recommender,
    folder: str | Path,
    k: int = 10,
    *,
    include_seen: bool = False,
    where: str | None = None,
    memory_bytes: int = 512 * 1024**2,
    progress: bool = False,
) -> Path:
    """Write the lists of all users of a version to a folder of Parquet files.

    A file holds as many users as the memory allows, and appears when it is complete. Called again
    after an interruption, it continues after the last file.

    Parameters
    ----------
    folder : path
        Created if missing. `batch.json` in it holds the settings of the lists.
    where : str, optional
        As in `Recommender.recommend`.
    memory_bytes : int
        Bound on the memory of the lists of one file, without the version itself.
    progress : bool
        Show a progress bar where stderr is a terminal.

    Returns
    -------
    path
        The folder. Columns: user_id, rank from 1, item_id, score, source.

    Raises
    ------
    DataError
        If the folder holds other lists, or an argument cannot be understood.
    ConfigError
        If the memory is less than 1 MB.
    OSError
        If a file cannot be written.
    """
    if memory_bytes < _MIN_BYTES:
        raise ConfigError(f"memory: expected 1 MB or more, got {memory_bytes} bytes")
    k, folder = checked_k(k), Path(folder)
    users_per_part = max(1, memory_bytes // (_BYTES_PER_ENTRY * k))
    settings = _ListSettings(recommender.version, k, include_seen, where, users_per_part)
    folder.mkdir(parents=True, exist_ok=True)
    _require_same(folder, settings)
    with progress_bar("recommending", enabled=progress) as on_step:
        _write_files(recommender, folder, settings, on_step)
    return folder


def _require_same(folder: Path, settings: _ListSettings) -> None:
    """Write the settings of the lists, or compare them to those of the lists in the folder."""
    path, expected = folder / SETTINGS, asdict(settings)
    if not path.exists():
        replace_text(path, json.dumps(expected))
        return
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise DataError(f"{path}: expected JSON, got {error}; choose another folder") from error
    for name, value in expected.items():
        if found.get(name) != value:
            raise DataError(
                f"{folder}: expected a folder for lists with {name} {value!r}, got one with "
                f"{found.get(name)!r}; choose another folder, or remove this one"
            )


def _write_files(
    recommender: Recommender, folder: Path, settings: _ListSettings, on_step: OnStep
) -> None:
    import pyarrow.parquet as pq

    users, n_users = recommender.user_vectors.ids, len(recommender.user_vectors)
    for number, first in enumerate(range(0, n_users, settings.users_per_part)):
        path = folder / f"part-{number:06}.parquet"
        rows = np.arange(first, min(first + settings.users_per_part, n_users), dtype=np.int32)
        if not path.exists():
            table = recommender.recommend_many(
                users.tolist(rows),
                settings.k,
                include_seen=settings.include_seen,
                where=settings.where,
            ).to_table()
            with replaced(path) as aside:
                pq.write_table(table, aside, compression="zstd")
        on_step(int(rows[-1]) + 1, n_users)

"""Write the audiences of many items to Parquet files, resumable."""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.base.checks import require_a, require_whole
from recsys.base.errors import ConfigError
from recsys.base.progress import OnStep, progress_bar
from recsys.index import ItemRows
from recsys.serving.assignment import DEEPER, Suited
from recsys.serving.audience import Audiences
from recsys.serving.batch import hash_of_rows, keep_part, lists_in, require_part
from recsys.serving.recommender import Recommender
from recsys.serving.request import Request
from recsys.vectors import Id

_BYTES_PER_ENTRY = 64  # of an audience while its file is made
_MIN_BYTES = 1 << 20


@dataclass(frozen=True)
class AudienceSettings:
    """What the audiences of a folder are; _batch.json holds it."""

    version: str
    k: int
    per_user: int | None
    where: str | None
    items: str  # a hash of their ids
    items_per_part: int

    def to_dict(self) -> dict[str, Any]:
        """Return them as JSON has them."""
        return {"lists": "audiences", **asdict(self)}

    @property
    def of(self) -> str:
        """What a file of these audiences says that it is of."""
        return json.dumps(self.to_dict(), sort_keys=True)

    @property
    def n_candidates(self) -> int:
        """How many users of each item are found first."""
        return self.k if self.per_user is None else DEEPER * self.k

    def parts(self, n_items: int) -> list[str]:
        """Return the names of the files of all items, in their order."""
        return [f"part-{number:06}.parquet" for number in range(-(-n_items // self.items_per_part))]

    def slices(self, n_items: int) -> Iterator[slice]:
        """Yield the places of the items of each file."""
        for first in range(0, n_items, self.items_per_part):
            yield slice(first, min(first + self.items_per_part, n_items))


def write_audiences(
    recommender: Recommender,
    folder: str | Path,
    item_ids: Iterable[Id] | None = None,
    k: int = 100,
    *,
    per_user: int | None = None,
    where: str | None = None,
    memory_bytes: int = 512 * 1024**2,
    progress: bool = False,
) -> Path:
    """Write who should hear of each of many items to a folder of Parquet files.

    A file holds as many items as the memory allows, and appears when it is complete. Called again
    after an interruption, it continues after the last file, as `write_batch` does.

    Parameters
    ----------
    folder : path
        Created if missing. `_batch.json` in it holds the settings of the audiences.
    item_ids : iterable of str or int, optional
        Ids or titles. Default: all items of the version that are not sold out.
    k, per_user, where
        As in `Recommender.audiences`.
    memory_bytes : int
        Bound on the memory of the audiences of one file. With `per_user`, the rows of ``4 k`` users
        of each item are in memory at the end, 8 bytes each.
    progress : bool
        Show a progress bar where stderr is a terminal.

    Returns
    -------
    path
        The folder. Columns: item_id, rank from 1, user_id, score.

    Raises
    ------
    DataError
        If the folder holds other lists, or is none that can be written to, or an argument cannot
        be understood.
    ConfigError
        If the memory is less than 1 MB.
    """
    require_a(
        "write_audiences", recommender, Recommender, "a Recommender, as recsys.open returns it"
    )
    if memory_bytes < _MIN_BYTES:
        raise ConfigError(f"memory: expected 1 MB or more, got {memory_bytes} bytes")
    request = Request.among(k, recommender.all_users)
    rows = recommender.available_rows() if item_ids is None else recommender.item_rows(item_ids)
    is_allowed = recommender.audience_rows.allowed(request, where)
    if per_user is not None:
        require_whole("per_user", per_user, least=1)
    per_item = _BYTES_PER_ENTRY * request.k * (1 if per_user is None else DEEPER)
    settings = AudienceSettings(
        recommender.version,
        request.k,
        per_user,
        where,
        hash_of_rows(rows),
        max(1, memory_bytes // per_item),
    )
    with (
        lists_in(folder, settings, len(rows)) as folder,
        progress_bar("finding audiences", enabled=progress) as on_step,
    ):
        _Files(folder, settings, rows, recommender, is_allowed).write(on_step)
    return folder


@dataclass(frozen=True, eq=False)
class _Files:
    """The files of some audiences."""

    folder: Path
    settings: AudienceSettings
    rows: ItemRows
    recommender: Recommender
    is_allowed: NDArray[np.bool_] | None

    def write(self, on_step: OnStep) -> None:
        """Write those that are not there."""
        settings, n = self.settings, len(self.rows)
        parts = [self.folder / name for name in settings.parts(n)]
        if settings.per_user is None:
            for path, some in zip(parts, settings.slices(n), strict=True):
                if not self._is_there(path):
                    self._keep(path, some, self._found(some))
                on_step(some.stop, n)
            return
        if not all(map(self._is_there, parts)):
            for path, some, lists in self._assigned(parts, settings.per_user, on_step):
                if not self._is_there(path):
                    self._keep(path, some, lists)
        for path in parts:
            _aside(path).unlink(missing_ok=True)

    def _assigned(
        self, parts: list[Path], per_user: int, on_step: OnStep
    ) -> Iterator[tuple[Path, slice, list[Suited]]]:
        """Yield each file with its items and their audiences, in which no user is too often."""
        n, lists = len(self.rows), list[Suited]()
        slices = list(self.settings.slices(n))
        for path, some in zip(parts, slices, strict=True):
            lists += self._candidates(_aside(path), some)
            on_step(some.stop, n)
        kept = self.recommender.audience_rows.assigned(
            self.rows, lists, self.settings.k, per_user, self.is_allowed
        )
        for path, some in zip(parts, slices, strict=True):
            yield path, some, kept[some]

    def _candidates(self, path: Path, some: slice) -> list[Suited]:
        """Return the best users of some items; they are found once, and kept until all is done."""
        import pyarrow.parquet as pq

        if not self._is_there(path):
            found = self._found(some)
            place = np.repeat(np.arange(len(found)), [len(one.rows) for one in found])
            columns = {
                "place": place,
                "user_idx": np.concatenate([one.rows for one in found]),
                "score": np.concatenate([one.standing for one in found]),
            }
            keep_part(pa.table(columns), path, self.settings.of)
            return found
        place, users, scores = (one.to_numpy() for one in pq.read_table(path).columns)
        ends = np.cumsum(np.bincount(place, minlength=some.stop - some.start))[:-1]
        return list(map(Suited, np.split(users, ends), np.split(scores, ends)))

    def _found(self, some: slice) -> list[Suited]:
        n = self.settings.n_candidates
        return self.recommender.audience_rows.of(self.rows[some], n, self.is_allowed)

    def _keep(self, path: Path, some: slice, lists: list[Suited]) -> None:
        items, users = self.recommender.item_vectors.ids, self.recommender.all_users
        found = Audiences(self.rows[some], lists, items, users, self.settings.version)
        keep_part(found.to_arrow(), path, self.settings.of)

    def _is_there(self, path: Path) -> bool:
        """Return whether a file is there; a DataError where it was not written for these lists."""
        is_there = os.path.lexists(path)
        if is_there:
            require_part(path, self.settings.of)
        return is_there


def _aside(part: Path) -> Path:
    """Return the file of what a part is made of."""
    return part.with_name(part.name.replace("part", "candidates"))

"""Maps that are kept in a store beside the versions: the next one starts at them.

::

    maps/20261120T020000Z-3f2a91bc-items-umap.parquet     item_id, x, y

A version itself never changes, so its map lies outside of it. Those of versions that were pruned
are removed when the next map is kept.
"""

import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recsys.base.durable import replaced
from recsys.base.errors import briefly
from recsys.maps.positions import Method
from recsys.store import versions
from recsys.vectors import Ids

Kind = Literal["items", "users"]
"""Whose map it is."""

MAPS = "maps"
_FACTS = b"recsys_map"
_FORMAT = 1


@dataclass(frozen=True)
class Origin:
    """How the positions of a map were found.

    Attributes
    ----------
    method : {"umap", "pca"}
    seed : int
    started_from : str or None
        The version whose map they started at.
    n_fitted : int
        Points that were laid out; the others stand between their neighbours.
    """

    method: Method
    seed: int
    started_from: str | None
    n_fitted: int


@dataclass(frozen=True, eq=False)
class KeptMap:
    """Positions by id."""

    version: str
    ids: Ids
    positions: NDArray[np.float32]  # (n, 2)
    origin: Origin

    def start_for(self, ids: Ids) -> NDArray[np.float32]:
        """Return the positions of other ids on this map, NaN where it does not have them."""
        rows = self.ids.rows_of(ids)
        found = np.full((len(ids), 2), np.nan, np.float32)
        found[rows >= 0] = self.positions[rows[rows >= 0]]
        return found


def read_map(store: Path, version: str, kind: Kind, method: Method) -> KeptMap | None:
    """Return the map of a version; None where there is none that can be read, with a warning."""
    path = _path(store, version, kind, method)
    try:
        table = pq.read_table(path)
        facts: Mapping[str, Any] = json.loads((table.schema.metadata or {}).get(_FACTS, b"{}"))
        if facts.get("format") != _FORMAT:
            raise ValueError(f"expected format {_FORMAT}, got {briefly(facts.get('format'))}")
        positions = np.column_stack([_coordinates(table[name]) for name in ("x", "y")])
        return KeptMap(version, Ids(table[0]), positions, Origin(**facts["origin"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        warnings.warn(f"{path}: no map that can be read: {reason}; made again", stacklevel=2)
        return None


def keep_map(store: Path, kind: Kind, kept: KeptMap) -> None:
    """Write a map beside the versions, and remove those of versions that are gone.

    A RuntimeWarning says so where it cannot be written: the next map will not start at it.
    """
    facts = {"format": _FORMAT, "origin": asdict(kept.origin)}
    names = [f"{kind[:-1]}_id", "x", "y"]
    columns = [kept.ids.values, *(pa.array(column) for column in kept.positions.T)]
    table = pa.table(columns, names).replace_schema_metadata({_FACTS: json.dumps(facts)})
    try:
        (store / MAPS).mkdir(exist_ok=True)
        with replaced(
            _path(store, kept.version, kind, kept.origin.method), many_writers=True
        ) as path:
            pq.write_table(table, path)
        _remove_orphans(store)
    except OSError as error:
        warnings.warn(
            f"map: cannot be kept in {store / MAPS}: {error.strerror or error}; the map of the "
            "next version will not start at it",
            RuntimeWarning,
            stacklevel=2,
        )


def earlier_maps(
    store: Path, version: str, parent: str | None, kind: Kind, method: Method
) -> list[str]:
    """Return the versions that have a map to start at, the best first: the parent, then others.

    Those are older than the version, the newest of them first.
    """
    ending = f"-{kind}-{method}.parquet"
    named = sorted((path.name.removesuffix(ending) for path in _maps(store, ending)), reverse=True)
    older = [name for name in named if name < version and name != parent]
    return [parent, *older] if parent in named and parent is not None else older


def _remove_orphans(store: Path) -> None:
    existing = {version.name for version in versions(store)}
    for path in _maps(store, ".parquet"):
        if path.stem.rsplit("-", 2)[0] not in existing:
            path.unlink(missing_ok=True)


def _maps(store: Path, ending: str) -> list[Path]:
    return [path for path in (store / MAPS).glob(f"*{ending}") if not path.name.startswith(".")]


def _path(store: Path, version: str, kind: Kind, method: Method) -> Path:
    return store / MAPS / f"{version}-{kind}-{method}.parquet"


def _coordinates(column: pa.ChunkedArray) -> NDArray[np.float32]:
    found: NDArray[np.float32] = np.asarray(column.to_numpy(), np.float32)
    if not np.isfinite(found).all():
        raise ValueError("expected finite positions, got others")
    return found

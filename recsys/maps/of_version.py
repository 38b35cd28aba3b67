"""The map of a version: a position for each of its items, or users, stable from day to day."""

from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.base.charts import CloudPlot
from recsys.base.errors import ConfigError, DataError, briefly, did_you_mean
from recsys.base.progress import OnStep, progress_bar
from recsys.base.tables import Tabular
from recsys.maps.kept import KeptMap, Kind, Origin, earlier_maps, keep_map, read_map
from recsys.maps.positions import (
    N_NEIGHBORS,
    Method,
    between_neighbours,
    method_for,
    positions_of,
)
from recsys.maps.shown import cloud_plot
from recsys.maps.strata import stratified_sample
from recsys.store import Content, open_version
from recsys.store.parquet_files import ItemTable, UserTable
from recsys.store.remote import store_folder
from recsys.vectors import Ids
from recsys.vectors.vector import unit_rows

MOST_FITTED = 100_000
"""Vectors that are laid out; the others are put between those."""

_MOST_DRAWN = 400  # points of a plot in a notebook: 70 kB
_LEAST_SHARED = 0.5  # of the points, that an earlier map must know to start from it
_ROWS_AT_ONCE = 1 << 16


@dataclass(frozen=True, eq=False, repr=False)
class VectorMap(Tabular):
    """Positions of the items, or the users, of a version.

    Parameters
    ----------
    content : Content
        The version.
    kind : {"items", "users"}
    rows : ndarray of int32, shape (n,)
        Rows of the version that have a position: all that have a vector, ascending.
    positions : ndarray of float32, shape (n, 2)
    origin : Origin
        How they were found.
    """

    content: Content
    kind: Kind
    rows: NDArray[np.int32]
    positions: NDArray[np.float32]
    origin: Origin

    @property
    def table(self) -> ItemTable | UserTable:
        """The items or the users of the version."""
        return self.content.items if self.kind == "items" else self.content.users

    @property
    def popularity(self) -> NDArray[np.int64]:
        """Users of each item, or items of each user, (n,)."""
        return popularity_of(self.content, self.kind)[self.rows]

    @property
    def n_without_vector(self) -> int:
        """How many have no vector, and so no position."""
        return len(self.table.ids) - len(self.rows)

    def to_arrow(self) -> pa.Table:
        """Return id, x, y, popularity, and the attributes of items, a row for each position.

        An attribute that is called like one of these has another name: "x of item".
        """
        return self._table_of(np.arange(len(self.rows)))

    def _table_of(self, places: NDArray[np.integer]) -> pa.Table:
        taken = pa.array(self.rows[places])
        columns = {
            f"{self.kind[:-1]}_id": self.table.ids.values.take(taken),
            "x": pa.array(self.positions[places, 0]),
            "y": pa.array(self.positions[places, 1]),
            "popularity": pa.array(self.popularity[places]),
        }
        attributes = self.content.attributes if self.kind == "items" else None
        if attributes is not None:
            own = attributes.take(taken)
            own = own.drop_columns("item_id")
            columns |= {_free(name, columns): own[name] for name in own.column_names}
        return pa.table(columns)

    def charts(self) -> list[CloudPlot]:
        """Return a sample by strata of popularity on the plane, with titles."""
        ids = self.table.ids.take(self.rows)
        sample = stratified_sample(self.popularity, ids, _MOST_DRAWN, seed=self.origin.seed)
        return [cloud_plot(self._table_of(sample.rows), len(self.rows), self.kind)]

    def first_rows(self, n: int) -> pa.Table:
        """Return the first rows of the table."""
        return self._table_of(np.arange(min(n, len(self.rows))))

    def caption(self) -> str:
        """Return what the map shows and how it was found."""
        method = {"umap": "UMAP", "pca": "principal components"}[self.origin.method]
        start = self.origin.started_from
        begun = f", from the map of {start}" if start else ""
        return f"{len(self.rows):,} {self.kind} of {self.content.version} by {method}{begun}"


def vector_map(
    store: str | Path,
    version: str | None = None,
    kind: Kind = "items",
    *,
    method: Method | None = None,
    seed: int = 0,
    again: bool = False,
    progress: bool = False,
) -> VectorMap:
    """Return the map of a version: the one that is kept beside it, or a new one, which is kept.

    It starts at the map of the version's parent, or else of an older version, so that what did not
    change stays where it was. Vectors are compared by cosine; those of length 0 have no position.
    Of more than 100,000 a sample by strata of popularity is laid out, and the others are put
    between their nearest neighbours of the sample.

    Parameters
    ----------
    version : str, optional
        Default: the current one.
    kind : {"items", "users"}
    method : {"umap", "pca"}, optional
        Default: UMAP where umap-learn is installed, else the principal components.
    seed : int
    again : bool
        Lay it out again, also where it is kept.
    progress : bool
        Show a progress bar where stderr is a terminal.

    Raises
    ------
    ConfigError
        If there is no such kind or method, or its package is not installed.
    DataError
        If nothing has a vector.

    Examples
    --------
    ::

        recsys.maps.vector_map("store").to_pandas()
    """
    store = store_folder(store)
    if kind not in get_args(Kind):
        raise ConfigError(
            f"kind: expected items or users, got {briefly(kind)}"
            f"{did_you_mean(str(kind), get_args(Kind))}"
        )
    chosen = method_for(method)
    content = open_version(store, version)
    rows = _rows_with_vector(content, kind)
    if len(rows) <= N_NEIGHBORS:  # fewer have no neighbours to be laid out by
        chosen = "pca"
    kept = None if again else read_map(store, content.version.name, kind, chosen)
    if kept is not None and _is_of(kept, content, kind, rows, seed):
        return VectorMap(content, kind, rows, kept.positions, kept.origin)
    with progress_bar(f"map of {kind}", enabled=progress) as on_step:
        made = _made(store, content, kind, rows, chosen, seed, on_step)
    ids = made.table.ids.take(rows)
    keep_map(store, kind, KeptMap(content.version.name, ids, made.positions, made.origin))
    return made


def _free(name: str, taken: Container[str]) -> str:
    return f"{name} of item" if name in taken else name


def popularity_of(content: Content, kind: Kind) -> NDArray[np.int64]:
    """Return the users of each item, or the items of each user."""
    if kind == "items":
        return content.items.popularity
    return np.diff(content.users.seen.starts)


def _rows_with_vector(content: Content, kind: Kind) -> NDArray[np.int32]:
    table = content.items if kind == "items" else content.users
    found = np.flatnonzero(np.asarray(table.embeddings.any(axis=1))).astype(np.int32)
    if not len(found):
        raise DataError(
            f"map: expected {kind} with a vector in version {content.version}, got none of "
            f"{len(table.ids):,}; train with more events"
        )
    return found


def _is_of(kept: KeptMap, content: Content, kind: Kind, rows: NDArray[np.int32], seed: int) -> bool:
    """Whether a kept map is the one that is asked for."""
    table = content.items if kind == "items" else content.users
    return kept.origin.seed == seed and kept.ids == table.ids.take(rows)


def _made(
    store: Path,
    content: Content,
    kind: Kind,
    rows: NDArray[np.int32],
    method: Method,
    seed: int,
    on_step: OnStep,
) -> VectorMap:
    table = content.items if kind == "items" else content.users
    ids = table.ids.take(rows)
    start, started_from = _start(store, content, kind, ids, method)
    fitted = stratified_sample(popularity_of(content, kind)[rows], ids, MOST_FITTED, seed=seed).rows
    units = unit_rows(np.asarray(table.embeddings[rows[fitted]], np.float32))
    own_start = None if start is None else start[fitted]
    positions = np.empty((len(rows), 2), np.float32)
    positions[fitted] = positions_of(
        units, method=method, seed=seed, start=own_start, on_step=on_step
    )
    others = np.setdiff1d(np.arange(len(rows)), fitted)
    for block in _blocks(others):
        vectors = unit_rows(np.asarray(table.embeddings[rows[block]], np.float32))
        positions[block] = between_neighbours(vectors, units, positions[fitted])
    return VectorMap(
        content, kind, rows, positions, Origin(method, seed, started_from, len(fitted))
    )


def _start(
    store: Path, content: Content, kind: Kind, ids: Ids, method: Method
) -> tuple[NDArray[np.float32] | None, str | None]:
    """Return the positions to start at, from the best earlier map that knows enough of the ids."""
    version = content.version
    for name in earlier_maps(store, version.name, version.manifest.parent, kind, method):
        kept = read_map(store, name, kind, method)
        if kept is None:
            continue
        start = kept.start_for(ids)
        if (~np.isnan(start[:, 0])).mean() >= _LEAST_SHARED:
            return start, name
    return None, None


def _blocks(rows: NDArray[np.integer]) -> Iterator[NDArray[np.integer]]:
    for first in range(0, len(rows), _ROWS_AT_ONCE):
        yield rows[first : first + _ROWS_AT_ONCE]

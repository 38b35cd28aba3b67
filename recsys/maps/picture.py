"""What a page shows of a map: its points with their values, neighbours, regions and density."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.base.errors import StoreError
from recsys.evaluation import groups_of
from recsys.evaluation.slices import UNKNOWN
from recsys.maps.coloring import Coloring, colorings_of
from recsys.maps.of_version import VectorMap
from recsys.maps.positions import nearest
from recsys.maps.regions import Region, regions_of
from recsys.maps.strata import Stratum, stratified_sample
from recsys.monitoring.measures import NotMeasured
from recsys.monitoring.population import Shared
from recsys.monitoring.vectors import cosines
from recsys.store import Content, open_version
from recsys.store.title_column import title_column
from recsys.vectors.vector import unit_rows

MOST_POINTS = 100_000
"""Points that are drawn one by one."""

_CELLS = 256  # across the plane, and down, in which all points are counted
_N_NEIGHBOURS = 8


@dataclass(frozen=True, eq=False)
class MapPicture:
    """A map as a page shows it; its points are in the order of popularity, the largest first.

    Parameters
    ----------
    version, caption : str
        Of the map.
    kind : {"items", "users"}
    n_all, n_without_vector : int
        All that have a position, and those that have none.
    positions : ndarray of float32, shape (n, 2)
    ids : list of str
    titles : list of str, or None
        "" where one is not known.
    popularity : ndarray of int64, shape (n,)
    colorings : tuple of Coloring
        What points can be coloured by, besides popularity.
    neighbours : ndarray of int32, shape (n, k)
        Rows of the nearest points by cosine, among those that are drawn.
    regions : tuple of Region
    density : ndarray of int64, shape (256, 256), or None
        How many are in each cell of the plane, row by row from the least y; where not all are
        drawn.
    strata : tuple of Stratum
        What was drawn of each; empty where all are.
    notes : tuple of str
        What movement is measured from, or why it could not be.
    """

    version: str
    caption: str
    kind: str
    n_all: int
    n_without_vector: int
    positions: NDArray[np.float32]
    ids: list[str]
    titles: list[str] | None
    popularity: NDArray[np.int64]
    colorings: tuple[Coloring, ...]
    neighbours: NDArray[np.int32]
    regions: tuple[Region, ...]
    density: NDArray[np.int64] | None
    strata: tuple[Stratum, ...]
    notes: tuple[str, ...]


def picture_of(
    found: VectorMap, by: Sequence[str] | None = None, *, most: int = MOST_POINTS
) -> MapPicture:
    """Return what a page shows of a map.

    Parameters
    ----------
    by : sequence of str, optional
        Attributes to colour by; default: those that say something.
    most : int
        Points that are drawn, by strata of popularity; all others are counted by `density`.

    Raises
    ------
    ConfigError
        If there is no such attribute.
    """
    ids = found.table.ids.take(found.rows)
    sample = stratified_sample(found.popularity, ids, most, seed=found.origin.seed)
    places = sample.rows[np.argsort(-found.popularity[sample.rows], kind="stable")]
    rows = found.rows[places]
    attributes = _attributes(found, rows)
    titles = _titles(attributes)
    names = (
        [title or str(id_) for title, id_ in zip(titles, ids.tolist(places), strict=True)]
        if (titles is not None)
        else [str(id_) for id_ in ids.tolist(places)]
    )
    notes: list[str] = []
    movement = _movement(found, rows, notes)
    colored = colorings_of(attributes, by)
    positions, popularity = found.positions[places], found.popularity[places]
    is_sample = len(places) < len(found.rows)
    return MapPicture(
        version=found.content.version.name,
        caption=found.caption(),
        kind=found.kind,
        n_all=len(found.rows),
        n_without_vector=found.n_without_vector,
        positions=positions,
        ids=[str(id_) for id_ in ids.tolist(places)],
        titles=titles,
        popularity=popularity,
        colorings=(*movement, *colored),
        neighbours=_neighbours(found, rows),
        regions=tuple(regions_of(positions, popularity, names, _groups(attributes, colored))),
        density=_density(found.positions) if is_sample else None,
        strata=sample.strata if is_sample else (),
        notes=tuple(notes),
    )


def _attributes(found: VectorMap, rows: NDArray[np.int32]) -> pa.Table:
    """Return the attributes of some items, without their ids; a table without columns of others."""
    known = found.content.attributes if found.kind == "items" else None
    return pa.table({}) if known is None else known.take(pa.array(rows)).drop_columns("item_id")


def _titles(attributes: pa.Table) -> list[str] | None:
    name = title_column(attributes)
    if name is None:
        return None
    return [str(title or "").strip() for title in attributes[name].to_pylist()]


def _groups(attributes: pa.Table, colored: Sequence[Coloring]) -> list[list[str]] | None:
    """Return the groups of each point by the first attribute of words, for the names of regions."""
    words = next((one for one in colored if one.groups), None)
    if words is None:
        return None
    several = groups_of(attributes[words.name].to_pylist())[0]
    return [[group for group in one if group != UNKNOWN] for one in several]


def _movement(found: VectorMap, rows: NDArray[np.int32], notes: list[str]) -> list[Coloring]:
    """Return 1 - cosine of each vector and its own in the parent; a note where it is not known."""
    parent = found.content.version.manifest.parent
    if parent is None:
        notes.append("no movement: the version has no parent")
        return []
    store: Path = found.content.version.folder.parents[1]
    try:
        moves = _moves(found, open_version(store, parent))
    except NotMeasured as reason:
        notes.append(f"no movement since {parent}: {reason}")
        return []
    except StoreError:
        notes.append(f"no movement: the parent, {parent}, cannot be opened")
        return []
    notes.append(f"movement is 1 - cosine of a vector and its own in the parent, {parent}")
    return [Coloring("movement", moves[rows])]


def _moves(found: VectorMap, before: Content) -> NDArray[np.float64]:
    """Return 1 - cosine by row of the version, NaN of what is new."""
    now, then = found.table, before.items if found.kind == "items" else before.users
    if now.space_id != then.space_id:
        raise NotMeasured("the spaces differ")
    if now.embeddings.shape[1] != then.embeddings.shape[1]:
        raise NotMeasured("the numbers of factors differ")
    shared = Shared.of(then.ids, now.ids)
    moves = np.full(len(now.ids), np.nan)
    moves[shared.in_b] = np.maximum(1 - cosines(then.embeddings, now.embeddings, shared), 0)
    return moves


def _neighbours(found: VectorMap, rows: NDArray[np.int32]) -> NDArray[np.int32]:
    k = min(_N_NEIGHBOURS, len(rows) - 1)
    if k < 1:
        return np.empty((len(rows), 0), np.int32)
    units = unit_rows(np.asarray(found.table.embeddings[rows], np.float32))
    return nearest(units, units, k, without_itself=True)[0]


def _density(positions: NDArray[np.float32]) -> NDArray[np.int64]:
    low, high = positions.min(axis=0), positions.max(axis=0)
    width = np.where(high > low, high - low, 1)
    cell = np.minimum(((positions - low) / width * _CELLS).astype(np.int64), _CELLS - 1)
    counts = np.bincount(cell[:, 1] * _CELLS + cell[:, 0], minlength=_CELLS**2)
    return counts.reshape(_CELLS, _CELLS)

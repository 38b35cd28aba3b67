"""A map as a small plot: a sample of its points, coloured by the attribute that says most."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.base.charts import Cloud, CloudPlot, Mark
from recsys.evaluation import groups_of
from recsys.store.title_column import title_column

_MOST_GROUPS = 5  # that have a colour
_MOST_NAMES = 40  # of the most popular, of which those are written that do not meet
_CELLS = 4  # across the plane, and down: a name of each is written first
_PER_GROUP = 4  # points at least, on average: else an attribute is a name
_POSITIONS = ("x", "y", "popularity")


class _Coloring(NamedTuple):
    attribute: str
    groups: list[str]  # of each point
    colored: list[str]  # groups with a colour, the largest first


def cloud_plot(points: pa.Table, n_all: int, kind: str) -> CloudPlot:
    """Return the plot of a sample of a map.

    Parameters
    ----------
    points : pyarrow.Table
        Id, x, y, popularity and attributes of the sample, as `VectorMap.to_arrow` has them.
    n_all : int
        Points of the map.
    kind : str
        "items" or "users".
    """
    x, y = (points[name].to_numpy().astype(np.float64) for name in ("x", "y"))
    named = title_column(points) or points.column_names[0]
    ids = points[0].to_pylist()
    names = [str(name or id_) for name, id_ in zip(points[named].to_pylist(), ids, strict=True)]
    coloring = max(_colorings(points, named), key=_share, default=None)
    clouds = [
        Cloud(group, x[rows].tolist(), y[rows].tolist(), [names[row] for row in rows])
        for group, rows in _parts(coloring, len(points))
        if len(rows)
    ]
    spread = _spread(x, y, points["popularity"].to_numpy())[:_MOST_NAMES].tolist()
    marks = [Mark(float(x[row]), float(y[row]), names[row]) for row in spread]
    title = f"{n_all:,} {kind}" if len(points) == n_all else f"{len(points):,} of {n_all:,} {kind}"
    return CloudPlot(f"{title}, by {coloring.attribute}" if coloring else title, clouds, marks)


def _spread(
    x: NDArray[np.float64], y: NDArray[np.float64], popularity: NDArray[np.integer]
) -> NDArray[np.intp]:
    """Return the rows, the most popular of each part of the plane first, then the second ones."""
    cell = np.zeros(len(x), np.int64)
    for axis in (x, y):
        width = (np.ptp(axis) or 1.0) * (1 + 1e-9)
        cell = cell * _CELLS + ((axis - axis.min()) / width * _CELLS).astype(np.int64)
    order = np.lexsort((-popularity, cell))
    starts = np.flatnonzero(np.diff(cell[order], prepend=-1))
    sizes = np.diff(starts, append=len(order))
    place = np.arange(len(order)) - np.repeat(starts, sizes)  # within the cell
    by_place: NDArray[np.intp] = order[np.lexsort((-popularity[order], place))]
    return by_place


def _parts(coloring: _Coloring | None, n: int) -> Iterator[tuple[str, NDArray[np.intp]]]:
    """Yield the groups with a colour, and the rest without a name, with their rows."""
    if coloring is None:
        yield "", np.arange(n)
        return
    groups = np.array(coloring.groups, dtype=object)
    for group in coloring.colored:
        yield group, np.flatnonzero(groups == group)
    yield "", np.flatnonzero(~np.isin(groups, coloring.colored))


def _colorings(points: pa.Table, named: str) -> Iterator[_Coloring]:
    """Yield what the points can be coloured by: attributes of words that many of them share."""
    for name in points.column_names[1:]:
        values: Sequence[Any] = points[name].to_pylist()
        if name in (*_POSITIONS, named) or not any(isinstance(one, str | list) for one in values):
            continue
        groups = [several[0] for several in groups_of(values)[0]]
        counts = Counter(groups)
        if 1 < len(counts) <= len(groups) / _PER_GROUP:
            known = [group for group, _ in counts.most_common() if group != "unknown"]
            yield _Coloring(name, groups, known[:_MOST_GROUPS])


def _share(coloring: _Coloring) -> float:
    return sum(group in coloring.colored for group in coloring.groups) / len(coloring.groups)

"""Regions of a map and their names: what is more frequent there than elsewhere."""

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_LEAST_POINTS = 30  # of a map with regions
_MOST_CLUSTERED = 20_000  # points that regions are found with
_PER_REGION = {0: 120, 1: 30}  # points, at least, by level
_MOST_REGIONS = {0: 10, 1: 40}
_LEAST_SHARE, _LEAST_LIFT = 0.25, 1.3


@dataclass(frozen=True)
class Region:
    """A part of the map, its middle, and how many points are in it.

    `level` is 0 for the largest, which a map shows as a whole, and 1 for what a closer look shows.
    """

    name: str
    x: float
    y: float
    n: int
    level: int


def regions_of(
    positions: NDArray[np.float32],
    popularity: NDArray[np.integer],
    names: Sequence[str],
    groups: Sequence[Sequence[str]] | None,
    *,
    seed: int = 0,
) -> list[Region]:
    """Return the regions of a map, those of a level by their number of points.

    They are the clusters of k-means on the plane. A region is called by one or two groups that are
    in a quarter of its points and more frequent there than elsewhere, else by its most popular
    point.

    Parameters
    ----------
    positions : ndarray of shape (n, 2)
    popularity : ndarray of shape (n,)
    names : sequence of str
        Of the points.
    groups : sequence of lists of str, optional
        Of the points, such as their genres.
    """
    found: list[Region] = []
    for level, least in _PER_REGION.items():
        n = min(_MOST_REGIONS[level], len(positions) // least)
        if len(positions) < _LEAST_POINTS or n < 2:
            continue
        of_point = _clusters(positions, n, seed)
        largest_first = np.argsort(-np.bincount(of_point), kind="stable").tolist()
        parts = [np.flatnonzero(of_point == number) for number in largest_first]
        parts = [rows for rows in parts if len(rows)]
        for rows, name in zip(parts, _named(parts, popularity, names, groups), strict=True):
            x, y = np.median(positions[rows], axis=0).tolist()
            found.append(Region(name, x, y, len(rows), level))
    return found


def _clusters(positions: NDArray[np.float32], n: int, seed: int) -> NDArray[np.intp]:
    """Return the cluster of each point, (n_points,)."""
    from scipy.cluster.vq import kmeans2, vq

    rng = np.random.default_rng(seed)
    some = positions
    if len(positions) > _MOST_CLUSTERED:
        some = positions[rng.choice(len(positions), _MOST_CLUSTERED, replace=False)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an empty cluster has no points, and is left out
        centers, _ = kmeans2(some.astype(np.float64), n, minit="++", seed=rng)
    return np.asarray(vq(positions.astype(np.float64), centers)[0], np.intp)


def _named(
    parts: Sequence[NDArray[np.intp]],
    popularity: NDArray[np.integer],
    names: Sequence[str],
    groups: Sequence[Sequence[str]] | None,
) -> list[str]:
    """Return a name for each region; where two are called alike, with their most popular points."""
    most_popular = [names[int(rows[np.argmax(popularity[rows])])] for rows in parts]
    if groups is None:
        return most_popular
    frequent = [_frequent(rows, groups) for rows in parts]
    return [
        point if not name else name if frequent.count(name) == 1 else f"{name}: {point}"
        for name, point in zip(frequent, most_popular, strict=True)
    ]


def _frequent(rows: NDArray[np.intp], groups: Sequence[Sequence[str]]) -> str:
    """Return one or two groups that are frequent in a region, and more so than elsewhere."""
    everywhere = Counter(group for several in groups for group in several)
    here = Counter(group for row in rows.tolist() for group in groups[row])
    lifts = {
        group: (count / len(rows)) / (everywhere[group] / len(groups))
        for group, count in here.items()
        if count >= _LEAST_SHARE * len(rows)
    }
    frequent = [group for group, lift in lifts.items() if lift >= _LEAST_LIFT]
    frequent.sort(key=lambda group: (-here[group] * np.log(lifts[group]), group))
    return ", ".join(frequent[:2])

"""A stored history and what its user did since: one history, as the next version will hold it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.index import ItemRows
from recsys.vectors import Id

Weights = NDArray[np.float64]


@dataclass(frozen=True)
class Since:
    """What has happened of a user since the embeddings of a version were trained.

    Parameters
    ----------
    events : sequence of (str or int, float)
        Items and weights of what the version does not hold, in their order. Items that it does not
        know do not count.
    duplicates : {"sum", "last", "max", "count"}
        How several events of one item become one weight.
    is_forgotten : bool
        Whether the user's data was deleted: what the version holds of the user must not count.
    is_outdated : bool
        Whether the user's embedding is older than what the version says the user has seen.
    days : sequence of int
        The day of each event, since 1970.
    """

    events: Sequence[tuple[Id, float]]
    duplicates: str = "sum"
    is_forgotten: bool = False
    is_outdated: bool = False
    days: Sequence[int] = ()


def latest_first(
    rows: ItemRows, fallen: NDArray[np.floating], recency: float
) -> tuple[ItemRows, Weights]:
    """Return the items of a history, the last one first, and their weights before they fell.

    A version does not hold in which order its items came. By recency, the largest weight came last:
    that is so where the events of a user weigh alike.
    """
    weights = np.asarray(fallen, np.float64)
    order = np.argsort(-weights, kind="stable")
    return rows[order], weights[order] * np.arange(1, len(rows) + 1) ** recency


def merged(
    stored: tuple[ItemRows, NDArray[np.floating]],
    fresh: tuple[ItemRows, NDArray[np.floating]],
    duplicates: str,
    recency: float,
) -> tuple[ItemRows, Weights]:
    """Return the items of a history, each once, and their weights.

    Parameters
    ----------
    stored : pair of ndarrays
        Items and weights of the version, which fall with steps where the model has a recency.
    fresh : pair of ndarrays
        Of each event since, in their order.
    duplicates : {"sum", "last", "max", "count"}
        How several events of one item become one weight.
    recency : float
        Of the model.
    """
    rows, weights = latest_first(*stored, recency)
    of_events = np.ones(len(fresh[0])) if duplicates == "count" else fresh[1]
    found = dict(zip(rows.tolist(), weights.tolist(), strict=True))
    latest: dict[int, None] = {}
    for row, weight in zip(fresh[0].tolist(), of_events.tolist(), strict=True):
        before = found.get(row)
        if before is None or duplicates == "last":
            found[row] = weight
        else:
            found[row] = max(before, weight) if duplicates == "max" else before + weight
        latest.pop(row, None)
        latest[row] = None
    newest_first = [*reversed(latest), *(row for row in rows.tolist() if row not in latest)]
    steps = np.arange(1, len(newest_first) + 1)
    fallen = np.array([found[row] for row in newest_first]) * steps**-recency
    return np.array(newest_first, np.int32), fallen

"""A stored history and what its user did since: one history, as the next version will hold it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.index import ItemRows
from recsys.vectors import Id

Weights = NDArray[np.float64]
_LEAST = float(np.finfo(np.float32).tiny)  # of what likes and dislikes leave nothing of


@dataclass(frozen=True)
class Since:
    """What has happened of a user since the embeddings of a version were trained.

    Parameters
    ----------
    events : sequence of (str or int, float)
        Items and weights, below 0 of dislikes, of what the version does not hold, in their order.
        Items that it does not know do not count.
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
    """Return the items of a history, each once, and their weights, below 0 of dislikes.

    Dislikes come after all others; they are no steps, and do not fall.

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
    is_liked = np.asarray(stored[1]) > 0
    rows, weights = latest_first(stored[0][is_liked], stored[1][is_liked], recency)
    found = dict(zip(rows.tolist(), weights.tolist(), strict=True))
    found |= dict(zip(stored[0][~is_liked].tolist(), stored[1][~is_liked].tolist(), strict=True))
    of_events = np.sign(fresh[1]) if duplicates == "count" else fresh[1]
    latest: dict[int, None] = {}
    for row, weight in zip(fresh[0].tolist(), of_events.tolist(), strict=True):
        before = found.get(row)
        found[row] = weight if before is None else _as_one(before, weight, duplicates)
        latest.pop(row, None)
        latest[row] = None
    older = (row for row in rows.tolist() if row not in latest)
    newest_first = [row for row in (*reversed(latest), *older) if found[row] > 0]
    steps = np.arange(1, len(newest_first) + 1)
    fallen = np.array([found[row] for row in newest_first]) * steps**-recency
    disliked = [row for row, weight in found.items() if weight <= 0]
    of_disliked = np.array([found[row] or -_LEAST for row in disliked])
    return np.array(newest_first + disliked, np.int32), np.concatenate([fallen, of_disliked])


def _as_one(before: float, weight: float, duplicates: str) -> float:
    """Return what an item weighs after one more event, as `Interactions.user_items` has it."""
    if duplicates == "last":
        return weight
    if duplicates == "max":
        return weight if abs(weight) > abs(before) or weight == -abs(before) else before
    return before + weight

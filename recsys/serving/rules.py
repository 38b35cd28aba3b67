"""Rules of a shop in rows of one version: boosts of scores, positions, and limits per group."""

from collections.abc import Callable, Sequence
from math import prod
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.base.rule_settings import Boost
from recsys.index import Allowed, ItemRows
from recsys.vectors import FloatVector


class Boosted(NamedTuple):
    """The items to which the same boosts apply; their scores keep their order."""

    is_in: NDArray[np.bool_]  # (n_items,)
    allowed: Allowed
    times: float
    plus: float

    def scores(self, own: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return boosted scores."""
        times = np.where(own < 0, 1 / self.times, self.times)
        return np.asarray(own * times + self.plus, dtype=np.float64)


NO_ITEMS = np.empty(0, dtype=np.int32)
BoostedItems = tuple[Boosted, ...]
"""All items that may be in a list, each once."""

RowScores = tuple[ItemRows, FloatVector]
FindAmong = Callable[[int, Boosted], RowScores]


class PinnedRows(NamedTuple):
    """A position, from 1, that the best of some items gets."""

    position: int
    rows: ItemRows  # ascending; none where the item is not known
    is_named: bool = True  # one item, and not the best that fulfils a condition


class Scored(NamedTuple):
    """An item by its row, with its score."""

    row: int
    score: float


def boosted_items(
    boosts: Sequence[Boost],
    matching: Callable[[str], NDArray[np.bool_]],
    among: NDArray[np.bool_],
    allow: Callable[[NDArray[np.bool_]], Allowed],
) -> BoostedItems:
    """Part items by the boosts that apply to them; parts without items are left out.

    Parameters
    ----------
    matching : callable
        Returns which items fulfil a condition.
    among : ndarray of bool, shape (n_items,)
        The items to part.
    """
    number = np.zeros(len(among), dtype=np.int64)  # whose bits are the boosts that apply
    for place, boost in enumerate(boosts):
        number += matching(boost.where).astype(np.int64) << place
    groups = []
    for found in np.unique(number[among]).tolist():
        applied = [one for place, one in enumerate(boosts) if found >> place & 1]
        is_in = (number == found) & among
        times = prod(one.times for one in applied)
        groups.append(Boosted(is_in, allow(is_in), times, sum(one.plus for one in applied)))
    return tuple(groups)


def best_of(groups: BoostedItems, find: FindAmong, n: int) -> RowScores:
    """Return the best n items by boosted score.

    Of each group its own best n suffice, as a boost keeps their order.
    """
    parts = [(group, *find(n, group)) for group in groups]
    if not parts:
        return np.empty(0, np.int32), np.empty(0, np.float32)
    rows = np.concatenate([rows for _, rows, _ in parts])
    scores = np.concatenate([group.scores(own) for group, _, own in parts])
    best = np.lexsort((rows, -scores))[:n]
    return rows[best], scores[best].astype(parts[0][2].dtype)


def placed(pins: Sequence[tuple[int, Scored]], rows: ItemRows, scores: FloatVector) -> RowScores:
    """Return a list with items put at positions, the first position first."""
    found = list(map(Scored, rows.tolist(), scores.tolist()))
    for position, pin in pins:
        found.insert(position - 1, pin)
    of_rows, of_scores = zip(*found, strict=True) if found else ((), ())
    return np.array(of_rows, np.int32), np.array(of_scores, scores.dtype)


def added(groups: BoostedItems, rows: ItemRows, scores: FloatVector) -> FloatVector:
    """Return what boosts have added to scores that they are in."""
    own = np.asarray(scores, np.float64).copy()
    for group in groups:
        is_in = group.is_in[rows]
        before = own[is_in] - group.plus
        own[is_in] = before * np.where(before < 0, group.times, 1 / group.times)
    found: FloatVector = (scores - own).astype(np.float32)
    return found

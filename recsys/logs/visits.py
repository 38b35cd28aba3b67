"""Visits, each a user, an item and a day: which items rise, and which people come back to.

A visit is one however many events it has, so neither a click too many nor an hour at a shop makes
an item rise.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.mapped import ascends, beside, folder_of
from recsys.logs.classify import SECONDS_PER_DAY
from recsys.logs.interactions import Interactions

NO_DAY = int(np.iinfo(np.int32).min)
"""The first day of an item of which the log has no event."""
LAST_DAY = int(np.iinfo(np.uint16).max)
"""The day, in 2149, as which all later ones are kept; those before 1970 are kept as day 0."""

RISING_PRIOR = 10.0  # visits that an item has beside its own, and is expected to have
REPEAT_PRIOR = 20.0  # users, and gaps, of the whole catalogue that stand beside those of an item
_GAP_BITS = 20  # of a gap in days

Counts = NDArray[np.int64]
Shares = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Visits:
    """What the visits of a log say of its items, and of its pairs.

    Parameters
    ----------
    first_day : ndarray of int32, shape (n_items,)
        Of the first visit, counted from 1970-01-01; `NO_DAY` without one.
    velocity : ndarray of float32, shape (n_items,), or None
        How much more often the item is visited of late than its own past lets expect, see
        `velocity_of`; None where the log is shorter than two days.
    repeat_share : ndarray of float32, shape (n_items,)
        Of the users of the item, those who came back to it on a later day.
    repeat_gap : ndarray of float32, shape (n_items,)
        The usual number of days from a visit of a user to the next one.
    last_day : ndarray of uint16, shape (n_pairs,), or None
        Of each pair of user and item, by user and then by item, counted from 1970-01-01. None where
        nobody came back to anything.
    """

    first_day: NDArray[np.int32]
    velocity: Shares | None
    repeat_share: Shares
    repeat_gap: Shares
    last_day: NDArray[np.uint16] | None


class _Part(NamedTuple):
    """Visits of some users, by user, by item and by day."""

    item: NDArray[np.int32]
    day: Counts
    is_first: NDArray[np.bool_]  # of its pair


class _Window(NamedTuple):
    """The days that count as of late; the days before are the past."""

    first: int
    last: int

    @property
    def length(self) -> int:
        return self.last - self.first + 1


def visits_of(log: Interactions, trending_days: float = 7.0) -> Visits | None:
    """Return what the visits of a log say; None where the log has no time.

    Parameters
    ----------
    trending_days : float
        What is of late: so many days before the end of the log, at most half of all its days.

    Notes
    -----
    An item's share of users who come back is ``(r + m p) / (n + m)``: r of its n users did, p is
    the share among all pairs of the log, and m is 20. Its gap is the median of the days between two
    visits of one user, and the median g of the whole log in its place where there are few:
    ``exp((c log(median) + m log(g)) / (c + m))`` with c the number of its own. So an item of two
    users is about as usual as all are, and one of a thousand is what its users do.
    """
    if log.timestamp is None or len(log) == 0:
        return None
    if not ascends(log.timestamp):
        log = log.select(np.argsort(log.timestamp, kind="stable"))
    timestamp, n_items = log.require_timestamp("visits"), len(log.items)
    window = _window_of(log, trending_days)
    first_day = np.full(n_items, LAST_DAY, dtype=np.int64)
    recent, past, users, returned = np.zeros((4, n_items), dtype=np.int64)
    last_day, n_pairs = beside(log.weight, len(log), np.uint16), 0
    gaps: list[Counts] = []
    for part in _parts_of(log, timestamp):
        item, day, is_first = part
        np.minimum.at(first_day, item, day)
        is_past = day < window.first
        past += np.bincount(item[is_past], minlength=n_items)
        recent += np.bincount(item[~is_past & (day <= window.last)], minlength=n_items)
        users += np.bincount(item[is_first], minlength=n_items)
        is_second = ~is_first[1:] & is_first[:-1]
        returned += np.bincount(item[1:][is_second], minlength=n_items)
        gaps.append(_gap_keys(part))
        last = day[np.append(is_first[1:], True)]
        last_day[n_pairs : n_pairs + len(last)] = np.clip(last, 0, LAST_DAY)
        n_pairs += len(last)
    share = returned.sum() / max(users.sum(), 1)
    return Visits(
        np.where(users > 0, first_day, NO_DAY).astype(np.int32),
        velocity_of(recent, past, first_day, window) if window.length else None,
        ((returned + REPEAT_PRIOR * share) / (users + REPEAT_PRIOR)).astype(np.float32),
        _usual_gaps(np.concatenate(gaps), n_items),
        _cut(last_day, n_pairs) if returned.any() else None,
    )


def seen_days(
    log: Interactions, seen: sp.csr_array, visits: Visits | None
) -> NDArray[np.uint16] | None:
    """Return the day of the last event of each seen pair; `LAST_DAY` of what never returns."""
    days = None if visits is None else visits.last_day
    if days is None or log.dislikes is None:
        return days
    of_pairs, likes = (_keys_of(one) for one in (seen, replace(log, dislikes=None).user_items()))
    found = np.full(len(of_pairs), LAST_DAY, dtype=np.uint16)  # which disliked ones keep
    found[np.searchsorted(of_pairs, likes)] = days
    return found


def _keys_of(matrix: sp.csr_array) -> NDArray[np.int64]:
    """Return a number for each entry, ascending."""
    rows = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
    return np.asarray(rows * matrix.shape[1] + matrix.indices)


def velocity_of(recent: Counts, past: Counts, first_day: Counts, window: "_Window") -> Shares:
    """Return how much more often items are visited of late than their own past lets expect.

    With w days of late, an item that was there for t days before is expected to have
    ``e = g w (past + 1) / (t + 1 / r)`` visits in them: its own rate, which one visit draws towards
    r, the mean rate of the log's items, so that an item without a past is expected to be like
    others; and times g, by which the log as a whole has grown, so that the season of a shop lifts
    no item. If visits are Poisson around ``x e`` and the x of items vary as
    Gamma(m, m), then the mean of x given the visits is ``(recent + m) / (e + m)``, the shrunk ratio
    of DuMouchel (The American Statistician, 1999) with a prior of one component, here with m = 10:
    few visits are no trend.
    """
    days_before = np.maximum(window.first - first_day, 0)
    days_of_one = max(days_before.sum(), 1) / max(past.sum(), 1)
    expected = window.length * (past + 1) / (days_before + days_of_one)
    grown = recent.sum() / max(expected.sum(), 1e-9)
    velocity = (recent + RISING_PRIOR) / (grown * expected + RISING_PRIOR)
    return np.asarray(velocity, dtype=np.float32)


def _window_of(log: Interactions, trending_days: float) -> _Window:
    """Return the days of late; of length 0 where the log is shorter than two days."""
    last = log.end(trending_days) // SECONDS_PER_DAY
    n_days = last - int(log.require_timestamp("visits")[0]) // SECONDS_PER_DAY + 1
    return _Window(last - min(max(round(trending_days), 1), n_days // 2) + 1, last)


def _parts_of(log: Interactions, timestamp: Counts) -> Iterator[_Part]:
    """Yield the visits of a log in time order, some users at a time."""
    from recsys.base.packing import packed_rows  # compiled, which not every command needs

    for rows in packed_rows(log.user_idx, log.item_idx, timestamp, log.shape, "all"):
        item, day = rows.columns, rows.values // SECONDS_PER_DAY
        if len(item) == 0:
            continue
        is_first = np.empty(len(item), dtype=np.bool_)
        is_first[1:] = item[1:] != item[:-1]
        starts = rows.indptr[:-1]
        is_first[starts[starts < len(item)]] = True
        is_visit = is_first.copy()
        is_visit[1:] |= day[1:] != day[:-1]
        yield _Part(item[is_visit], day[is_visit], is_first[is_visit])


def _gap_keys(part: _Part) -> Counts:
    """Return the days between two visits of a pair, each a number that sorts by item and length."""
    is_next = ~part.is_first[1:]
    gap = np.minimum(np.diff(part.day)[is_next], (1 << _GAP_BITS) - 1)
    keys: Counts = (part.item[1:][is_next].astype(np.int64) << _GAP_BITS) + gap
    return keys


def _usual_gaps(keys: Counts, n_items: int) -> Shares:
    """Return the median gap of each item, drawn to that of all; see `visits_of`."""
    if len(keys) == 0:
        return np.full(n_items, np.inf, dtype=np.float32)
    keys.sort()
    gap = keys & ((1 << _GAP_BITS) - 1)
    counts = np.bincount(keys >> _GAP_BITS, minlength=n_items)
    starts = np.cumsum(counts) - counts
    middle = (starts + (counts - 1) // 2, starts + counts // 2)
    has_any = counts > 0
    usual = np.ones(n_items)
    usual[has_any] = sum(gap[rows[has_any]] for rows in middle) / 2
    drawn = counts * np.log(usual) + REPEAT_PRIOR * np.log(np.median(gap))
    found: Shares = np.exp(drawn / (counts + REPEAT_PRIOR)).astype(np.float32)
    return found


def _cut(values: NDArray[np.uint16], n: int) -> NDArray[np.uint16]:
    """Return the first values; those in memory give what they leave back."""
    return values[:n] if folder_of(values) is not None else values[:n].copy()

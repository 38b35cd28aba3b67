"""Train and test parts of a log: by time, the last items, or at random."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil

import numpy as np
from numpy.typing import NDArray

from recsys.errors import ConfigError, DataError
from recsys.logs.held_out import Split, divide, pair_keys, require_both_sides
from recsys.logs.interactions import Interactions


def split_by_time(
    log: Interactions, *, test_fraction: float = 0.2, at: str | int | None = None
) -> Split:
    """Split at one instant T for all users: events before T train, events from T on test.

    Parameters
    ----------
    log : Interactions
        With timestamps.
    test_fraction : float
        T is the timestamp for which the share of events at or after it comes closest to this
        fraction, between 0 and 1. Events of one second are never separated. Not used where `at`
        is given.
    at : str or int, optional
        T itself, as ISO 8601 (UTC unless it says otherwise) or unix seconds.

    Returns
    -------
    train, test : Interactions
        In the form that `recsys.logs.held_out` describes.

    Raises
    ------
    DataError
        If the log has no timestamps, or one side would be empty.
    ConfigError
        If test_fraction is not between 0 and 1, or `at` is not a time.
    """
    timestamp = log.require_timestamp("split_by_time")
    fraction = _fraction(test_fraction, "split_by_time")
    if len(log) == 0:
        require_both_sides(0, 0, "split_by_time")
    instant = _quantile_instant(timestamp, fraction) if at is None else _unix_seconds(at)
    return divide(log, timestamp >= instant, "time", f"split_by_time at {_spelled(instant)}")


def split_last(log: Interactions, n: int = 1) -> Split:
    """Hold out the last n distinct items of each user.

    A user's items are ordered by the user's latest event with each: by timestamp, and by position
    in the log where timestamps are equal or there are none. All events of a held-out pair go to
    test. A user with n items or fewer has nothing to spare and stays in train whole.

    Parameters
    ----------
    log : Interactions
    n : int
        At least 1.

    Returns
    -------
    train, test : Interactions
        In the form that `recsys.logs.held_out` describes.

    Raises
    ------
    DataError
        If one side would be empty.
    ConfigError
        If n is less than 1.
    """
    if n < 1:
        raise ConfigError(f"split_last: expected n of 1 or more, got {n}")
    pairs = _pairs_of(log)
    by_time = np.arange(len(log))
    if log.timestamp is not None:
        by_time = np.argsort(log.timestamp, kind="stable")
    latest = np.empty(len(pairs.user_idx), dtype=np.int64)
    latest[pairs.of_event[by_time]] = np.arange(len(log))  # of repeats, the last assignment stays
    n_held = np.where(pairs.n_items > n, n, 0)
    held = pairs.last_of_each_user(latest, n_held)
    return divide(log, held[pairs.of_event], "last", f"split_last with n={n}")


def split_random(log: Interactions, *, test_fraction: float = 0.2, seed: int = 0) -> Split:
    """Hold out a random share of each user's items.

    Of a user with m items, ``test_fraction * m`` are held out, rounded up or down at random so
    that the share is right on average, and at most ``m - 1``. All events of a held-out pair go
    to test. The draw does not depend on the order of events.

    Parameters
    ----------
    log : Interactions
    test_fraction : float
        Between 0 and 1.
    seed : int
        The same seed gives the same split.

    Returns
    -------
    train, test : Interactions
        In the form that `recsys.logs.held_out` describes.

    Raises
    ------
    DataError
        If one side would be empty.
    ConfigError
        If test_fraction is not between 0 and 1.
    """
    fraction = _fraction(test_fraction, "split_random")
    held = drawn_of_each_user(log, fraction, np.random.default_rng(seed))
    return divide(log, held, "random", f"split_random with test_fraction={fraction:g}")


def split_folds(log: Interactions, n_folds: int = 5, *, seed: int = 0) -> Iterator[Split]:
    """Cut each user's items into folds at random, and hold out one after the other.

    Every pair of user and item is in the test part of one fold. The items of a user are dealt as
    evenly as they can be.

    Parameters
    ----------
    log : Interactions
    n_folds : int
        At least 2.
    seed : int
        The same seed gives the same folds.

    Yields
    ------
    train, test : Interactions
        In the form that `recsys.logs.held_out` describes.

    Raises
    ------
    DataError
        If a fold would have an empty side.
    ConfigError
        If there are fewer than 2 folds.
    """
    if n_folds < 2:
        raise ConfigError(f"split_folds: expected 2 folds or more, got {n_folds}")
    pairs = _pairs_of(log)
    rng = np.random.default_rng(seed)
    order = np.lexsort((rng.permutation(len(pairs.user_idx)), pairs.user_idx))
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    fold_of = (place + rng.integers(n_folds, size=len(pairs.n_items))[pairs.user_idx]) % n_folds
    for fold in range(n_folds):
        what = f"split_folds, fold {fold + 1} of {n_folds}"
        yield divide(log, (fold_of == fold)[pairs.of_event], "folds", what)


def drawn_of_each_user(
    log: Interactions, fraction: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Mark the events of a random share of each user's items, of all but one at most."""
    pairs = _pairs_of(log)
    rounded = np.floor(fraction * pairs.n_items + rng.random(len(pairs.n_items)))
    n_held = np.minimum(rounded, pairs.n_items - 1)
    held = pairs.last_of_each_user(rng.permutation(len(pairs.user_idx)), n_held)
    return held[pairs.of_event]


@dataclass(frozen=True, eq=False)
class _Pairs:
    """The distinct (user, item) pairs of a log, ascending."""

    user_idx: NDArray[np.int64]  # (n_pairs,) ascending
    of_event: NDArray[np.intp]  # (n_events,) the pair of each event
    n_items: NDArray[np.intp]  # (n_users,) distinct items of each user

    def last_of_each_user(
        self, rank: NDArray[np.integer], n_held: NDArray[np.number]
    ) -> NDArray[np.bool_]:
        """Mark the ``n_held[user]`` pairs of highest rank of each user.

        Ranks differ from pair to pair and are below the number of events.
        """
        order = np.argsort(self.user_idx * len(self.of_event) + rank)  # by user, then rank
        end = np.cumsum(self.n_items)
        from_end = end[self.user_idx] - np.arange(len(order))  # user_idx[order] is user_idx
        held = np.empty(len(order), dtype=np.bool_)
        held[order] = from_end <= n_held[self.user_idx]
        return held


def _pairs_of(log: Interactions) -> _Pairs:
    pairs, of_event = np.unique(pair_keys(log), return_inverse=True)
    user_idx = pairs // max(len(log.items), 1)
    return _Pairs(user_idx, of_event, np.bincount(user_idx, minlength=len(log.users)))


def _fraction(test_fraction: float, what: str) -> float:
    if not 0 < test_fraction < 1:
        raise ConfigError(
            f"{what}: expected a test_fraction between 0 and 1, got {test_fraction!r}"
        )
    return float(test_fraction)


def _quantile_instant(timestamp: NDArray[np.int64], fraction: float) -> int:
    """Return the timestamp whose share of events at or after it is closest to a fraction."""
    ordered = np.sort(timestamp)
    n_events = len(ordered)
    split_at = ordered[min(int((1 - fraction) * n_events), n_events - 1)]
    # An instant's events stay together: T is this instant or the one after it.
    starts = [int(np.searchsorted(ordered, split_at, side)) for side in ("left", "right")]
    starts = [start for start in starts if 0 < start < n_events]
    if not starts:
        raise DataError(
            f"split_by_time: expected events at two or more instants, got one for all {n_events:,} "
            "events; check timestamp_unit, or use split_random"
        )
    closest = min(starts, key=lambda start: abs(n_events - start - fraction * n_events))
    return int(ordered[closest])


def _unix_seconds(at: str | int) -> int:
    if not isinstance(at, str):
        return int(at)
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        raise ConfigError(
            f"split_by_time: expected `at` as ISO 8601 or unix seconds, got {at!r}; "
            'write it like "2026-11-20" or "2026-11-20T02:00:00Z"'
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return ceil(moment.timestamp())


def _spelled(instant: int) -> str:
    """Spell an instant for a message; years that a calendar cannot hold stay a number."""
    try:
        return datetime.fromtimestamp(instant, UTC).isoformat()
    except (OverflowError, ValueError, OSError):
        return str(instant)

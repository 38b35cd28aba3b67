"""Splits of a log: by time, last items, at random, folds, given parts, users.

Each returns train and test in the form that `recsys.splits.common` describes. Each raises a
DataError where a side would be empty, and a ConfigError where a number is out of its range.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import ceil
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.base.checks import require, require_whole, unix_seconds
from recsys.base.errors import DataError
from recsys.base.mapped import ascends
from recsys.logs.interactions import (
    Interactions,
    ProtocolName,
    SplitInfo,
    require_interactions,
)
from recsys.splits.common import (
    ANOTHER_SPLIT,
    Marks,
    Split,
    in_rows_of_train,
    is_seen,
    of_new_users,
    require_both_sides,
    roles_of_sides,
    split_by_mask,
    split_into,
)
from recsys.splits.dislikes import dislikes_after_train, later_dislikes
from recsys.splits.leaks import require_time_order


def split_by_time(
    log: Interactions, *, test_fraction: float = 0.2, at: str | int | None = None
) -> Split:
    """Split at one instant T for all users: events before T train, events from T on test.

    Parameters
    ----------
    log : Interactions
        With timestamps; without, a DataError.
    test_fraction : float
        T is the timestamp for which the share of events at or after it comes closest to this
        fraction, between 0 and 1. Events of one second are never separated. Not used where `at`
        is given.
    at : str or int, optional
        T itself, as ISO 8601 (UTC unless it says otherwise) or unix seconds; a part of a second is
        rounded up to a whole one.
    """
    require_interactions("split_by_time", log)
    timestamp = log.require_timestamp("split_by_time")
    require_fraction("split_by_time", "test_fraction", test_fraction)
    if len(log) == 0:
        require_both_sides(0, 0, "split by time")
    instant = _quantile_instant(timestamp, test_fraction) if at is None else _unix_seconds(at)
    what = f"split by time at {_spelled(instant)}"
    if not ascends(timestamp):
        return split_by_mask(log, timestamp >= instant, "time", what, later_dislikes(log, instant))
    n_train = int(np.searchsorted(timestamp, instant))
    require_both_sides(n_train, len(log) - n_train, what)
    return split_into(
        log, slice(n_train), slice(n_train, None), "time", what, later_dislikes(log, instant)
    )


def n_tested_by_time(log: Interactions, test_fraction: float) -> int:
    """Count the users that a split by time has test events of."""
    timestamp = log.require_timestamp("split_by_time")
    instant = _quantile_instant(timestamp, test_fraction)
    if ascends(timestamp):
        n_train = int(np.searchsorted(timestamp, instant))
        return n_tested(log.select(slice(n_train)), log.select(slice(n_train, None)))
    in_test = timestamp >= instant
    return n_tested(log.select(~in_test), log.select(in_test))


def n_tested(train: Interactions, test: Interactions) -> int:
    """Count the users of test who are tested: train knows them, and an item that is new to them."""
    from recsys.base.packing import counts  # compiled, which not every command needs

    knows_user = counts(train.user_idx, len(train.users)) > 0
    knows_item = counts(train.item_idx, len(train.items)) > 0
    test = test.select(knows_user[test.user_idx] & knows_item[test.item_idx])
    return len(np.unique(test.user_idx[~is_seen(train, test)]))


def n_with_items_to_spare(log: Interactions, n: int) -> int:
    """Count the users with more than n distinct items, of which n can be held out."""
    return int((_Pairs.of(log).n_items > n).sum())


def split_last(log: Interactions, n: int = 1) -> Split:
    """Hold out the last n distinct items of each user.

    A user's items are ordered by the user's latest event with each: by timestamp, and by position
    in the log where timestamps are equal or there are none. All events of a held-out pair go to
    test. A user with n items or fewer has nothing to spare and stays in train whole.
    """
    require_interactions("split_last", log)
    require_whole("split_last", n, least=1, expected="n of 1 or more")
    pairs = _Pairs.of(log)
    by_time = np.arange(len(log))
    if log.timestamp is not None:
        by_time = np.argsort(log.timestamp, kind="stable")
    latest = np.empty(len(pairs.user_idx), dtype=np.int64)
    latest[pairs.of_event[by_time]] = np.arange(len(log))  # of repeats, the last assignment stays
    n_held = np.where(pairs.n_items > n, n, 0)
    held = pairs.last_of_each_user(latest, n_held)[pairs.of_event]
    what = f"split by each user's last {n}"
    return split_by_mask(log, held, "last", what, dislikes_after_train(log, held))


def split_random(log: Interactions, *, test_fraction: float = 0.2, seed: int = 0) -> Split:
    """Hold out a random share of each user's items; the same seed gives the same split.

    Of a user with m items, ``test_fraction * m`` are held out, rounded up or down at random so
    that the share is right on average, and at most ``m - 1``. All events of a held-out pair go
    to test. The draw does not depend on the order of events.
    """
    require_interactions("split_random", log)
    require_fraction("split_random", "test_fraction", test_fraction)
    require_whole("split_random: seed", seed, least=0)
    rng = np.random.default_rng(seed)
    held = drawn_of_each_user(log, test_fraction, rng)
    dislikes = drawn_dislikes(log, test_fraction, rng)
    return split_by_mask(log, held, "random", f"random split of {test_fraction:g}", dislikes)


def split_folds(log: Interactions, n_folds: int = 5, *, seed: int = 0) -> Iterator[Split]:
    """Cut each user's items into folds at random, and hold out one after the other.

    Every pair of user and item is in the test part of one fold. The items of a user are dealt as
    evenly as they can be. The same seed gives the same folds.
    """
    require_interactions("split_folds", log)
    require_whole("split_folds", n_folds, least=2, expected="2 folds or more")
    require_whole("split_folds: seed", seed, least=0)
    rng = np.random.default_rng(seed)
    fold_of = _dealt_of_each_user(log, n_folds, rng)
    of_dislikes = None if log.dislikes is None else _dealt_of_each_user(log.dislikes, n_folds, rng)
    for fold in range(n_folds):
        what = f"fold {fold + 1} of {n_folds}"
        dislikes = None if of_dislikes is None else of_dislikes == fold
        yield split_by_mask(log, fold_of == fold, "folds", what, dislikes)


def _dealt_of_each_user(
    log: Interactions, n_folds: int, rng: np.random.Generator
) -> NDArray[np.integer]:
    """Return the fold of each event: the items of a user are dealt at random."""
    pairs = _Pairs.of(log)
    order = np.lexsort((rng.permutation(len(pairs.user_idx)), pairs.user_idx))
    position = np.empty(len(order), dtype=np.int64)
    position[order] = np.arange(len(order))
    first = rng.integers(n_folds, size=len(pairs.n_items))[pairs.user_idx]
    fold_of_pair: NDArray[np.integer] = (position + first) % n_folds
    return fold_of_pair[pairs.of_event]


def split_given(
    train_log: Interactions,
    test_log: Interactions,
    *,
    role: Literal["validation", "test"] = "test",
    protocol: ProtocolName = "given",
) -> Split:
    """Bring two logs that were read from separate files to the common form of a split.

    Parameters
    ----------
    train_log, test_log : Interactions
        Each with its own vocabulary; ids are compared in either of their forms.
    role : {"validation", "test"}
        What the second log is there for: to choose on, or to measure with.
    protocol : {"given", "time", "last", "random", "folds", "users"}
        How the two were made. "time" and "last" are checked where both have timestamps; "given"
        promises nothing.

    Raises
    ------
    DataError
        Also if nothing of test_log concerns the users and items of train_log, the two are not in
        the order that the protocol promises, or a test part is given to train or to choose on.
    """
    require_interactions("split_given", train_log, test_log)
    require_both_sides(len(train_log), len(test_log), "split_given (data.test)")
    _require_no_test_part(train_log, "train on")
    if role == "validation":
        _require_no_test_part(test_log, "choose on")
    train = replace(train_log.compact(), split_info=SplitInfo("train", protocol))
    held = replace(test_log, split_info=SplitInfo(role, protocol))
    user_row_of = train.users.rows(test_log.users.tolist())
    item_row_of = train.items.rows(test_log.items.tolist())
    test = in_rows_of_train(train, held, user_row_of, item_row_of, "split_given (data.test)")
    require_time_order(train, test, "split_given")
    return train, test


def _require_no_test_part(log: Interactions, purpose: str) -> None:
    if log.split_info is not None and log.split_info.role == "test":
        raise DataError(
            f"split_given: expected a log to {purpose}, got the test part of a split "
            f"({log.split_info.protocol}); keep test for the one measurement at the end"
        )


class HeldOutUsers(NamedTuple):
    """A log whose test users are not in train (Liang et al., WWW 2018, arXiv 1802.05814).

    Parameters
    ----------
    train : Interactions
        All events of the other users.
    history : Interactions
        What is known of the held-out users, to be folded in; over the items of train.
    test : Interactions
        What they did besides, over the same users and items as `history`.
    """

    train: Interactions
    history: Interactions
    test: Interactions


def split_users(
    log: Interactions,
    *,
    user_fraction: float = 0.1,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> HeldOutUsers:
    """Hold out users, and a random share of the items of each of them.

    Items that no user of train has are left out and counted in ``test.row_counts.left_out``. The
    same seed gives the same split.

    Parameters
    ----------
    user_fraction : float
        Share of the users to hold out, between 0 and 1.
    test_fraction : float
        Share of the items of a held-out user that are test, between 0 and 1; one at least is
        history.

    Examples
    --------
    ::

        held_out = recsys.split_users(log)
        recsys.evaluate_held_out(model, held_out, k=20)
        to_choose_on = recsys.split_users(held_out.train)  # for validation, see `SplitInfo`
    """
    require_interactions("split_users", log)
    require_whole("split_users: seed", seed, least=0)
    require_fraction("split_users", "user_fraction", user_fraction)
    require_fraction("split_users", "test_fraction", test_fraction)
    rng = np.random.default_rng(seed)
    n_users = len(log.users)
    is_held = np.zeros(n_users, dtype=np.bool_)
    is_held[rng.permutation(n_users)[: round(user_fraction * n_users)]] = True
    every_item = np.ones(len(log.items), dtype=np.bool_)
    others = log.select_pairs(~is_held, every_item)
    train, (_, (_, item_row_of)) = others.compact(), others.used_rows()  # as compact() numbers them
    held = of_new_users(train, log.select_pairs(is_held, every_item), item_row_of)
    in_test = drawn_of_each_user(held, test_fraction, rng)
    dislikes = drawn_dislikes(held, test_fraction, rng)
    in_history = slice(None) if dislikes is None else ~dislikes
    in_role, held_role = roles_of_sides(log)
    history = held.select(~in_test, in_history)
    test = held.select(in_test, slice(0) if dislikes is None else dislikes)
    parts = HeldOutUsers(
        train=replace(train, split_info=SplitInfo(in_role, "users")),
        history=replace(history, split_info=SplitInfo("history", "users")),
        test=replace(test, split_info=SplitInfo(held_role, "users")),
    )
    for name, part in parts._asdict().items():
        if len(part) == 0:
            raise DataError(
                f"split_users: expected events in every part, got none in {name}; take other "
                "fractions, or a log with more users and more items per user"
            )
    return parts


@dataclass(frozen=True, eq=False)
class _Pairs:
    """The distinct (user, item) pairs of a log, ascending."""

    user_idx: NDArray[np.int64]  # (n_pairs,) ascending
    of_event: NDArray[np.intp]  # (n_events,) the pair of each event
    n_items: NDArray[np.intp]  # (n_users,) distinct items of each user

    @classmethod
    def of(cls, log: Interactions) -> "_Pairs":
        """Find the pairs of a log."""
        pairs, of_event = np.unique(log.pair_keys(), return_inverse=True)
        user_idx = pairs // max(len(log.items), 1)
        return cls(user_idx, of_event, np.bincount(user_idx, minlength=len(log.users)))

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


def drawn_of_each_user(
    log: Interactions, fraction: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Mark the events of a random share of each user's items, of all but one at most."""
    pairs = _Pairs.of(log)
    rounded = np.floor(fraction * pairs.n_items + rng.random(len(pairs.n_items)))
    n_held = np.minimum(rounded, pairs.n_items - 1)
    held = pairs.last_of_each_user(rng.permutation(len(pairs.user_idx)), n_held)
    return held[pairs.of_event]


def drawn_dislikes(log: Interactions, fraction: float, rng: np.random.Generator) -> Marks:
    """Mark a random share of what each user disliked, after the draw of events."""
    return None if log.dislikes is None else drawn_of_each_user(log.dislikes, fraction, rng)


def require_fraction(what: str, name: str, fraction: float) -> None:
    """Raise a ConfigError if a share is not between 0 and 1."""
    require(what, fraction, above=0, below=1, expected=f"{name} between 0 and 1")


def _quantile_instant(timestamp: NDArray[np.int64], fraction: float) -> int:
    """Return the timestamp whose share of events at or after it is closest to a fraction."""
    ordered = timestamp if ascends(timestamp) else np.sort(timestamp)
    n_events = len(ordered)
    split_at = ordered[min(int((1 - fraction) * n_events), n_events - 1)]
    # An instant's events stay together: T is this instant or the one after it.
    starts = [int(np.searchsorted(ordered, split_at, side)) for side in ("left", "right")]
    starts = [start for start in starts if 0 < start < n_events]
    if not starts:
        raise DataError(
            f"split by time: expected events at two or more instants, got one for all {n_events:,} "
            f"events; check log.timestamp_unit, or {ANOTHER_SPLIT}"
        )
    closest = min(starts, key=lambda start: abs(n_events - start - fraction * n_events))
    return int(ordered[closest])


def _unix_seconds(at: str | int) -> int:
    return ceil(unix_seconds("split_by_time: at", at)) if isinstance(at, str) else int(at)


def _spelled(instant: int) -> str:
    """Spell an instant for a message; years that a calendar cannot hold stay a number."""
    try:
        return datetime.fromtimestamp(instant, UTC).isoformat()
    except (OverflowError, ValueError, OSError):
        return str(instant)

"""Leaks: what training or choosing must not know of the part that is measured on.

Each check raises a DataError of one sentence: what leaked, and how to do it right. The splits of
this room pass all of them; `split_given` and `recsys.evaluate` check what comes from elsewhere.
"""

import numpy as np
import pyarrow.compute as pc
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.errors import DataError
from recsys.logs.interactions import Interactions
from recsys.vectors import Ids


def require_validation(part: Interactions, what: str) -> None:
    """Refuse to choose anything on a part that is for the last measurement, or for training.

    A part that no split made has no role, and passes. `what` is about to choose, such as "tune".
    """
    info = part.split_info
    if info is None or info.role == "validation":
        return
    raise DataError(
        f"{what}: expected a validation part to choose on, got the {info.role} part of a split "
        f"({info.protocol}); cut a validation part from train with split_parts, and keep test for "
        "the one measurement at the end"
    )


def require_roles(train: Interactions, test: Interactions, what: str) -> None:
    """Refuse to measure on what was trained on: a train part, or a history."""
    info = test.split_info
    if info is not None and info.role in ("train", "history"):
        role = None if train.split_info is None else train.split_info.role
        raise DataError(
            f"{what}: expected a test or validation part to measure on, got a {info.role} part "
            f"(next to {f'a {role}' if role else 'an unnamed'} part as train); pass the parts in "
            "the order in which the split returns them"
        )


def require_disjoint(seen: sp.csr_array, relevant: sp.csr_array, what: str) -> None:
    """Refuse pairs that are in train and in test: csr_arrays of ones, shape (n_users, n_items)."""
    from recsys.base.packing import n_common  # compiled, which not every command needs

    n, user_idx, item_idx = n_common(seen, relevant)
    if n:
        raise DataError(
            f"{what}: expected no pair in both train and test, got {n:,}, such as "
            f"user_idx {user_idx}, item_idx {item_idx}; a list never holds a seen item, "
            "so leave these out of test, as the splits do"
        )


def require_strangers(train: Interactions, held_out: Interactions, what: str) -> None:
    """Refuse held-out users whom train knows."""
    _require_unknown("user", train.users, held_out.users, what, "split_users")


def require_new_items(train: Interactions, held_out: Interactions, what: str) -> None:
    """Refuse held-out items that train knows."""
    _require_unknown("item", train.items, held_out.items, what, "split_items")


def _require_unknown(kind: str, ours: Ids, others: Ids, what: str, split: str) -> None:
    if ours.are_integers != others.are_integers:
        return
    known = others.values.filter(pc.is_in(others.values, value_set=ours.values))
    if len(known):
        raise DataError(
            f"{what}: expected held-out {kind}s that train does not hold, got {len(known):,} that "
            f"it does, such as {known[0].as_py()!r}; hold {kind}s out with {split}"
        )


def require_known_users(seen: sp.csr_array, relevant: sp.csr_array, what: str) -> None:
    """Refuse users that only test has: the model has learned nothing of them."""
    _require_none("user", unknown_users(seen, relevant), what)


def require_known_items(seen: sp.csr_array, relevant: sp.csr_array, what: str) -> None:
    """Refuse items that only test has: a catalogue that holds them was made with test in hand."""
    _require_none("item", unknown_items(seen, relevant), what)


def unknown_users(seen: sp.csr_array, relevant: sp.csr_array) -> NDArray[np.intp]:
    """Return the rows that only test has entries in."""
    return np.flatnonzero((np.diff(relevant.indptr) > 0) & (np.diff(seen.indptr) == 0))


def unknown_items(seen: sp.csr_array, relevant: sp.csr_array) -> NDArray[np.intp]:
    """Return the columns that only test has entries in."""
    from recsys.base.packing import counts

    n_items = seen.shape[1]
    n_train, n_test = (counts(side.indices, n_items) for side in (seen, relevant))
    return np.flatnonzero((n_test > 0) & (n_train == 0))


def _require_none(kind: str, unknown: NDArray[np.intp], what: str) -> None:
    if len(unknown):
        raise DataError(
            f"{what}: expected every {kind} of test to have an event in train, got "
            f"{len(unknown):,} that only test has, such as {kind}_idx {unknown[0]}; no training "
            f"could know of them, so split the log with one of the splits, bring two logs together "
            f"with split_given, or keep of two matrices only the {kind}s that train has"
        )


def require_time_order(train: Interactions, test: Interactions, what: str) -> None:
    """Hold a split to the order in time that its protocol promises.

    "time": every event of train is before every event of test. "last": no user has an event of
    train after the latest event with one of the user's test items. (All events of a held-out pair
    are in test, so the earlier of them may be older than train.) Equal instants pass there, and
    parts without timestamps cannot be checked. The protocol is that of test's `SplitInfo`.
    """
    if test.split_info is None or train.timestamp is None or test.timestamp is None:
        return
    if len(train) and len(test):
        if test.split_info.protocol == "time":
            _require_global_order(train.timestamp, test.timestamp, what)
        if test.split_info.protocol == "last":
            _require_last_of_each_user(train, train.timestamp, test, test.timestamp, what)


def _require_global_order(
    train_time: NDArray[np.int64], test_time: NDArray[np.int64], what: str
) -> None:
    first_test = int(test_time.min())
    if train_time.max() >= first_test:
        n_late = int((train_time >= first_test).sum())
        raise DataError(
            f"{what}: expected all of train before test, as a split by time has it, got {n_late:,} "
            f"events of train at or after the first of test (unix time {first_test}); training "
            "would know the future, so split the whole log again with split_by_time"
        )


def _require_last_of_each_user(
    train: Interactions,
    train_time: NDArray[np.int64],
    test: Interactions,
    test_time: NDArray[np.int64],
    what: str,
) -> None:
    never = np.iinfo(np.int64).min
    latest_of_user = np.full(len(train.users), never)
    np.maximum.at(latest_of_user, train.user_idx, train_time)
    _, first, pair_of = np.unique(test.pair_keys(), return_index=True, return_inverse=True)
    latest_of_pair = np.full(len(first), never)
    np.maximum.at(latest_of_pair, pair_of, test_time)
    users = test.user_idx[first]
    early = np.flatnonzero(latest_of_pair < latest_of_user[users])
    if len(early):
        raise DataError(
            f"{what}: expected each user's test items to be the user's last, got {len(early):,} "
            f"test items before an event of the same user in train, such as of user_idx "
            f"{users[early[0]]}; training would know the future, so split the whole log again "
            "with split_last"
        )

"""The common form of every split: nothing of the test part reaches the training part.

Every split keeps the same contract. `train` holds only the users and items that occur in it, so
that its vocabulary knows nothing of the test part. `test` is expressed in the same `users` and
`items`; its events that no recommender could be credited for are dropped and counted in
``test.account.left_out`` under one of `SPLIT_REASONS`, the first that applies:

- "user not in train": there is no embedding for the user,
- "item not in train": there is none for the item,
- "seen in train": train has the pair already (a repeat purchase), and a recommender does not
  return what the user has seen.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recsys.errors import DataError
from recsys.logs.interactions import Interactions, used_rows

Split = tuple[Interactions, Interactions]
SPLIT_REASONS = ("user not in train", "item not in train", "seen in train")


def divide(log: Interactions, in_test: NDArray[np.bool_], what: str) -> Split:
    """Split a log by a mark on each event, and bring both sides to the common form.

    Parameters
    ----------
    log : Interactions
    in_test : ndarray of bool, shape (n_events,)
    what : str
        The split as the user asked for it, for messages.

    Raises
    ------
    DataError
        If one side is empty, at once or after dropping what cannot be credited.
    """
    n_test = int(in_test.sum())
    require_both_sides(len(log) - n_test, n_test, what)
    in_train = ~in_test
    train = log.select(in_train).compact()
    # The same renumbering as in compact().
    _, user_row_of = used_rows(log.user_idx[in_train], len(log.users))
    _, item_row_of = used_rows(log.item_idx[in_train], len(log.items))
    return train, express(train, log.select(in_test), user_row_of, item_row_of, what)


def express(
    train: Interactions,
    test: Interactions,
    user_row_of: NDArray[np.int32],
    item_row_of: NDArray[np.int32],
    what: str,
) -> Interactions:
    """Express test in train's rows, dropping and counting what cannot be credited.

    Parameters
    ----------
    train, test : Interactions
    user_row_of, item_row_of : ndarray of int32
        For each user and item of test the row in train, or -1.
    what : str
        The split as the user asked for it, for messages.

    Raises
    ------
    DataError
        If nothing of test is left.
    """
    n_events = len(test)
    test = replace(
        test,
        user_idx=user_row_of[test.user_idx],
        item_idx=item_row_of[test.item_idx],
        users=train.users,
        items=train.items,
    )
    user_reason, item_reason, seen_reason = SPLIT_REASONS
    test = _leave_out(test, test.user_idx < 0, user_reason)
    test = _leave_out(test, test.item_idx < 0, item_reason)
    test = _leave_out(test, _seen(train, test), seen_reason)
    if len(test) == 0:
        left_out = test.account.left_out
        reasons = ", ".join(f"{left_out[r]:,} {r}" for r in SPLIT_REASONS if r in left_out)
        raise DataError(
            f"{what}: expected test events of users and items that train knows, got none among "
            f"{n_events:,} ({reasons}); choose another split, or a log with more events per user"
        )
    return test


def _leave_out(log: Interactions, dropped: NDArray[np.bool_], reason: str) -> Interactions:
    n_dropped = int(dropped.sum())
    if n_dropped == 0:
        return log
    return replace(log.select(~dropped), account=log.account.leaving_out(reason, n_dropped))


def _seen(train: Interactions, test: Interactions) -> NDArray[np.bool_]:
    """Mark the test events whose pair occurs in train."""
    seen, asked = np.sort(pair_keys(train)), pair_keys(test)
    order = np.argsort(asked)  # a search in ascending order stays in the cache
    place = np.searchsorted(seen, asked[order])
    is_seen = np.empty(len(asked), dtype=np.bool_)
    is_seen[order] = seen[np.minimum(place, len(seen) - 1)] == asked[order]
    return is_seen


def require_both_sides(n_train: int, n_test: int, what: str) -> None:
    """Raise a DataError where a side has no events."""
    for side, n_events in (("train", n_train), ("test", n_test)):
        if n_events == 0:
            raise DataError(
                f"{what}: expected events on both sides, got {n_train:,} in train and "
                f"{n_test:,} in test; choose a split that leaves some for {side}"
            )


def pair_keys(log: Interactions) -> NDArray[np.int64]:
    """Return one number per event that names its (user, item) pair and sorts like it."""
    return log.user_idx.astype(np.int64) * len(log.items) + log.item_idx

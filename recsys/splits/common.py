"""What all splits share: the form of train and test, and what is left out of test.

Train has the users and items of its own events. Test is over the same users and items. Its events
of users or items that train does not know, and of pairs that train has, are left out and counted by
reason in ``test.row_counts.left_out``; users that train does not know stay in
``test.split_info.new_users``, items in ``test.split_info.new_items``. `Interactions.split_info`
says what each part is for.

Dislikes are split beside the events: those of train are seen and learned from, those of test are
what a list should not hold. They count in no reason.
"""

from dataclasses import replace
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.base.errors import DataError
from recsys.logs.interactions import Interactions, ProtocolName, Role, SplitInfo, used_rows
from recsys.vectors import Ids

Split = tuple[Interactions, Interactions]
Marks: TypeAlias = NDArray[np.bool_] | None
SPLIT_REASONS = ("user not in train", "item not in train", "seen in train")
"""Why an event of the test part is left out, as `SplitInfo` counts them."""

_COLUMNS = ("user_idx", "item_idx", "weight", "timestamp")  # of events

ANOTHER_SPLIT = (
    'choose another with --split (evaluation.split in the TOML): "random" needs a user with two '
    'items, "none" publishes without a test'
)


def roles_of_sides(log: Interactions) -> tuple[Role, Role]:
    """Return the roles of what stays and of what is held out, when a log is split."""
    role = log.split_info.role if log.split_info else None
    if role is None:
        return "train", "test"
    if role in ("train", "history"):
        return role, "validation"
    return role, role


def split_by_mask(
    log: Interactions,
    in_test: NDArray[np.bool_],
    protocol: ProtocolName,
    what: str,
    dislikes: Marks = None,
) -> Split:
    """Split a log by a mark on each event, and bring both sides to the common form.

    `what` is the split in words, for messages; `dislikes` marks those of test, if there are any.
    """
    n_test = int(np.count_nonzero(in_test))
    require_both_sides(len(log) - n_test, n_test, what)
    return split_into(log, ~in_test, in_test, protocol, what, dislikes)


def split_into(
    log: Interactions,
    in_train: NDArray[np.bool_] | slice,
    in_test: NDArray[np.bool_] | slice,
    protocol: ProtocolName,
    what: str,
    dislikes: Marks = None,
) -> Split:
    """Split a log into two parts that have events, marked or one after the other."""
    role, held_role = roles_of_sides(log)
    of_test = np.zeros(log.n_rows - len(log), np.bool_) if dislikes is None else dislikes
    kept = log.select(in_train, ~of_test)
    train = replace(kept.compact(), split_info=SplitInfo(role, protocol))
    held = replace(log.select(in_test, of_test), split_info=SplitInfo(held_role, protocol))
    (_, user_row_of), (_, item_row_of) = kept.used_rows()  # as compact() numbers them
    return train, in_rows_of_train(train, held, user_row_of, item_row_of, what)


def in_rows_of_train(
    train: Interactions,
    held: Interactions,
    user_row_of: NDArray[np.int32],  # (n_users,) of held: the row in train, or -1
    item_row_of: NDArray[np.int32],  # (n_items,) likewise
    what: str,
) -> Interactions:
    """Bring what is held out to the rows of train, leaving out what cannot be credited.

    Its `SplitInfo` gets the users and items that train does not know.
    """
    n_events = len(held)
    test = replace(
        held.in_rows(user_row_of, item_row_of, train.users, train.items),
        split_info=_info_with_new(train, held, user_row_of, item_row_of),
    )
    user_reason, item_reason, seen_reason = SPLIT_REASONS
    test = _leave_out(test, test.user_idx < 0, user_reason)
    test = _leave_out(test, test.item_idx < 0, item_reason)
    test = _leave_out(test, is_seen(train, test), seen_reason)
    if test.dislikes is not None:
        test = test.select(slice(None), ~is_seen(train, test.dislikes))
    if len(test) == 0:
        left_out = test.row_counts.left_out
        reasons = ", ".join(f"{left_out[r]:,} {r}" for r in SPLIT_REASONS if r in left_out)
        raise DataError(
            f"{what}: expected test events of users and items that train knows, got none among "
            f"{n_events:,} ({reasons}); {ANOTHER_SPLIT}"
        )
    return test


def of_new_users(
    train: Interactions, held: Interactions, item_row_of: NDArray[np.int32]
) -> Interactions:
    """Return the events of users that train does not know, over themselves and train's items.

    Events with an item whose row in train is -1 are left out and counted.
    """
    is_known = item_row_of[held.item_idx] >= 0
    n_unknown = int((~is_known).sum())
    row_counts = held.row_counts.leaving_out(SPLIT_REASONS[1], n_unknown)
    known = replace(held.select(is_known), row_counts=row_counts)
    user_rows, user_row_of = used_rows([known.user_idx], len(held.users))
    return known.in_rows(user_row_of, item_row_of, held.users.take(user_rows), train.items)


def _of_new_items(
    train: Interactions, held: Interactions, user_row_of: NDArray[np.int32]
) -> Interactions:
    """Return the events of train's users, over them and over items that train does not know."""
    known = held.select(user_row_of[held.user_idx] >= 0)
    item_rows, item_row_of = used_rows([known.item_idx], len(held.items))
    return known.in_rows(user_row_of, item_row_of, train.users, held.items.take(item_rows))


def _info_with_new(
    train: Interactions,
    held: Interactions,
    user_row_of: NDArray[np.int32],
    item_row_of: NDArray[np.int32],
) -> SplitInfo | None:
    """Return the info of the held-out part, with the users and items that are new in it."""
    info = held.split_info
    if info is None:
        return None
    is_new = user_row_of[held.user_idx] < 0
    is_new_item = item_row_of[held.item_idx] < 0
    fresh = [of_new_users(train, replace(held.select(is_new), split_info=None), item_row_of)]
    if info.new_users is not None:  # of a train part that this train was cut from
        fresh.append(of_new_users(train, info.new_users, item_row_of))
    new_users = _together([events for events in fresh if len(events)], "users")
    unknown = [
        _of_new_items(train, replace(held.select(is_new_item), split_info=None), user_row_of)
    ]
    if info.new_items is not None:
        unknown.append(_of_new_items(train, info.new_items, user_row_of))
    return replace(
        info,
        new_users=new_users,
        new_items=_together([events for events in unknown if len(events)], "items"),
        n_new_users=info.n_new_users + len(np.unique(held.user_idx[is_new])),
        n_new_items=info.n_new_items + len(np.unique(held.item_idx[is_new_item])),
    )


def _together(logs: list[Interactions], side: Literal["users", "items"]) -> Interactions | None:
    """Return the events of logs that share all but the ids of one side, or None of none."""
    if len(logs) < 2:
        return logs[0] if logs else None
    first, second = logs
    ids, others = getattr(first, side), getattr(second, side)
    idx = "user_idx" if side == "users" else "item_idx"
    columns = {name: (getattr(first, name), getattr(second, name)) for name in _COLUMNS}
    columns[idx] = (getattr(first, idx), getattr(second, idx) + np.int32(len(ids)))
    joined: dict[str, Any] = {
        name: None if a is None or b is None else np.concatenate([a, b])
        for name, (a, b) in columns.items()
    }
    joined[side] = Ids(pa.concat_arrays([ids.values, others.values]))
    return replace(first, **joined, dislikes=None)  # nothing was learned of these


def _leave_out(log: Interactions, dropped: NDArray[np.bool_], reason: str) -> Interactions:
    n_dropped = int(dropped.sum())
    if n_dropped == 0:
        return log
    return replace(log.select(~dropped), row_counts=log.row_counts.leaving_out(reason, n_dropped))


def is_seen(train: Interactions, test: Interactions) -> NDArray[np.bool_]:
    """Mark the test events whose pair occurs in train, as a dislike as well."""
    from recsys.base.packing import has_pairs  # compiled, which not every command needs

    if train.half_life_days is not None:  # no weight counts
        train = replace(train, half_life_days=None)
    return has_pairs(train.user_items(signed=True), test.user_idx, test.item_idx)


def require_both_sides(n_train: int, n_test: int, what: str) -> None:
    """Raise a DataError where a side has no events."""
    if n_train == 0 or n_test == 0:
        raise DataError(
            f"{what}: expected events on both sides, got {n_train:,} in train and "
            f"{n_test:,} in test; {ANOTHER_SPLIT}"
        )

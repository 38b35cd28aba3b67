"""Whether the current version of a store was made of another log than the one at hand."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.logs import Interactions
from recsys.logs.session import warn
from recsys.store import Content
from recsys.store.remote import shown_store

_LEAST_KEPT = 0.1  # of the items
_LEAST_AGAIN = 0.2  # of what users had seen; ids that are small numbers are in any log
_FEWEST_PAIRS = 100
_MOST_USERS = 500  # that are compared


def warn_of_another_log(store: str | Path, current: Content, log: Interactions) -> None:
    """Warn where the current version of a store seems to be of another log."""
    reason = reason_for_another_log(current, log)
    if reason is not None:
        warn(
            f"store {shown_store(store)}: its current version {current.version.name} seems "
            f"to be of another log, or of other columns: {reason}; the new version is compared "
            "with it and may be refused: a store of its own, --store OTHER, keeps the two apart"
        )


def reason_for_another_log(current: Content, log: Interactions) -> str | None:
    """Return why a version seems to be of another log; None where it may be of this one.

    The same log of a later night keeps most items, and most of what its users had seen.
    """
    row_of = log.items.rows_of(current.items.ids)
    kept = float((row_of >= 0).mean()) if len(row_of) else 1.0
    if kept < _LEAST_KEPT:
        return f"of its {len(row_of):,} items {kept:.0%} are in this log"
    user_of = log.users.rows_of(current.users.ids)
    shared = np.flatnonzero(user_of >= 0)
    shared = shared[:: -(-len(shared) // _MOST_USERS) or 1]
    seen = [row_of[np.asarray(current.users.seen.liked(row))] for row in shared.tolist()]
    if sum(map(len, seen)) < _FEWEST_PAIRS:
        return None
    before = _pairs(np.repeat(user_of[shared], list(map(len, seen))), np.concatenate(seen), log)
    chosen = np.isin(log.user_idx, user_of[shared])
    now = _pairs(log.user_idx[chosen], log.item_idx[chosen], log)
    again = float(np.isin(before, now).mean())
    if again >= _LEAST_AGAIN:
        return None
    return f"of what its users had seen {again:.0%} is in this log"


def _pairs(
    users: NDArray[np.int32], items: NDArray[np.int32], log: Interactions
) -> NDArray[np.int64]:
    """Return a number for each pair of rows; -1 for an item that the log does not have."""
    return np.where(items < 0, -1, users.astype(np.int64) * len(log.items) + items)

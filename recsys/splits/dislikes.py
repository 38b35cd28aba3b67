"""Which dislikes are held out, by splits that go by time."""

import numpy as np
from numpy.typing import NDArray

from recsys.logs.interactions import Interactions
from recsys.splits.common import Marks


def later_dislikes(log: Interactions, instant: int) -> Marks:
    """Mark the dislikes from an instant on."""
    if log.dislikes is None:
        return None
    marks: NDArray[np.bool_] = log.dislikes.require_timestamp("split_by_time") >= instant
    return marks


def dislikes_after_train(log: Interactions, held: NDArray[np.bool_]) -> Marks:
    """Mark the dislikes after the last event that each user keeps; none in a log without time."""
    if log.dislikes is None or log.timestamp is None:
        return None
    latest = np.full(len(log.users), np.iinfo(np.int64).max)
    of_held = np.unique(log.user_idx[held])
    latest[of_held] = np.iinfo(np.int64).min
    kept = log.select(~held)
    np.maximum.at(latest, kept.user_idx, kept.require_timestamp("split_last"))
    marks: NDArray[np.bool_] = (
        log.dislikes.require_timestamp("split_last") > latest[log.dislikes.user_idx]
    )
    return marks

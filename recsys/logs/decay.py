"""How the weight of an event falls with its age, and from when age is counted back."""

import numpy as np
from numpy.typing import NDArray

from recsys.base.mapped import ascends, parts
from recsys.logs.classify import SECONDS_PER_DAY

MOST_STRAYS = 0.001  # of the events, with a clock that is late
FEW_EVENTS = 20  # too few to know which is one
_FAR = 10**15  # seconds


def end_of(
    timestamp: NDArray[np.int64], user_idx: NDArray[np.int32], n_users: int, half_life_days: float
) -> int:
    """Return the time from which the age of events is counted back, see `Interactions.end`."""
    latest = int(timestamp.max())
    if len(timestamp) < FEW_EVENTS:
        return latest
    usual = _late(timestamp)
    if n_users >= FEW_EVENTS:  # a late clock has all the events of its user
        of_user = np.full(n_users, timestamp.min())
        for part in parts(len(timestamp)):
            np.maximum.at(of_user, user_idx[part], timestamp[part])
        usual = min(usual, _late(of_user))
    last = last_usual(usual, half_life_days)
    if latest <= last:
        return latest
    cut = (timestamp[part] for part in parts(len(timestamp)))
    return int(max(one[one <= last].max(initial=usual) for one in cut))


def _late(timestamp: NDArray[np.int64]) -> int:
    """Return the time that all but a thousandth are not later than."""
    if ascends(timestamp):
        return int(timestamp[int((len(timestamp) - 1) * (1 - MOST_STRAYS))])
    return int(np.quantile(timestamp, 1 - MOST_STRAYS, method="lower"))


def last_usual(usual: int, half_life_days: float) -> int:
    """Return the last second that is no stray, see `Interactions.end`."""
    return usual + int(min(half_life_days * SECONDS_PER_DAY, _FAR))


def decayed(
    weight: NDArray[np.float32], timestamp: NDArray[np.int64], end: int, half_life_days: float
) -> NDArray[np.float32]:
    """Return weights that halve with each half-life before the end of a log."""
    # A weight must stay above zero, or an old event would vanish from the seen items.
    decay = np.maximum(freshness(timestamp, end, half_life_days), 1e-6)
    fallen: NDArray[np.float32] = (weight * decay).astype(np.float32)
    return fallen


def freshness(timestamp: NDArray[np.int64], end: int, half_life_days: float) -> NDArray[np.float64]:
    """Return ``2 ** -(age / half_life)`` of events; a stray after the end has no age."""
    age_days = np.maximum(end - timestamp, 0) / SECONDS_PER_DAY
    fresh: NDArray[np.float64] = np.exp2(-age_days / half_life_days)
    return fresh

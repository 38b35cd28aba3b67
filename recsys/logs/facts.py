"""What a manifest says of a log: how much of what, and when."""

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.logs.fingerprint import fingerprint_of
from recsys.logs.interactions import SECONDS_PER_DAY, Interactions

MOST_DAYS = 60  # eight weeks, and a bit: enough to know what a Tuesday is like


def facts_of(log: Interactions) -> dict[str, Any]:
    """Return what to remember of a log, so that the next one can be compared to it.

    Returns
    -------
    dict
        - events, users, items: their numbers;
        - fingerprint: the same for the same events, see `fingerprint_of`;
        - window: the first and the last second since 1970, None without time;
        - days: events by day in UTC, of the last 60 days of the log that have any;
        - duplicates: events that repeat another's user, item and, where there is time, second;
        - mean_weight: of an event, before decay;
        - busiest_user, busiest_item: events of the one that has most;
        - account: of the rows read, see `Account`.
    """
    return {
        "events": len(log),
        "fingerprint": fingerprint_of(log),
        "users": len(log.users),
        "items": len(log.items),
        "window": None if log.timestamp is None else _window(log.timestamp),
        "days": {} if log.timestamp is None else _by_day(log.timestamp),
        "duplicates": _duplicates(log),
        "mean_weight": float(log.weight.mean(dtype=np.float64)) if len(log) else 0.0,
        "busiest_user": int(np.bincount(log.user_idx, minlength=1).max()),
        "busiest_item": int(np.bincount(log.item_idx, minlength=1).max()),
        "account": asdict(log.account),
    }


def _window(timestamp: NDArray[np.int64]) -> list[int] | None:
    return [int(timestamp.min()), int(timestamp.max())] if len(timestamp) else None


def _by_day(timestamp: NDArray[np.int64]) -> dict[str, int]:
    days, counts = np.unique(timestamp // SECONDS_PER_DAY, return_counts=True)
    is_late = days > days.max(initial=0) - MOST_DAYS
    return {
        f"{datetime.fromtimestamp(day * SECONDS_PER_DAY, UTC):%Y-%m-%d}": n
        for day, n in zip(days[is_late].tolist(), counts[is_late].tolist(), strict=True)
    }


def _duplicates(log: Interactions) -> int:
    """Count the events that are the same as another one."""
    pair = log.user_idx.astype(np.int64) * max(len(log.items), 1) + log.item_idx
    if log.timestamp is None:
        return len(pair) - len(np.unique(pair))
    order = np.lexsort((log.timestamp, pair))
    pair, timestamp = pair[order], log.timestamp[order]
    return int(((np.diff(pair) == 0) & (np.diff(timestamp) == 0)).sum())

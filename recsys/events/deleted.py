"""Users whose data was deleted: what a log still has of them is left out."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recsys.events.event import key_of
from recsys.logs import Interactions

REASON = "user deleted"


def without_deleted(log: Interactions, deleted: Mapping[bytes, int]) -> Interactions:
    """Return a log without what users did before their data was deleted.

    Parameters
    ----------
    deleted : mapping of bytes to int
        Users by `key_of`, and when: microseconds since 1970. Of a log without time, all of a user
        is left out.
    """
    if not deleted:
        return log
    moments = [deleted.get(key_of(str(user_id))) for user_id in log.users.tolist()]
    rows = [row for row, moment in enumerate(moments) if moment is not None]
    if not rows:
        return log
    until = np.zeros(len(moments), np.int64)  # in seconds, before which events are left out
    until[rows] = [-(-(moments[row] or 0) // 1_000_000) for row in rows]
    dislikes = slice(None) if log.dislikes is None else _is_kept(log.dislikes, until)
    kept = log.select(_is_kept(log, until), dislikes)
    row_counts = log.row_counts.leaving_out(REASON, log.n_rows - kept.n_rows)
    return replace(kept, row_counts=row_counts).compact()


def _is_kept(log: Interactions, until: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Mark the events that are not left out; `until` is 0 of users without a deletion."""
    if log.timestamp is None:
        return np.asarray(until[log.user_idx] == 0)
    return np.asarray(log.timestamp >= until[log.user_idx])

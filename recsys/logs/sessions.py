"""Sessions in place of users: what one did with no long pause in between."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.logs.interactions import Interactions
from recsys.logs.merging import joined
from recsys.vectors import Ids

_SECONDS = 60


def into_sessions(log: Interactions, gap_minutes: float) -> Interactions:
    """Return the events, and dislikes, of a log with sessions in place of users.

    A session of a user ends where the next event is more than so many minutes later. The n-th of
    user 7 is "7/n".
    """
    timestamp, part = log.require_timestamp("log.session_gap_minutes"), log.dislikes
    of_event = log.user_idx
    if part is not None:
        of_event = joined(of_event, part.user_idx)
        timestamp = joined(timestamp, part.require_timestamp("log.session_gap_minutes"))
    order = np.lexsort((timestamp, of_event))
    user, time = of_event[order], timestamp[order]
    is_new_user = np.diff(user, prepend=-1) != 0
    is_first = is_new_user | (np.diff(time, prepend=0) > gap_minutes * _SECONDS)
    session = np.cumsum(is_first) - 1  # (n_events,) in that order
    owner = user[is_first]  # (n_sessions,)
    first_of_owner = np.flatnonzero(is_new_user[is_first])
    number = np.arange(len(owner)) - np.repeat(
        first_of_owner, np.diff(first_of_owner, append=len(owner))
    )
    names = pc.binary_join_element_wise(
        log.users.values.take(pa.array(owner)).cast(pa.large_string()),
        pa.array(number + 1).cast(pa.large_string()),
        pa.scalar("/", pa.large_string()),
    )
    by_name = pc.sort_indices(names).to_numpy()  # as users are
    row_of = np.empty(len(owner), dtype=np.int32)
    row_of[by_name] = np.arange(len(owner), dtype=np.int32)
    user_idx = np.empty(len(of_event), dtype=np.int32)
    user_idx[order] = row_of[session]
    sessions, n = Ids(names.take(by_name)), len(log)
    if part is not None:
        part = replace(part, user_idx=user_idx[n:], users=sessions)
    return replace(
        log,
        user_idx=user_idx[:n],
        users=sessions,
        session_gap_minutes=gap_minutes,
        dislikes=part,
    )

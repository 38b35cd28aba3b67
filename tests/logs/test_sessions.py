"""Sessions in place of users, against a loop over the events of each user."""

from collections import defaultdict

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import ConfigError, DataError
from recsys.logs import Interactions, read_log
from recsys.logs.sessions import into_sessions
from recsys.settings import SplitSettings
from recsys.splits import decide_split, split_last
from recsys.vectors import Ids

GAP = 30


def sessions_of(log: pd.DataFrame) -> dict[str, list[str]]:
    """The items of each session in their order, one event after the other."""
    found: dict[str, list[str]] = defaultdict(list)
    for user, events in log.sort_values("timestamp", kind="stable").groupby("user_id"):
        number, before = 0, -np.inf
        for item, second in zip(events["item_id"], events["timestamp"], strict=True):
            number += second - before > GAP * 60
            before = second
            found[f"{user}/{number}"].append(item)
    return dict(found)


def items_of(log: Interactions) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for user, item in zip(log.user_idx, log.item_idx, strict=True):
        found[str(log.users[int(user)])].append(str(log.items[int(item)]))
    return dict(found)


events = st.lists(
    st.tuples(
        st.sampled_from([1, 2, 10]),
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 40).map(lambda n: 1_200_000_000 + 601 * n),
    ),
    min_size=1,
    max_size=40,
)


@given(events)
def test_sessions_end_with_a_pause(rows: list[tuple[int, str, int]]) -> None:
    table = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])
    table = table.sort_values("timestamp", kind="stable")
    users, items = np.unique(table["user_id"]), np.unique(table["item_id"])
    whole = Interactions(
        np.searchsorted(users, table["user_id"]).astype(np.int32),
        np.searchsorted(items, table["item_id"]).astype(np.int32),
        np.ones(len(table), dtype=np.float32),
        table["timestamp"].to_numpy(),
        Ids(users.tolist()),
        Ids(items.tolist()),
    )
    log = into_sessions(whole, GAP)
    assert items_of(log) == sessions_of(table)
    names = log.users.tolist()
    assert names == sorted(map(str, names))
    assert log.session_gap_minutes == GAP


def test_the_next_item_of_each_session_is_tested_on() -> None:
    rows = [
        (user, item, 1_200_000_000 + 5_000 * user + 60 * n)
        for user in range(6)
        for n, item in enumerate("abc" if user % 2 else "cab")
    ]
    table = pd.DataFrame(rows, columns=["user_id", "item_id", "timestamp"])
    table = pd.concat([table, table.assign(timestamp=table["timestamp"] + 86_400)])
    log = read_log(table, session_gap_minutes=GAP)
    assert "12 sessions of 6 users" in str(log.row_counts)
    with pytest.warns(RuntimeWarning, match="its users are sessions"):
        settings = decide_split(log, SplitSettings())
    assert settings.split == "last"
    _, test = split_last(log)
    last = {session: items[-1:] for session, items in sessions_of(table).items()}
    assert items_of(test) == last


def test_sessions_need_times_and_a_pause() -> None:
    table = pd.DataFrame({"user_id": [1], "item_id": [2]})
    with pytest.raises(DataError, match=r"'timestamp', which log\.session_gap_minutes needs"):
        read_log(table, session_gap_minutes=30)
    with pytest.raises(ConfigError, match=r"log\.session_gap_minutes: expected"):
        read_log(table, session_gap_minutes=0)

"""A fingerprint distinguishes logs by their events, and by nothing else."""

from collections import Counter
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsys.logs import Interactions
from recsys.logs.log_summary import _of_texts, fingerprint_of
from recsys.vectors import Ids
from tests.worlds import tastes

IDS = st.sampled_from(["a", "b", "ab", "ba", "", "é", "a\x00", "x" * 300])
EVENTS = st.lists(
    st.tuples(IDS, IDS, st.sampled_from([1.0, 0.5]), st.sampled_from([-1, 0, 7, 2**40])),
    max_size=6,
)


def log_of(events: list[tuple[str, str, float, int]], timed: bool = True) -> Interactions:
    users, items = (Ids(list(dict.fromkeys(one[column] for one in events))) for column in (0, 1))
    return Interactions(
        user_idx=users.rows([one[0] for one in events]),
        item_idx=items.rows([one[1] for one in events]),
        weight=np.array([one[2] for one in events], dtype=np.float32),
        timestamp=np.array([one[3] for one in events], dtype=np.int64) if timed else None,
        users=users,
        items=items,
    )


@given(EVENTS, EVENTS)
def test_it_is_equal_where_the_events_are(a: list, b: list) -> None:
    same = Counter(a) == Counter(b)
    assert (fingerprint_of(log_of(a)) == fingerprint_of(log_of(b))) == same


@given(EVENTS, st.randoms(use_true_random=False))
def test_order_and_rows_do_not_matter(events: list, random) -> None:
    shuffled = list(events)
    random.shuffle(shuffled)
    assert fingerprint_of(log_of(events)) == fingerprint_of(log_of(shuffled))


def test_every_column_matters() -> None:
    log = tastes()
    assert log.timestamp is not None
    later = log.timestamp.copy()
    later[5] += 1
    heavier = log.weight.copy()
    heavier[5] = np.nextafter(heavier[5], np.float32(9))
    others = [
        replace(log, timestamp=later),
        replace(log, timestamp=None),
        replace(log, weight=heavier),
        replace(
            log, user_idx=log.item_idx, item_idx=log.user_idx, users=log.items, items=log.users
        ),
        log.select(np.arange(len(log)) > 0),
    ]
    assert len({fingerprint_of(one) for one in (log, *others)}) == 1 + len(others)
    assert fingerprint_of(log.compact()) == fingerprint_of(log)


def test_more_events_than_are_hashed_at_once(monkeypatch) -> None:
    expected = fingerprint_of(tastes())
    monkeypatch.setattr("recsys.logs.log_summary._EVENTS_AT_ONCE", 7)
    assert fingerprint_of(tastes()) == expected


def test_it_stays_what_it_was() -> None:
    """Versions of this release and the next are compared by it."""
    assert (
        fingerprint_of(log_of([("u1", "i1", 1.0, 10), ("u2", "i1", 2.0, 20)])) == "9bd824ccae0ac76a"
    )


def test_fnv_is_fnv() -> None:
    """Before it is mixed; the constants of Fowler, Noll and Vo."""
    text = "hello"
    expected = 0xCBF29CE484222325
    for byte in text.encode():
        expected = (expected ^ byte) * 0x100000001B3 % 2**64
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        if shift == 30:
            expected = (expected + 0x9E3779B97F4A7C15) % 2**64
        expected = (expected ^ expected >> shift) * factor % 2**64
    assert _of_texts(Ids(["", text, "z"]).values)[1] == expected

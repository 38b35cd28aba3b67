"""What is remembered of a log."""

import json

import pyarrow as pa

from recsys.logs import Interactions, facts_of, read_log
from recsys.logs.summary import MOST_DAYS
from tests.worlds import DAY, START, as_interactions, checkerboard


def log_of(**settings: object) -> Interactions:
    table = pa.table(
        {
            "user_id": ["ann", "ann", "ann", "bob", "bob", None],
            "item_id": ["x", "x", "y", "x", "x", "x"],
            "timestamp": [START, START, START, START + DAY, START + DAY + 1, START],
            "event": ["view", "view", "buy", "view", "click", "view"],
        }
    )
    return read_log(table, max_rejected_share=1.0, **settings)


def test_a_log_in_numbers() -> None:
    facts = facts_of(log_of(events={"view": 1, "buy": 4, "click": 0}))
    account, fingerprint = facts.pop("account"), facts.pop("fingerprint")
    assert facts == {
        "events": 4,
        "users": 2,
        "items": 2,
        "window": [START, START + DAY],
        "days": {"2023-11-14": 3, "2023-11-15": 1},
        "duplicates": 1,
        "mean_weight": 7 / 4,
        "busiest_user": 3,
        "busiest_item": 3,
    }
    assert account["events"] == {"view": 3, "buy": 1}
    assert account["rejected"] == {"empty user_id": 1}
    assert account["left_out"] == {"event excluded: click": 1}
    assert len(fingerprint) == 16
    json.dumps(facts)


def test_event_types_are_counted_where_they_are_read() -> None:
    assert facts_of(log_of())["account"]["events"] == {}


def test_without_time_a_pair_twice_is_a_duplicate() -> None:
    log = as_interactions(checkerboard(6), timed=False)
    facts = facts_of(log)
    assert (facts["window"], facts["days"], facts["duplicates"]) == (None, {}, 0)
    assert facts_of(log.select([0, 0, 1]))["duplicates"] == 1  # type: ignore[arg-type]


def test_only_the_last_days_are_kept() -> None:
    log = as_interactions(checkerboard(60))  # an event an hour
    days = facts_of(log)["days"]
    assert len(days) == MOST_DAYS
    assert set(list(days.values())[1:-1]) == {24}

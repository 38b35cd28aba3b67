"""What is remembered of a log."""

import json

import pyarrow as pa

from recsys.logs import Interactions, LogSummary, read_log, summarize
from recsys.logs.log_summary import MOST_DAYS
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
    summary = summarize(log_of(events={"view": 1, "buy": 4, "click": 0})).to_dict()
    fingerprint = summary.pop("fingerprint")
    hours = {"2023-11-14": "3", "2023-11-15": "1"}  # both days begin at 22:13
    assert summary == {
        "events": 4,
        "users": 2,
        "items": 2,
        "window": [START, START + DAY],
        "days": {"2023-11-14": 3, "2023-11-15": 1},
        "hours": {day: " ".join(["0"] * 22 + [n, "0"]) for day, n in hours.items()},
        "duplicates": 1,
        "mean_weight": 7 / 4,
        "busiest_user": 3,
        "busiest_item": 3,
        "busiest_user_id": "ann",
        "busiest_item_id": "x",
        "account": {
            "rows_read": 6,
            "rejected": {"empty user_id": 1},
            "left_out": {"event excluded: click": 1},
            "events": {"view": 3, "buy": 1},
            "rejects_file": None,
            "files": {
                "table": {
                    "rows_read": 6,
                    "kept": 4,
                    "rejected": 1,
                    "reasons": {"empty user_id": 1},
                }
            },
            "columns": ("user_id", "item_id", "event", "timestamp"),
            "is_rooted": False,
            "dislikes": 0,
        },
        "dislikes": 0,
        "mean_dislike": 0.0,
    }
    assert len(fingerprint) == 16


def test_a_summary_survives_json() -> None:
    for log in (log_of(), as_interactions(checkerboard(6), timed=False)):
        summary = summarize(log)
        assert LogSummary.from_dict(json.loads(json.dumps(summary.to_dict()))) == summary


def test_a_summary_of_another_release_is_read_as_far_as_it_goes() -> None:
    summary = LogSummary.from_dict({"events": 7, "account": {"rows_read": 9}, "moon": "full"})
    assert (summary.events, summary.users, summary.window) == (7, None, None)
    assert summary.row_counts is not None
    assert summary.row_counts.rejected_share == 0
    assert LogSummary.from_dict({}) == LogSummary()


def test_event_types_are_counted_where_they_are_read() -> None:
    assert log_of().row_counts.events == {}


def test_without_time_a_pair_twice_is_a_duplicate() -> None:
    log = as_interactions(checkerboard(6), timed=False)
    summary = summarize(log)
    assert (summary.window, summary.days, summary.duplicates) == (None, {}, 0)
    assert summarize(log.select([0, 0, 1])).duplicates == 1  # type: ignore[arg-type]


def test_only_the_last_days_are_kept() -> None:
    log = as_interactions(checkerboard(60))  # an event an hour
    days = summarize(log).days
    assert len(days) == MOST_DAYS
    assert set(list(days.values())[1:-1]) == {24}

"""Events beside logs of any form: they count as if the log had held them."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.errors import DataError
from recsys.events import Event, EventSettings, open_events, take
from recsys.events.weights import EventWeights
from recsys.logs import Interactions, LiveFiles, LogCache, read_log
from recsys.settings import LogSettings

MOMENT = 1_700_000_500_250_000


def taken(store: Path, *events: Event) -> LiveFiles:
    database = open_events(store, EventSettings())
    database.add(events)
    database.close()
    return LiveFiles(take(store, database=open_events(store, EventSettings())).files)


def pairs(log: Interactions) -> set[tuple[object, object, float]]:
    users, items = log.users.tolist(log.user_idx), log.items.tolist(log.item_idx)
    return set(zip(users, items, log.weight.tolist(), strict=True))


def text(folder: Path, *lines: str, name: str = "log.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n")
    return path


def test_integers_stay_integers(tmp_path: Path) -> None:
    live = taken(tmp_path, Event("7", "30", MOMENT), Event("8", "10", MOMENT))
    csv = text(tmp_path, "uid;iid;when", "7;10;1700000000", "9;20;1700000001")
    named = {"user": "uid", "item": "iid", "time": "when"}
    log = read_log(csv, delimiter=";", live=live, **named)
    assert pairs(log) == {(7, 10, 1), (9, 20, 1), (7, 30, 1), (8, 10, 1)}
    assert log.timestamp is not None
    assert log.timestamp.tolist() == [1700000000, 1700000001, 1700000500, 1700000500]
    parquet = tmp_path / "log.parquet"
    pq.write_table(pa.table({"uid": [7, 9], "iid": [10, 20], "when": [5, 6]}), parquet)
    assert pairs(read_log(parquet, live=live, **named)) == pairs(log)
    assert read_log(parquet, live=live, **named).users.are_integers


def test_strings_stay_strings_of_any_content(tmp_path: Path) -> None:
    odd = "NULL", " a\x00,b\n🦄"
    live = taken(tmp_path, Event(odd[0], odd[1], MOMENT), Event("007", "i1", MOMENT))
    csv = text(tmp_path, "user_id,item_id", "u1,i1", "u2,i2")
    log = read_log(csv, live=live)  # without time: what came live came last
    assert log.timestamp is None
    found = list(zip(log.users.tolist(log.user_idx), log.items.tolist(log.item_idx), strict=True))
    assert found == [("u1", "i1"), ("u2", "i2"), odd, ("007", "i1")]


def test_types_and_values_weigh_as_in_the_log(tmp_path: Path) -> None:
    live = taken(
        tmp_path,
        Event("u1", "a", MOMENT, "buy", 3.0),
        Event("u1", "b", MOMENT, "view", 2.0),
        Event("u1", "c", MOMENT, "shown", 2.0),
        Event("u1", "d", MOMENT, "view", 0.5),
    )
    csv = text(tmp_path, "user_id,item_id,event,stars", "u2,a,view,1", "u2,b,buy,4")
    settings = LogSettings(
        columns={"value": "stars"},
        events={"view": 1.0, "buy": 5.0, "shown": 0.0},
        value_scale="linear",
        min_value=1.0,
    )
    cache = LogCache(tmp_path / "cache")
    log = read_log(csv, settings, live=live, cache=cache)
    weighs = EventWeights.of({"log": vars(settings)}, log.row_counts)
    expected = {("u2", "a", 1), ("u2", "b", 20), ("u1", "a", 15), ("u1", "b", 2)}
    assert pairs(log) == expected
    assert weighs.weight("buy", 3.0) == 15
    assert [weighs.weight(*one) for one in (("shown", 2.0), ("view", 0.5))] == [0, 0]
    assert pairs(read_log(csv, settings, live=live, cache=cache)) == expected
    assert len(cache.reused) == 1 + len(live.paths)


@pytest.mark.parametrize("scale", ["linear", "log", "root", "none"])
@pytest.mark.parametrize("missing", [None, 2.0])
def test_weights_are_those_of_the_log(tmp_path: Path, scale: str, missing: float | None) -> None:
    csv = text(tmp_path, "user_id,item_id,value", "u1,a,3", "u1,b,0.25", "u1,c,81", "u2,d,")
    named = LogSettings(columns={"value": "value"}, value_scale=scale, missing_value=missing)  # type: ignore[arg-type]
    log = read_log(csv, named, max_rejected_share=1.0)
    weighs = EventWeights.of({"log": vars(named)}, log.row_counts)
    values = {"a": 3.0, "b": 0.25, "c": 81.0} | ({} if missing is None else {"d": None})
    found = {str(item): weight for _, item, weight in pairs(log)}
    assert found == pytest.approx({one: weighs.weight(None, v) for one, v in values.items()})
    if missing is None:
        with pytest.raises(DataError, match="value: expected a number"):
            weighs.weight(None, None)


def test_a_long_tail_has_the_fourth_root(tmp_path: Path) -> None:
    lines = [f"u{n},i{n % 50},{10**6 if n % 50 == 0 else 1}" for n in range(2000)]
    log = read_log(text(tmp_path, "user_id,item_id,value", *lines))
    weighs = EventWeights.of({"log": vars(LogSettings())}, log.row_counts)
    assert weighs.weight(None, 10.0**6) == pytest.approx(float(log.weight.max()))
    assert weighs.is_rooted


def test_what_the_log_would_reject_is_an_error() -> None:
    weighs = EventWeights({"view": 1.0}, "linear", has_values=True)
    for event, value in ((None, 1.0), ("", 1.0), ("sell", 1.0), ("view", None), ("view", -1.0)):
        with pytest.raises(DataError):
            weighs.weight(event, value)
    assert EventWeights({"view": 1.0, "*": 0.5}).weight("sell", None) == 0.5
    assert EventWeights().weight("anything", 7.0) == 1.0


def test_sessions_are_made_of_both(tmp_path: Path) -> None:
    live = taken(tmp_path, Event("u1", "c", (1_700_000_060) * 1_000_000))
    csv = text(tmp_path, "user_id,item_id,timestamp", "u1,a,1700000000", "u1,b,1700100000")
    log = read_log(csv, live=live, session_gap_minutes=30.0)
    assert len(log.users) == 2

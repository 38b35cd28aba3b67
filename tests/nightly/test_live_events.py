"""Events of the service in the night: each counts once, whatever is killed when."""

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.config import settings_from
from recsys.events import Event, EventDatabase, open_events, take, through_of, trained_of
from recsys.nightly import run_night, run_refresh, stages
from recsys.store import open_version
from tests.nightly.nights import tables_of, write_days

MOMENT = 1_750_000_000_000_000


def night(place: Path, **tables: Any) -> Any:
    gates = {"gates": {"enabled": False}}  # of so small a world, six events are much
    return run_night(settings_from({**tables_of(place), **gates, **tables}))


def database_of(place: Path) -> EventDatabase:
    settings = settings_from(tables_of(place))
    return open_events(place / "store", settings.events)


def seen_by(place: Path, user_id: str) -> list[str]:
    content = open_version(place / "store")
    row = content.users.ids.find(user_id)
    assert row is not None
    seen: list[str] = content.items.ids.tolist(content.users.seen[row])
    return seen


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_days(tmp_path / "log")
    night(tmp_path)
    return tmp_path


def test_a_night_reads_each_event_once(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = database_of(place)
    events = [Event("live", f"i{n}", MOMENT + n) for n in range(4)]
    database.add([*events, Event("live", "i0", MOMENT), Event("u0", "i39", MOMENT)])
    before = open_version(place / "store").version.manifest.log.events
    through = database.last()

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stages, "publish", killed)
        with pytest.raises(KeyboardInterrupt):
            night(place)
    database.add([Event("later", "i1", MOMENT), Event("later", "i5", MOMENT)])
    night(place)  # goes on with what was read
    manifest = open_version(place / "store").version.manifest
    assert manifest.log.events == before + 6
    found = [ends_of(manifest.data, database.identity) for ends_of in (through_of, trained_of)]
    assert found == [through, through]
    assert {"i0", "i1", "i2", "i3"} <= set(seen_by(place, "live"))
    assert "i39" in seen_by(place, "u0")
    assert open_version(place / "store").users.ids.find("later") is None

    night(place)
    assert open_version(place / "store").version.manifest.log.events == before + 8
    assert sorted(seen_by(place, "later")) == ["i1", "i5"]
    row = open_version(place / "store").users.ids.find("live")
    weights = open_version(place / "store").user_lookup.seen_weights(row)
    assert sorted(weights.tolist()) == [1, 1, 1, 2]  # of i0 two events
    assert database.n_events() == 8  # the first version knows none of them


def test_a_refresh_adds_to_what_is_seen_and_leaves_embeddings(place: Path) -> None:
    database = database_of(place)
    database.add([Event("new", item, MOMENT) for item in ("i1", "i5", "i9")])
    database.add([Event("u0", "i38", MOMENT)])
    vector = open_version(place / "store").users
    before = np.array(vector.embeddings[vector.ids.find("u0")])
    run_refresh(settings_from(tables_of(place)), place / "store")
    content = open_version(place / "store")
    assert through_of(content.version.manifest.data, database.identity) == database.last()
    assert trained_of(content.version.manifest.data, database.identity) == 0
    assert sorted(seen_by(place, "new")) == ["i1", "i5", "i9"]
    assert "i38" in seen_by(place, "u0")
    assert (content.users.embeddings[content.users.ids.find("u0")] == before).all()


def test_a_deleted_user_is_left_out_of_the_next_version(place: Path) -> None:
    assert seen_by(place, "u1")
    database = database_of(place)
    database.add([Event("u1", "i3", MOMENT), Event("other", "i3", MOMENT)])
    take(place / "store", database)
    database.delete_user("u1")
    night(place)
    content = open_version(place / "store")
    assert content.users.ids.find("u1") is None
    assert content.users.ids.find("other") is not None
    assert content.version.manifest.log.row_counts.left_out["user deleted"] > 0
    (place / "store" / "events" / "live.sqlite").unlink()  # the deletion outlives the database
    night(place, nightly={"reuse_unchanged": False, "store": str(place / "store")})
    assert open_version(place / "store").users.ids.find("u1") is None
    assert open_version(place / "store").users.ids.find("other") is not None


def test_a_deleted_user_is_left_out_by_a_refresh(place: Path) -> None:
    """Who came back since is there again, with what was done after the deletion alone."""
    database = database_of(place)
    for user in ("u1", "u2"):
        database.delete_user(user)
    later = int(1e6 * (time.time() + 60))  # than the deletion
    database.add([Event("u2", item, later) for item in ("i2", "i6")])
    settings = settings_from(tables_of(place) | {"gates": {"enabled": False}})
    report = run_refresh(settings, place / "store")
    assert report.facts("fold_in")["users_left_out"] == 2
    content = open_version(place / "store")
    assert content.users.ids.find("u1") is None
    assert seen_by(place, "u2") == ["i2", "i6"]
    assert content.users.embeddings[content.users.ids.find("u2")].any()
    assert run_refresh(settings, place / "store").is_idle


def test_a_night_may_leave_events_aside(place: Path) -> None:
    database_of(place).add([Event("live", "i1", MOMENT)])
    night(place, events={"enabled": False}, nightly={"store": str(place / "store")})
    assert open_version(place / "store").users.ids.find("live") is None

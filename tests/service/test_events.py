"""Events over HTTP: durable, once, counted at once in lists, deleted; lists go on without."""

import asyncio
from pathlib import Path

import pytest

from recsys.base.event_settings import EventSettings
from recsys.service import Service
from recsys.serving import Recommender
from tests.disks import small_disk
from tests.service.asking import ask, asked, escaped, get, post
from tests.service.conftest import ITEMS, ODD_IDS

PATH = "/v1/events"


def list_of(service: Service, user: object, **query: object) -> dict[str, object]:
    answered = get(service, f"/v1/users/{escaped(user)}/recommendations", k=40, **query)
    assert answered.status == 200, answered.body
    found: dict[str, object] = answered.json()
    return found


def ids_of(found: dict[str, object]) -> list[object]:
    return [one["item_id"] for one in found["items"]]  # type: ignore[attr-defined]


def test_an_event_counts_in_the_next_list(live: Service, recommender: Recommender) -> None:
    before = list_of(live, "u1")
    assert before["source"] == "personal"
    seen = ids_of(before)[0]
    assert post(live, PATH, {"user_id": "u1", "item_id": seen}).json() == {
        "added": 1,
        "repeated": 0,
    }
    after = list_of(live, "u1")
    assert (after["source"], seen in ids_of(after)) == ("fold_in", False)
    assert list_of(live, "u1", include_seen="true")["source"] == "fold_in"
    assert list_of(live, "u42")["source"] == "personal"
    lookup = recommender._user_lookup
    stored = recommender._items.ids.tolist(lookup.seen(lookup.find("u1")))
    weights = [*lookup.seen_weights(lookup.find("u1")).tolist(), recommender.rows.histories.unit]
    expected = recommender.recommend_for_history([*stored, seen], 40, weights=weights)
    why = get(live, f"/v1/users/u1/explanations/{escaped(ids_of(after)[0])}").json()
    assert (why["source"], why["score"]) == ("fold_in", pytest.approx(expected[0].score))
    assert seen in [one["item_id"] for one in why["parts"]]
    assert ids_of(after) == [one.item_id for one in expected]


@pytest.mark.parametrize("user", ["somebody new", *ODD_IDS[:4]])
def test_a_user_whom_the_version_does_not_know(live: Service, user: str) -> None:
    if list_of(live, user)["source"] == "personal":
        user += " 2"
    assert list_of(live, user)["source"] == "popular"
    events = [
        {"user_id": user, "item_id": one} for one in ("i7", "an item of tomorrow", ODD_IDS[0])
    ]
    assert post(live, PATH, {"events": events}).json()["added"] == 3
    found = list_of(live, user)
    assert found["source"] == "fold_in"
    assert not {"i7", ODD_IDS[0]} & set(ids_of(found))
    body = {"user_id": user, "k": 40}
    assert post(live, "/v1/recommendations", body).json() == found
    batch = post(live, "/v1/recommendations:batch", {"requests": [body]}).json()
    assert batch["answers"] == [found]
    with_history = post(live, "/v1/recommendations", body | {"history": ["i9"]}).json()
    assert "i9" not in ids_of(with_history)


def test_only_an_item_that_the_version_does_not_know(live: Service) -> None:
    post(live, PATH, {"user_id": "new", "item_id": "tomorrow"})
    assert list_of(live, "new")["source"] == "popular"
    path = "/v1/users/new/recommendations"
    assert get(live, path, on_unknown="raise").json()["code"] == "unknown_user"
    post(live, PATH, {"user_id": "u1", "item_id": "tomorrow"})
    assert list_of(live, "u1")["source"] == "personal"


def test_who_has_met_an_item_since_is_not_in_its_audience(live: Service) -> None:
    def audience(**asked: object) -> list[str]:
        found = get(live, "/v1/items/i7/audience", **asked).json()
        return [one["user_id"] for one in found["users"]]

    before = audience()
    assert len(before) > 4
    assert post(live, PATH, {"user_id": before[0], "item_id": "i7"}).json()["added"] == 1
    post(live, PATH, {"user_id": before[1], "item_id": "i9"})
    assert ask(live, "DELETE", f"/v1/users/{escaped(before[2])}").status == 200
    assert audience() == [before[1], *before[3:]]
    assert audience(k=2) == [before[1], before[3]]  # as long as it was asked for


def test_an_event_of_one_id_is_kept_once(live: Service) -> None:
    event = {"user_id": "u1", "item_id": "i9", "event_id": "order-1"}
    assert [post(live, PATH, event).json()["added"] for _ in range(2)] == [1, 0]
    other = post(
        live, PATH, {"events": [event | {"item_id": "i7"}, {"user_id": "u1", "item_id": "i7"}]}
    )
    assert (other.status, other.json()["code"], "at 0" in other.json()["detail"]) == (
        *(409, "other_event", True),
    )
    assert live.live.database is not None
    assert live.live.database.n_events() == 2


def test_many_requests_share_commits(live: Service) -> None:
    async def both() -> list[int]:
        body = [{"user_id": f"n{n}", "item_id": "i7", "event_id": str(n % 20)} for n in range(40)]
        answers = await asyncio.gather(*(asked(live, "POST", PATH, one) for one in body))
        return [one.status for one in answers]

    assert sorted(asyncio.run(both())) == [200] * 20 + [409] * 20


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"item_id": "i7"}, "user_id"),
        ({"user_id": " ", "item_id": "i7"}, "user_id"),
        ({"user_id": "\ud800", "item_id": "i7"}, "half a character"),
        ({"user_id": 1 << 64, "item_id": "i7"}, "too large a number"),
        (b'{"user_id": "u", "item_id": "i", "value": 1e999}', "value"),
        ({"user_id": "u", "item_id": "i", "event": "x" * 300}, "event"),
        ({"user_id": "u", "item_id": "i", "event_id": ""}, "event_id"),
        ({"user_id": "u", "item_id": "i", "timestamp": 1e12}, "timestamp"),
        ({"user_id": "u", "item_id": "i", "timestamp": "yesterday"}, "timestamp"),
        ({"user_id": "u", "item_id": "i", "timestamp": True}, "timestamp"),
        ({"events": []}, "1 to 10"),
        ({"events": [{"user_id": "u", "item_id": "i"}] * 11}, "1 to 10"),
        ({"events": [{"user_id": "u", "item_id": "i"}], "user_id": "u"}, "both"),
        ({"events": [{"user_id": "u", "item_id": "i"}, {"user_id": "u"}]}, "events[1]: item_id"),
    ],
)
def test_what_is_no_event_is_refused_whole(live: Service, body: object, names: str) -> None:
    answered = post(live, PATH, body)
    assert (answered.status, names in answered.json()["detail"]) == (422, True), answered.body
    assert live.live.database is None or live.live.database.n_events() == 0


def test_a_deleted_user_is_unknown(live: Service) -> None:
    events = [{"user_id": "u1", "item_id": one} for one in ("i7", "i9")]
    post(live, PATH, {"events": events})
    deleted = ask(live, "DELETE", "/v1/users/u1")
    version = live.current.opened.version if live.current.opened else ""
    assert deleted.json() == {"deleted_events": 2, "still_in_version": version}
    assert list_of(live, "u1")["source"] == "popular"
    path = "/v1/users/u1/recommendations"
    assert get(live, path, on_unknown="raise").status == 404
    assert get(live, "/v1/users/u1/explanations/i7").json()["code"] == "unknown_user"
    assert get(live, "/v1/embeddings/users", id="u1").json()["code"] == "unknown_user"
    assert get(live, "/v1/embeddings/users", id="u42").status == 200
    post(live, PATH, {"user_id": "u1", "item_id": ITEMS[5]})  # and comes back
    assert list_of(live, "u1")["source"] == "fold_in"
    assert ask(live, "DELETE", "/v1/users/nobody").json()["still_in_version"] is None


def test_a_full_database_is_507_and_a_lost_one_503_and_lists_go_on(
    live: Service, tmp_path: Path
) -> None:
    event = {"user_id": "u1", "item_id": "i7"}
    for _ in range(5):
        assert post(live, PATH, {"events": [event] * 10}).status == 200
    full = post(live, PATH, event)
    assert (full.status, full.json()["code"]) == (507, "events_full")
    assert list_of(live, "u1")["source"] == "fold_in"
    (tmp_path / "events.sqlite").rename(tmp_path / "elsewhere")
    lost = post(live, PATH, event)
    assert (lost.status, lost.json()["code"]) == (503, "events_lost")
    assert list_of(live, "u1")["source"] == "personal"
    (tmp_path / "elsewhere").rename(tmp_path / "events.sqlite")
    live._refresh()
    assert list_of(live, "u1")["source"] == "fold_in"


def test_a_full_disk_is_507_and_lists_go_on(store: Path, tmp_path: Path) -> None:
    event, sent = {"user_id": "u1", "item_id": "i7"}, 0
    many = {"events": [event | {"event": "x" * 256}] * 500}
    with small_disk(tmp_path, 10) as disk:
        live = Service(store, events=EventSettings(database=str(disk / "events.sqlite"))).open()
        (disk / "other").write_bytes(bytes(1_000_000))
        while (answer := post(live, PATH, many)).status == 200:
            sent += 500
        assert (answer.status, answer.json()["code"]) == (507, "events_full")
        assert list_of(live, "u1")["source"] == "fold_in"
        database = live.live.database
        assert database is not None
        assert database.n_events() == sent
        (disk / "other").unlink()
        assert post(live, PATH, event).json()["added"] == 1
        assert database.n_events() == sent + 1
        live.live.stop()


def test_without_events_there_is_no_route(store: Path) -> None:
    service = Service(store, events=EventSettings(enabled=False)).open()
    assert post(service, PATH, {"user_id": "u1", "item_id": "i7"}).json()["code"] == "no_events"
    assert list_of(service, "u1")["source"] == "personal"

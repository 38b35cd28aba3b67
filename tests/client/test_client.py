"""What a client has of its own: vectors by id, limits, retries, errors, keys."""

import asyncio
import json
import pickle
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from recsys.base.errors import RecsysError
from recsys.client import AsyncClient, Client, EventsKept, Served, UserDeleted
from recsys.client.attempts import Answer, Attempts
from recsys.errors import (
    ConfigError,
    DataError,
    EventsError,
    EventsFullError,
    ServiceError,
    UnknownItemError,
    UnknownUserError,
)
from recsys.service import new_key
from recsys.service.problems import PROBLEMS
from recsys.serving import Recommender
from recsys.settings import IndexSettings
from recsys.store import publish
from tests.client.conftest import Awaited
from tests.service.conftest import ITEMS, USERS, release
from tests.service.servers import Server, serving

LIST = {"items": [{"item_id": "i7", "score": 0.5}], "source": "personal", "version": "v"}


@pytest.mark.parametrize(("kind", "known"), [("user", USERS), ("item", ITEMS)])
def test_vectors_are_those_of_the_version(doors, recommender: Recommender, kind, known) -> None:
    expected = getattr(recommender, f"{kind}_vectors")
    for name in ("client", "awaited"):
        found = getattr(doors[name], f"{kind}_vectors")([*known, known[0]])
        assert (list(found), found.space_id, found.kind) == (known, expected.space_id, kind)
        np.testing.assert_array_equal(found.matrix, expected.matrix[: len(known)])
        assert found[known[1]] == expected[known[1]]
        ask = getattr(doors[name], f"{kind}_vectors")
        with pytest.raises(LookupError, match="never"):
            ask(["never", known[0]])
        assert list(ask(["never", known[0]], on_unknown="ignore")) == [known[0]]


def test_the_service_says_what_it_is(doors, recommender: Recommender) -> None:
    for name in ("client", "awaited"):
        served = doors[name].about()
        assert isinstance(served, Served)
        assert (served.version, served.n_items) == (recommender.version, len(ITEMS))
        assert served.limits["max_k"] == 1_000
        assert doors[name].is_ready() is True
    assert doors["client"].version == recommender.version


def test_a_list_without_details_has_titles(server: Server, recommender: Recommender) -> None:
    with Client(server.url) as client:
        found = client.recommend("u42", 8)
        expected = recommender.recommend("u42", 8)
        assert found == expected
        assert found.titles == expected.titles
        assert found.reasons == (None,) * 8
        many = client.recommend_many(["u42", "u1"], 8)
        assert many[0].titles == expected.titles
        assert many.to_table() == recommender.recommend_many(["u42", "u1"], 8).to_table()


def test_one_client_is_shared_by_tasks(server: Server, recommender: Recommender) -> None:
    async def together() -> list[Any]:
        async with AsyncClient(server.url) as client:
            return await asyncio.gather(*(client.recommend(user_id) for user_id in USERS))

    assert asyncio.run(together()) == [recommender.recommend(user_id) for user_id in USERS]


def test_what_is_more_than_one_request_may_be_is_asked_in_several(
    folder: Path, recommender: Recommender
) -> None:
    """With limits of a few ids and bytes; a key is asked for as well."""
    keys = folder.parent / "keys.jsonl"
    key = new_key(keys, "shop")
    limits = ("max_total_k=25", "max_ids=5", "max_body_bytes=300", "max_k=20")
    options = [word for limit in limits for word in ("--set", f"service.{limit}")]
    user_ids = [one for one in USERS if len(one) < 100]
    with serving("--store", folder, "--keys", keys, *options) as server:
        with Client(server.url, key=key) as client:
            found = client.recommend_many(user_ids * 3, 10)
            expected = recommender.recommend_many(user_ids * 3, 10)
            assert found.to_table() == expected.to_table()
            assert list(client.user_vectors(user_ids)) == user_ids
            with pytest.raises(DataError, match="k: expected 1 to 20"):
                client.recommend_many(user_ids, 21)
            with pytest.raises(DataError, match="300 bytes"):
                client.recommend("u42", history=["x" * 300])
        for wrong in (None, "recsys_wrong"):
            with Client(server.url, key=wrong) as client, pytest.raises(ServiceError) as caught:
                client.recommend("u42")
            assert (caught.value.status, caught.value.code) == (401, "no_key")
            assert caught.value.request_id
    with Client(server.url, retries=0) as client, pytest.raises(ServiceError) as caught:
        client.recommend("u42")
    assert (caught.value.code, caught.value.status) == ("unreachable", None)
    assert "recsys serve" in str(caught.value)


def test_events_count_in_the_next_list(tmp_path: Path) -> None:
    """Of a store of its own, as what others see would change."""
    publish(tmp_path / "store", release(), IndexSettings(kind="exact"))
    with serving("--store", tmp_path / "store") as server:
        loop = asyncio.new_event_loop()
        with Client(server.url) as client:
            awaited = Awaited(AsyncClient(server.url), loop)
            for number, door in enumerate((client, awaited)):
                for user_id in (f"new {number}", "a/b", ".."):
                    kept = door.add_event(user_id, "i7", event_id=f"{number} {user_id}")
                    assert (kept.added, kept.repeated) == (1, 0)
                    found = door.recommend(user_id, 40)
                    assert found.source == "fold_in"
                    assert "i7" not in [item_id for item_id, _ in found]
                told = {"user_id": f"new {number}", "item_id": "i9", "timestamp": 1.75e9}
                same = told | {"event_id": f"same {number}", "value": None}
                assert door.add_events([told, told, same]).added == 3  # with ids of their own
                assert door.add_events([same]) == EventsKept(0, 1)
                with pytest.raises(DataError, match="that of another event"):
                    door.add_events([same | {"item_id": "i7"}])
                with pytest.raises(DataError, match="tomorrow"):
                    door.add_event("u", "i7", timestamp=datetime.now(UTC) + timedelta(9))
                for wrong in ("i7", [1], [{"user_id": "u"}], [told | {"user_id": None}]):
                    with pytest.raises(DataError, match="events"):
                        door.add_events(wrong)
                assert door.delete_user(f"new {number}") == UserDeleted(4, None)
                assert door.recommend(f"new {number}").source == "popular"
                for user_id in ("..", "a/b"):
                    assert door.delete_user(user_id).deleted_events == 1
            awaited.close()
        loop.close()


def test_an_event_is_sent_again_as_it_was(answering) -> None:
    kept = httpx.Response(200, json={"added": 1, "repeated": 0})
    client, sent = answering(httpx.ReadTimeout("late"), httpx.ReadError("cut"), kept)
    assert client.add_event("u42", "i7").added == 1
    assert len({one.content for one in sent}) == 1
    assert len(sent) == 3
    (told,) = json.loads(sent[0].content)["events"]
    assert set(told) == {"user_id", "item_id", "timestamp", "event_id"}


def problem(code: str, **headers: str) -> httpx.Response:
    status = PROBLEMS[code][0]
    body = {"code": code, "detail": f"detail of {code}", "status": status}
    return httpx.Response(status, json=body, headers={"x-request-id": "r1", **headers})


@pytest.mark.parametrize("code", PROBLEMS)
def test_each_problem_is_an_error_of_ours(answering, code: str) -> None:
    client, _ = answering(problem(code), retries=0)
    with pytest.raises(RecsysError, match=f"detail of {code}") as caught:
        client.recommend("u42")
    expected = {
        "unknown_user": UnknownUserError,
        "unknown_item": UnknownItemError,
        "invalid": DataError,
        "malformed": DataError,
        "events_lost": EventsError,
        "events_full": EventsFullError,
    }
    assert type(caught.value) is expected.get(code, type(caught.value))
    assert caught.value.__notes__ == ["request r1 to GET /v1/users/u42/recommendations"]
    if isinstance(caught.value, ServiceError):
        again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301
        assert (again.code, again.request_id, again.status) == (code, "r1", PROBLEMS[code][0])


@pytest.mark.parametrize(
    "passing",
    [
        problem("overloaded", **{"retry-after": "0"}),
        problem("too_many", **{"retry-after": "0"}),
        httpx.Response(502, text="<html>"),
        httpx.Response(504),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("late"),
        httpx.RemoteProtocolError("closed"),
    ],
    ids=lambda one: type(one).__name__ + str(getattr(one, "status_code", "")),
)
def test_what_passes_is_asked_again(answering, passing) -> None:
    client, sent = answering(passing, passing, httpx.Response(200, json=LIST))
    assert client.recommend("u42").items == (("i7", 0.5),)
    assert len(sent) == 3
    client, sent = answering(passing)
    with pytest.raises(ServiceError):
        client.recommend("a/b", where="price < 2")  # a POST
    assert [one.method for one in sent] == ["POST"] * 3


def test_what_does_not_pass_is_asked_once(answering) -> None:
    for outcome in (
        problem("invalid"),
        problem("no_key"),
        problem("failed"),
        problem("too_slow", **{"retry-after": "3600"}),
        httpx.Response(302, headers={"location": "http://evil.example"}),
        httpx.Response(200, text="welcome to the hotel"),
        httpx.Response(200, json=[1]),
        httpx.Response(200, json={"items": [{}], "source": "personal", "version": "v"}),
    ):
        client, sent = answering(outcome)
        with pytest.raises(RecsysError):
            client.recommend("u42")
        assert len(sent) == 1
    client, sent = answering(problem("not_ready"))
    assert (client.is_ready(), len(sent)) == (False, 1)


def test_how_long_is_waited() -> None:
    attempts = Attempts(3)
    late = ConnectionError()
    for number in range(3):
        seconds = [attempts.seconds_to_wait(number, late) for _ in range(50)]
        assert all(0 <= one <= 0.1 * 2**number for one in seconds)
        assert len(set(seconds)) > 40  # clients do not come back together
    assert attempts.seconds_to_wait(3, late) is None
    busy = Answer(503, {"retry-after": "7"}, b"")
    assert attempts.seconds_to_wait(0, busy) == 7
    assert attempts.seconds_to_wait(0, Answer(503, {"retry-after": "999"}, b"")) is None
    dated = Answer(503, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, b"")
    assert attempts.seconds_to_wait(0, dated) <= 0.1


def test_parts_of_two_versions_are_asked_for_again(answering) -> None:
    about = {"version": "a", "model": "als", "factors": 4, "n_users": 2, "n_items": 2}
    limits = {"max_total_k": 1, "max_ids": 9, "max_body_bytes": 9_999}
    served = httpx.Response(200, json=about | {"space_id": "s", "limits": limits})

    def part(version: str) -> httpx.Response:
        return httpx.Response(200, json={"answers": [LIST], "version": version})

    mixed = [part("a"), part("b")]
    client, _ = answering(served, *mixed, part("b"), part("b"))
    assert client.recommend_many(["u1", "u2"], 1).version == "b"
    client, _ = answering(served, *mixed * 3)
    with pytest.raises(ServiceError, match="from one version, got a, b"):
        client.recommend_many(["u1", "u2"], 1)


def test_a_request_says_who_asks_and_nothing_rewrites_its_path(answering) -> None:
    client, sent = answering(httpx.Response(200, json=LIST), key="secret")
    assert "secret" not in repr(client) + repr(vars(client))
    for item_id in ("..", ".", "a/../b", "%2e", "a b", "?", "#", "é"):
        client.similar_items(item_id)
    paths = [one.url.raw_path.partition(b"?")[0].decode() for one in sent]
    assert paths == [
        f"/base/v1/items/{part}/similar"
        for part in ("%2E%2E", "%2E", "a%2F..%2Fb", "%252e", "a%20b", "%3F", "%23", "%C3%A9")
    ]
    assert {one.headers["authorization"] for one in sent} == {"Bearer secret"}
    for too_long in (client.describe, client.find):
        with pytest.raises(DataError, match="65,000 characters"):
            too_long("é" * 12_000)
    client.recommend("..", k=np.int64(3))
    assert json.loads(sent[-1].content) == {"user_id": "..", "k": 3}
    client.recommend("u42", include_seen=True)
    assert sent[-1].url.raw_path == b"/base/v1/users/u42/recommendations?k=10&include_seen=true"


def test_where_and_how_to_ask_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    for url in ("service.example", "ftp://a", "http://", "http://a:b", "http://a?b=c", 7):
        with pytest.raises(ConfigError, match="url: expected"):
            Client(url)
    for options in ({"timeout": 0}, {"retries": -1}, {"key": "a\nb"}):
        with pytest.raises(ConfigError):
            Client(**options)
    monkeypatch.setenv("RECSYS_URL", "https://service.example/")
    assert repr(Client()) == "Client('https://service.example')"
    assert repr(AsyncClient()) == "AsyncClient('https://service.example')"


def test_without_httpx_a_sentence_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['httpx'] = None; import recsys\n"
        "try: recsys.Client()\n"
        "except recsys.ConfigError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert "pip install 'recsys-engine[client]'" in done.stdout

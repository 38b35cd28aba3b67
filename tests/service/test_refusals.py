"""What the service refuses, and that nothing makes it fail: keys, limits, malformed requests."""

import asyncio
import json
import threading
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from recsys.errors import ConfigError
from recsys.service import Service, ServiceSettings, handlers, new_key
from recsys.service.problems import ProblemError
from recsys.service.routes import ROUTES
from tests.service.asking import ask, asked, get, post, target

LIST = "/v1/users/u42/recommendations"


@pytest.mark.parametrize(
    ("path", "query", "status", "code", "named"),
    [
        (LIST, {"k": 0}, 422, "invalid", "k: expected 1 to 1,000"),
        (LIST, {"k": 1001}, 422, "invalid", "got 1,001"),
        (LIST, {"k": "ten"}, 422, "invalid", "a whole number, got 'ten'"),
        (LIST, {"k": "9" * 5000}, 422, "invalid", "a whole number"),
        (LIST, {"k": [1, 2]}, 422, "invalid", "once, got it twice"),
        (LIST, {"kk": 1}, 422, "invalid", "did you mean 'k'"),
        (LIST, {"include_seen": "yes"}, 422, "invalid", "true or false"),
        (LIST, {"diversity": "nan"}, 422, "invalid", "from 0 to 1"),
        (LIST, {"on_unknown": "cry"}, 422, "invalid", "one of popular, raise"),
        (LIST, {"where": "price <"}, 422, "invalid", "where:"),
        (LIST, {"where": "price < 1; drop table users"}, 422, "invalid", "where:"),
        (LIST, {"max_per": "category"}, 422, "invalid", "max_per:"),
        (LIST, {"max_per": "brand:2"}, 422, "invalid", "GET /v1/items/{item_id} shows them"),
        ("/v1/users/%FF/recommendations", {}, 400, "malformed", "user_id: expected"),
        ("/v1/users/a/b/recommendations", {}, 404, "no_route", "%2F"),
        ("/v1/lists/newest", {}, 404, "no_route", "popular, trending or latest"),
        ("/v1/lists/trending", {}, 422, "invalid", "a log with timestamps"),
        ("/v1/lists/popular", {"column": "price"}, 422, "invalid", "latest"),
        ("/v1/items", {"title": "x" * 257}, 422, "invalid", "at most 256 characters"),
        ("/v1/items/never", {}, 404, "unknown_item", "'never'"),
        ("/v1/users/never/explanations/i7", {}, 404, "unknown_user", "'never'"),
        ("/v1/embeddings/items", {}, 422, "invalid", "id: expected it"),
        ("/v1/embeddings/words", {"id": "a"}, 404, "no_route", "users or of items"),
        ("/v1/recommendations", {}, 405, "no_method", "expected POST, OPTIONS, got GET"),
        ("/", {}, 404, "no_route", "openapi"),
    ],
)
def test_a_problem_says_what_is_wrong(
    service: Service, path: str, query, status: int, code: str, named: str
) -> None:
    answer = get(service, path, **query)
    found = answer.json()
    assert (answer.status, found["status"], found["code"]) == (status, status, code)
    assert named in found["detail"]
    assert found["request_id"] == answer.headers["x-request-id"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert str(service.current.store) not in answer.body.decode()


@pytest.mark.parametrize(
    ("body", "status", "named"),
    [
        (b"", 400, "JSON"),
        (b"\xff\xfe", 400, "UTF-8"),
        (b'{"k": NaN}', 400, "NaN"),
        (b'{"k": 1, "k": 2}', 400, "twice"),
        (b"[" * 100_000, 400, "too many levels"),
        (b'{"user_id": 1' + b"0" * 5000 + b"}", 400, "JSON"),
        (b"[]", 422, "an object, got []"),
        (b"{}", 422, "a user_id or a history"),
        (b'{"user_id": true}', 422, "a text or a whole number"),
        (b'{"user_id": 1.5}', 422, "a text or a whole number"),
        (b'{"history": "i7"}', 422, "a list of texts"),
        (b'{"history": [["i7"]]}', 422, "a list of texts"),
        (b'{"history": []}', 422, "at least one item"),
        (b'{"user_id": "u42", "weights": [1]}', 422, "without a user_id"),
        (b'{"history": ["i7"], "weights": [-1]}', 422, "weights"),
        (b'{"user_id": "\\ud800", "on_unknown": "raise"}', 404, "not among"),
        (json.dumps({"user_id": "u", "exclude": ["i"] * 10_001}).encode(), 422, "at most 10,000"),
        (json.dumps({"user_id": "u" * 2_000_000}).encode(), 413, "bytes"),
    ],
    ids=range(18),
)
def test_a_body_that_cannot_be_used_is_refused(
    service: Service, body: bytes, status: int, named: str
) -> None:
    answer = post(service, "/v1/recommendations", body)
    assert (answer.status, named in answer.json()["detail"]) == (status, True), answer.body


def test_a_batch_is_held_to_the_sum_of_k(service: Service) -> None:
    requests = [{"user_id": "u42", "k": 1000}] * 11
    answer = post(service, "/v1/recommendations:batch", {"requests": requests})
    assert (answer.status, answer.json()["code"]) == (422, "invalid")
    assert "10,000 items in all" in answer.json()["detail"]


def test_a_batch_that_is_too_slow_gives_its_thread_back(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = service.current.opened
    assert opened is not None
    body = {"requests": [{"user_id": "u42"}] * 3}
    asked = handlers.Asked(opened, {}, body, ServiceSettings(max_seconds=4.0))
    for step, n_made in ((0.6, 3), (1.0, 1), (1.5, 0)):
        moments, made = count(0.0, step), []  # of a clock that is looked at before each
        monkeypatch.setattr(handlers, "monotonic", lambda moments=moments: next(moments))
        text_of = partial(lambda made, *_: made.append(1) or ("{}", "personal"), made)
        monkeypatch.setattr(handlers, "_text_of", text_of)
        if n_made == 3:
            assert handlers.batch(asked).sources == ("personal",) * 3
        else:
            with pytest.raises(ProblemError, match="in time"):
                handlers.batch(asked)
        assert len(made) == n_made


def test_sizes_are_limited_as_they_arrive(service: Service) -> None:
    for path, headers, code in (
        (target(LIST, where="x" * 70_000), {}, "too_long_a_target"),
        (LIST, {"cookie": "x" * 20_000}, "too_large_a_header"),
    ):
        assert ask(service, "GET", path, headers=headers).json()["code"] == code
    body, path = {"user_id": "u42"}, "/v1/recommendations"
    for kind in ("text/csv", "application/x-www-form-urlencoded", ""):
        answer = post(service, path, body, headers={"content-type": kind})
        detail = f"content-type: expected application/json, uncompressed, got {kind!r}"
        assert (answer.status, answer.json()["detail"]) == (415, detail)
    packed = post(service, path, body, headers={"content-encoding": "gzip"})
    assert (packed.status, packed.json()["detail"][-21:]) == (415, "got a compressed body")
    long = post(service, path, body, headers={"content-length": "9" * 30})
    assert (long.status, "(service.max_body_bytes)" in long.json()["detail"]) == (413, True)
    chunks = [b" " * 65_536] * 20  # no length is announced
    assert post(service, path, None, chunks=chunks).json()["code"] == "too_large_a_body"
    cut = post(service, path, None, chunks=[])
    assert (cut.status, cut.json()["code"]) == (400, "malformed")


def test_a_body_that_does_not_come_is_not_waited_for(store: Path) -> None:
    service = Service(store, ServiceSettings(max_seconds=0.05)).open()
    answer = post(service, "/v1/recommendations", None, chunks=[b"{"], stall=True)
    assert (answer.status, answer.json()["code"]) == (408, "too_slow_a_body")


def test_too_much_at_once_is_turned_away_and_plain_lists_go_on(store: Path) -> None:
    """The thread of the service is held: one request waits for it, the next finds no place."""
    limits = ServiceSettings(threads=1, max_waiting=1, max_seconds=0.2)
    service = Service(store, limits).open()
    end = threading.Event()
    service._threads._pool.submit(end.wait)
    body = {"user_id": "u42", "where": "price < 20"}

    async def three() -> list:
        first = asyncio.create_task(asked(service, "POST", "/v1/recommendations", body))
        await asyncio.sleep(0)
        second = await asked(service, "POST", "/v1/recommendations", body)
        plain = await asked(service, "GET", f"{LIST}?k=3")
        return [await first, second, plain]

    slow, busy, plain = asyncio.run(three())
    end.set()
    assert (slow.status, slow.json()["code"], slow.headers["retry-after"]) == (503, "too_slow", "5")
    assert (busy.status, busy.json()["code"], busy.headers["retry-after"]) == (
        503,
        "overloaded",
        "1",
    )
    assert plain.status == 200
    answers = (post(service, "/v1/recommendations", body) for _ in range(50))  # 0.2 s can be short
    assert any(answer.status == 200 for answer in answers)  # nothing waits any more


def test_more_plain_lists_than_a_turn_has_time_for_are_turned_away(store: Path) -> None:
    service = Service(store, ServiceSettings(max_turn_seconds=1e-9)).open()

    async def at_once(n: int) -> list[int]:
        answers = await asyncio.gather(*(asked(service, "GET", LIST) for _ in range(n)))
        for answer in answers:
            if answer.status == 503:
                assert (answer.json()["code"], answer.headers["retry-after"]) == ("overloaded", "1")
        return [answer.status for answer in answers]

    for _ in range(2):  # the next turn begins anew
        assert asyncio.run(at_once(40)) == [200] * 32 + [503] * 8


def test_who_is_turned_away_hears_of_it_later_than_others_get_their_lists(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, over = [], asyncio.Event()
    monkeypatch.setattr("recsys.service.load.asyncio.sleep", lambda _: over.wait())
    service = Service(store, ServiceSettings(max_turn_seconds=1e-9)).open()

    async def ask(number: int) -> int:
        status = (await asked(service, "GET", LIST)).status
        ended.append(number)
        return status

    async def all_of_them() -> list[int]:
        waiting = [asyncio.create_task(ask(number)) for number in range(40)]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        while len(ended) < 32:
            await asyncio.wait([one for one in waiting if not one.done()], timeout=0.01)
        assert sorted(ended) == list(range(32))
        over.set()
        return list(await asyncio.gather(*waiting))

    assert asyncio.run(all_of_them()) == [200] * 32 + [503] * 8


@pytest.fixture
def keyed(store: Path, tmp_path: Path) -> tuple[Service, dict[str, str], Path]:
    """A service with a key for each scope."""
    file = tmp_path / "keys.jsonl"
    scopes = ("read", "operate", "audience")
    keys = {scope: new_key(file, f"shop-{scope}", (scope,)) for scope in scopes}
    return Service(store, ServiceSettings(keys=str(file))).open(), keys, file


def test_a_key_opens_what_its_scope_allows(keyed) -> None:
    service, keys, file = keyed
    for route in ROUTES:
        if route.scope is None:
            path = route.path.replace("{name}", "page.css")
            expected = 404 if route.is_of_explorer else 200  # which is off
            assert ask(service, "GET", path).status == expected  # probes and pages have no key

    def status(path: str, **headers: str) -> int:
        return ask(service, "GET", path, headers=headers).status

    assert status(LIST) == status(LIST, authorization="Bearer recsys_wrong") == 401
    assert status(LIST, authorization=keys["read"]) == status(LIST, authorization="") == 401
    read, operate = (f"Bearer {keys[scope]}" for scope in ("read", "operate"))
    assert status(LIST, authorization=read) == status(LIST, **{"x-api-key": keys["read"]}) == 200
    assert status(LIST, authorization=operate) == status("/metrics", authorization=read) == 403
    assert status("/metrics", authorization=operate) == 200
    users = "/v1/items/i7/audience"  # who may ask for lists does not learn who the users are
    assert status(users, authorization=read) == status(users, authorization=operate) == 403
    assert status(users, authorization=f"Bearer {keys['audience']}") == 200
    assert "www-authenticate" in ask(service, "GET", LIST).headers
    assert not any(key in file.read_text() for key in keys.values())
    assert file.stat().st_mode & 0o077 == 0


def test_a_key_makes_so_many_requests_a_second(keyed) -> None:
    _, keys, file = keyed
    limits = ServiceSettings(keys=str(file), max_per_second=2e-3, workers=2)
    service = Service(keyed[0].current.store, limits).open()
    headers = {"authorization": f"Bearer {keys['read']}"}
    first, second = (ask(service, "GET", LIST, headers=headers) for _ in range(2))
    assert first.status == 200
    assert (second.status, second.json()["code"]) == (429, "too_many")
    assert int(second.headers["retry-after"]) in (499, 500)  # of both workers together
    other = {"authorization": f"Bearer {keys['operate']}"}
    assert ask(service, "GET", "/metrics", headers=other).status == 200  # has its own
    assert get(service, "/health/live").status == 200


def test_keys_are_changed_while_the_service_runs(keyed, caplog) -> None:
    service, keys, file = keyed
    first = {"authorization": f"Bearer {keys['read']}"}
    second = {"authorization": f"Bearer {new_key(file, 'shop-read')}"}
    service._refresh()
    for headers in (first, second):  # both are valid until the old line is removed
        assert ask(service, "GET", LIST, headers=headers).status == 200
    file.write_text(file.read_text().splitlines()[-1])
    service._refresh()
    assert [ask(service, "GET", LIST, headers=one).status for one in (first, second)] == [401, 200]
    file.write_text("no keys")
    service._refresh()
    assert "the keys of before stay valid" in caplog.text
    assert ask(service, "GET", LIST, headers=second).status == 200


@pytest.mark.parametrize(
    "line",
    ["{}", "[1]", '{"name": "a", "scopes": ["all"], "sha256": "00"}', "\0", ""],
)
def test_a_file_of_keys_that_is_none_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "keys").write_text(line)
    with pytest.raises(ConfigError, match="service.keys"):
        Service(tmp_path, ServiceSettings(keys=str(tmp_path / "keys")))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "shop.example"])  # noqa: S104
def test_others_are_not_listened_to_without_a_key(host: str) -> None:
    settings = ServiceSettings(host=host)
    with pytest.raises(ConfigError, match=r"service\.host"):
        settings.require_safe()
    replace(settings, keys="keys.jsonl").require_safe()


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_this_machine_needs_no_key(host: str) -> None:
    ServiceSettings(host=host).require_safe()


def test_conditions_can_be_held_to_some_columns(store: Path) -> None:
    service = Service(store, ServiceSettings(where_columns=("price",))).open()
    assert get(service, LIST, where="price < 20 and not (price > 3)").status == 200
    for query, named in (
        ({"where": "price < 20 or category = 'a'"}, "category"),
        ({"where": "not (CATEGORY is null)"}, "CATEGORY"),
        ({"where": "price < 20 and price < released"}, "released"),
        ({"max_per": "category:1"}, "category"),
        ({"max_per": ["price:1", "category:1"]}, "category"),
    ):
        detail = get(service, LIST, **query).json()["detail"]
        assert detail.endswith(f"expected columns of price, got {named!r}")
    assert get(service, "/v1/lists/latest", column="released").status == 422
    for rule in ({"boost": [{"where": "category = 'a'"}]}, {"pin": [{"where": "category = 'a'"}]}):
        found = post(service, "/v1/recommendations", {"user_id": "u42", **rule}).json()
        assert found["detail"].endswith("expected columns of price, got 'category'")
    body = {"requests": [{"user_id": "u42", "where": "category = 'a'"}]}
    (only,) = post(service, "/v1/recommendations:batch", body).json()["answers"]
    assert only["problem"]["code"] == "invalid"


def test_pages_of_others_may_not_read_unless_they_are_listed(store: Path) -> None:
    listed, other = {"origin": "https://shop.example"}, {"origin": "https://evil.example"}
    closed = Service(store).open()
    assert "access-control-allow-origin" not in ask(closed, "GET", LIST, headers=listed).headers
    service = Service(store, ServiceSettings(origins=("https://shop.example",))).open()
    allowed = ask(service, "GET", LIST, headers=listed).headers
    assert allowed["access-control-allow-origin"] == "https://shop.example"
    assert "access-control-allow-origin" not in ask(service, "GET", LIST, headers=other).headers
    before = {"access-control-request-method": "POST"}
    preflight = ask(service, "OPTIONS", "/v1/recommendations", headers=listed | before)
    assert (preflight.status, preflight.body) == (204, b"")
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert "x-api-key" in preflight.headers["access-control-allow-headers"]
    assert "x-recsys-version" in allowed["access-control-expose-headers"]
    refused = ask(service, "OPTIONS", "/v1/recommendations", headers=other | before)
    assert "access-control-allow-origin" not in refused.headers


def test_a_page_that_takes_the_address_of_this_machine_reads_nothing(
    store: Path, tmp_path: Path
) -> None:
    def status(service: Service, host: str) -> int:
        return ask(service, "GET", LIST, headers={"host": host}).status

    settings = ServiceSettings(hosts=("Shop.example",))
    served = Service(store, settings, tmp_path).open()
    for host in ("127.0.0.1:8000", "[::1]:8000", "10.0.0.7", "LOCALHOST.", "shop.example:80"):
        assert status(served, host) == 200
    for host in ("evil.example:8000", "127.0.0.1.evil.example", "localhost@evil", "", "[", "\x00"):
        assert status(served, host) == 421
    assert ask(served, "GET", "/health/live", headers={"host": "evil.example"}).status == 200
    assert status(Service(store).open(), "evil.example") == 200  # mounted: it has other names


def test_the_id_of_a_request_is_that_of_who_asks_if_it_is_plain(service: Service) -> None:
    def id_of(value: str) -> str:
        return ask(service, "GET", LIST, headers={"x-request-id": value}).headers["x-request-id"]

    assert id_of("abc-1.2_3") == "abc-1.2_3"
    for value in ("a b", "x" * 65, 'a"', "", "a\r\nset-cookie: b"):
        assert id_of(value) != value


PARTS = st.sampled_from(
    [b"", b"v1", b"users", b"items", b"u42", b"i7", b"recommendations", b"similar", b"..", b"%"]
)
SOME = st.binary(max_size=8) | st.sampled_from([b"%2F", b"%00", b"%ff", b"\xf0\x9f", b"%F0%9F%A6"])
NAMES = st.sampled_from([b"k", b"where", b"exclude", b"id", b"title", b"max_per", b"column"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["user_id", "history", "k", "where", "requests", "ids", "weights"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=6,
)


@settings(max_examples=300)
@given(
    path=st.lists(PARTS | SOME, min_size=1, max_size=6),
    query=st.lists(st.tuples(NAMES | SOME, SOME), max_size=3),
)
@example(path=[b"", b"v1", b"items", b"", b"similar"], query=[])
def test_no_target_makes_it_fail(service: Service, path, query) -> None:
    raw = b"/".join(path).replace(b"?", b"") + b"?"
    raw += b"&".join(name + b"=" + value for name, value in query)
    assert ask(service, "GET", raw).status in (200, 400, 404, 405, 422)


@settings(max_examples=200)
@given(
    path=st.sampled_from([route.path for route in ROUTES if route.method == "POST"]),
    body=JSON.map(lambda one: json.dumps(one).encode()) | st.binary(max_size=30),
)
def test_no_body_makes_it_fail(service: Service, path: str, body: bytes) -> None:
    answer = post(service, path.replace("{table}", "users"), body)
    assert answer.status in (200, 400, 404, 422)

"""What the explorer asks, and the pages: files without data that load nothing from elsewhere."""

import re
import shutil
from pathlib import Path

import pytest

from recsys.base.event_settings import EventSettings
from recsys.service import Service, ServiceSettings, static
from recsys.service.routes import ROUTES
from recsys.serving import open as open_store
from recsys.settings import IndexSettings
from recsys.store import publish, versions
from tests.service.asking import ask, escaped, get, post
from tests.service.conftest import ITEMS, USERS, release
from tests.service.test_answers import same

OF_EXPLORER = [route for route in ROUTES if route.is_of_explorer]
PAGES = [static.page(name).body.decode() for name in ("explore", "dashboard")]


def seen_by(service: Service, user: str) -> dict[str, float]:
    answer = get(service, f"/v1/users/{escaped(user)}/history", k=len(ITEMS))
    assert (answer.status, answer.json()["source"]) == (200, "history")
    return {one["item_id"]: one["score"] for one in answer.json()["items"]}


def test_a_history_is_a_list_that_folds_in_to_the_list_of_its_user(live: Service) -> None:
    found = get(live, "/v1/users/u42/history", k=40).json()["items"]
    body = {
        "history": [one["item_id"] for one in reversed(found)],
        "weights": [one["score"] for one in reversed(found)],
        "k": 10,
    }
    expected = live.current.opened.recommender.recommend_for_history(
        body["history"], 10, weights=body["weights"]
    )
    same(post(live, "/v1/recommendations", body), expected)


def test_a_history_holds_what_has_happened_since(live: Service) -> None:
    before = seen_by(live, "u1")
    new = next(one for one in ITEMS if one not in before)
    post(live, "/v1/events", {"user_id": "u1", "item_id": new})
    after = seen_by(live, "u1")
    assert after.keys() - before.keys() == {new}
    assert {id_: after[id_] for id_ in before} == pytest.approx(before)
    post(live, "/v1/events", {"user_id": "nobody yet", "item_id": "i7"})
    assert list(seen_by(live, "nobody yet")) == ["i7"]


def test_users_are_found_by_their_beginning(live: Service) -> None:
    some = get(live, "/v1/users", k=5).json()
    assert (len(some["users"]), some["n_users"]) == (5, len(USERS))
    assert {one["user_id"] for one in some["users"]} <= set(USERS)
    for user in (one for one in USERS if 0 < len(one) < 256):
        first = get(live, "/v1/users", start=user).json()["users"][0]
        assert first == {"user_id": user, "n_items": len(seen_by(live, user))}
    found = get(live, "/v1/users", start="u").json()["users"]
    assert {one["user_id"] for one in found} == {one for one in USERS if one.startswith("u")}
    assert get(live, "/v1/users", start="never").json()["users"] == []


def test_who_was_deleted_is_not_found(live: Service) -> None:
    assert ask(live, "DELETE", "/v1/users/u42").status == 200
    assert all(one["user_id"] != "u42" for one in get(live, "/v1/users", k=99).json()["users"])
    answer = get(live, "/v1/users/u42/history")
    assert (answer.status, answer.json()["code"]) == (404, "unknown_user")


@pytest.fixture
def two(store: Path, tmp_path: Path) -> Service:
    """A service over two versions, of which the second is current."""
    folder = tmp_path / "store"
    shutil.copytree(store, folder)
    publish(folder, release(seed=1), IndexSettings(kind="exact"))
    events = EventSettings(database=str(tmp_path / "events.sqlite"))
    return Service(folder, ServiceSettings(explore=True), events=events).open()


def test_every_version_answers_for_itself(two: Service) -> None:
    store = two.current.store
    newest, oldest = versions(store)
    listed = get(two, "/v1/versions").json()["versions"]
    assert [(one["version"], one["is_current"]) for one in listed] == [
        (newest.name, True),
        (oldest.name, False),
    ]
    for name in (newest.name, oldest.name):
        path, recommender = f"/v1/versions/{name}/recommendations", open_store(store, name)
        for body in ({"user_id": "u42"}, {"history": ["i7", "i9"], "where": "price < 20"}):
            conditions = {"where": body["where"]} if "where" in body else {}
            expected = (
                recommender.recommend("u42")
                if "user_id" in body
                else recommender.recommend_for_history(body["history"], **conditions)
            )
            same(post(two, path, body), expected)


def test_who_was_deleted_is_unknown_to_every_version(two: Service) -> None:
    path = f"/v1/versions/{versions(two.current.store)[1].name}/recommendations"
    assert post(two, path, {"user_id": "u42"}).json()["source"] == "personal"
    assert ask(two, "DELETE", "/v1/users/u42").status == 200
    assert post(two, path, {"user_id": "u42"}).json()["source"] == "popular"
    two.live.stop()


def test_a_damaged_version_is_listed_and_answers_nothing(two: Service) -> None:
    _, oldest = versions(two.current.store)
    manifest = oldest.folder / "manifest.json"
    oldest.folder.chmod(0o755)
    manifest.chmod(0o644)
    manifest.write_text("{}")
    listed = get(two, "/v1/versions").json()["versions"]
    assert listed[1] == {"version": oldest.name, "is_current": False, "is_readable": False}
    answer = post(two, f"/v1/versions/{oldest.name}/recommendations", {"user_id": "u42"})
    assert (answer.status, answer.json()["code"]) == (404, "no_route")  # and wakes nobody


@pytest.mark.parametrize(
    "name", ["", "..", "../..", "20261120T020000Z-3f2a91bc", "CURRENT", "\0", "a" * 300]
)
def test_there_is_no_other_version(live: Service, name: str) -> None:
    answer = post(live, f"/v1/versions/{escaped(name)}/recommendations", {"user_id": "u42"})
    assert (answer.status, answer.json()["code"]) == (404, "no_route")


@pytest.mark.parametrize("route", OF_EXPLORER, ids=lambda route: route.name)
def test_what_is_of_the_explorer_is_off_unless_it_is_on(service: Service, route) -> None:
    path = route.path.replace("{version}", "current")
    answer = ask(service, route.method, path, route.example.get("body"))
    assert (answer.status, answer.json()["code"]) == (404, "no_route")
    assert path not in get(service, "/openapi.json").json()["paths"]


def test_the_status_without_a_version_is_that_of_the_nights(tmp_path: Path) -> None:
    (tmp_path / "store" / "versions").mkdir(parents=True)
    (tmp_path / "store" / "runs" / "20261120T020000Z").mkdir(parents=True)  # killed at once
    service = Service(tmp_path / "store").open()
    found = get(service, "/v1/status").json()
    assert (found["version"], found["n_versions"], found["newest_version"]) == (None, 0, None)
    assert [(one["run"], one["result"]) for one in found["nights"]] == [
        ("20261120T020000Z", "killed")
    ]


def test_the_status_is_that_of_the_version(live: Service) -> None:
    manifest, found = live.current.opened.manifest, get(live, "/v1/status").json()
    assert (found["version"], found["model"]) == (manifest.version, manifest.model.name)
    assert [one["name"] for one in found["checks"]] == [one.name for one in manifest.checks]
    assert (found["n_versions"], found["nights"]) == (1, [])


@pytest.mark.parametrize("page", PAGES)
def test_a_page_holds_no_script_no_style_and_nothing_from_elsewhere(page: str) -> None:
    assert not re.search(r"<script>|<style|\son\w+=|\sstyle=|https?:|//", page.replace("<!--", ""))
    loaded = re.findall(r'(?:src|href)="pages/files/([^"]+)"', page)
    assert len(loaded) == 3
    assert set(loaded) <= set(static.FILES)
    scripts = [static.file(name).body.decode() for name in static.FILES if name.endswith(".js")]
    imported = {name for text in scripts for name in re.findall(r'from "\./([^"]+)"', text)}
    assert imported <= set(static.FILES)
    assert not any(
        re.search(r"innerHTML|insertAdjacent|document\.write|eval\(", one) for one in scripts
    )


def test_pages_say_what_they_may_load(live: Service) -> None:
    for path in ("/explore", "/dashboard", *(f"/pages/files/{name}" for name in static.FILES)):
        answer = get(live, path)
        policies = [one for name, one in answer.headers.items() if "policy" in name]
        assert (answer.status, policies) == (200, [static.POLICY.decode()])
        assert answer.headers["content-type"].endswith("; charset=utf-8")
    assert get(live, "/pages/files/explore.html").status == 404
    assert get(live, "/pages/files/..%2F__init__.py").status == 404
    assert (
        "default-src 'none'; frame" in get(live, "/v1/version").headers["content-security-policy"]
    )

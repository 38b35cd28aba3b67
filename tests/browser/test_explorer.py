"""The explorer and the dashboard in a browser, over a real service, by mouse and by keys."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from playwright.sync_api import Locator, Page, expect

from recsys.service import new_key
from recsys.settings import IndexSettings
from recsys.store import publish, versions
from tests.browser.conftest import Visit
from tests.service.servers import Server, serving
from tests.store.releases import small_release

N_USERS, N_ITEMS = 12, 40
HOSTILE = [
    "<script>alert(1)</script>",
    '" onmouseover="x',
    "مرحبا بالعالم",
    "😀 & co",
    "a/b?c#d%2F",
]
USERS = ["u1", "u2", *HOSTILE, *(f"v{row}" for row in range(N_USERS - 2 - len(HOSTILE)))]
ITEMS = [*HOSTILE, *(f"i{row}" for row in range(N_ITEMS - len(HOSTILE)))]
TITLES = [
    *(f"Title {one}" for one in HOSTILE),
    *(f"Film {row}" for row in range(N_ITEMS - 7)),
    "x" * 5_000,
    "  ",
]
EXACT = IndexSettings(kind="exact")


def release(seed: int, *, is_titled: bool = True):
    attributes = {
        "item_id": ITEMS,
        "title": TITLES,
        "genre": [("drama", "comedy")[row % 2] for row in range(N_ITEMS)],
        "price": np.arange(N_ITEMS, dtype=np.float64),
    }
    known = pa.table(attributes) if is_titled else None
    shape = {"user_ids": USERS, "item_ids": ITEMS, "attributes": known}
    return small_release(N_USERS, N_ITEMS, seed=seed, **shape)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("explorer") / "store"
    for seed in (0, 1):
        publish(folder, release(seed), EXACT)
    return folder


@pytest.fixture(scope="session")
def explorer(store: Path) -> Iterator[str]:
    """What `recsys explore` prints."""
    command = [sys.executable, "-m", "recsys", "explore", "--store", str(store), "--no-browser"]
    quiet = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen(command, **quiet) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


@pytest.fixture(scope="session")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, dict]]:
    """A service over items without titles, and a key for each scope."""
    folder = tmp_path_factory.mktemp("keyed")
    store, file = folder / "store", folder / "keys.jsonl"
    publish(store, release(0, is_titled=False), EXACT)
    keys = {scope: new_key(file, scope, (scope,)) for scope in ("read", "operate")}
    with serving("--store", store, "--keys", file, "--set", "service.explore=true") as server:
        yield server, keys


def ready(page: Page) -> Page:
    expect(page.locator("body")).to_have_attribute("aria-busy", "false")
    return page


def ids(place: Locator) -> list[str]:
    return [one.get_attribute("data-id") or "" for one in place.locator("li[data-id]").all()]


def test_it_begins_with_somebody(visit: Visit, explorer: str, store: Path) -> None:
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/explore", explorer)
    page = ready(visit(explorer))
    assert page.locator("#user").input_value() in USERS
    assert len(ids(page.locator("#list"))) == 10
    expect(page.locator("#about")).to_contain_text(versions(store)[0].name)
    assert not (store / "events").exists()  # it looks, and leaves all as it is


def test_a_list_changes_with_what_was_seen_and_back(visit: Visit, explorer: str) -> None:
    page = ready(visit(f"{explorer}#user=u1"))
    before, seen = ids(page.locator("#list")), ids(page.locator("#history"))
    page.locator(f'#list li[data-id="{before[0]}"]').get_by_text("Add", exact=True).click()
    expect(page.locator("#history .added")).to_have_count(1)
    expect(page.locator("#list")).to_contain_text("fold-in")
    assert before[0] not in ids(ready(page).locator("#list"))
    page.locator("#history li:not(.added) button").first.click()
    expect(page.locator("#history .dropped")).to_have_count(1)
    assert page.evaluate("document.activeElement.tagName") in ("BUTTON", "H2")  # focus is kept
    page.go_back()
    expect(page.locator("#history .dropped")).to_have_count(0)
    page.go_back()
    expect(page.locator("#history .added")).to_have_count(0)
    assert (ids(ready(page).locator("#list")), ids(page.locator("#history"))) == (before, seen)


def test_conditions_are_in_the_address(visit: Visit, explorer: str) -> None:
    page = ready(visit(f"{explorer}#user=u2", refused=[422]))
    page.locator("#where").fill("genre = 'drama'")
    page.locator("#k").fill("5")
    page.locator("#max_per").fill("genre:3")
    page.locator("#where").press("Enter")
    expect(page.locator("#list ol > li")).to_have_count(3)
    expect(page.locator("#list .cut").first).to_contain_text("drama")
    address = page.url
    again = ready(visit(address))
    assert again.locator("#where").input_value() == "genre = 'drama'"
    assert ids(again.locator("#list")) == ids(page.locator("#list"))
    page.locator("#where").fill("genre =")
    page.locator("#where").press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("where")


def test_a_user_is_found_by_keys_alone(visit: Visit, explorer: str) -> None:
    page = ready(visit(f"{explorer}#user=u1", refused=[404]))
    page.locator("#user").focus()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("v1")
    expect(page.get_by_role("option").first).to_contain_text("v1")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#list-title")).to_have_text("List of v1")
    page.locator("#user").fill("who is this")
    page.keyboard.press("Enter")
    expect(page.locator("#history .notice")).to_contain_text("does not hold this user")
    expect(page.locator("#list")).to_contain_text("popular")


def test_titles_and_ids_are_texts(visit: Visit, explorer: str) -> None:
    page = ready(visit(explorer))
    for text in HOSTILE:
        page.locator("#user").fill(text)
        page.locator("#user").press("Enter")
        expect(page.locator("#list-title")).to_have_text(f"List of {text}")
    for title in HOSTILE:
        page.locator("#add").fill(title)
        expect(page.locator("#add + ul").get_by_role("option").first).to_contain_text(title)
    page.locator("#add").press("Enter")
    expect(page.locator("#history")).to_contain_text(HOSTILE[-1])


def test_a_title_without_an_end_is_cut_and_a_blank_one_is_the_id(
    visit: Visit, explorer: str
) -> None:
    long, blank = ITEMS[-2:]
    page = ready(visit(f"{explorer}#user=u1&k=40&seen=1", refused=[404]))
    assert page.locator(f'#list li[data-id="{long}"] a').first.text_content() == "x" * 160 + "…"
    expect(page.locator(f'#list li[data-id="{blank}"] a').first).to_have_text(blank)
    assert page.evaluate("document.documentElement.scrollWidth") <= 1280
    page.goto(f"{explorer}#view=items&item={blank}")
    expect(page.locator("#about-item")).to_have_text(blank)
    expect(page.locator("#similar ol > li")).to_have_count(20)
    page.goto(f"{explorer}#view=items&item=nothing")  # no answer: what was asked before is none
    expect(page.get_by_role("alert")).to_contain_text("nothing")
    expect(page.locator("#similar ol > li")).to_have_count(0)
    expect(page.locator("#about-item")).to_have_text("nothing")


def test_why_and_another_version(visit: Visit, explorer: str, store: Path) -> None:
    page = ready(visit(f"{explorer}#user=u1"))
    page.locator("#list").get_by_role("button", name=re.compile("^Why")).first.click()
    expect(page.locator("#list .parts")).to_contain_text("what no item adds")
    page.locator("#other").select_option(versions(store)[1].name)
    expect(page.locator("#other-list ol > li")).to_have_count(10)
    expect(page.locator("#other-title")).to_contain_text(versions(store)[1].name)
    assert page.locator("#other-list .moved").count() == 10


def test_items_and_their_sums(visit: Visit, explorer: str) -> None:
    page = ready(visit(f"{explorer}#view=items"))
    page.locator("#item").fill("film 3")
    expect(page.locator("#item + ul").get_by_role("option").first).to_have_text(
        re.compile("Film 3")
    )
    page.locator("#item").press("Enter")
    expect(page.locator("#about-item")).to_have_text("Film 3")
    expect(page.locator("#similar ol > li")).to_have_count(20)
    page.get_by_text("Plus in a − b + c").click()
    expect(page.locator("#plus-items")).to_contain_text("Film 3")
    near = ids(ready(page).locator("#near"))
    page.locator("#minus").fill("film 7")
    page.locator("#minus").press("Enter")
    expect(page.locator("#minus-items")).to_contain_text("Film 7")
    assert ids(ready(page).locator("#near")) != near


def test_a_key_is_asked_for_and_kept_for_the_tab(visit: Visit, keyed) -> None:
    server, keys = keyed
    page = visit(f"{server.url}/explore#user=u1", refused=[401, 403])
    for key in ("schlüssel", "recsys_wrong", keys["operate"], keys["read"]):
        page.get_by_label("Key", exact=True).fill(key)
        page.get_by_role("button", name="Go on").click()
    assert len(ids(ready(page).locator("#list"))) == 10
    page.reload()
    assert len(ids(ready(page).locator("#list"))) == 10
    assert page.evaluate("localStorage.length + document.cookie.length") == 0
    # No item has a title.
    expect(page.locator("#columns")).to_contain_text("no attributes")
    page.locator("#add").fill("i7")
    expect(page.locator("#add + ul").get_by_role("option").first).to_contain_text("i7")
    page.locator("#add").press("Enter")
    expect(page.locator("#history")).to_contain_text("changed here")


def test_the_dashboard_shows_what_is_true(visit: Visit, keyed) -> None:
    server, keys = keyed
    for _ in range(3):
        server.get("/v1/users/nobody/recommendations", keys["read"])
    page = visit(f"{server.url}/dashboard", refused=[401])
    page.get_by_label("Key", exact=True).fill(keys["operate"])
    page.get_by_role("button", name="Go on").click()
    status = json.loads(server.get("/v1/status", keys["operate"])[1])
    expect(page.locator("#version")).to_contain_text(status["version"])
    expect(page.locator("#metrics tbody tr")).to_have_count(len(status["metrics"]))
    expect(page.locator("#routes")).to_contain_text("user recommendations")
    expect(page.locator("#cards")).to_contain_text("1 ready")
    page.locator("#now").click()
    expect(page.locator("#cards .spark").first).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_they_fit_a_phone(visit: Visit, explorer: str, scheme: str) -> None:
    pages = (f"{explorer}#user=u1", explorer.replace("explore", "dashboard"))
    for address in pages:
        page = visit(address, width=390, scheme=scheme)
        expect(page.locator("#list ol, #cards .card").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390

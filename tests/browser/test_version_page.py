"""The report of a version in a browser: by keys, on a phone, in the dark and on paper."""

import re
from pathlib import Path

import pyarrow as pa
import pytest
from playwright.sync_api import expect

from recsys.monitoring.version_report import version_report
from recsys.pages.version_page import save_version_page
from recsys.store import publish
from tests.browser.conftest import Visit
from tests.store.releases import small_release

HOSTILE = ["<img src=x onerror=alert(1)>", "مرحبا بالعالم", "😀 & co", "x" * 5_000]


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    for seed in range(2):
        release = small_release(seed=seed)
        titles = pa.array([HOSTILE[row % len(HOSTILE)] for row in range(30)])
        attributes = pa.table({"item_id": release.items.values, "title": titles})
        publish(folder / "store", small_release(seed=seed, attributes=attributes))
    save_version_page(version_report(folder / "store"), folder / "report.html")
    return folder / "report.html"


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (390, "light")])
def test_it_fits_its_screen_and_takes_its_colours(
    page_file: Path, visit: Visit, width: int, scheme: str
) -> None:
    page = visit(page_file.as_uri(), width=width, scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    words, stroke = (
        page.evaluate(f"getComputedStyle(document.querySelector('{one}')).{what}")
        for one, what in (("svg text", "fill"), ("svg use", "fill"))
    )
    assert words == page.evaluate("getComputedStyle(document.body).color")
    blue = {"light": "rgb(0, 114, 178)", "dark": "rgb(86, 180, 233)"}
    orange = {"light": "rgb(213, 94, 0)", "dark": "rgb(242, 142, 90)"}
    assert stroke in (blue[scheme], orange[scheme], words)
    expect(page.locator("svg[role=img]").first).to_have_attribute("aria-label", re.compile(".+"))


def test_it_is_read_by_keys_and_printed_whole(page_file: Path, visit: Visit) -> None:
    page = visit(page_file.as_uri())
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.url.endswith("#accuracy")
    expect(page.locator("#users details")).to_have_count(10)
    page.emulate_media(media="print")
    expect(page.locator("nav")).to_be_hidden()
    expect(page.locator("#users details ol").first).to_be_visible()

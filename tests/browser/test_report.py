"""The report of a version in a browser: wide and on a phone, light and dark, by the keyboard."""

import pytest
from playwright.sync_api import expect

from recsys.monitoring.version_report import version_report
from recsys.pages.version_page import save_version_page
from recsys.store import EvaluationSummary, publish
from tests.browser.conftest import Visit
from tests.store.releases import small_release

WIDE = {"ndcg@20": 0.2, "recall@20": 0.1, "hit_rate@20": 0.4}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of the page of a version with plots and tables that are wider than a phone."""
    folder = tmp_path_factory.mktemp("report")
    ends = {name: (value - 0.05, value + 0.05) for name, value in WIDE.items()}
    metrics = dict.fromkeys(("als", "popularity"), EvaluationSummary(20, 12, 30, WIDE, ends))
    publish(folder / "store", small_release(metrics=metrics))
    save_version_page(version_report(folder / "store"), folder / "report.html")
    return (folder / "report.html").as_uri()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "dark")])
def test_it_fits_and_its_plots_have_the_colours_of_the_page(
    report: str, visit: Visit, width: int, scheme: str
) -> None:
    page = visit(report, width=width, scheme=scheme, offline=True)
    expect(page.locator("h1")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == width
    ink = page.locator("body").evaluate("one => getComputedStyle(one).color")
    word = page.locator("figure svg text").first
    assert word.evaluate("one => getComputedStyle(one).fill") == ink
    point = page.locator("figure svg use[fill*='--series-1']").first
    color = point.evaluate("one => getComputedStyle(one).fill")
    assert color == {"light": "rgb(0, 114, 178)", "dark": "rgb(86, 180, 233)"}[scheme]


def test_each_part_is_reached_by_the_keyboard(report: str, visit: Visit) -> None:
    page = visit(report, offline=True)
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    for link in page.locator("nav a").all():
        link.press("Enter")
        target = page.locator(str(link.get_attribute("href")))
        expect(target).to_be_in_viewport()


def test_a_user_is_closed_and_opened_by_the_keyboard(report: str, visit: Visit) -> None:
    page = visit(report, offline=True)
    user = page.locator("#users details").first
    expect(user.locator("h3").first).to_be_visible()
    user.locator("summary").press("Enter")
    expect(user.locator("h3").first).to_be_hidden()

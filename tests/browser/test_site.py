"""The site in a browser without a network: it is read, searched and looked at as it is meant."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.markdown import ROOT


@pytest.fixture(scope="session")
def site() -> str:
    """The address of the built site, which `make test` builds before."""
    folder = ROOT / "build" / "site"
    assert (folder / "index.html").exists(), "expected the built site, got none; type `make docs`"
    return folder.as_uri()


@pytest.mark.parametrize(
    ("width", "scheme", "names"),
    [
        (1280, "light", ("index", "tour", "routes")),
        (390, "dark", ("results", "tour", "api/models")),
    ],
)
def test_pages_fit_and_load_without_errors(
    site: str, visit: Visit, width: int, scheme: str, names: tuple[str, ...]
) -> None:
    for name in names:
        page = visit(f"{site}/{name}.html", width=width, scheme=scheme, offline=True)
        expect(page.locator("h1")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.locator("html").get_attribute("data-theme") == scheme


def test_search_finds_a_page_by_the_keyboard(site: str, visit: Visit) -> None:
    page = visit(f"{site}/index.html", offline=True)
    page.keyboard.press("Control+K")
    page.keyboard.type("rollback")
    page.keyboard.press("Enter")
    found = page.locator("ul.search li a")
    expect(found.first).to_be_visible()
    expect(page.locator("ul.search")).to_contain_text("Versions")
    found.get_by_text("recsys.rollback").click()
    expect(page).to_have_url(re.compile(r"api/store\.html#recsys\.rollback$"))


def test_a_name_in_a_guide_leads_to_its_docstring(site: str, visit: Visit) -> None:
    page = visit(f"{site}/evaluation.html", offline=True)
    page.locator("article a", has_text="recsys.evaluate").first.click()
    expect(page).to_have_url(re.compile(r"api/evaluation\.html#recsys\.evaluate$"))
    expect(page.locator("[id='recsys.evaluate']")).to_be_in_viewport()


def test_code_of_two_packages_stands_side_by_side_where_there_is_room(
    site: str, visit: Visit
) -> None:
    def boxes(width: int) -> list[dict[str, float]]:
        page = visit(f"{site}/from-implicit.html", width=width, offline=True)
        return [one.bounding_box() for one in page.locator(".side-by-side > div").all()]

    theirs, ours = boxes(1440)
    assert theirs["y"] == ours["y"]
    assert theirs["x"] + theirs["width"] <= ours["x"]
    theirs, ours = boxes(390)
    assert theirs["y"] + theirs["height"] <= ours["y"]


def test_the_theme_is_switched_and_remembered(site: str, visit: Visit) -> None:
    page = visit(f"{site}/index.html", offline=True)
    page.get_by_role("button", name="Color mode").first.click()
    page.locator("button[data-mode='dark']").first.click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    page.goto(f"{site}/tour.html")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")

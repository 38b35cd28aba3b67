"""The map in a browser: hover, search, click, keyboard, colours, and names of any kind."""

import numpy as np
import pyarrow as pa
import pytest
from playwright.sync_api import Page, expect

from recsys.maps import picture_of, vector_map
from recsys.pages import save_map
from recsys.store import publish
from recsys.vectors import Embeddings
from tests.browser.conftest import Visit
from tests.store.releases import small_release

N = 400
HOSTILE = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)> & \"quoted\" 'too'",
    "עברית ؟",
    "🦊 fox",
    "line\nfeed\ttab",
    "Café Müller",
    "x" * 3000,
    None,
]
KINDS = ["Drama|War", "Comedy|War", "War", "Drama"]


@pytest.fixture(scope="module")
def page_of_a_map(tmp_path_factory: pytest.TempPathFactory) -> str:
    """400 items in four groups, the first ones with hostile titles; item 5 has no vector."""
    rng = np.random.default_rng(0)
    vectors = np.eye(8)[np.arange(N) % 4] + rng.normal(scale=0.2, size=(N, 8))
    vectors[5] = 0
    titles = [*HOSTILE, *(f"Title {row}" for row in range(len(HOSTILE), N))]
    titles[5], titles[13] = titles[13], titles[5]
    ids = [f"id <{row}>" for row in range(N)]
    release = small_release(
        n_users=5,
        n_items=N,
        item_ids=ids,
        embeddings=Embeddings(vectors[:5].astype("f4"), vectors.astype("f4")),
        popularity=np.arange(N, 0, -1),
        attributes=pa.table(
            {
                "item_id": ids,
                "title": titles,
                "genres": [KINDS[row % 4] for row in range(N)],
                "price": [float(row) for row in range(N)],
            }
        ),
    )
    folder = tmp_path_factory.mktemp("map")
    publish(folder / "store", release)
    picture = picture_of(vector_map(folder / "store", method="pca"))
    save_map(picture, folder / "map.html")
    return (folder / "map.html").as_uri()


def is_drawn(page: Page) -> None:
    expect(page.locator("#board")).to_have_attribute("data-points", str(N - 1))
    page.wait_for_selector("#board[data-frames]")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_it_draws_and_fits(page_of_a_map: str, visit: Visit, width: int, scheme: str) -> None:
    page = visit(page_of_a_map, width=width, scheme=scheme, offline=True)
    is_drawn(page)
    assert page.evaluate("document.documentElement.scrollWidth") == width
    colors = page.evaluate(
        """() => {
          const canvas = document.getElementById("points");
          const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
          return new Set(new Uint32Array(data.buffer)).size;
        }"""
    )
    assert colors > 4  # of the groups and the page
    expect(page.locator("#regions li")).not_to_have_count(0)
    expect(page.locator("#legend")).to_contain_text("Drama (200)")
    expect(page.locator("details")).to_contain_text(
        "Items without a vector, and so without a place: 1."
    )


def test_titles_of_any_kind_are_texts(page_of_a_map: str, visit: Visit) -> None:
    page = visit(page_of_a_map, offline=True)
    is_drawn(page)
    for text, title in (
        ("alert(1)</s", "</script><script>alert(1)</script>"),
        ("onerror", "<img src=x onerror=alert(1)> & \"quoted\" 'too'"),
        ("עברית", "עברית ؟"),
        ("🦊", "🦊 fox"),
        ("line feed", "line feed tab"),
        ("CAFE MULLER", "Café Müller"),
        ("id <7>", "id <7>"),  # it has no title
    ):
        page.locator("#search").fill(text)
        expect(page.locator("#found button").first).to_have_text(title)
        page.keyboard.press("Enter")
        expect(page.locator("#selected h2")).to_have_text(title)
        page.keyboard.press("Escape")
        expect(page.locator("#selected")).to_be_hidden()


def test_hover_and_click(page_of_a_map: str, visit: Visit) -> None:
    page = visit(page_of_a_map, offline=True, reduced_motion="reduce")
    is_drawn(page)
    page.locator("#search").fill("Title 200")
    page.keyboard.press("Enter")  # it is in the middle now
    expect(page.locator("#selected h2")).to_have_text("Title 200")
    page.keyboard.press("Escape")
    box = page.locator("#board").bounding_box()
    assert box is not None
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.move(*middle)
    expect(page.locator("#tip")).to_contain_text("Title 200")
    expect(page.locator("#tip")).to_contain_text("popularity 200")
    page.mouse.click(*middle)
    expect(page.locator("#selected h2")).to_have_text("Title 200")
    assert "id=id" in page.url
    first = page.locator("#selected ol button").first
    name = first.inner_text()
    first.click()
    expect(page.locator("#selected h2")).to_have_text(name)
    # The address leads there again.
    again = visit(page.url, offline=True)
    expect(again.locator("#selected h2")).to_have_text(name)


def test_the_keyboard_alone(page_of_a_map: str, visit: Visit) -> None:
    page = visit(page_of_a_map, offline=True)
    is_drawn(page)
    page.keyboard.press("/")
    page.keyboard.type("title 30")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator("#selected h2")).to_have_text("Title 300")
    page.keyboard.press("Escape")
    board = page.locator("#board")
    board.focus()
    frames = board.get_attribute("data-frames")
    for key in ("+", "ArrowLeft", "ArrowDown", "-", "0", "Enter"):
        page.keyboard.press(key)
    expect(page.locator("#selected h2")).to_be_visible()
    assert board.get_attribute("data-frames") != frames


def test_colours_are_of_groups_and_numbers(page_of_a_map: str, visit: Visit) -> None:
    page = visit(page_of_a_map, offline=True)
    is_drawn(page)
    drama = page.locator("#legend button").first
    drama.click()
    expect(page.locator("#legend button").first).to_have_attribute("aria-pressed", "false")
    page.locator("#by").select_option(label="price")
    expect(page.locator("#legend .ramp")).to_be_visible()
    expect(page.locator("#legend .ends")).to_contain_text("399")
    page.locator("#by").select_option(label="popularity")
    expect(page.locator("#legend .ends")).to_contain_text("400")

"""Pictures of dimension curves: whole files, nothing written over anything else."""

import struct
import sys
import xml.etree.ElementTree as ET
from functools import cache
from html.parser import HTMLParser
from io import BytesIO
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from recsys.errors import ConfigError
from recsys.pages.drawing import draw, require_drawing, save_drawing
from recsys.pages.svg import rendered, style
from tests.curves import curve

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RISING = curve([0.10, 0.20, 0.30, 0.35, 0.36])
CURVES = {
    "rising": RISING,
    "flat": curve([0.3, 0.3, 0.3, 0.3]),
    "falling": curve([0.4, 0.3, 0.2, 0.1]),
    "crowded": curve([0.3 + place * 1e-4 for place in range(12)], seconds=[1.0] * 12),
    "one size": curve([0.3]),
    "there and back": curve([0.1, 0.3, 0.2, 0.4, 0.1], seconds=[1, 1.1, 1.0, 1.1, 1.0]),
}
SVG = "{http://www.w3.org/2000/svg}"


def test_an_svg_is_valid_and_says_what_it_shows(tmp_path: Path) -> None:
    path = tmp_path / "curve.svg"
    save_drawing(RISING, path)
    root = ET.fromstring(path.read_text())  # noqa: S314 - our own file
    assert root.tag == f"{SVG}svg"
    groups = {element.get("id") for element in root.iter(f"{SVG}g")}
    assert {"axes_1", "axes_2", "axes_3", "legend_1"} <= groups


def test_an_svg_is_what_matplotlib_saves() -> None:
    image, drawn = BytesIO(), CURVES["one size"]
    with style(is_file=True):
        draw(drawn).savefig(image, format="svg", dpi=150, metadata={"Date": None})
        assert rendered(draw(drawn), "svg") == image.getvalue()


def test_a_png_is_valid(tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "curve.png"
    save_drawing(RISING, path)
    assert struct.unpack(">II", path.read_bytes()[16:24]) == (1950, 750)
    with Image.open(path) as image:
        image.verify()


class Cells(HTMLParser):
    """Collects what stands in a page, and that its tags are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name == "src"]
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "strong", "h1"):
            self.texts.append(data)


def test_a_page_holds_picture_and_table(tmp_path: Path) -> None:
    path = tmp_path / "curve.html"
    save_drawing(RISING, path)
    page = Cells()
    page.feed(path.read_text(encoding="utf-8"))
    assert page.open == []
    assert page.sources == []  # it needs no other file
    assert f"{RISING.verdict}." in page.texts
    for row in RISING.rows():
        assert set(row.values()) - {""} <= set(page.texts)
    assert "<svg" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("ending", [".svg", ".png", ".html"])
def test_the_same_curve_gives_the_same_file(tmp_path: Path, ending: str) -> None:
    paths = [tmp_path / f"{name}{ending}" for name in "ab"]
    paths[1].write_text("what was there")
    for path in paths:
        save_drawing(RISING, path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert sorted(tmp_path.iterdir()) == paths  # and leaves nothing else behind


@cache
def figure_of(name: str) -> "Figure":
    """The picture of a curve, drawn once for what looks at it."""
    return draw(CURVES[name])


@pytest.mark.parametrize("name", CURVES)
def test_no_word_is_written_over_another(name: str) -> None:
    figure = figure_of(name)
    figure.draw_without_rendering()
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in axes.texts]
        boxes += [label.get_window_extent() for label in axes.get_xticklabels()]
        assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
        frame = axes.get_window_extent()
        for text in axes.texts:
            box = text.get_window_extent()
            assert frame.x0 <= box.x0
            assert box.x1 <= frame.x1
            assert frame.y0 <= box.y0
            assert box.y1 <= frame.y1


@pytest.mark.parametrize("name", CURVES)
def test_the_knee_is_marked_in_every_panel(name: str) -> None:
    drawn = CURVES[name]
    knee = drawn.points[drawn.knee.place]
    figure = figure_of(name)
    for axes in figure.axes:
        assert f"knee: {knee.factors}" in [text.get_text() for text in axes.texts]
        (low, high), (left, right) = axes.get_ylim(), axes.get_xlim()
        numbers = [tick for tick in axes.get_xticks() if left <= tick <= right]
        assert len(numbers) >= 2  # an axis that can be read
        assert low < knee.accuracy("ndcg")[0] < high
    (legend,) = figure.legends
    words = [text.get_text() for text in legend.get_texts()]
    assert f"knee: {knee.label}, {knee.size}" in words
    assert {"float32", "float16", "int8"} <= set(words)


def test_what_cannot_be_drawn_is_refused_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.svg, \.png, \.html, got .*curve.pdf"):
        require_drawing(tmp_path / "curve.pdf")
    with pytest.raises(ConfigError, match="expected a folder for curve.svg at"):
        require_drawing(tmp_path / "none" / "curve.svg")


def test_a_file_in_the_way_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "curve.svg"
    path.mkdir()
    with pytest.raises(ConfigError, match=r"expected to write .*curve\.svg"):
        save_drawing(RISING, path)


def test_without_matplotlib_one_line_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # what an import of a missing one meets
    with pytest.raises(ConfigError, match=r"pip install 'recsys-engine\[reports\]'"):
        require_drawing(tmp_path / "curve.svg")

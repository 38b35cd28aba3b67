"""Charts as SVG: valid, in the colours of the page, and safe whatever titles hold."""

import re
import sys
import xml.etree.ElementTree as ET
from itertools import combinations

import pytest
from matplotlib.backend_bases import RendererBase
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from recsys.base.charts import (
    Chart,
    Cloud,
    CloudPlot,
    Dot,
    DotPlot,
    Line,
    LinePlot,
    Mark,
    dots_of_metrics,
    line_of,
    sparkline,
)
from recsys.pages.charts import figures, svg_of
from recsys.pages.svg import SERIES

HOSTILE = "<script>alert('x')</script> \"q\" $x$ & 😀 مرحبا \x1b[31m"
DOTS = DotPlot(
    HOSTILE,
    [Dot("recall@20", 0.29, (0.26, 0.31)), Dot(HOSTILE, 0.2, is_marked=True, note="0.2 of 7")],
    0.25,
    HOSTILE,
)
LINES = LinePlot(
    "ndcg@20 by factors",
    "factors",
    HOSTILE,
    [
        Line("als", [16, 32, 64], [0.1, 0.2, 0.3], [(0.0, 0.2), (0.1, 0.3), (0.2, 0.4)]),
        Line(HOSTILE, [16, 32], [0.1, float("nan")]),
    ],
    [Mark(64, 0.3, "knee")],
    is_log=True,
)
NIGHTS = LinePlot(
    "versions",
    "night",
    "ndcg@20",
    [line_of("ndcg@20", [(place, 0.1, (None, None)) for place in range(40)])],
    places={float(place): f"11-{place:02d}" for place in range(40)},
)
CLOUDS = CloudPlot(
    "items",
    [Cloud("Space", [0.0, 1.0], [0.0, 1.0], ["one", HOSTILE]), Cloud("", [2.0], [2.0], ["two"])],
    [Mark(0.0, 0.0, "one"), Mark(0.001, 0.0, "beside one"), Mark(2.0, 2.0, "two")],
)
BEST = LinePlot(  # what is best is the last fit, and its name is long
    "tuning",
    "",
    "loss",
    [Line("als", [*range(30)], [1e6 + fit for fit in range(30)])],
    [Mark(29, 1e6 + 29, "64 factors, regularization .01")],
)
CHARTS = {"dots": DOTS, "lines": LINES, "nights": NIGHTS, "clouds": CLOUDS, "best": BEST}
SVG = "{http://www.w3.org/2000/svg}"


def texts(root: ET.Element, tag: str = "text") -> list[str]:
    return ["".join(element.itertext()) for element in root.iter(f"{SVG}{tag}")]


@pytest.mark.parametrize("chart", CHARTS.values(), ids=CHARTS)
def test_a_chart_is_valid_and_has_the_colours_of_its_page(chart: Chart) -> None:
    svg = svg_of(chart)
    root = ET.fromstring(svg)  # noqa: S314 - our own
    assert root.get("role") == "img"
    assert root.get("aria-label")
    assert "currentColor" in svg
    assert f"var(--series-1, {SERIES[0]})" in svg
    assert not re.findall(r"(?:fill|stroke)=\"#(?!fff)", svg)  # no colour that a page cannot change
    assert "style" not in svg  # which the policy of a page forbids
    assert "http" not in svg.replace("http://www.w3.org/", "")
    assert len(svg) < 30_000


@pytest.mark.parametrize("chart", CHARTS.values(), ids=CHARTS)
def test_all_words_are_in_the_picture_and_none_on_another(
    chart: Chart, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes, draw = dict[str, Bbox](), Text.draw

    def draw_and_measure(text: Text, renderer: RendererBase) -> None:
        draw(text, renderer)
        words = text.get_text()
        is_long = text.get_rotation() and len(words) > 20  # longer than the picture is high
        if words and text.get_visible() and not is_long:
            boxes[words] = text.get_window_extent(renderer)

    monkeypatch.setattr(Text, "draw", draw_and_measure)
    svg = svg_of(chart)
    width, height = (float(one) for one in re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)[0])
    picture = Bbox.from_extents(-1, -1, width + 1, height + 1)
    for text, box in boxes.items():
        assert all(picture.contains(*corner) for corner in box.corners()), text
    for one, other in combinations(boxes, 2):
        assert not boxes[one].overlaps(boxes[other]), (one, other)


def test_two_charts_share_no_id_but_of_what_is_the_same() -> None:
    first, second = (
        dict(re.findall(r'<(?:path|clipPath)[^>]* id="(\w+)"[^>]*>\s*(.*)', svg_of(chart)))
        for chart in (DOTS, LINES)
    )
    assert all(first[name] == second[name] for name in first.keys() & second.keys())


def test_titles_are_words_and_nothing_else() -> None:
    svg = svg_of(DOTS)
    root = ET.fromstring(svg)  # noqa: S314 - our own
    assert "<script" not in svg
    assert "\x1b" not in svg
    shown = texts(root)
    assert any(text.startswith("<script>alert('x')</script>") for text in shown)
    assert "0.2 of 7" in shown
    assert "recall@20: 0.29, 95 % interval 0.26 to 0.31" in texts(root, "title")


def test_each_point_says_what_it_is_and_one_without_a_number_is_left_out() -> None:
    titles = texts(ET.fromstring(svg_of(LINES)), "title")  # noqa: S314 - our own
    assert titles[:3] == [
        "16: 0.1, 95 % interval 0 to 0.2",
        "32: 0.2, 95 % interval 0.1 to 0.3",
        "64: 0.3, 95 % interval 0.2 to 0.4",
    ]
    assert titles[3:] == ["16: 0.1"]


def test_many_nights_are_named_now_and_then() -> None:
    shown = texts(ET.fromstring(svg_of(NIGHTS)))  # noqa: S314 - our own
    assert [text for text in shown if text.startswith("11-")] == [
        f"11-{place:02d}" for place in range(0, 40, 7)
    ]


def test_names_on_a_plane_do_not_meet() -> None:
    root = ET.fromstring(svg_of(CLOUDS))  # noqa: S314 - our own
    assert [text for text in texts(root) if text in ("one", "beside one", "two")] == ["one", "two"]
    assert texts(root, "title")[:2] == ["two", "one"]  # the rest is behind
    assert {"Space", "others"} <= set(texts(root))


def test_the_same_chart_is_the_same_text() -> None:
    assert svg_of(LINES) == svg_of(LINES)


def test_without_matplotlib_there_are_no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    assert figures([DOTS]).startswith("<style>.recsys-svg")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert figures([DOTS]) == ""


def test_metrics_are_drawn_where_they_are_means_of_0_to_1() -> None:
    nan = float("nan")
    metrics = {"ndcg@20": 0.2, "auc": 0.8, "novelty@20": 4.5, "coverage@20": 0.5, "map@20": nan}
    intervals = {name: (0.1, 0.9) for name in metrics if name != "coverage@20"}
    (plot,) = dots_of_metrics(metrics, intervals | {"auc": (float("-inf"), float("inf"))})
    assert [dot.name for dot in plot.dots] == ["ndcg@20", "auc"]
    assert plot.dots[0].interval == (0.1, 0.9)
    assert plot.dots[1].interval == (None, None)  # of one user
    assert dots_of_metrics({"ndcg@20": 0.2}, {"ndcg@20": (0.1, 0.3)}) == []


def test_a_sparkline_is_as_long_as_its_series() -> None:
    assert sparkline([0, 1, None, 7]) == "▁▂ █"
    assert sparkline([0.5, 0.5]) == "▁▁"
    assert sparkline([None, float("nan")]) == "  "
    assert sparkline([]) == ""

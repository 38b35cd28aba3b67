"""The colours of all pages, light and dark: words have a contrast of 4.5, pictures of 3."""

import re
from itertools import product

import pytest

from recsys.pages.one_file import asset
from recsys.pages.svg import ON_DARK, SERIES

WORDS = ("text", "quiet", "accent", "good", "bad")
GROUNDS = ("page", "panel")


def schemes() -> dict[str, dict[str, str]]:
    light, dark = re.findall(r":root \{(.*?)\}", asset("page.css"), re.DOTALL)[:2]
    read = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", one)) for one in (light, dark)]
    return {"light": read[0], "dark": read[0] | read[1]}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("word", "ground"), [*product(WORDS, GROUNDS), ("text", "mark")])
def test_words_are_legible(scheme: str, word: str, ground: str) -> None:
    colors = schemes()[scheme]
    assert contrast(colors[word], colors[ground]) >= 4.5


@pytest.mark.parametrize(("scheme", "series"), [("light", SERIES), ("dark", ON_DARK)])
def test_series_are_legible_on_the_ground_of_a_page(scheme: str, series: tuple[str, ...]) -> None:
    assert all(contrast(color, schemes()[scheme]["page"]) >= 3 for color in series)


@pytest.mark.parametrize(
    ("colors", "ground"), [*product((SERIES, ON_DARK), ["#111111"]), (SERIES, "#ffffff")]
)
def test_series_are_legible_where_nothing_sets_them(colors: tuple[str, ...], ground: str) -> None:
    assert all(contrast(color, ground) >= 3 for color in colors)


def contrast(one: str, other: str) -> float:
    """The ratio of WCAG 2."""
    dark, light = sorted(map(luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


def luminance(color: str) -> float:
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

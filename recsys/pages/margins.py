"""Where the axes of a chart lie in its figure: computed once, from the widths of its words.

Matplotlib's own layout measures twice all that is drawn, which took half the time of a chart.
Lengths are inches.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_POINT = 1 / 72
_PAD = 0.05  # at the edges of a figure, and between what lies in it
_SIZE, SMALL, _TITLE = 10, 9, 11  # points: of words, of notes and legends, of the title
_TICK, _LABEL = 7 * _POINT, 4 * _POINT  # from an axis to its numbers, and from these to its name
_OVERHANG = 0.12  # of the last number below an axis
_LETTERS = 70  # of a line of a legend, with _SAMPLE letters for each line or point that is shown
_SAMPLE = 7


def place_beside_names(
    figure: "Figure",
    axes: "Axes",
    names: tuple[Iterable[str], float],
    notes: tuple[Iterable[str], float],
    *,
    has_head: bool,
) -> None:
    """Place axes between names and notes, each so many points away; a line above is a head."""
    left, right = (
        _widest(texts, is_bold=is_bold) + away * _POINT
        for (texts, away), is_bold in ((names, False), (notes, True))
    )
    _place(figure, axes, left, _line() + _TICK, right, _line(SMALL) + _PAD if has_head else 0.0)


def place_with_numbers(figure: "Figure", axes: "Axes", legend: Sequence[str]) -> None:
    """Place axes that have numbers and a name at their left and below, and a legend."""
    named = _LABEL + _line()
    below = _line() + _TICK + (named if axes.get_xlabel() else 0) + _legend_height(legend)
    _place(figure, axes, 0, below, 0)  # how many numbers there are depends on the height
    numbers, (low, high) = axes.yaxis.get_major_locator()(), sorted(axes.get_ylim())
    form = axes.yaxis.get_major_formatter()
    shown = form.format_ticks([number for number in numbers if low <= number <= high])
    left = named + _widest(shown) + _TICK
    _place(figure, axes, left, below, _OVERHANG, _line() if form.get_offset() else 0.0)


def place_without_numbers(figure: "Figure", axes: "Axes", legend: Sequence[str]) -> None:
    """Place axes of which nothing is drawn, and a legend."""
    _place(figure, axes, 0, _legend_height(legend), 0)


def write_title(figure: "Figure", title: str) -> None:
    """Write a title at the top."""
    width, height = figure.get_size_inches()
    figure.text(
        _PAD / width, 1 - _PAD / height, title, va="top", fontsize=_TITLE, fontweight="bold"
    )


def write_legend(figure: "Figure", names: Sequence[str]) -> None:
    """Write a legend of all that has a name, at the bottom; none without names."""
    if not names:
        return
    figure.legend(
        loc="lower center",
        ncols=_columns(names),
        frameon=False,
        fontsize=SMALL,
        borderpad=0,
        borderaxespad=_PAD / _POINT / SMALL,
    )


def side_of(
    text: str, figure: "Figure", axes: "Axes", x: float
) -> Literal["left", "center", "right"]:
    """Return how bold text at a place of placed axes is aligned: centered where it fits."""
    axes.get_xlim()  # fixes the scale
    place = axes.transData.transform((x, axes.get_ylim()[0]))[0] - axes.bbox.x0
    half = _width_of(text, is_bold=True) / 2 * figure.dpi
    if place < half:
        return "left"
    return "center" if place + half <= axes.bbox.width else "right"


def _width_of(text: str, *, is_bold: bool) -> float:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=_SIZE, weight="bold" if is_bold else "normal")
    return float(text_to_path.get_text_width_height_descent(text, font, False)[0]) * _POINT


def _widest(texts: Iterable[str], *, is_bold: bool = False) -> float:
    return max((_width_of(text, is_bold=is_bold) for text in texts), default=0.0)


def _line(size: float = _SIZE) -> float:
    """Return the height of a line of text."""
    return 1.2 * size * _POINT


def _columns(names: Sequence[str]) -> int:
    return min(len(names), max(1, _LETTERS // (max(map(len, names)) + _SAMPLE)))


def _legend_height(names: Sequence[str]) -> float:
    return 1.5 * SMALL * _POINT * -(-len(names) // _columns(names)) + _PAD if names else 0.0


def _place(
    figure: "Figure", axes: "Axes", left: float, below: float, right: float, above: float = 0.0
) -> None:
    """Let axes fill a figure but for its margins, and half of it at least."""
    width, height = figure.get_size_inches()
    title = _line(_TITLE) + 2 * _PAD
    left, right = _within(left + _PAD, right + _PAD, width / 2)
    below, above = _within(below + _PAD, above + title, height / 2)
    size = ((width - left - right) / width, (height - below - above) / height)
    axes.set_position((left / width, below / height, *size))


def _within(one: float, other: float, most: float) -> tuple[float, float]:
    scale = min(1.0, most / (one + other))
    return one * scale, other * scale

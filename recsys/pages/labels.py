"""Words at the points of a picture, where there is room for them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FONT_SIZE = 9.0  # points, as all lengths here
_LETTER_WIDTH = 0.68 * _FONT_SIZE  # of the widest letters that labels have, in bold
_LINE_HEIGHT = 1.3 * _FONT_SIZE
_MARKER_RADIUS = 5.0
# Up and to the left first, which a rising curve leaves empty.
_SIDES = ((-1, 1), (1, -1), (1, 1), (-1, -1), (0, 1), (0, -1), (-1, 0), (1, 0))
_GAP = 8.0

Box = tuple[float, float, float, float]  # left, bottom, right, top


@dataclass(frozen=True)
class Label:
    """A word for a point.

    Parameters
    ----------
    x, y : float
        The point, in the units of the data.
    text : str
    color : str
    """

    x: float
    y: float
    text: str
    color: str


def place_labels(
    axes: "Axes", labels: Sequence[Label], points: Sequence[tuple[float, float]]
) -> None:
    """Write each label beside its point, the first ones first; one without room is left out.

    Parameters
    ----------
    axes : Axes
        Laid out, with its limits set: the words depend on where points are on the page.
    labels : sequence of Label
    points : sequence of (float, float)
        Of all lines, in the units of the data; none is written over.
    """
    taken = [_around(*_on_page(axes, x, y)) for x, y in points]
    left, bottom, right, top = _frame(axes)
    for label in labels:
        for side in _SIDES:
            box = _beside(*_on_page(axes, label.x, label.y), side, len(label.text))
            is_inside = left <= box[0] and bottom <= box[1] and box[2] <= right and box[3] <= top
            if is_inside and not any(overlap(box, other) for other in taken):
                _write(axes, label, side)
                taken.append(box)
                break


def overlap(one: Box, other: Box) -> bool:
    """Return whether two boxes have an area in common."""
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _write(axes: "Axes", label: Label, side: tuple[int, int]) -> None:
    from matplotlib.patheffects import withStroke

    axes.annotate(
        label.text,
        (label.x, label.y),
        xytext=(side[0] * _GAP, side[1] * _GAP),
        textcoords="offset points",
        ha={-1: "right", 0: "center", 1: "left"}[side[0]],
        va={-1: "top", 0: "center", 1: "bottom"}[side[1]],
        color=label.color,
        fontsize=_FONT_SIZE,
        fontweight="bold",
        path_effects=[withStroke(linewidth=2.5, foreground="white")],
    ).set_in_layout(False)


def _on_page(axes: "Axes", x: float, y: float) -> tuple[float, float]:
    """Return where a point of the data is on the page."""
    across, up = axes.transData.transform((x, y)) * (72 / axes.figure.dpi)
    return float(across), float(up)


def _frame(axes: "Axes") -> Box:
    frame = np.asarray(axes.get_window_extent().extents) * (72 / axes.figure.dpi)
    return (float(frame[0]), float(frame[1]), float(frame[2]), float(frame[3]))


def _around(x: float, y: float) -> Box:
    return (x - _MARKER_RADIUS, y - _MARKER_RADIUS, x + _MARKER_RADIUS, y + _MARKER_RADIUS)


def _beside(x: float, y: float, side: tuple[int, int], n_letters: int) -> Box:
    """Return the box of a word that long, on that side of a place on the page."""
    left, right = _span(x, side[0], n_letters * _LETTER_WIDTH)
    bottom, top = _span(y, side[1], _LINE_HEIGHT)
    return (left, bottom, right, top)


def _span(place: float, side: int, length: float) -> tuple[float, float]:
    """Return the ends of a length before (-1), around (0) or behind (1) a place."""
    middle = place + side * (_GAP + length / 2)
    return middle - length / 2, middle + length / 2

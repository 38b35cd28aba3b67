"""What a plot shows, in plain numbers: rooms below describe charts, and `recsys.pages` draws them.

A chart holds no colour, no size and no file: the same one is drawn for a page and for a notebook.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

Interval = tuple[float | None, float | None]
NO_INTERVAL: Interval = (None, None)


@dataclass(frozen=True)
class Dot:
    """A value with its name and, where it has one, its interval.

    `note` is what stands beside the value for a person, `is_marked` whether it is to be noticed.
    """

    name: str
    value: float
    interval: Interval = NO_INTERVAL
    is_marked: bool = False
    note: str = ""


@dataclass(frozen=True)
class DotPlot:
    """Values one below the other, with their intervals, on one axis.

    Parameters
    ----------
    title : str
        What the axis measures.
    dots : sequence of Dot
        From the top down.
    reference, reference_name : float, optional, and str
        A line across, such as 0 for differences, and what it is.
    starts_at_zero : bool
        Whether 0 is in sight: of shares, whose sizes are to be compared.
    """

    title: str
    dots: Sequence[Dot]
    reference: float | None = None
    reference_name: str = ""
    starts_at_zero: bool = False

    @property
    def alt(self) -> str:
        """What the plot shows, in words."""
        shown = "; ".join(f"{dot.name} {_with_interval(dot)}" for dot in self.dots)
        return f"{self.title}: {shown}"


@dataclass(frozen=True)
class Line:
    """One line of a `LinePlot`: values by place, with intervals where they have some."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    intervals: Sequence[Interval] = ()
    has_line: bool = True  # else points alone
    has_points: bool = True


def line_of(name: str, points: Sequence[tuple[float, float, Interval]]) -> Line:
    """Return a line through points with their intervals."""
    places, values, intervals = ([*one] for one in zip(*points, strict=True))
    return Line(name, places, values, intervals)


@dataclass(frozen=True)
class Mark:
    """A point that is to be noticed, with its name."""

    x: float
    y: float
    name: str


@dataclass(frozen=True)
class LinePlot:
    """Series over one axis.

    Parameters
    ----------
    title, x_name, y_name : str
    lines : sequence of Line
    marks : sequence of Mark
    is_log : bool
        Whether the horizontal axis is of logarithms; all places are above 0 then.
    places : mapping of float to str
        What stands below the horizontal axis where numbers do not: such as dates.
    """

    title: str
    x_name: str
    y_name: str
    lines: Sequence[Line]
    marks: Sequence[Mark] = ()
    is_log: bool = False
    places: Mapping[float, str] | None = None

    @property
    def alt(self) -> str:
        """What the plot shows, in words."""
        shown = "; ".join(
            f"{line.name} {line.y[0]:.4g} to {line.y[-1]:.4g}" for line in self.lines if line.y
        )
        marks = "".join(f"; {mark.name} at {mark.y:.4g}" for mark in self.marks)
        return f"{self.title}: {self.y_name} by {self.x_name}: {shown}{marks}"


@dataclass(frozen=True)
class Cloud:
    """Points of one group on a plane, and the name of each; an unnamed group is the rest."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    names: Sequence[str]


@dataclass(frozen=True)
class CloudPlot:
    """Points on a plane without axes: what is near to what.

    Parameters
    ----------
    title : str
    clouds : sequence of Cloud
        At most as many as there are colours, and one without a name.
    marks : sequence of Mark
        Points with their names written out, as far as these do not meet: the first ones first.
    """

    title: str
    clouds: Sequence[Cloud]
    marks: Sequence[Mark] = ()

    @property
    def alt(self) -> str:
        """What the plot shows, in words."""
        counts = ", ".join(f"{len(cloud.x):,} {cloud.name or 'others'}" for cloud in self.clouds)
        return f"{self.title}: {counts}; such as {', '.join(mark.name for mark in self.marks)}"


Chart = DotPlot | LinePlot | CloudPlot


def dots_of_metrics(
    metrics: Mapping[str, float], intervals: Mapping[str, Sequence[float | None]]
) -> list[DotPlot]:
    """Return the metrics that are means of 0 to 1 over users, with their intervals, as one plot.

    No plot where there are not two of them: one value says no more as a plot.
    """
    dots = [
        Dot(name, value, interval_of(intervals[name]))
        for name, value in metrics.items()
        if name in intervals and isfinite(value) and 0 <= value <= 1
    ]
    title = "mean over users, 95 % interval"
    return [DotPlot(title, dots, starts_at_zero=True)] if len(dots) > 1 else []


def interval_of(ends: Sequence[float | None] | None) -> Interval:
    """Return an interval; one that is infinite, as that of one user is, is none."""
    low, high = ends or NO_INTERVAL
    is_there = low is not None and high is not None and isfinite(low) and isfinite(high)
    return (low, high) if is_there else NO_INTERVAL


def sparkline(values: Iterable[float | None]) -> str:
    """Return a series as one word of eight heights; a value that is none is a gap.

    Examples
    --------
    >>> sparkline([1, 2, 3, None, 8])
    '▁▂▃ █'
    """
    listed = list(values)
    known = [one for one in listed if one is not None and isfinite(one)]
    if not known:
        return " " * len(listed)
    low, high = min(known), max(known)
    step = (high - low) / (len(_HEIGHTS) - 1) or 1.0
    return "".join(
        " " if one is None or not isfinite(one) else _HEIGHTS[round((one - low) / step)]
        for one in listed
    )


_HEIGHTS = "▁▂▃▄▅▆▇█"


def _with_interval(dot: Dot) -> str:
    low, high = dot.interval
    ends = "" if low is None or high is None else f" ({low:.4g} to {high:.4g})"
    return f"{dot.value:.4g}{ends}"

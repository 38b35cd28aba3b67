"""Draw charts by Matplotlib, for a page or a notebook."""

from collections.abc import Sequence
from importlib.util import find_spec
from math import isfinite
from typing import TYPE_CHECKING

from recsys.base.charts import (
    NO_INTERVAL,
    Chart,
    CloudPlot,
    DotPlot,
    Interval,
    Line,
    LinePlot,
    Mark,
)
from recsys.base.progress import printable
from recsys.pages.svg import INK, MARKED, SERIES, notebook_style, style, themed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

MARKERS = "osD^vPX"  # more than colours: two series of one colour differ
_DASHES = ("-", "--", ":", "-.")  # of lines without points, which colours alone would tell apart

_WIDTH, _DOT_HEIGHT, _HEAD, _LINE_HEIGHT, _CLOUD_HEIGHT = 5.6, 0.235, 0.78, 2.7, 4.6  # inches
_MOST_NAME, _MOST_TITLE, _MOST_PLACES, _MOST_DOTS = 28, 60, 6, 40


def figures(charts: Sequence[Chart]) -> str:
    """Return charts as HTML for a notebook or a page; empty without Matplotlib: tables stay."""
    if not charts or find_spec("matplotlib") is None:
        return ""
    shown = (
        f'<figure class="recsys-plot" style="margin: 0; max-width: 35rem">{svg_of(chart)}</figure>'
        for chart in charts
    )
    return "\n".join([f"<style>{notebook_style()}</style>", *shown])


def svg_of(chart: Chart) -> str:
    """Return a chart as an `<svg>` element: as wide as its place, with its alternative text."""
    with style():
        return themed(_drawn(chart), chart.alt, _tips_of(chart))


def _drawn(chart: Chart) -> "Figure":
    if isinstance(chart, DotPlot):
        return _dot_plot(chart)
    return _line_plot(chart) if isinstance(chart, LinePlot) else _cloud_plot(chart)


def _tips_of(chart: Chart) -> list[list[str]]:
    """Return what stands beside the pointer, by artist."""
    if isinstance(chart, DotPlot):
        return [[f"{dot.name}: {dot.value:.4g}{_ends(dot.interval)}"] for dot in chart.dots]
    if isinstance(chart, CloudPlot):
        return [[*cloud.names] for cloud in chart.clouds]
    where = chart.places or {}
    return [
        [f"{where.get(x, f'{x:g}')}: {y:.4g}{_ends(interval)}" for x, y, interval in _points(line)]
        for line in chart.lines
    ]


def _dot_plot(plot: DotPlot) -> "Figure":
    dots = plot.dots[:_MOST_DOTS]
    figure, axes = _figure(_HEAD + _DOT_HEIGHT * len(dots))
    for place, dot in enumerate(dots):
        color = MARKED if dot.is_marked else SERIES[0]
        low, high = dot.interval
        if low is not None and high is not None:
            axes.plot([low, high], [place, place], color=color, linewidth=1.6, zorder=2)
        (point,) = axes.plot(
            [dot.value], [place], "o", color=color, markersize=6, zorder=3, clip_on=False
        )
        point.set_gid(f"tips-{place}")
        axes.annotate(
            _short(dot.note) or _number(dot.value),
            (1.02, place),
            xycoords=("axes fraction", "data"),
            va="center",
            fontweight="bold" if dot.is_marked else "normal",
        )
    axes.set_yticks(range(len(dots)), [_short(dot.name) for dot in dots])
    axes.set_ylim(len(dots) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0, pad=8)
    if plot.starts_at_zero:
        axes.set_xlim(left=0)
    if plot.reference is not None:
        _reference(axes, plot.reference, plot.reference_name)
    n_left = len(plot.dots) - len(dots)
    _finish(axes, f"{plot.title} (and {n_left:,} more)" if n_left else plot.title)
    axes.grid(axis="y", visible=False)
    axes.spines["left"].set_visible(False)
    return figure


def _line_plot(plot: LinePlot) -> "Figure":
    figure, axes = _figure(_LINE_HEIGHT)
    if plot.is_log:
        axes.set_xscale("log")
    for place, line in enumerate(plot.lines):
        color = SERIES[place % len(SERIES)]
        points = _points(line)
        _draw_intervals(axes, points, color)
        (drawn,) = axes.plot(
            [x for x, _, _ in points],
            [y for _, y, _ in points],
            marker=MARKERS[place % len(MARKERS)] if line.has_points else "",
            linestyle=_DASHES[place % len(_DASHES)] if not line.has_points else "-",
            color=color,
            markersize=4.5,
            linewidth=1.6 if line.has_line else 0,
            label=_short(line.name),
            zorder=3,
        )
        drawn.set_gid(f"tips-{place}")
    for mark in plot.marks:
        _ring(axes, mark.x, mark.y)
        axes.annotate(
            _short(mark.name),
            (mark.x, mark.y),
            xytext=(0, 10),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontweight="bold",
        )
    axes.margins(x=0.06, y=0.22 if plot.marks else 0.1)
    axes.set(xlabel=_short(plot.x_name), ylabel=_short(plot.y_name))
    _name_places(axes, plot)
    if len(plot.lines) > 1:
        _legend(figure, [_short(line.name) for line in plot.lines])
    _finish(axes, plot.title)
    return figure


def _cloud_plot(plot: CloudPlot) -> "Figure":
    figure, axes = _figure(_CLOUD_HEIGHT)
    named = [cloud.name for cloud in plot.clouds if cloud.name]
    for place, cloud in enumerate(plot.clouds):
        number = named.index(cloud.name) if cloud.name else None
        (drawn,) = axes.plot(
            cloud.x,
            cloud.y,
            MARKERS[number % len(MARKERS)] if number is not None else "o",
            color=INK if number is None else SERIES[number % len(SERIES)],
            alpha=0.3 if number is None else 0.8,
            markersize=3.5,
            markeredgewidth=0,
            label=_short(cloud.name) or "others",
            zorder=1 if number is None else 2,
        )
        drawn.set_gid(f"tips-{place}")
    axes.set_axis_off()
    axes.set_aspect("equal", adjustable="datalim")
    if named:
        _legend(figure, [_short(name) for name in named])
    _finish(axes, plot.title)
    figure.draw_without_rendering()  # lays it out
    _write_apart(axes, plot.marks)
    return figure


def _write_apart(axes: "Axes", marks: Sequence[Mark]) -> None:
    """Write the names of points above them; one that would meet another, or the frame, is not."""
    frame, written = axes.get_window_extent(), list["Bbox"]()
    for mark in marks:
        label = axes.annotate(
            _short(mark.name),
            (mark.x, mark.y),
            xytext=(0, 3),
            textcoords="offset points",
            ha="center",
            va="bottom",
            fontsize=8.5,
            zorder=5,
        )
        label.set_in_layout(False)
        box = label.get_window_extent()
        is_inside = all(frame.contains(*corner) for corner in box.corners())
        if is_inside and not box.count_overlaps(written):
            written.append(box)
        else:
            label.remove()


def _legend(figure: "Figure", names: Sequence[str]) -> None:
    columns = min(len(names) + 1, max(1, 70 // (max(map(len, names)) + 7)))
    figure.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize=9)


def _draw_intervals(
    axes: "Axes", points: Sequence[tuple[float, float, Interval]], color: str
) -> None:
    for x, _, (low, high) in points:
        if low is not None and high is not None:
            axes.plot([x, x], [low, high], color=color, linewidth=1, alpha=0.6, zorder=2)


def _name_places(axes: "Axes", plot: LinePlot) -> None:
    """Write numbers, or the names of some places, below the horizontal axis."""
    from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, ScalarFormatter

    places = sorted(plot.places or {x for line in plot.lines for x in line.x})
    if plot.places is not None:
        step = max(1, -(-len(places) // _MOST_PLACES))
        shown = places[::step]
        axes.set_xticks(shown, [plot.places[place] for place in shown])
    elif plot.is_log:
        few = len(places) <= 2 * _MOST_PLACES
        if few:
            axes.xaxis.set_major_locator(FixedLocator(places))
        axes.xaxis.set_major_formatter(ScalarFormatter())
        axes.xaxis.set_minor_locator(NullLocator())
    elif all(float(place).is_integer() for place in places):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def _figure(height: float) -> tuple["Figure", "Axes"]:
    """Return a figure of its own with one set of axes: no window, nothing global."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    return figure, figure.subplots()


def _reference(axes: "Axes", value: float, name: str) -> None:
    axes.axvline(value, color=INK, alpha=0.55, linewidth=1, linestyle="--", zorder=1)
    if name:
        axes.annotate(
            _short(name),
            (value, 1),
            xycoords=("data", "axes fraction"),
            xytext=(3, 1),
            textcoords="offset points",
            fontsize=9,
            va="bottom",
        )


def _ring(axes: "Axes", x: float, y: float) -> None:
    axes.plot(
        [x], [y], "o", markersize=13, markerfacecolor="none", markeredgecolor=MARKED, zorder=4
    )


def _finish(axes: "Axes", title: str) -> None:
    axes.figure.suptitle(
        _short(title, _MOST_TITLE), x=0.01, ha="left", fontsize=11, fontweight="bold"
    )
    axes.grid(color=INK, alpha=0.14, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    for spine in axes.spines.values():
        spine.set_alpha(0.5)


def _points(line: Line) -> list[tuple[float, float, Interval]]:
    """Return the points of a line that are numbers, each with its interval."""
    intervals = line.intervals or [NO_INTERVAL] * len(line.x)
    points = zip(line.x, line.y, intervals, strict=True)
    return [point for point in points if isfinite(point[0]) and isfinite(point[1])]


def _number(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 10 else f"{value:,.4g}"


def _ends(interval: Interval) -> str:
    low, high = interval
    return "" if low is None or high is None else f", 95 % interval {low:.4g} to {high:.4g}"


def _short(text: str, most: int = _MOST_NAME) -> str:
    shown = printable(text, one_line=True)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"

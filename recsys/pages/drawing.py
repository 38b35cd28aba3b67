"""The dimension curve as a picture, or as a page with the picture and its table."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html import escape
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from recsys.base.durable import write_or_refuse
from recsys.base.environment import extra, missing_package
from recsys.base.errors import ConfigError, briefly
from recsys.evaluation import TOLERANCE
from recsys.evaluation.dimensions import DimensionCurve, DimensionPoint
from recsys.pages.one_file import one_file
from recsys.pages.svg import INK, MARKED, SERIES, page_style, rendered, style, themed
from recsys.vectors import STORAGES, Storage

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

_FORMATS = (".svg", ".png", ".html")

_COLORS: dict[Storage, str] = {"float32": SERIES[0], "float16": SERIES[3], "int8": SERIES[2]}
_MARKERS: dict[Storage, str] = {"float32": "o", "float16": "s", "int8": "D"}
_LABEL_SIDES = (("right", "bottom", 8), ("left", "top", -8))  # how aligned, and points of offset
_LEAST_SPAN = 6.0  # last over first of a logarithmic axis: below, it may show but one number
_WIDE_SPAN = 100.0  # from here on powers of ten are numbers enough


@dataclass(frozen=True)
class _Panel:
    """Accuracy against one cost."""

    title: str
    unit: str
    cost: Callable[[DimensionPoint], float]
    has_all_storages: bool = False

    def storages(self, knee: DimensionPoint) -> tuple[Storage, ...]:
        """Return what is drawn: times are the same for every storage, so the knee's will do."""
        return STORAGES if self.has_all_storages else (knee.storage,)


_PANELS = (
    _Panel("Size", "MB of all users and items", lambda point: point.n_bytes / 1e6, True),
    _Panel("Training time", "seconds", lambda point: point.train_seconds),
    _Panel("Query time", "µs, exact search of one user", lambda point: point.query_microseconds),
)


def require_drawing(path: str | Path) -> None:
    """Check that a picture can be drawn to a file, before the work that it is to show.

    Raises
    ------
    ConfigError
        If the name has no known ending, its folder is not there, or matplotlib is not installed.
    """
    path = Path(path)
    if path.suffix not in _FORMATS:
        raise ConfigError(
            f"picture: expected a name that ends in {', '.join(_FORMATS)}, got {briefly(str(path))}"
        )
    if not path.parent.is_dir():
        raise ConfigError(f"picture: expected a folder for {path.name} at {path.parent}, got none")
    try:
        import_module("matplotlib")
    except ImportError as error:
        raise missing_package(
            f"picture {path.name}",
            "matplotlib",
            extra("reports"),
            "do without: the table is printed anyway",
        ) from error


def save_drawing(curve: DimensionCurve, path: str | Path) -> None:
    """Draw a curve to a file, in the format of its ending; an earlier file is replaced.

    Accuracy is drawn against bytes, for every storage, and against training and query time; the
    knee is ringed in each. A page (.html) needs no other file. The same curve gives the same file.
    A ConfigError as `require_drawing` raises it, or if the file cannot be written.
    """
    require_drawing(path)
    path = Path(path)
    if path.suffix == ".html":
        with style():
            picture = themed(draw(curve), f"{_title(curve)}: {curve.verdict}")
        content = _page_of(curve, _title(curve), picture).encode()
    else:
        with style(is_file=True):
            content = rendered(draw(curve), path.suffix[1:])
    write_or_refuse(path, content, "picture: expected to write")


def draw(curve: DimensionCurve) -> "Figure":
    """Return the picture as a matplotlib figure of its own: no window, nothing global."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 5), layout="constrained")
    figure.suptitle(_title(curve))
    all_axes = figure.subplots(1, len(_PANELS), sharey=True)
    for axes, panel in zip(all_axes, _PANELS, strict=True):
        _draw_panel(axes, panel, curve)
    all_axes[0].set_ylabel(f"{curve.metric}, mean and 95 % interval")
    handles, labels = all_axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
    figure.draw_without_rendering()  # lays it out, and once is enough
    figure.set_layout_engine("none")
    for axes, panel in zip(all_axes, _PANELS, strict=True):
        _label_factors(axes, panel, curve)
    return figure


def _draw_panel(axes: "Axes", panel: _Panel, curve: DimensionCurve) -> None:
    knee, best = curve.points[curve.knee.place], curve.points[curve.knee.best]
    for storage in panel.storages(knee):
        _draw_line(axes, panel, [point for point in curve.points if point.storage == storage])
    least = best.accuracy("ndcg")[0] * (1 - TOLERANCE)
    less = f"best less {TOLERANCE:.0%}"
    axes.axhline(least, color=INK, alpha=0.55, linewidth=1, linestyle="--", zorder=1, label=less)
    axes.scatter(
        [panel.cost(knee)],
        [knee.accuracy("ndcg")[0]],
        s=190,
        facecolors="none",
        edgecolors=MARKED,
        linewidths=2.2,
        label=f"knee: {knee.label}, {knee.size}",
        zorder=4,
    )
    axes.set(title=panel.title, xlabel=panel.unit)
    axes.margins(y=0.12)  # room for the labels
    axes.grid(color=INK, alpha=0.14, linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    _use_plain_log_scale(axes, [panel.cost(point) for point in curve.points])


def _draw_line(axes: "Axes", panel: _Panel, points: list[DimensionPoint]) -> None:
    storage = points[0].storage
    accuracy = [point.accuracy("ndcg") for point in points]
    bars = [[mean - low for mean, low, _ in accuracy], [high - mean for mean, _, high in accuracy]]
    axes.errorbar(
        [panel.cost(point) for point in points],
        [mean for mean, _, _ in accuracy],
        yerr=bars,
        label=storage,
        color=_COLORS[storage],
        marker=_MARKERS[storage],
        markersize=5,
        elinewidth=0.9,
    )


def _label_factors(axes: "Axes", panel: _Panel, curve: DimensionCurve) -> None:
    """Write the number of factors next to the points of the knee's storage, the knee's first.

    Up and to the left of the point or down and to the right, which a rising curve leaves empty;
    a label that would meet another one or the frame at both is left out.
    """
    knee, frame = curve.points[curve.knee.place], axes.get_window_extent()
    written: list[Bbox] = []
    for point in sorted(curve.points, key=lambda point: point is not knee):
        sides = _LABEL_SIDES if point.storage == knee.storage else ()
        for ha, va, offset in sides:
            label = axes.annotate(
                f"knee: {point.factors}" if point is knee else str(point.factors),
                (panel.cost(point), point.accuracy("ndcg")[0]),
                xytext=(-offset, offset),
                textcoords="offset points",
                ha=ha,
                va=va,
                color=INK,
                fontsize=9,
                fontweight="bold" if point is knee else "normal",
            )
            label.set_in_layout(False)
            box = label.get_window_extent()
            is_inside = all(frame.contains(*corner) for corner in box.corners())
            if is_inside and not box.count_overlaps(written):
                written.append(box)
                break
            label.remove()


def _use_plain_log_scale(axes: "Axes", costs: list[float]) -> None:
    """Scale the horizontal axis by logarithms, with numbers such as 20 and 50 under it."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    low, high = min(costs), max(costs)
    spread = max(1.6, (_LEAST_SPAN * low / high) ** 0.5)  # room for the labels at the left
    axes.set_xscale("log")
    axes.set_xlim(low / spread, high * spread)
    numbers = (1, 2, 5) if high < _WIDE_SPAN * low else (1,)
    axes.xaxis.set_major_locator(LogLocator(subs=numbers))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda cost, _: f"{cost:,.7g}"))
    axes.xaxis.set_minor_locator(NullLocator())


def _title(curve: DimensionCurve) -> str:
    evaluation = curve.points[0].evaluation
    return (
        f"{curve.model}: accuracy and cost by number of factors "
        f"({evaluation.n_users:,} test users, {evaluation.n_items:,} items)"
    )


_STYLE = (
    "body { max-width: 76rem } .recsys-svg { width: 100% } "
    "th, td { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }"
)


def _page_of(curve: DimensionCurve, title: str, picture: str) -> str:
    """Return a page with the verdict on a curve, its picture (an element `<svg>`) and its table."""
    rows = curve.rows()
    headings = _cells("th", rows[0])
    cells = "\n".join(f"<tr>{_cells('td', row.values())}</tr>" for row in rows)
    body = (
        f"<header><h1>{escape(title)}</h1></header>\n<main>\n"
        f"<p><strong>{escape(curve.verdict)}.</strong></p>\n{picture}\n"
        f'<div class="scroll"><table>\n<thead><tr>{headings}</tr></thead>\n'
        f"<tbody>\n{cells}\n</tbody>\n</table></div>\n<p>{escape(curve.rule)}.</p>\n</main>"
    )
    return one_file(title, body, styles=page_style() + _STYLE)


def _cells(tag: str, texts: Iterable[str]) -> str:
    return "".join(f"<{tag}>{escape(text)}</{tag}>" for text in texts)

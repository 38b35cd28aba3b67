"""The style of drawings by Matplotlib, and SVG of one piece in the colours of the page around it.

Words and lines have the colour of the text around the picture, and series take variables of CSS
(``--series-1`` and so on) where a page sets them: one SVG serves light and dark, in a page, in
JupyterLab and in VS Code. The colours of series are legible on both where nothing sets them. Words
stay words: they can be searched, copied and read aloud.
"""

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING, Any

from recsys.base.progress import printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Colours that colour-blind people tell apart, each with a contrast of 3 or more to white and to
# near-black: after Okabe and Ito, those darker that vanish on white.
SERIES = ("#0072B2", "#D55E00", "#009E73", "#AA5C93", "#8A7A00")
ON_DARK = ("#56B4E9", "#F28E5A", "#2FC493", "#E08FC5", "#CDBB45")  # where it is known to be dark
MARKED = SERIES[1]
INK = "#1b1b1b"  # stands for the colour of the text around

# JupyterLab, VS Code and the theme of the documentation say so by these; a page of our own sets the
# variables in its stylesheet.
_DARK = (
    '[data-jp-theme-light="false"]',
    ".vscode-dark",
    ".vscode-high-contrast",
    '[data-theme="dark"]',
)
_FITTED = ".recsys-svg { display: block; max-width: 100%; height: auto }"
_FONT = re.compile(r"'DejaVu Sans'[^;\"]*")
_DPI = 150
_STYLE: Any = {
    "svg.hashsalt": "recsys",  # else the names inside an SVG differ from run to run
    "svg.fonttype": "none",  # words, not their outlines
    "text.parse_math": False,  # a title may hold dollars
    "font.size": 10.0,
    "axes.titlesize": 11.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    **dict.fromkeys(
        ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color"), INK
    ),
}


def notebook_style() -> str:
    """Return the style of plots in a notebook: lighter series where it says that it is dark."""
    where = ", ".join(f"{dark} .recsys-plot" for dark in _DARK)
    return f"{_FITTED}\n{where} {{ {_variables(ON_DARK)} }}"


def page_style() -> str:
    """Return the style of plots in a page of our own, light or dark as the reader has it."""
    dark = f"@media (prefers-color-scheme: dark) {{ :root {{ {_variables(ON_DARK)} }} }}"
    return f"{_FITTED}\n:root {{ {_variables(SERIES)} }}\n{dark}\n"


def _variables(colors: Sequence[str]) -> str:
    return " ".join(f"--series-{number}: {color};" for number, color in enumerate(colors, 1))


@contextmanager
def style(*, is_file: bool = False) -> Iterator[None]:
    """Draw in the style of the project within the block; a file of its own is on white."""
    from matplotlib import rc_context

    on_white = {"savefig.facecolor": "white", "svg.fonttype": "path"} if is_file else {}
    with rc_context(_STYLE | on_white), warnings.catch_warnings():
        # The page's font has what Matplotlib's lacks: it measures here, and draws nothing.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        yield


def rendered(figure: "Figure", image_format: str) -> bytes:
    """Return a figure as a file, the same bytes for the same figure."""
    from matplotlib import rcParams
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    image = BytesIO()
    if image_format != "svg":
        figure.savefig(image, format=image_format, dpi=_DPI)
        return image.getvalue()
    # `savefig` would write the same bytes, and draw all of it once before to lay it out.
    figure.set_facecolor(rcParams["savefig.facecolor"])
    figure.set_dpi(_DPI)
    canvas: Any = FigureCanvasSVG(figure)
    canvas.print_svg(image, metadata={"Date": None})
    return image.getvalue()


def themed(figure: "Figure", alt: str, tips: Sequence[Sequence[str]] = ()) -> str:
    """Return a figure as an `<svg>` element in the colours of the page around it.

    Parameters
    ----------
    alt : str
        What it shows, in words.
    tips : sequence of sequence of str
        What stands beside the pointer over each point of the artists whose gid is "tips-0",
        "tips-1" and so on.
    """
    svg = rendered(figure, "svg").decode()
    svg = re.sub(r"<(metadata|style)\b.*?</\1>\s*", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    for place, texts in enumerate(tips):
        svg = _with_tips(svg, place, texts)
    svg = re.sub(r' id="(?!m[0-9a-f]{10}"|p[0-9a-f]{10}")[^"]*"', "", svg)  # of two pictures alike
    svg = _FONT.sub("system-ui, sans-serif", svg).replace(INK, "currentColor")
    for number, color in enumerate(SERIES, start=1):
        svg = svg.replace(color.lower(), f"var(--series-{number}, {color})")
    width, height = (float(one) for one in re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg)[0])
    head = (
        f'<svg role="img" aria-label="{escape(printable(alt, one_line=True))}" '
        f'viewBox="0 0 {width:g} {height:g}" width="{width * 4 / 3:.0f}" '
        'class="recsys-svg" stroke-linejoin="round" stroke-linecap="butt" '
        'xmlns="http://www.w3.org/2000/svg" '
        'xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return re.sub(r"\n\s*", "\n", head + _without_styles(svg[svg.index(">") + 1 :])).strip()


def _without_styles(svg: str) -> str:
    """Return an SVG with attributes in place of styles, which the policy of a page forbids."""

    def attributes(found: re.Match[str]) -> str:
        pairs = (one.partition(":") for one in found[1].split(";") if one.strip())
        return " ".join(
            _font(value) if name.strip() == "font" else f'{name.strip()}="{value.strip()}"'
            for name, _, value in pairs
        )

    return re.sub(r'style="([^"]*)"', attributes, svg)


def _font(value: str) -> str:
    """Return the attributes of a font such as "700 11px system-ui, sans-serif"."""
    found = re.fullmatch(r"\s*(?:(\w+) )?([\d.]+px) (.+)", value)
    if found is None:
        return ""
    weight = "" if found[1] is None else f'font-weight="{found[1]}" '
    return f'{weight}font-size="{found[2]}" font-family="{found[3]}"'


def _with_tips(svg: str, place: int, texts: Sequence[str]) -> str:
    """Return an SVG whose points, elements `<use>` of a group, have a title each."""
    start = svg.find(f'id="tips-{place}"')
    if start < 0:
        return svg
    shown = iter(texts)

    def titled(found: re.Match[str]) -> str:
        text = escape(printable(next(shown, ""), one_line=True))
        return f"<use{found[1]}><title>{text}</title></use>"

    rest = re.sub(r"<use([^>]*)/>", titled, svg[start:], count=len(texts))
    return svg[:start] + rest

"""One page of HTML that needs no other file."""

from collections.abc import Iterable
from html import escape
from string import Template

from recsys.evaluation.dimensions import DimensionCurve

_PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem }
svg { width: 100%; height: auto }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .8rem; text-align: right; border-bottom: 1px solid #ddd }
</style>
</head>
<body>
<h1>$title</h1>
<p><strong>$verdict.</strong></p>
$picture
<table>
<thead><tr>$headings</tr></thead>
<tbody>
$rows
</tbody>
</table>
<p>$rule.</p>
</body>
</html>
""")


def page_of(curve: DimensionCurve, title: str, picture: str) -> str:
    """Return a page with the verdict on a curve, its picture (an SVG file) and its table."""
    rows = curve.rows()
    return _PAGE.substitute(
        title=escape(title),
        verdict=escape(curve.verdict),
        rule=escape(curve.rule),
        picture=picture[picture.index("<svg") :],  # the XML declaration before it is for a file
        headings=_cells("th", rows[0]),
        rows="\n".join(f"<tr>{_cells('td', row.values())}</tr>" for row in rows),
    )


def _cells(tag: str, texts: Iterable[str]) -> str:
    return "".join(f"<{tag}>{escape(text)}</{tag}>" for text in texts)

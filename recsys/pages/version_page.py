"""The report of a version as a page: one file, without a script, that also prints."""

import re
from collections.abc import Iterable, Sequence
from html import escape
from importlib.util import find_spec
from pathlib import Path
from string import Template

from recsys.base.durable import require_place, write_or_refuse
from recsys.base.environment import extra
from recsys.base.progress import printable
from recsys.monitoring.version_lists import SampleUser
from recsys.monitoring.version_parts import ReportTable, Section
from recsys.monitoring.version_report import VersionReport
from recsys.pages.charts import svg_of
from recsys.pages.one_file import asset, one_file
from recsys.pages.svg import page_style

_PLACE = "--out: expected to write the report"
_LONG = 60  # characters of a cell that is broken over lines


def version_page(report: VersionReport) -> str:
    """Return a report as HTML; without Matplotlib it has tables alone, and says so."""
    titles = [section.title for section in report.sections]
    links = [f'<a href="#{_slug(title)}">{_text(title)}</a>' for title in titles]
    refused = '<p class="problem">A gate refused this version: it never became current.</p>'
    body = Template(asset("report.html")).substitute(
        version=_text(report.version),
        caption=_text(report.caption),
        refused=refused if report.is_refused else "",
        links="\n".join([*links, '<a href="#users">Users and their lists</a>']),
        figures="\n".join(_figure(*one) for one in report.figures),
        sections="\n".join(map(_section, report.sections)),
        rule=_text(report.users_rule),
        users="\n".join(map(_user, report.users)),
        foot=_text(_foot()),
    )
    return one_file(f"Version {report.version}", body, styles=page_style() + asset("report.css"))


def save_version_page(report: VersionReport, path: str | Path) -> int:
    """Write the page of a report, whole or not at all; return its bytes.

    Raises
    ------
    ConfigError
        If the file cannot be there.
    """
    path = Path(path)
    require_place(path, _PLACE)
    content = version_page(report).encode()
    write_or_refuse(path, content, _PLACE)
    return len(content)


def _foot() -> str:
    if _draws():
        return "The page asks nobody for anything: it may be sent, kept and printed."
    return f"Plots are left out, as Matplotlib is not installed: pip install {extra('reports')}"


def _draws() -> bool:
    return find_spec("matplotlib") is not None


def _figure(name: str, value: str, note: str) -> str:
    return (
        f'<div class="card"><h2>{_text(name)}</h2><p class="number">{_text(value)}</p>'
        f'<p class="hint">{_text(note)}</p></div>'
    )


def _section(section: Section) -> str:
    parts = [f'<section id="{_slug(section.title)}">', f"<h2>{_text(section.title)}</h2>"]
    parts += [f"<p>{_text(sentence)}</p>" for sentence in section.sentences]
    if section.charts and _draws():
        plots = "\n".join(f"<figure>{svg_of(chart)}</figure>" for chart in section.charts)
        parts.append(f'<div class="plots">{plots}</div>')
    parts += map(_table, section.tables)
    return "\n".join([*parts, "</section>"])


def _table(table: ReportTable) -> str:
    are_numbers = [heading in table.numbers for heading in table.headings]
    headings = "".join(
        f'<th scope="col"{_class(is_number, heading)}>{_text(heading)}</th>'
        for heading, is_number in zip(table.headings, are_numbers, strict=True)
    )
    rows = "\n".join(f"<tr>{_cells(row, are_numbers)}</tr>" for row in table.rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="Table"><table>\n'
        f"<thead><tr>{headings}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table></div>"
    )


def _cells(row: Sequence[str], are_numbers: Iterable[bool]) -> str:
    pairs = zip(row, are_numbers, strict=True)
    return "".join(f"<td{_class(right, cell)}>{_text(cell)}</td>" for cell, right in pairs)


def _class(is_number: bool, cell: str) -> str:
    if is_number:
        return ' class="number"'
    if cell in _MARKS:
        return f' class="{_MARKS[cell]}"'
    return ' class="prose"' if len(cell) > _LONG else ""


_MARKS = {"yes": "good", "chosen": "good", "no": "bad", "refused": "bad"}


def _user(user: SampleUser) -> str:
    counted = f"{user.n_seen:,} item{'' if user.n_seen == 1 else 's'}"
    history = "".join(f"<li>{_text(title)}</li>" for title in user.history)
    items = "".join(f"<li>{_text(title)}{_reason(reason)}</li>" for title, reason in user.items)
    return (
        f'<details class="card" open><summary>{_text(user.user_id)}: {counted}, '
        f"{_text(user.source)} list</summary>\n"
        f'<div class="user"><div><h3>History</h3><ol>{history}</ol></div>'
        f"<div><h3>List</h3><ol>{items}</ol></div></div></details>"
    )


def _reason(reason: str) -> str:
    return f"<small>because of {_text(reason)}</small>" if reason else ""


def _text(text: str) -> str:
    """Return a text of others as HTML: nothing of it is markup, and its direction stays in it."""
    return f"<bdi>{escape(printable(text, one_line=True))}</bdi>" if _is_odd(text) else escape(text)


def _is_odd(text: str) -> bool:
    return not text.isascii() or not text.isprintable()


def _slug(title: str) -> str:
    return re.sub(r"\W+", "-", title.lower())

"""What a report of a version is made of: sections of sentences, plots and tables."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from recsys.base.charts import Chart


@dataclass(frozen=True)
class ReportTable:
    """Rows of words and numbers, as people read them."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    numbers: Collection[str] = ()
    """Headings of columns of numbers."""


@dataclass(frozen=True)
class Section:
    """A part of a report: sentences, plots and tables."""

    title: str
    sentences: Sequence[str] = ()
    charts: Sequence[Chart] = ()
    tables: Sequence[ReportTable] = ()

"""Drift and gates as tables for a terminal."""

from collections.abc import Iterable

from rich.console import Group
from rich.table import Table
from rich.text import Text

from recsys.monitoring import DriftReport
from recsys.store import Check


def drift_table(report: DriftReport) -> Group:
    """Return the measures of a comparison as a table, and the items that moved most."""
    table = checks_table(report.checks, f"drift from {report.a} to {report.b}")
    n_alarms = len(report.alarms)
    above = "all quiet" if report.is_quiet else f"{n_alarms} of them above their limit"
    table.caption = f"0 is no difference; {above}"
    if not report.moved:
        return Group(table)
    moved = Table(title="moved most, by popularity times 1 - cosine")
    moved.add_column("item")
    for heading in ("1 - cosine", "users before"):
        moved.add_column(heading, justify="right")
    for one in report.moved:
        moved.add_row(Text(str(one.item_id)), f"{one.movement:.4f}", f"{one.popularity:,}")
    return Group(table, moved)


def checks_table(checks: Iterable[Check], title: str) -> Table:
    """Return checks as a table: value, threshold, whether it passed, and what was found."""
    table = Table(title=title)
    for heading in ("check", "value", "threshold", "ok"):
        table.add_column(heading, justify="left" if heading == "check" else "right")
    table.add_column("found")
    for check in checks:
        found = check.sentence.partition(": ")[2]
        table.add_row(
            check.name, _number(check.value), _number(check.threshold), _verdict(check), Text(found)
        )
    return table


def _verdict(check: Check) -> str:
    if check.value is None:
        return "-"
    if check.passed:
        return "yes"
    return "refused" if check.refuses else "no"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"

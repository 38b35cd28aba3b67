"""Results as tables for a terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.table import Table

from recsys.reports.curve import DimensionCurve


def metrics_table(results: Mapping[str, Mapping[str, Any]]) -> Table:
    """Return a table of evaluations: one row for each metric, one column for each model.

    Parameters
    ----------
    results : mapping of str to mapping
        By the name of the model, at least one; each as `Evaluation.to_dict` returns it.
    """
    table = Table(title="test part")
    table.add_column("metric")
    for name in results:
        table.add_column(name, justify="right")
    first = next(iter(results.values()))
    for metric in first["metrics"]:
        cells = (_with_interval(result, metric) for result in results.values())
        table.add_row(metric, *cells)
    table.caption = f"{first['n_users']:,} users; mean, and 95 % interval over users"
    return table


def _with_interval(result: Mapping[str, Any], metric: str) -> str:
    value = f"{result['metrics'][metric]:.4f}"
    if metric not in result["intervals"]:
        return value
    low, high = result["intervals"][metric]
    return f"{value}  {low:.4f} - {high:.4f}"


def dimension_table(curve: DimensionCurve) -> Group:
    """Return a table of a curve, one row for each point, and under it the knee and its rule."""
    table = Table(title=f"{curve.model}: what each number of factors costs and gives")
    rows = curve.rows()
    for heading in rows[0]:
        table.add_column(heading, justify="left" if heading in ("storage", "") else "right")
    factors = [point.factors for point in curve.points]
    for row, own, following in zip(rows, factors, [*factors[1:], None], strict=True):
        table.add_row(*row.values(), end_section=own != following)
    table.caption = (
        "± is half a 95 % interval over users. Query: exact search for one user on one core, "
        "median; vectors are decoded to float32 when they are loaded."
    )
    return Group(table, curve.verdict, curve.rule)

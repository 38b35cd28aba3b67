"""Results as tables for a terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group
from rich.table import Table

from recsys.evaluation import Comparison, Entry, Evaluation, by_activity, compare
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
        cells = (
            _with_interval(result, metric) if metric in result["metrics"] else ""
            for result in results.values()
        )
        table.add_row(metric, *cells)
    table.caption = f"{first['n_users']:,} users; mean, and 95 % interval over users"
    return table


def activity_table(evaluations: Mapping[str, Evaluation], metric: str) -> Table:
    """Return a metric by the number of items that users have in train: one row for each group.

    Parameters
    ----------
    evaluations : mapping of str to Evaluation
        By model, of the same users.
    metric : str
    """
    table = Table(title=f"{metric} by activity")
    table.add_column("in train")
    table.add_column("users", justify="right")
    for name in evaluations:
        table.add_column(name, justify="right")
    by_model = [by_activity(one, metric) for one in evaluations.values()]
    for groups in zip(*by_model, strict=True):
        cells = [
            f"{one.mean:.4f} ± {(one.interval[1] - one.interval[0]) / 2:.4f}" for one in groups
        ]
        table.add_row(groups[0].group, f"{groups[0].n_users:,}", *cells)
    return table


def comparison_table(entries: Mapping[str, Entry], baseline: str, metric: str) -> Table:
    """Return a table of models, one row each, and how each stands beside a baseline.

    Parameters
    ----------
    entries : mapping of str to Entry
    baseline : str
        One of them.
    metric : str
        Such as "ndcg@20".
    """
    evaluations = {name: entry.evaluation for name, entry in entries.items()}
    found = {one.model: one for one in compare(evaluations, baseline, metric)}
    recall = f"recall@{evaluations[baseline].k}"
    table = Table(title=f"test part, against {baseline}")
    for heading in ("model", metric, recall, f"difference of {metric}", "p"):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    for heading in ("better", "worse", "fit s", "MB"):
        table.add_column(heading, justify="right")
    for name, entry in entries.items():
        result = entry.evaluation.to_dict()
        cells = [name, _with_margin(result, metric), _with_margin(result, recall)]
        cells += _standing(found[name]) if name in found else [""] * 4
        table.add_row(*cells, f"{entry.seconds:.1f}", f"{entry.n_bytes / 1e6:.1f}")
    n_users = evaluations[baseline].n_users
    table.caption = (
        f"{n_users:,} users. Differences by bootstrap and permutation over users, p after Holm; "
        "better and worse are shares of the users."
    )
    return table


def _with_margin(result: Mapping[str, Any], metric: str) -> str:
    low, high = result["intervals"][metric]
    return f"{result['metrics'][metric]:.4f} ± {(high - low) / 2:.4f}"


def _standing(one: Comparison) -> list[str]:
    low, high = one.interval
    return [
        f"{one.difference:+.4f}, {low:+.4f} to {high:+.4f}",
        f"{one.p_value:.4f}",
        f"{one.better:.0%}",
        f"{one.worse:.0%}",
    ]


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

"""The command that tests a model and publishes nothing: evaluate."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType

import recsys
from recsys.base.durable import replaced, require_place
from recsys.base.errors import ConfigError, briefly, did_you_mean
from recsys.base.tables import table_of
from recsys.cli.app import AsJson, Out, RejectsFile, app, choose_model, read_logged
from recsys.cli.options import DeviceName, Factors, Items, LogOptions, ModelName, takes_log
from recsys.cli.output import (
    Listing,
    cell,
    counted,
    difference_of,
    ends_of,
    keep_table,
    metrics_listing,
    note,
    print_json,
    require_tables,
    show,
    with_half,
)

if TYPE_CHECKING:
    import pyarrow as pa

    from recsys.config import Settings
    from recsys.evaluation import Evaluation, Slice
    from recsys.vectors import Ids

_MOST_GROUPS = 30  # that a table shows


@app.command("evaluate")
@takes_log
def evaluate_command(
    options: LogOptions,
    model: ModelName = None,
    factors: Factors = None,
    rejects: RejectsFile = None,
    users_out: Annotated[
        Path | None, typer.Option("--users", help="Every user's metrics, to Parquet.")
    ] = None,
    items: Items = None,
    by: Annotated[
        str | None, typer.Option("--by", help="A column of --items: accuracy by its values.")
    ] = None,
    device: DeviceName = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Train on one part of a log, test on the other, and publish nothing."""
    settings = options.settings(model, factors, items, {"compute.device": device})
    require_tables(out)
    if users_out:
        require_place(users_out, "--users: expected to write every user's metrics")
    log, test = read_logged(settings, rejects)
    settings = recsys.training.with_split(settings, log, test)
    train_part, test_part = recsys.splits.split_log(log, settings.evaluation, test)
    labels = None if by is None else _item_groups(settings, train_part.items, by)
    settings = choose_model(settings, log, test)
    name = settings.chosen_model.name
    described = recsys.inputs.read_described(settings)
    results = recsys.training.evaluate_split(
        (train_part, test_part), settings, described=described, progress=True
    )
    new = None
    if test_part.split_info is not None and test_part.split_info.new_users is not None:
        new = recsys.evaluate_new_users(
            train_part,
            test_part,
            k=settings.evaluation.k,
            popular_half_life_days=settings.log.popular_half_life_days,
        )
    metric = f"ndcg@{settings.evaluation.k}"
    warm = {one: result for one, result in results.items() if ", " not in one}
    sliced = _sliced(warm, metric, by, labels)
    if users_out:
        import pyarrow.parquet as pq

        with replaced(users_out) as aside:
            pq.write_table(results[name].to_table(train_part.users), aside)
        note(f"every user of {name}: {users_out}")
    keep_table(partial(_evaluation_table, results, sliced, new), out)
    if as_json:
        print_json(_plain_evaluations(results, sliced, new))
        return
    show(
        metrics_listing(
            {name: result.to_dict() for name, result in results.items()},
            recsys.splits.said_of_split(settings.evaluation),
        ),
        *(_groups(one) for one in sliced),
        _left_out(results[name].left_out, new, metric),
    )


def _item_groups(settings: "Settings", ids: "Ids", column: str) -> list[list[str]]:
    """Return the groups of each item by a column of the table of items; say what divides them."""
    table = recsys.inputs.read_attributes(settings)
    if table is None:
        raise ConfigError(f"--by {column}: expected a table of items, got none; add --items")
    if column not in table.column_names:
        raise ConfigError(
            f"--by: expected one of {', '.join(table.column_names)}, got {briefly(column)}"
            f"{did_you_mean(column, table.column_names)}"
        )
    values = recsys.logs.attributes_of(table, ids)[column].to_pylist()
    groups, separator = recsys.evaluation.groups_of(values)
    if any(len(own) > 1 for own in groups):
        what = f"texts are split at {separator!r}" if separator else "values are lists"
        note(f"--by {column}: {what}; an item counts in each of its groups")
    return groups


@dataclass(frozen=True)
class _Sliced:
    """What models reach in groups of users, or of held-out pairs."""

    metric: str
    by: str
    unit: str
    by_model: "Mapping[str, Sequence[Slice]]"


def _sliced(
    results: "Mapping[str, Evaluation]",
    metric: str,
    by: str | None,
    labels: Sequence[Sequence[str]] | None,
) -> list[_Sliced]:
    """Return where the model is good, and where popularity is better."""
    evaluation = recsys.evaluation
    first, *others = results.items()
    baseline = others[0][1] if others else None
    ordered = [(*first, baseline), *((*other, None) for other in others)]
    share = f"share of the held-out pairs in lists of {first[1].k}"
    tables: list[tuple[str, str, str, Callable[..., list[Slice]]]] = [
        (metric, "activity in train", "users", partial(evaluation.by_activity, metric=metric)),
        (share, "users of the item in train", "pairs", evaluation.by_item_popularity),
    ]
    if labels is not None:
        tables.append((share, str(by), "pairs", partial(evaluation.item_slices, labels=labels)))
    return [
        _Sliced(what, of, unit, {name: made(one, baseline=other) for name, one, other in ordered})
        for what, of, unit, made in tables
    ]


def _plain_evaluations(
    results: "Mapping[str, Evaluation]", sliced: Sequence[_Sliced], new: "Evaluation | None"
) -> dict[str, Any]:
    """Return all that the tables show, for JSON."""
    found: dict[str, Any] = {}
    for name, result in results.items():
        groups = (
            []
            if ", " in name
            else [
                {
                    "metric": one.metric,
                    "by": one.by,
                    "unit": one.unit,
                    "groups": [asdict(own) | {"loses": own.loses} for own in one.by_model[name]],
                }
                for one in sliced
            ]
        )
        found[name] = result.to_dict() | {"by": groups}
    return found if new is None else found | {"new users": new.to_dict()}


def _evaluation_table(
    results: "Mapping[str, Evaluation]", sliced: Sequence[_Sliced], new: "Evaluation | None"
) -> "pa.Table":
    """Return a row for each model and metric, of all users and of each group."""
    all_users = [*results.items(), *([] if new is None else [("popular list", new)])]
    rows: list[dict[str, Any]] = [
        {"model": name, "by": "new users" if one is new else "", "group": ""}
        | {"metric": metric, "n": one.n_users, "value": value}
        | dict(zip(("low", "high"), one.intervals.get(metric, (None, None)), strict=True))
        for name, one in all_users
        for metric, value in one.metrics.items()
    ]
    rows += [
        {"model": name, "by": one.by, "group": own.group}
        | {"metric": one.metric, "n": own.n, "value": own.value}
        | dict(zip(("low", "high"), own.interval, strict=True))
        for one in sliced
        for name, groups in one.by_model.items()
        for own in groups
    ]
    return table_of(rows)


def _groups(sliced: _Sliced) -> Listing:
    """Return a table of one row for each group, which marks those where the first model loses."""
    unit, by_model = sliced.unit, sliced.by_model
    first, *others = by_model
    groups = list(zip(*by_model.values(), strict=True))
    least = sorted((models[0].n for models in groups), reverse=True)[:_MOST_GROUPS][-1]
    rows = [_group(models) for models in groups if models[0].n >= least]
    n_left = len(groups) - len(rows)
    loses = [""] if any(row[-1] for row in rows) else []
    rows = rows if loses else [row[:-1] for row in rows]
    return Listing(
        ["group", unit, *by_model, *(f"{first} above {other}" for other in others), *loses],
        rows,
        f"{sliced.metric} by {sliced.by}",
        left=["group"],
        caption=f"{n_left:,} groups with less than {least:,} {unit}" if n_left else "",
    )


def _group(models: "Sequence[Slice]") -> list[str]:
    own = models[0]
    cells = [own.group, f"{own.n:,}", *(with_half(one.value, one.interval) for one in models)]
    if own.difference is not None and own.difference_interval is not None:
        cells.append(difference_of(own.difference, own.difference_interval))
    return [*cells, "<- loses" if own.loses else ""]


def _left_out(left_out: Mapping[str, int], new: "Evaluation | None", metric: str) -> RenderableType:
    """Return the events that the metrics leave out, by reason, and the metric of new users."""
    caption = ""
    if new is not None:
        mean, ends = new.metrics[metric], ends_of(new.intervals[metric])
        users = counted(new.n_users, "new user") + (" gets" if new.n_users == 1 else " get")
        caption = f"{users} the popular list: {metric} {mean:.4f}  {ends}"
    if not left_out:
        return cell(caption or "nothing is left out")
    rows = [[reason, f"{n:,}"] for reason, n in left_out.items()]
    heading = "left out above"
    return Listing([heading, "number"], rows, left=[heading], caption=caption)

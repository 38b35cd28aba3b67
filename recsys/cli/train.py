"""Commands that train: train, evaluate, datasets, nightly."""

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import recsys
from recsys.base.errors import ConfigError, did_you_mean
from recsys.base.progress import progress_bar
from recsys.base.stopping import StoppedError
from recsys.cli.app import (
    DEFAULT_STORE,
    STORE_HELP,
    AsJson,
    Config,
    Logs,
    ModelName,
    Rejects,
    Store,
    app,
    settings_of,
)
from recsys.cli.output import console, note, print_json, print_metrics, print_rows, say
from recsys.cli.store import print_checks
from recsys.cli.tables import night_table, slices_table, unseen_table

if TYPE_CHECKING:
    from recsys.config import Settings
    from recsys.evaluation import Evaluation, Slice
    from recsys.vectors import Ids


@app.command()
def train(
    logs: Logs = None,
    config: Config = None,
    store: Store = DEFAULT_STORE,
    items: Annotated[Path | None, typer.Option("--items", help="Table of item attributes.")] = None,
    model: ModelName = None,
    rejects: Rejects = None,
    as_json: AsJson = False,
) -> None:
    """Train on a log, test, and publish a version."""
    from recsys.base.durable import stamp_of  # with hashlib, which no other command needs at once

    settings = settings_of(logs, config, items, model)
    recsys.store.require_writable(store)
    log = recsys.read_log(
        settings.data.log,
        settings.log,
        rejects=rejects or store / "rejects" / f"{stamp_of(datetime.now(UTC))}.parquet",
        progress=True,
    )
    note(str(log.row_counts))
    version = recsys.train(
        log,
        store,
        settings=settings,
        test=recsys.training.read_test(settings),
        items=recsys.training.read_attributes(settings),
        progress=True,
    )
    if as_json:
        print_json(version.manifest.to_dict())
    else:
        print_metrics({name: one.to_dict() for name, one in version.manifest.metrics.items()})
        print_checks(version.manifest)
        say(f"published {version.name} in {store}")


@app.command()
def evaluate(
    logs: Logs = None,
    config: Config = None,
    model: ModelName = None,
    rejects: Rejects = None,
    users_out: Annotated[
        Path | None, typer.Option("--users", help="Every user's metrics, to Parquet.")
    ] = None,
    items: Annotated[Path | None, typer.Option("--items", help="Table of item attributes.")] = None,
    by: Annotated[
        str | None, typer.Option("--by", help="A column of --items: accuracy by its values.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train on one part of a log, test on the other, and publish nothing."""
    settings = settings_of(logs, config, items, model)
    log = recsys.read_log(settings.data.log, settings.log, rejects=rejects, progress=True)
    note(str(log.row_counts))
    train_part, test_part = recsys.splits.split_log(
        log, settings.evaluation, recsys.training.read_test(settings)
    )
    results = recsys.training.evaluate_split((train_part, test_part), settings, progress=True)
    new = None
    if test_part.split_info is not None and test_part.split_info.new_users is not None:
        new = recsys.evaluate_new_users(
            train_part,
            test_part,
            k=settings.evaluation.k,
            popular_half_life_days=settings.log.popular_half_life_days,
        )
    metrics = {name: result.to_dict() for name, result in results.items()}
    if users_out:
        import pyarrow.parquet as pq

        pq.write_table(results[settings.model.name].to_table(train_part.users), users_out)
        note(f"every user of {settings.model.name}: {users_out}")
    if as_json:
        print_json(metrics | ({} if new is None else {"new users": new.to_dict()}))
        return
    print_metrics(metrics)
    metric = f"ndcg@{settings.evaluation.k}"
    labels = None if by is None else _item_labels(settings, train_part.items, by)
    _print_slices(results, metric, by, labels)
    console().print(unseen_table(results[settings.model.name].left_out, new, metric))


def _item_labels(settings: "Settings", ids: "Ids", column: str) -> list[str]:
    """Return a column of the table of items for each item, "unknown" where it has no value."""
    table = recsys.training.read_attributes(settings)
    if table is None:
        raise ConfigError(f"--by {column}: expected a table of items, got none; add --items")
    if column not in table.column_names:
        raise ConfigError(
            f"--by: expected one of {', '.join(table.column_names)}, got {column!r}"
            f"{did_you_mean(column, table.column_names)}"
        )
    values = recsys.logs.attributes_of(table, ids)[column].to_pylist()
    return ["unknown" if value is None else str(value) for value in values]


def _print_slices(
    results: "Mapping[str, Evaluation]", metric: str, by: str | None, labels: Sequence[str] | None
) -> None:
    """Show where the model is good, and where popularity is better."""
    evaluation = recsys.evaluation
    first, *others = results.items()
    baseline = others[0][1] if others else None
    ordered = [(*first, baseline), *((*other, None) for other in others)]
    share = f"share of the held-out pairs in lists of {first[1].k}"
    tables: list[tuple[str, str, Callable[..., list[Slice]]]] = [
        (
            f"{metric} by activity in train",
            "users",
            partial(evaluation.by_activity, metric=metric),
        ),
        (f"{share}, by users of the item in train", "pairs", evaluation.by_item_popularity),
    ]
    if labels is not None:
        tables.append(
            (f"{share}, by {by}", "pairs", partial(evaluation.item_slices, labels=labels))
        )
    for title, unit, sliced in tables:
        by_model = {name: sliced(one, baseline=other) for name, one, other in ordered}
        console().print(slices_table(title, unit, by_model))


@app.command()
def datasets(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Fetch this one.")] = None,
    folder: Annotated[Path, typer.Option("--folder", help="Where to put it.")] = Path("logs"),
    as_json: AsJson = False,
) -> None:
    """List public logs with licence and size, or fetch one."""
    if name is not None:
        with progress_bar(f"fetching {name}") as on_step:
            path = recsys.datasets.fetch(name, folder, on_step=on_step)
        say(path)
    elif as_json:
        print_json(recsys.datasets.describe())
    else:
        _print_datasets(recsys.datasets.describe())


def _print_datasets(rows: Sequence[Mapping[str, Any]]) -> None:
    short = [
        {
            "name": row["name"],
            "interactions": f"{row['interactions']:,}",
            "MB": f"{row['megabytes']:g}",
            "terms": row["terms"],
            "home": row["home"],
            "fetch": "yes" if row["fetchable"] else "by hand",
        }
        for row in rows
    ]
    print_rows(short, title="public logs; `recsys datasets NAME` fetches one")


@app.command()
def nightly(
    config: Annotated[Path, typer.Option("--config", help="TOML file of settings.")],
    store: Annotated[Path | None, typer.Option("--store", help=STORE_HELP)] = None,
    as_json: AsJson = False,
) -> None:
    """Run the whole night: ingest, train, test, publish; go on after a crash."""
    try:
        report = recsys.nightly.run_night(settings_of(config=config), store, progress=True)
    except StoppedError as stopped:
        note(f"recsys: {stopped}; the next start goes on where this one was")
        os._exit(128 + stopped.number)  # without waiting for threads
    if as_json:
        print_json(report.to_dict())
    else:
        console().print(night_table(report))

"""Commands that read a log: train, evaluate, dimensions, datasets."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from recsys.cli.app import app
from recsys.cli.arguments import (
    AsJson,
    Config,
    Logs,
    ModelName,
    Rejects,
    Store,
    settings_of,
)
from recsys.cli.output import console, note, print_json, print_metrics, print_rows
from recsys.errors import ConfigError

if TYPE_CHECKING:
    from recsys.reports import DimensionCurve, DimensionPoint


@app.command()
def train(
    logs: Logs = None,
    config: Config = None,
    store: Store = None,
    items: Annotated[Path | None, typer.Option("--items", help="Table of titles.")] = None,
    model: ModelName = None,
    rejects: Rejects = None,
    as_json: AsJson = False,
) -> None:
    """Train on a log, test, and publish a version."""
    from recsys.logs import read_log
    from recsys.serving import store_path
    from recsys.store import require_writable
    from recsys.training import read_test, read_titles, train

    settings = settings_of(logs, config, items, model)
    folder = store_path(store)
    require_writable(folder)
    log = read_log(
        settings.data.log,
        settings.log,
        rejects=rejects or folder / "rejects" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.parquet",
        progress=True,
    )
    note(str(log.account))
    version = train(
        log,
        folder,
        settings=settings,
        test=read_test(settings),
        items=read_titles(settings),
        progress=True,
    )
    if as_json:
        print_json(version.manifest.to_dict())
    else:
        print_metrics(version.manifest.metrics)
        typer.echo(f"published {version.name} in {folder}")


@app.command()
def evaluate(
    logs: Logs = None,
    config: Config = None,
    model: ModelName = None,
    rejects: Rejects = None,
    users_out: Annotated[
        Path | None, typer.Option("--users", help="Every user's metrics, to Parquet.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train on one part of a log, test on the other, and publish nothing."""
    from recsys.logs import read_log
    from recsys.reports import activity_table
    from recsys.training import evaluate_models, read_test

    settings = settings_of(logs, config, None, model)
    log = read_log(settings.data.log, settings.log, rejects=rejects, progress=True)
    note(str(log.account))
    results = evaluate_models(log, settings, test=read_test(settings), progress=True)
    metrics = {name: result.to_dict() for name, result in results.items()}
    if users_out and results:
        import pyarrow.parquet as pq

        pq.write_table(results[settings.model.name].to_table(log.users), users_out)
        note(f"every user of {settings.model.name}: {users_out}")
    if as_json:
        print_json(metrics)
    elif results:
        print_metrics(metrics)
        console().print(activity_table(results, f"ndcg@{settings.evaluation.k}"))


@app.command()
def compare(
    logs: Logs = None,
    config: Config = None,
    models: Annotated[
        str, typer.Option("--models", help="Also knn and bpr, of implicit.")
    ] = "als,svd,popularity",
    baseline: Annotated[
        str | None, typer.Option("--baseline", help="Default: the last of the models.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Test several models on the same users, and say which differ by more than luck."""
    from dataclasses import asdict

    from recsys.evaluation import compare as compared
    from recsys.logs import read_log
    from recsys.reports import comparison_table
    from recsys.training import compare_models, read_test

    settings = settings_of(logs, config, None, None)
    names = list(dict.fromkeys(name.strip() for name in models.split(",")))
    reference = baseline or names[-1]
    if reference not in names:
        raise ConfigError(f"--baseline: expected one of {', '.join(names)}, got {reference!r}")
    log = read_log(settings.data.log, settings.log, progress=True)
    note(str(log.account))
    entries = compare_models(log, settings, names, test=read_test(settings), progress=True)
    metric = f"ndcg@{settings.evaluation.k}"
    if not as_json:
        console().print(comparison_table(entries, reference, metric))
        return
    evaluations = {name: entry.evaluation for name, entry in entries.items()}
    print_json(
        {
            "models": {
                name: {
                    **entry.evaluation.to_dict(),
                    "seconds": entry.seconds,
                    "bytes": entry.n_bytes,
                }
                for name, entry in entries.items()
            },
            "comparisons": list(map(asdict, compared(evaluations, reference, metric))),
        }
    )


@app.command()
def dimensions(
    logs: Logs = None,
    config: Config = None,
    model: ModelName = None,
    factors: Annotated[
        str, typer.Option("--factors", help="Numbers of factors to try.")
    ] = "16,32,64,128,256",
    out: Annotated[Path | None, typer.Option("--out", help="Draw to .svg, .png or .html.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show what each number of factors costs and gives, and which to choose."""
    from recsys.logs import read_log
    from recsys.reports import DimensionCurve, numbers_of_factors, require_drawing
    from recsys.training import read_test, try_dimensions

    if out:
        require_drawing(out)
    settings, sizes = settings_of(logs, config, None, model), numbers_of_factors(factors)
    log = read_log(settings.data.log, settings.log, progress=True)
    note(str(log.account))
    measured = try_dimensions(log, settings, sizes, test=read_test(settings), progress=True)
    points: list[DimensionPoint] = []
    try:
        points.extend(measured)
    except KeyboardInterrupt:
        note("recsys: interrupted; what follows was measured before")
        raise
    finally:  # whoever interrupts a long run keeps what was measured
        if points:
            _show_curve(DimensionCurve(settings.model.name, points), out, as_json)


def _show_curve(curve: "DimensionCurve", out: Path | None, as_json: bool) -> None:
    from recsys.reports import dimension_table, save_drawing

    if as_json:
        print_json(curve.to_dict())
    else:
        console().print(dimension_table(curve))
    if out:
        save_drawing(curve, out)
        note(f"drawn to {out}")


@app.command()
def datasets(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Fetch this one.")] = None,
    folder: Annotated[Path, typer.Option("--folder", help="Where to put it.")] = Path("logs"),
    as_json: AsJson = False,
) -> None:
    """List public logs with licence and size, or fetch one."""
    from recsys.logs.public import describe, fetch
    from recsys.progress import progress_bar

    if name is not None:
        with progress_bar(f"fetching {name}") as on_step:
            path = fetch(name, folder, on_step=on_step)
        typer.echo(path)
    elif as_json:
        print_json(describe())
    else:
        _print_datasets(describe())


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

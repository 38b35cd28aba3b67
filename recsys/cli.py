"""The command line: thin commands over the library.

Exit codes: 0 done, 1 refused (bad data, a gate), 2 usage. One line on stderr per error that we
know; results go to stdout, progress to stderr.
"""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from recsys.errors import ConfigError, RecsysError

if TYPE_CHECKING:
    from recsys.config import Settings
    from recsys.reports import DimensionCurve, DimensionPoint
    from recsys.serving import Recommendations, Recommender

app = typer.Typer(
    name="recsys",
    help="Interaction logs to embeddings, embeddings to recommendations.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Logs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="LOG...", help="Files, globs or folders; default: data.log of --config."
    ),
]
Config = Annotated[Path | None, typer.Option("--config", help="TOML file of settings.")]
Store = Annotated[
    Path | None, typer.Option("--store", help="Default: $RECSYS_STORE, else ./store.")
]
VersionOption = Annotated[str | None, typer.Option("--version", help="Default: the current one.")]
ModelName = Annotated[
    str | None, typer.Option("--model", help="als, svd, item2vec, softmax, blend, popularity.")
]
Rejects = Annotated[
    Path | None, typer.Option("--rejects", help="Where rows that cannot be used go (Parquet).")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
ListLength = Annotated[int, typer.Option("-k", min=1, help="Length of the list.")]


def main() -> None:
    """Run the command line; the entry point of the package."""
    try:
        app()
    except RecsysError as error:
        typer.echo(f"recsys: {error}", err=True)
        sys.exit(2 if isinstance(error, ConfigError) else 1)
    except KeyboardInterrupt:
        typer.echo("recsys: interrupted; nothing was published", err=True)
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stderr.close()
        sys.exit(0)


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

    settings = _settings(logs, config, items, model)
    folder = store_path(store)
    require_writable(folder)
    log = read_log(
        settings.data.log,
        settings.log,
        rejects=rejects or folder / "rejects" / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.parquet",
        progress=True,
    )
    _note(str(log.account))
    version = train(
        log,
        folder,
        settings=settings,
        test=read_test(settings),
        items=read_titles(settings),
        progress=True,
    )
    if as_json:
        _print_json(version.manifest.to_dict())
    else:
        _print_metrics(version.manifest.metrics)
        typer.echo(f"published {version.name} in {folder}")


@app.command()
def evaluate(
    logs: Logs = None,
    config: Config = None,
    model: ModelName = None,
    rejects: Rejects = None,
    as_json: AsJson = False,
) -> None:
    """Train on one part of a log, test on the other, and publish nothing."""
    from recsys.logs import read_log
    from recsys.training import evaluate_models, read_test

    settings = _settings(logs, config, None, model)
    log = read_log(settings.data.log, settings.log, rejects=rejects, progress=True)
    _note(str(log.account))
    results = evaluate_models(log, settings, test=read_test(settings), progress=True)
    metrics = {name: result.to_dict() for name, result in results.items()}
    if as_json:
        _print_json(metrics)
    else:
        _print_metrics(metrics)


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
    settings, sizes = _settings(logs, config, None, model), numbers_of_factors(factors)
    log = read_log(settings.data.log, settings.log, progress=True)
    _note(str(log.account))
    measured = try_dimensions(log, settings, sizes, test=read_test(settings), progress=True)
    points: list[DimensionPoint] = []
    try:
        points.extend(measured)
    except KeyboardInterrupt:
        _note("recsys: interrupted; what follows was measured before")
        raise
    finally:  # whoever interrupts a long run keeps what was measured
        if points:
            _show_curve(DimensionCurve(settings.model.name, points), out, as_json)


def _show_curve(curve: "DimensionCurve", out: Path | None, as_json: bool) -> None:
    from recsys.reports import dimension_table, save_drawing

    if as_json:
        _print_json(curve.to_dict())
    else:
        _console().print(dimension_table(curve))
    if out:
        save_drawing(curve, out)
        _note(f"drawn to {out}")


@app.command()
def recommend(
    user_id: Annotated[str, typer.Argument(metavar="USER", help="As the log spells it.")],
    k: ListLength = 10,
    include_seen: Annotated[
        bool, typer.Option("--include-seen", help="Keep what the user has seen.")
    ] = False,
    on_unknown: Annotated[
        Literal["popular", "raise"],
        typer.Option("--on-unknown", help="What a user that we do not know gets."),
    ] = "popular",
    store: Store = None,
    version: VersionOption = None,
    as_json: AsJson = False,
) -> None:
    """Recommend items to a user."""
    from recsys.serving import open

    recommender = open(store, version)
    found = recommender.recommend(user_id, k, include_seen=include_seen, on_unknown=on_unknown)
    if as_json:
        _print_json(found.to_dict())
        return
    because = None
    if found.source == "personal" and not include_seen:
        because = [recommender.closest_seen(user_id, item_id) for item_id, _ in found]
    title = f"for {user_id} · {found.source} · version {found.version}"
    _print_items(recommender, found, title, because)


@app.command()
def similar(
    item_id: Annotated[str, typer.Argument(metavar="ITEM", help="As the log spells it.")],
    k: ListLength = 10,
    store: Store = None,
    version: VersionOption = None,
    as_json: AsJson = False,
) -> None:
    """List the items most similar to one, by cosine."""
    from recsys.serving import open

    recommender = open(store, version)
    found = recommender.similar_items(item_id, k)
    if as_json:
        _print_json(found.to_dict())
    else:
        _print_items(recommender, found, f"similar to {item_id} · version {found.version}")


@app.command()
def versions(store: Store = None, as_json: AsJson = False) -> None:
    """List the versions of a store, newest first."""
    from recsys.serving import store_path
    from recsys.store import current, versions

    folder = store_path(store)
    active = current(folder)
    rows = [
        {
            "version": found.name,
            "current": found.name == active,
            "model": found.manifest.model["name"],
            "factors": found.manifest.factors,
            "users": found.manifest.n_users,
            "items": found.manifest.n_items,
        }
        for found in versions(folder)
    ]
    if as_json:
        _print_json(rows)
    else:
        _print_rows(rows, title=f"versions in {folder}")


@app.command()
def activate(
    version: Annotated[str, typer.Argument(metavar="VERSION")],
    store: Store = None,
) -> None:
    """Make a version the current one."""
    from recsys.serving import store_path
    from recsys.store import activate

    activate(store_path(store), version)
    typer.echo(f"current: {version}")


@app.command()
def verify(
    version: Annotated[
        str | None, typer.Argument(metavar="[VERSION]", help="Default: the current one.")
    ] = None,
    store: Store = None,
) -> None:
    """Check every file of a version against its manifest."""
    from recsys.serving import store_path
    from recsys.store import verify

    found = verify(store_path(store), version)
    typer.echo(f"{found.name}: every file is what its manifest says")


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
        _print_json(describe())
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
    _print_rows(short, title="public logs; `recsys datasets NAME` fetches one")


def _settings(
    logs: Sequence[str] | None, config: Path | None, items: Path | None, model: str | None
) -> "Settings":
    """Combine the config with what the command line says; the command line wins."""
    from dataclasses import replace

    from recsys.config import Settings, read_config
    from recsys.models import model_from

    settings = read_config(config) if config else Settings()
    data = settings.data
    if logs:
        data = replace(data, log=list(logs))
    if items:
        data = replace(data, items=str(items))
    if not data.log:
        raise ConfigError("no log: name one on the command line, or as data.log in --config")
    if model:
        settings = replace(settings, model=model_from(model, {}))
    return replace(settings, data=data)


def _console() -> Console:
    # Ids and titles are data: nothing in them is markup. A pipe has no width of its own.
    width = None if sys.stdout.isatty() else 120
    return Console(markup=False, emoji=False, highlight=False, width=width)


def _note(sentence: str) -> None:
    typer.echo(sentence, err=True)


def _print_json(value: Any) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))


def _print_metrics(results: Mapping[str, Mapping[str, Any]]) -> None:
    from recsys.reports import metrics_table

    if results:
        _console().print(metrics_table(results))


def _print_items(
    recommender: "Recommender",
    found: "Recommendations",
    title: str,
    because: Sequence[Any] | None = None,
) -> None:
    """Print a list with what is known of each item and, where given, the reason."""
    known = [recommender.describe(item_id) for item_id, _ in found]
    names = dict.fromkeys(name for row in known for name in row)
    columns = sorted(names, key=lambda name: name != "title")[:3]
    table = Table(title=Text(title))
    for heading in ("", "item", *columns, "score"):
        table.add_column(heading, justify="right" if heading in ("", "score") else "left")
    if because:
        table.add_column("because of")
    for place, (item_id, score) in enumerate(found):
        cells = [
            str(place + 1),
            str(item_id),
            *(str(known[place].get(name, "")) for name in columns),
        ]
        cells.append(f"{score:.4g}")
        if because:
            reason = because[place]
            cells.append(_title_of(recommender, reason.item_id) if reason else "")
        table.add_row(*(Text(cell) for cell in cells))
    _console().print(table)


def _title_of(recommender: "Recommender", item_id: str | int) -> str:
    return str(recommender.describe(item_id).get("title") or item_id)


def _print_rows(rows: Iterable[Mapping[str, Any]], title: str) -> None:
    table = Table(title=Text(title))
    for place, row in enumerate(rows):
        if place == 0:
            for name in row:
                table.add_column(name)
        table.add_row(*(Text("" if value is None else str(value)) for value in row.values()))
    _console().print(table)

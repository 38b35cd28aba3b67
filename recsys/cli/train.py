"""Commands that train: train, datasets, nightly, refresh."""

import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType

import recsys
from recsys.base.errors import GateFailedError
from recsys.base.progress import progress_bar
from recsys.base.stopping import StoppedError
from recsys.cli.app import (
    DEFAULT_STORE,
    STORE_HELP,
    AsJson,
    RejectsFile,
    Store,
    app,
    note_choice,
    note_counts,
    read_logged,
)
from recsys.cli.features import ItemFeatures, UserFeatures, Users, feature_keys
from recsys.cli.options import (
    Changes,
    Config,
    DeviceName,
    Factors,
    Items,
    LogOptions,
    ModelName,
    takes_log,
)
from recsys.cli.output import (
    Listing,
    cell,
    metrics_listing,
    note,
    print_json,
    print_rows,
    say,
    show,
)
from recsys.cli.report import save_page_of_night
from recsys.cli.store import note_below_popularity, print_checks
from recsys.settings import AS_GOOD, BETTER, EvaluationSettings

if TYPE_CHECKING:
    from recsys.config import Settings
    from recsys.nightly import NightReport
    from recsys.store import Manifest, Version

_MAIN_METRICS = ("recall", "ndcg", "hit_rate", "auc", "coverage")  # of a night


@app.command("train")
@takes_log
def train_command(
    options: LogOptions,
    store: Store = DEFAULT_STORE,
    items: Items = None,
    users: Users = None,
    item_features: ItemFeatures = None,
    user_features: UserFeatures = None,
    model: ModelName = None,
    factors: Factors = None,
    rejects: RejectsFile = None,
    engine: Annotated[
        str | None, typer.Option("--engine", help="local, spark: where it is trained (engine).")
    ] = None,
    device: DeviceName = None,
    as_json: AsJson = False,
) -> None:
    """Train on a log, test, and publish a version."""
    from recsys.base.durable import stamp_of  # with hashlib, which no other command needs at once

    keys = feature_keys(users, item_features, user_features)
    keys |= {"engine": engine, "compute.device": device}
    settings = options.settings(model, factors, items, keys)
    recsys.store.require_writable(store)
    folder = recsys.store.store_folder(store)
    rejects = rejects or folder / "rejects" / f"{stamp_of(datetime.now(UTC))}.parquet"
    train = _trained_on_spark if settings.engine == "spark" else _trained
    try:
        version, user = train(settings, store, rejects)
    except GateFailedError as error:
        if error.version is None or as_json:
            raise
        show_refused(store, error, model)
        names = [check.name for check in error.checks]
        raise GateFailedError(names, error.checks, error.version) from error
    if as_json:
        print_json(version.manifest.to_dict())
        return
    choice = version.manifest.model.choice
    if choice is not None:
        note_choice(recsys.tuning.Choice.from_dict(choice))
    _show_metrics(version.manifest)
    print_checks(version.manifest)
    note_below_popularity(version.manifest)
    say(f"published {version.name} in {recsys.store.shown_store(store)}")
    note(f"a list: {_command_of_a_list(user, store)}")


def _trained(settings: "Settings", store: Path, rejects: Path) -> tuple["Version", str]:
    """Train on the log of some settings; return the version, and a user of the log."""
    log, test = read_logged(settings, rejects)
    version = recsys.train(
        log,
        store,
        settings=settings,
        test=test,
        items=settings.data.items,
        users=settings.data.users,
        progress=True,
    )
    return version, str(log.users[0])


def _trained_on_spark(settings: "Settings", store: Path, rejects: Path) -> tuple["Version", str]:
    """Do the same in the executors of Spark."""
    from recsys.spark import read, spark_session
    from recsys.spark.train import train

    spark = spark_session(settings.spark)
    try:
        log = read(settings, spark, rejects=rejects)
        note_counts(log.row_counts)
        version = train(settings, store, spark=spark, log=log, progress=True)
        (user,) = log.users.where("user_idx = 0").select("user_id").collect()
        return version, str(user[0])
    finally:
        spark.stop()


def _command_of_a_list(user: str, store: Path) -> str:
    """Return the command that recommends items to a user."""
    of_store = [] if store == DEFAULT_STORE else ["--store", recsys.store.shown_store(store)]
    whom = ["--", user] if user.startswith("-") else [user]
    return shlex.join(["recsys", "recommend", *of_store, *whom])


def _show_metrics(manifest: "Manifest") -> None:
    """Print what a version reached in its test, if it had one."""
    if manifest.metrics:
        results = {name: one.to_dict() for name, one in manifest.metrics.items()}
        tested = EvaluationSettings(**manifest.config["evaluation"])
        show(metrics_listing(results, recsys.splits.said_of_split(tested)))
        left_out = next(iter(manifest.metrics.values())).left_out.items()
        if left_out:
            note("left out of the test: " + ", ".join(f"{why} {n:,}" for why, n in left_out))


def show_refused(store: Path, error: GateFailedError, model: str | None) -> None:
    """Print what a refused version reached, and say what else may help a model that lost."""
    _show_metrics(recsys.store.find_version(store, error.version).manifest)
    for sentence in error.failures:
        note(f"refused: {sentence}")
    lost = {check.name for check in error.checks} & {AS_GOOD, BETTER}
    if lost and model not in (None, recsys.config.AUTO):
        note(f"without --model {model}, the model that suits the log is chosen")


@app.command("datasets")
def datasets_command(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Fetch this one.")] = None,
    folder: Annotated[Path, typer.Option("--folder", help="Where to put it.")] = Path("logs"),
    as_json: AsJson = False,
) -> None:
    """List public logs with licence and size, or fetch one."""
    rows = recsys.datasets.describe()
    if name is not None:
        with progress_bar(f"fetching {name}") as on_step:
            path = recsys.datasets.fetch(name, folder, on_step=on_step)
        say(path)
    elif as_json:
        print_json(rows)
    else:
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


@app.command("nightly")
def nightly_command(
    config: Annotated[Path, typer.Option("--config", help="TOML file of settings.")],
    store: Annotated[Path | None, typer.Option("--store", help=STORE_HELP)] = None,
    changes: Changes = None,
    device: DeviceName = None,
    as_json: AsJson = False,
) -> None:
    """Run the whole night: ingest, train, test, publish; go on after a crash."""
    options = LogOptions(config=config, changes=changes)
    settings = options.settings(keys={"compute.device": device})
    with _stopping():
        try:
            report = recsys.nightly.run_night(settings, store, progress=True)
        except GateFailedError as error:
            if error.version is not None:
                save_page_of_night(_store_of(settings, store), error.version)
            raise
        _show_night(report, as_json)
        if not report.is_idle:
            save_page_of_night(_store_of(settings, store), report.version)


def _store_of(settings: "Settings", store: Path | None) -> Path:
    return recsys.serving.store_path(store or settings.nightly.store)


@app.command("refresh")
def refresh_command(
    config: Config = None,
    store: Annotated[Path | None, typer.Option("--store", help=STORE_HELP)] = None,
    changes: Changes = None,
    as_json: AsJson = False,
) -> None:
    """Fold in users and items that are new since the version, and publish; takes seconds.

    All others stay as they are. What --config does not say, such as the log, is as it was when the
    current version was made.
    """
    tables = LogOptions(config=config, changes=changes).tables()
    with _stopping():
        report = recsys.nightly.run_refresh(tables, store, progress=True)
        _show_night(report, as_json, "refresh")


@contextmanager
def _stopping() -> Iterator[None]:
    """End a command that was stopped, once what it does is in order."""
    try:
        yield
    except StoppedError as stopped:
        note(f"recsys: {stopped}; the next start goes on where this one was")
        os._exit(128 + stopped.number)  # without waiting for threads


def _show_night(report: "NightReport", as_json: bool, what: str = "night") -> None:
    if as_json:
        print_json(report.to_dict())
    else:
        show(*_night(report, what))


def _night(report: "NightReport", what: str) -> list[RenderableType]:
    """Return what is printed at the end of a night: stages, metrics and the version."""
    rows = [
        [
            stage.name,
            stage.status,
            "" if stage.status == "left out" else f"{stage.seconds:.2f}",
            "" if stage.peak_bytes is None else f"{stage.peak_bytes / 1e6:,.0f}",
            _counts(stage.counts),
        ]
        for stage in report.stages
    ]
    headings = ["stage", "", "seconds", "MB", "what"]
    title = f"{what} {report.run} on {report.store}"
    parts: list[RenderableType] = [Listing(headings, rows, title, left=["stage", "", "what"])]
    parts += [cell(f"not passed: {one}") for one in report.facts("gates").get("sentences", ())]
    parts += [cell(f"warning: {one}") for one in report.warnings]
    if report.metrics:
        main = {name: _main_metrics(one) for name, one in report.metrics.items()}
        parts.append(replace(metrics_listing(main), title=""))  # for one screen
    return [*parts, cell(_last_line(report))]


def _main_metrics(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Return an evaluation with few of its metrics, for one screen; all are in the manifest."""
    kept = {
        name: value
        for name, value in evaluation["metrics"].items()
        if name.partition("@")[0] in _MAIN_METRICS
    }
    return {**evaluation, "metrics": kept}


def _counts(counts: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name.replace('_', ' ')} {f'{value:,}' if isinstance(value, int) else value}"
        for name, value in counts.items()
    )


def _last_line(report: "NightReport") -> str:
    if report.is_idle:
        return f"nothing new: {report.version} stays current, {report.seconds:.1f} s in all"
    if report.version is not None:
        alone = not report.facts("publish").get("parent")
        compared = ", compared with no version before it" if alone else ""
        return f"published {report.version}{compared}, {report.seconds:.1f} s in all"
    return f"{report.result} after {report.seconds:.1f} s"

"""Commands that select hyperparameters: tune, dimensions."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import recsys
from recsys.base.stopping import StoppedError, check_stop, uninterrupted
from recsys.base.table_files import require_table_path
from recsys.cli.app import AsJson, app, choose_model, read_logged
from recsys.cli.options import Factors, LogOptions, ModelName, takes_log
from recsys.cli.output import Listing, keep_table, note, print_json, show, trends

if TYPE_CHECKING:
    from recsys.evaluation import DimensionCurve, DimensionPoint
    from recsys.tuning import Tuned

Outs = Annotated[
    list[Path] | None,
    typer.Option(
        "--out",
        help="A config for train, .toml, or all rows: .csv, .parquet, .json, .jsonl, .md, .html; "
        "repeatable.",
    ),
]
Trials = Annotated[
    int | None, typer.Option("--trials", min=1, help="At most, of each model. Default: 40.")
]
Minutes = Annotated[float | None, typer.Option("--minutes", help="Of each model, at most.")]
Study = Annotated[
    Path | None,
    typer.Option("--study", help="SQLite file that keeps the trials; a search continues from it."),
]
_TABLES = (".csv", ".parquet", ".json", ".jsonl", ".md")  # a page, .html, is a picture here
_BEST_TRIALS = 5  # with each number of factors, that are shown


@app.command("tune")
@takes_log
def tune_command(
    options: LogOptions,
    model: ModelName = None,
    factors: Factors = None,
    trials: Trials = None,
    minutes: Minutes = None,
    study: Study = None,
    out: Outs = None,
    as_json: AsJson = False,
) -> None:
    """Find hyperparameters on a validation part, and write a config for train."""
    settings = options.settings(model, keys=budget(factors, trials, minutes))
    configs, tables = files_of(out, [Path("tuned.toml")])
    recsys.tuning.require_study(study)
    recsys.splits.require_split(settings.evaluation)
    log, test = read_logged(settings)
    settings = choose_model(settings, log, test)
    tuned = recsys.selection.tune_model(log, settings, test=test, study=study, progress=True)
    with uninterrupted():  # of a search that was stopped, what it has found
        for path in configs:
            recsys.selection.write_tuned(path, tuned, options.config_of(settings))
        keep_table(tuned.to_arrow, tables)
        if as_json:
            print_json(plain_search(tuned))
        else:
            show(trials_table(tuned), *trends(tuned.charts()), *tuned.edges)
        for path in configs:
            note(f"written to {path}: recsys train --config {path}")
        if not tuned.is_whole:
            note(f"recsys: stopped after {tuned.n_trials} trials; {how_to_go_on(study)}")
    check_stop()


def files_of(
    out: Sequence[Path] | None, configs: Sequence[Path] = ()
) -> tuple[Sequence[Path], list[Path]]:
    """Return the configs and the tables that `--out` asks for, once it is sure they can be written.

    `configs` are those where none is asked for.
    """
    asked = [path for path in out or () if path.suffix == ".toml"]
    tables = [path for path in out or () if path.suffix != ".toml"]
    for path in asked or configs:
        recsys.selection.require_config_path(path)
    for path in tables:
        require_table_path(path)
    return asked or configs, tables


def how_to_go_on(study: Path | None) -> str:
    """Return what continues a search that was stopped."""
    if study is None:
        return "with --study FILE a search that was stopped can go on"
    return f"the same command goes on with the trials in {study}"


def budget(
    factors: int | None, trials: int | None, minutes: float | None
) -> dict[str, int | float | None]:
    """Return the keys of [tune] that were typed; None where one was not."""
    return {"tune.factors": factors, "tune.trials": trials, "tune.minutes": minutes}


@app.command("dimensions")
@takes_log
def dimensions_command(
    options: LogOptions,
    model: ModelName = None,
    factors: Annotated[
        str, typer.Option("--factors", help="Numbers of factors to try.")
    ] = "16,32,64,128,256",
    out: Annotated[
        list[Path] | None,
        typer.Option(
            "--out",
            help="A picture, .svg, .png or .html, or all rows: .csv, .parquet, .json, .jsonl, .md; "
            "repeatable.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what each number of factors costs and gives, and which to choose."""
    tables = [path for path in out or () if path.suffix in _TABLES]
    drawings = [path for path in out or () if path.suffix not in _TABLES]
    for path in drawings:
        recsys.pages.require_drawing(path)
    files_of(tables)
    settings = options.settings(model)
    sizes = recsys.selection.numbers_of_factors(factors)
    recsys.splits.require_split(settings.evaluation)
    log, test = read_logged(settings)
    settings = choose_model(settings, log, test)
    measured = recsys.selection.try_dimensions(log, settings, sizes, test=test, progress=True)
    points: list[DimensionPoint] = []
    try:
        points.extend(measured)
    except StoppedError:
        note("recsys: interrupted; what follows was measured before")
        raise
    finally:  # an interrupted run keeps what was measured
        if points:
            with uninterrupted():
                curve = recsys.evaluation.DimensionCurve(settings.chosen_model.name, points)
                _show_curve(curve, as_json)
                keep_table(curve.to_arrow, tables)
                for path in drawings:
                    recsys.pages.save_drawing(curve, path)
                    note(f"drawn to {path}")


def _show_curve(curve: "DimensionCurve", as_json: bool) -> None:
    if as_json:
        print_json(curve.to_dict())
    else:
        show(_dimensions(curve), *trends(curve.charts())[:1], curve.verdict, curve.rule)


def plain_search(tuned: "Tuned") -> dict[str, Any]:
    """Return a search as JSON has it."""
    return {
        "model": {"name": tuned.best.candidate.name, **tuned.parameters},
        "metric": tuned.metric,
        "value": tuned.best.value,
        "whole": tuned.is_whole,
        "edges": tuned.edges,
        "trials": {
            str(size): [
                {
                    "value": trial.value,
                    "pruned": trial.is_pruned,
                    "seconds": trial.seconds,
                    "parameters": dict(trial.candidate.parameters),
                }
                for trial in trials
            ]
            for size, trials in tuned.trials.items()
        },
    }


def trials_table(tuned: "Tuned") -> Listing:
    """Return a table of the best trials of a search, for each number of factors."""
    name = tuned.best.candidate.name
    found = [trial.candidate.parameters for trials in tuned.trials.values() for trial in trials]
    space = [
        one
        for one in tuned.space or recsys.tuning.SPACES_IN_ORDER[name]
        if one != "iterations" and any(one in parameters for parameters in found)
    ]
    rows: list[list[object]] = []
    starts = []
    for size, trials in tuned.trials.items():
        starts.append(len(rows))
        full = sorted((one for one in trials if not one.is_pruned), key=lambda one: -one.value)
        for trial in full[:_BEST_TRIALS]:
            values = trial.candidate.parameters
            chosen = "*" if trial == tuned.best else ""
            cells = [f"{values[one]:.4g}" if one in values else "" for one in space]
            rows.append(
                [
                    size or "",
                    f"{chosen}{trial.value:.4f}",
                    values.get("iterations"),
                    *cells,
                    f"{trial.seconds:.1f}",
                ]
            )
    n_pruned = sum(trial.is_pruned for trials in tuned.trials.values() for trial in trials)
    n_left = tuned.n_trials - n_pruned - len(rows)
    return Listing(
        ["factors", tuned.metric, "epochs", *space, "s"],
        rows,
        title=f"{name}: {tuned.metric} on the validation part",
        caption=f"{tuned.n_trials} trials, {n_pruned} given up half-way"
        + (f", {n_left} not as good as these" if n_left else "")
        + "; * is what was found",
        starts=starts,
    )


def _dimensions(curve: "DimensionCurve") -> Listing:
    """Return a table of a curve, one row for each point."""
    rows = curve.rows()
    factors = [point.factors for point in curve.points]
    return Listing(
        list(rows[0]),
        [list(row.values()) for row in rows],
        title=f"{curve.model}: what each number of factors costs and gives",
        left=["storage", ""],
        caption="± is half a 95 % interval over users. Query: exact search for one user on one "
        "core, median; vectors are decoded to float32 when they are loaded.",
        starts=[row for row in range(1, len(rows)) if factors[row] != factors[row - 1]],
    )

"""Commands that select a model: tune, compare, dimensions."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import recsys
from recsys.base.stopping import StoppedError, check_stop, uninterrupted
from recsys.cli.app import AsJson, Config, Logs, ModelName, app, settings_of
from recsys.cli.output import console, note, print_json
from recsys.cli.tables import comparison_table, dimension_table, trials_table

if TYPE_CHECKING:
    from recsys.config import Settings
    from recsys.evaluation import ComparedModel
    from recsys.evaluation.dimensions import DimensionCurve, DimensionPoint
    from recsys.logs import Interactions
    from recsys.tuning import Tuned

Factors = Annotated[
    int | None, typer.Option("--factors", min=1, help="The largest number that is tried.")
]
Trials = Annotated[int | None, typer.Option("--trials", min=1, help="Of each model.")]
Minutes = Annotated[float | None, typer.Option("--minutes", help="Of each model, at most.")]
Study = Annotated[
    Path | None,
    typer.Option("--study", help="SQLite file that keeps the trials; a search continues from it."),
]


@app.command()
def tune(
    logs: Logs = None,
    config: Config = None,
    model: ModelName = None,
    factors: Factors = None,
    trials: Trials = None,
    minutes: Minutes = None,
    study: Study = None,
    out: Annotated[Path, typer.Option("--out", help="The config to write.")] = Path("tuned.toml"),
    as_json: AsJson = False,
) -> None:
    """Find hyperparameters on a validation part, and write a config for train."""
    settings = _budgeted(settings_of(logs, config, model=model), factors, trials, minutes)
    log, test = _read(settings)
    tuned = recsys.selection.tune_model(log, settings, test=test, study=study, progress=True)
    with uninterrupted():  # of a search that was stopped, what it has found
        _show_tuned(tuned, config, out, as_json)
    if not tuned.is_whole:
        n_trials = sum(map(len, tuned.trials.values()))
        note(f"recsys: stopped after {n_trials} trials; {_how_to_go_on(study)}")
    check_stop()


def _show_tuned(tuned: "Tuned", config: Path | None, out: Path, as_json: bool) -> None:
    recsys.selection.write_tuned(out, tuned, config)
    if as_json:
        print_json(_found(tuned))
    else:
        console().print(trials_table(tuned))
    note(f"written to {out}: recsys train ... --config {out}")


def _how_to_go_on(study: Path | None) -> str:
    if study is None:
        return "with --study FILE a search that was stopped can go on"
    return f"the same command goes on with {study}"


@app.command()
def compare(
    logs: Logs = None,
    config: Config = None,
    models: Annotated[
        str | None,
        typer.Option(
            "--models", help="Also knn and bpr, of implicit. Default: als,svd,popularity."
        ),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option("--baseline", help="Default: the last of the models.")
    ] = None,
    is_tuned: Annotated[
        bool | None, typer.Option("--tune/--no-tune", help="Find hyperparameters first.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=1, help="Fits with other random starts.")
    ] = None,
    factors: Factors = None,
    trials: Trials = None,
    minutes: Minutes = None,
    study: Study = None,
    as_json: AsJson = False,
) -> None:
    """Tune, train and test several models alike, and say which differ by more than luck."""
    settings = _budgeted(settings_of(logs, config), factors, trials, minutes)
    changes: dict[str, Any] = {"baseline": baseline, "tune": is_tuned, "seeds": seeds}
    if models is not None:
        changes["models"] = list(dict.fromkeys(name.strip() for name in models.split(",")))
    given = {name: value for name, value in changes.items() if value is not None}
    settings = replace(settings, compare=replace(settings.compare, **given))
    log, test = _read(settings)
    entries = recsys.selection.compare_models(log, settings, test=test, study=study, progress=True)
    metric = f"{settings.tune.metric}@{settings.evaluation.k}"
    if as_json:
        print_json(_compared(entries, settings.compare.reference, metric))
    else:
        console().print(comparison_table(entries, settings.compare.reference, metric))


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
    if out:
        recsys.pages.require_drawing(out)
    settings = settings_of(logs, config, model=model)
    sizes = recsys.selection.numbers_of_factors(factors)
    log, test = _read(settings)
    measured = recsys.selection.try_dimensions(log, settings, sizes, test=test, progress=True)
    points: list[DimensionPoint] = []
    try:
        points.extend(measured)
    except StoppedError:
        note("recsys: interrupted; what follows was measured before")
        raise
    finally:  # an interrupted run keeps what was measured
        if points:
            _show_curve(recsys.evaluation.DimensionCurve(settings.model.name, points), out, as_json)


def _read(settings: "Settings") -> "tuple[Interactions, Interactions | None]":
    """Read the log, report its row counts, and read the test part if there is one."""
    log = recsys.read_log(settings.data.log, settings.log, progress=True)
    note(str(log.row_counts))
    return log, recsys.training.read_test(settings)


def _budgeted(
    settings: "Settings", factors: int | None, trials: int | None, minutes: float | None
) -> "Settings":
    """Combine the config of the search with the arguments, which win."""
    changes: dict[str, Any] = {"factors": factors, "trials": trials, "minutes": minutes}
    given = {name: value for name, value in changes.items() if value is not None}
    return replace(settings, tune=replace(settings.tune, **given))


def _found(tuned: "Tuned") -> dict[str, Any]:
    return {
        "model": {"name": tuned.best.candidate.name, **tuned.parameters},
        "metric": tuned.metric,
        "value": tuned.best.value,
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


def _compared(entries: "dict[str, ComparedModel]", baseline: str, metric: str) -> dict[str, Any]:
    evaluations = {name: entry.evaluation for name, entry in entries.items()}
    return {
        "models": {
            name: {
                **entry.evaluation.to_dict(),
                "seeds": [dict(one.metrics) for one in entry.evaluations],
                "parameters": dict(entry.parameters),
                "seconds": entry.seconds,
                "tuning_seconds": entry.tuning_seconds,
                "bytes": entry.n_bytes,
                "peak_bytes": entry.peak_bytes,
            }
            for name, entry in entries.items()
        },
        "comparisons": list(map(asdict, recsys.evaluation.compare(evaluations, baseline, metric))),
    }


def _show_curve(curve: "DimensionCurve", out: Path | None, as_json: bool) -> None:
    if as_json:
        print_json(curve.to_dict())
    else:
        console().print(dimension_table(curve))
    if out:
        recsys.pages.save_drawing(curve, out)
        note(f"drawn to {out}")

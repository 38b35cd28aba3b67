"""Commands that select a model: tune, compare, dimensions."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import recsys
from recsys.base.stopping import StoppedError, check_stop, uninterrupted
from recsys.cli.app import AsJson, app, choose_model, read_logged
from recsys.cli.options import Factors, LogOptions, ModelName, takes_log
from recsys.cli.output import Listing, note, print_json, show, with_half

if TYPE_CHECKING:
    from recsys.config import Settings
    from recsys.evaluation import ComparedModel, Comparison, DimensionCurve, DimensionPoint
    from recsys.logs import Interactions
    from recsys.tuning import Tuned

Trials = Annotated[
    int | None, typer.Option("--trials", min=1, help="At most, of each model. Default: 40.")
]
Minutes = Annotated[float | None, typer.Option("--minutes", help="Of each model, at most.")]
Study = Annotated[
    Path | None,
    typer.Option("--study", help="SQLite file that keeps the trials; a search continues from it."),
]
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
    out: Annotated[Path, typer.Option("--out", help="The config to write.")] = Path("tuned.toml"),
    as_json: AsJson = False,
) -> None:
    """Find hyperparameters on a validation part, and write a config for train."""
    settings = options.settings(model, keys=_budget(factors, trials, minutes))
    recsys.selection.require_tuned(out, study)
    recsys.splits.require_split(settings.evaluation)
    log, test = read_logged(settings)
    settings = choose_model(settings, log, test)
    tuned = recsys.selection.tune_model(log, settings, test=test, study=study, progress=True)
    with uninterrupted():  # of a search that was stopped, what it has found
        recsys.selection.write_tuned(out, tuned, options.config_of(settings))
        if as_json:
            print_json(_plain_search(tuned))
        else:
            show(_trials(tuned), *tuned.edges)
        note(f"written to {out}: recsys train --config {out}")
        if not tuned.is_whole:
            note(f"recsys: stopped after {tuned.n_trials} trials; {_how_to_go_on(study)}")
    check_stop()


def _how_to_go_on(study: Path | None) -> str:
    if study is None:
        return "with --study FILE a search that was stopped can go on"
    return f"the same command goes on with the trials in {study}"


def _budget(
    factors: int | None, trials: int | None, minutes: float | None
) -> dict[str, int | float | None]:
    return {"tune.factors": factors, "tune.trials": trials, "tune.minutes": minutes}


@app.command("compare")
@takes_log
def compare_command(
    options: LogOptions,
    models: Annotated[
        str | None,
        typer.Option(
            "--models",
            help="als,svd,softmax,knn,ease,auto,popularity: what of them has a chance on the log "
            "is the default; also bpr of implicit.",
        ),
    ] = None,
    baseline: Annotated[str | None, typer.Option("--baseline", help="Default: popularity.")] = None,
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
    names = None if models is None else [*dict.fromkeys(map(str.strip, models.split(",")))]
    settings = options.settings(
        keys={
            **_budget(factors, trials, minutes),
            "compare.models": names,
            "compare.baseline": baseline,
            "compare.tune": is_tuned,
            "compare.seeds": seeds,
        }
    )
    if settings.compare.tune:
        recsys.tuning.require_study(study)
    log, test = read_logged(settings)
    if settings.compare.models is None:
        _note_models(log)
    settings = recsys.selection.with_models(settings, log)
    compared: dict[str, ComparedModel] = {}
    searches: list[Tuned] = []
    try:
        compared.update(
            recsys.selection.compare_models(
                log, settings, test=test, study=study, on_tuned=searches.append, progress=True
            )
        )
    except StoppedError:
        with uninterrupted():
            _show_compared(settings, compared, searches, as_json)
            _note_stopped(settings, compared, study)
        raise
    _show_compared(settings, compared, searches, as_json)


def _note_models(log: "Interactions") -> None:
    """Say on stderr which models are compared where none are named, and which are left out."""
    names, left_out = recsys.tuning.candidates.with_a_chance(len(log.users), len(log.items))
    note(f"comparing {', '.join(names)}; --models names others")
    for name, reason in left_out.items():
        note(f"{name} is left out: {reason}; --models {name} compares it")


def _note_stopped(
    settings: "Settings", compared: "Mapping[str, ComparedModel]", study: Path | None
) -> None:
    left = [name for name in settings.compare.models or () if name not in compared]
    tuned = f"; {_how_to_go_on(study)}" if settings.compare.tune else ""
    note(
        f"recsys: stopped before {', '.join(left)}; --models {','.join(left)} compares these{tuned}"
    )


def _show_compared(
    settings: "Settings",
    compared: "Mapping[str, ComparedModel]",
    searches: "list[Tuned]",
    as_json: bool,
) -> None:
    """Print the models that were compared; of those that were not, the trials."""
    metric = f"{settings.tune.metric}@{settings.evaluation.k}"
    baseline = settings.compare.reference
    if baseline not in compared and compared:  # a run that was stopped
        *_, baseline = compared
    evaluations = {name: entry.evaluation for name, entry in compared.items()}
    found = recsys.evaluation.compare(evaluations, baseline, metric) if compared else []
    left = [one for one in searches if one.best.candidate.name not in compared]
    advice = recsys.tuning.advise(compared, metric) if compared else None
    if as_json:
        plain = {name: _plain_model(entry) for name, entry in compared.items()}
        searched = {"searches": list(map(_plain_search, left))} if left else {}
        advised = {} if advice is None else {"advice": advice.to_dict()}
        print_json(
            {"models": plain, "comparisons": list(map(asdict, found)), **searched, **advised}
        )
        return
    if compared:
        show(_comparison(compared, baseline, metric, {one.model: one for one in found}))
    show(*map(_trials, left))
    show(*(f"{one.best.candidate.name}: {edge}" for one in searches for edge in one.edges))
    if advice is not None:
        show(*advice.sentences)


@app.command("dimensions")
@takes_log
def dimensions_command(
    options: LogOptions,
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
                _show_curve(curve, out, as_json)


def _show_curve(curve: "DimensionCurve", out: Path | None, as_json: bool) -> None:
    if as_json:
        print_json(curve.to_dict())
    else:
        show(_dimensions(curve), curve.verdict, curve.rule)
    if out:
        recsys.pages.save_drawing(curve, out)
        note(f"drawn to {out}")


def _plain_search(tuned: "Tuned") -> dict[str, Any]:
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


def _plain_model(entry: "ComparedModel") -> dict[str, Any]:
    return {
        **entry.evaluation.to_dict(),
        "seeds": [dict(one.metrics) for one in entry.evaluations],
        "model": entry.model,
        "parameters": dict(entry.parameters),
        "seconds": entry.seconds,
        "tuning_seconds": entry.tuning_seconds,
        "bytes": entry.n_bytes,
        "peak_bytes": entry.peak_bytes,
    }


def _trials(tuned: "Tuned") -> Listing:
    """Return a table of the best trials of a search, for each number of factors."""
    name = tuned.best.candidate.name
    found = [trial.candidate.parameters for trials in tuned.trials.values() for trial in trials]
    space = [
        one
        for one in recsys.tuning.SPACES_IN_ORDER[name]
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


def _comparison(
    compared: "Mapping[str, ComparedModel]",
    baseline: str,
    metric: str,
    found: "Mapping[str, Comparison]",
) -> Listing:
    """Return a table of models, one row each, and how each compares to a baseline."""
    reference = compared[baseline]
    recall = f"recall@{reference.evaluation.k}"
    caption = (
        f"{reference.evaluation.n_users:,} users; ± is half a 95 % interval over them. Differences "
        "by bootstrap and permutation over users, p after Holm; better and worse are shares of the "
        "users."
    )
    n_seeds = len(reference.evaluations)
    if n_seeds > 1:
        caption += f" Means over {n_seeds} seeds, in brackets the standard deviation over them."
    if loss := recsys.tuning.loss_sentence(compared, metric):
        caption += f" {loss}."
    return Listing(
        [
            *("model", metric, recall, f"difference of {metric}", "p", "better / worse"),
            *("tuning s", "fit s", "MB", "peak MB"),
        ],
        [
            [
                f"{name} ({entry.model})" if name == recsys.config.AUTO else name,
                *(_over_seeds(entry, one) for one in (metric, recall)),
                *(_standing(found[name]) if name in found else [""] * 3),
                f"{entry.tuning_seconds:.1f}" if entry.tuning_seconds else "",
                f"{entry.seconds:.1f}",
                f"{entry.n_bytes / 1e6:.1f}",
                "" if entry.peak_bytes is None else f"{entry.peak_bytes / 1e6:.0f}",
            ]
            for name, entry in compared.items()
        ],
        title=f"test part, against {baseline}",
        left=["model"],
        caption=caption,
    )


def _over_seeds(entry: "ComparedModel", metric: str) -> str:
    evaluation, spread = entry.evaluation, entry.spread(metric)
    value = with_half(evaluation.metrics[metric], evaluation.intervals[metric])
    return value if spread is None else f"{value} ({spread:.4f})"


def _standing(one: "Comparison") -> list[str]:
    low, high = one.interval
    return [
        f"{one.difference:+.4f}, {low:+.4f} to {high:+.4f}",
        f"{one.p_value:.4f}",
        f"{one.better:.0%} / {one.worse:.0%}",
    ]


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

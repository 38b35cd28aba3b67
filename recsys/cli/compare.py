"""Commands that compare models: compare, advise."""

import shlex
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import recsys
from recsys.base.stopping import StoppedError, uninterrupted
from recsys.cli.app import AsJson, app, read_logged
from recsys.cli.options import Factors, Items, LogOptions, takes_log
from recsys.cli.output import (
    Listing,
    counted,
    difference_of,
    keep_table,
    note,
    print_json,
    show,
    show_command,
    with_half,
)
from recsys.cli.select import (
    Minutes,
    Outs,
    Study,
    Trials,
    budget,
    files_of,
    how_to_go_on,
    plain_search,
    trials_table,
)
from recsys.cli.toml import toml_value

if TYPE_CHECKING:
    from recsys.config import Settings
    from recsys.evaluation import ComparedModel, Comparison
    from recsys.logs import Interactions
    from recsys.tuning import Advice, Compared, Tuned


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
    items: Items = None,
    out: Outs = None,
    as_json: AsJson = False,
) -> None:
    """Tune, train and test several models alike, and say which differ by more than luck."""
    names = None if models is None else [*dict.fromkeys(map(str.strip, models.split(",")))]
    settings = options.settings(
        items=items,
        keys={
            **budget(factors, trials, minutes),
            "auto.factors": factors,
            "compare.models": names,
            "compare.baseline": baseline,
            "compare.tune": is_tuned,
            "compare.seeds": seeds,
        },
    )
    configs, tables = files_of(out)
    if settings.compare.tune:
        recsys.tuning.require_study(study)
    run = _Run(options, settings, configs, items)
    try:
        run.compare(study)
    except StoppedError:
        with uninterrupted():
            run.show(as_json)
            run.keep(tables)
            run.note_stopped(study)
        raise
    run.show(as_json)
    run.keep(tables)


@app.command("advise")
@takes_log
def advise_command(
    options: LogOptions, items: Items = None, out: Outs = None, as_json: AsJson = False
) -> None:
    """Say in three sentences which model to train on a log, and why: compare without tuning."""
    settings = options.settings(items=items, keys={"compare.tune": False})
    configs, tables = files_of(out)
    run = _Run(options, settings, configs, items)
    run.compare(None)
    if as_json:
        print_json(run.plain_advice)
    else:
        run.advise()
    run.keep(tables)


@dataclass
class _Run:
    """What was asked for, and what was found so far."""

    options: LogOptions
    settings: "Settings"
    configs: Sequence[Path]
    items: Path | None = None
    models: "dict[str, ComparedModel]" = field(default_factory=dict)
    searches: "list[Tuned]" = field(default_factory=list)

    def compare(self, study: Path | None) -> None:
        """Read the log and compare the models, of which those that are done are kept."""
        log, test = read_logged(self.settings)
        if self.settings.compare.models is None:
            _note_models(log)
        self.settings = recsys.selection.with_models(self.settings, log)
        self.models.update(
            recsys.selection.compare_models(
                log,
                self.settings,
                test=test,
                study=study,
                on_tuned=self.searches.append,
                progress=True,
            )
        )

    @property
    def compared(self) -> "Compared":
        """What was compared; of a run that was stopped, against the last that is done."""
        baseline = self.settings.compare.reference
        baseline = baseline if baseline in self.models else next(reversed(self.models))
        metric = f"{self.settings.tune.metric}@{self.settings.evaluation.k}"
        return recsys.tuning.Compared(self.models, baseline, metric)

    def show(self, as_json: bool) -> None:
        """Print the models that were compared; of those that were not, the trials."""
        left = [one for one in self.searches if one.best.candidate.name not in self.models]
        if as_json:
            plain = {name: _plain_model(entry) for name, entry in self.models.items()}
            found = self.compared.comparisons.values() if self.models else ()
            searched = {"searches": list(map(plain_search, left))} if left else {}
            comparisons = list(map(asdict, found))
            print_json(
                {"models": plain, "comparisons": comparisons, **searched, **self.plain_advice}
            )
            return
        if self.models:
            show(_comparison(self.compared))
        show(*map(trials_table, left))
        show(*(f"{one.best.candidate.name}: {edge}" for one in self.searches for edge in one.edges))
        self.advise()

    @property
    def advice(self) -> "Advice | None":
        """Which model to train; None where none can be published."""
        return self.compared.advice if self.models else None

    def advise(self) -> None:
        """Print which model to train, why, and the command."""
        advice = self.advice
        if advice is not None:
            show(*advice.sentences)
            show_command(self.command(advice))

    @property
    def plain_advice(self) -> dict[str, Any]:
        """The advice as JSON has it."""
        advice = self.advice
        if advice is None:
            return {}
        return {"advice": {**advice.to_dict(), "command": shlex.join(self.command(advice))}}

    def command(self, advice: "Advice") -> list[str]:
        """Return the words of the command that trains what is advised."""
        if self.configs:
            return ["recsys", "train", "--config", str(self.configs[0])]
        items = ["--items", str(self.items)] if self.items else []
        return ["recsys", "train", *self.options.words, *items, *options_of(advice)]

    def keep(self, tables: Sequence[Path]) -> None:
        """Write the files that were asked for."""
        if not self.models:
            return
        keep_table(self.compared.to_arrow, tables)
        advice = self.advice
        if advice is None:
            return
        for path in self.configs:
            config, metric = self.options.config_of(self.settings), self.compared.metric
            value = self.models[advice.row].evaluation.metrics[metric]
            comment = f"The best of a comparison: {metric} {value:.4f} on the test part."
            parameters = recsys.models.nested(advice.parameters)
            recsys.selection.write_model(path, advice.name, parameters, comment, config)
            note(f"written to {path}: recsys train --config {path}")

    def note_stopped(self, study: Path | None) -> None:
        """Say on stderr what was not compared, and how to go on."""
        left = [name for name in self.settings.compare.models or () if name not in self.models]
        names, tuned = ",".join(left), self.settings.compare.tune
        more = f"; {how_to_go_on(study)}" if tuned else ""
        note(f"recsys: stopped before {', '.join(left)}; --models {names} compares these{more}")


def options_of(advice: "Advice") -> list[str]:
    """Return the options of train that ask for a model: its hyperparameters beside the defaults."""
    if advice.row == recsys.config.AUTO:
        return []
    words = ["--model", advice.name]
    default = recsys.models.parameters_of(recsys.models.MODELS[advice.name]())
    for name, value in recsys.models.nested(advice.parameters).items():
        if name == "factors":
            words += ["--factors", str(value)]
        elif value != default[name]:
            words += ["--set", f"model.{name}={toml_value(value)}"]
    return words


def _note_models(log: "Interactions") -> None:
    """Say on stderr which models are compared where none are named, and which are left out."""
    names, left_out = recsys.tuning.candidates.with_a_chance(len(log.users), len(log.items))
    note(f"comparing {', '.join(names)}; --models names others")
    for name, reason in left_out.items():
        note(f"{name} is left out: {reason}; --models {name} compares it")


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


def _comparison(table: "Compared") -> Listing:
    """Return a table of models, one row each, and how each compares to a baseline."""
    compared, baseline, metric = table.models, table.baseline, table.metric
    found = table.comparisons
    reference = compared[baseline]
    recall = f"recall@{reference.evaluation.k}"
    caption = (
        f"{counted(reference.evaluation.n_users, 'user')}; ± is half a 95 % interval over them. "
        "Differences by bootstrap and permutation over users, p after Holm; better and worse are "
        "shares of the users."
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
    return [
        difference_of(one.difference, one.interval),
        f"{one.p_value:.4f}",
        f"{one.better:.0%} / {one.worse:.0%}",
    ]

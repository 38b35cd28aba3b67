"""Select a model in one line: tune, compare, dimensions, on a log of any kind.

What they return is a table: ``to_pandas()``, ``to_polars()``, ``write("file.csv")``.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from recsys.base.errors import ConfigError, briefly
from recsys.evaluation import DimensionCurve
from recsys.inputs import AnyLog, AnySettings, inputs_of
from recsys.logs.session import warn
from recsys.models import flat, parameters_of
from recsys.models.requirements import require_fit
from recsys.selection import compare_models, try_dimensions, tune_model
from recsys.training import with_model
from recsys.tuning import Compared, Tuned
from recsys.tuning.candidates import with_a_chance

_Step = TypeVar("_Step")
_COMMON = ("evaluation", "log")
Models: TypeAlias = Sequence[Any] | Mapping[str, Any]
FACTORS = (16, 32, 64, 128, 256)
"""The numbers of factors that are tried where none are given."""


def tune(
    log: "AnyLog | None" = None,
    *,
    test: "AnyLog | None" = None,
    settings: AnySettings = None,
    study: str | Path | None = None,
    progress: bool = True,
    **options: Any,
) -> Tuned:
    """Find the hyperparameters of a model on a validation part; the test part is not used.

    Parameters
    ----------
    log, test, settings
        As for `recsys.train`.
    progress : bool
        Show how far it is: a bar on a terminal, else a line on stderr every 15 seconds.
    study : path, optional
        An SQLite file that keeps the trials: the same call goes on from there.
    **options
        As for `recsys.train`, and the keys of ``[tune]``: ``trials=20, minutes=5, factors=64``.

    Returns
    -------
    Tuned
        A table of trials. Its `model` is what was found, for ``recsys.train(log, model=...)``.

    Examples
    --------
    ::

        found = recsys.tune(df, model="als", trials=20)
        recsys.train(df, model=found.model)
    """
    given = inputs_of(
        "tune", log, settings, options, ("tune", *_COMMON), test=test, progress=progress
    )
    chosen, _ = with_model(given.settings, given.log, given.test, progress=progress)
    tuned = tune_model(given.log, chosen, test=given.test, study=study, progress=progress)
    if not tuned.is_whole:
        warn("tune: interrupted; the table holds the trials before")
    return tuned


def compare(
    log: "AnyLog | None" = None,
    models: Models | None = None,
    *,
    test: "AnyLog | None" = None,
    settings: AnySettings = None,
    study: str | Path | None = None,
    progress: bool = True,
    **options: Any,
) -> Compared:
    """Tune, train and test several models on the same parts of a log and the same users.

    Parameters
    ----------
    log, test, settings, progress
        As for `tune`.
    models : sequence or mapping of str or model, optional
        By name, which are tuned first; or as objects, which are taken as they are. A mapping has
        them by the names of their rows. Default: what has a chance on the log.
    study : path, optional
        As for `tune`.
    **options
        As for `recsys.train`, and the keys of ``[compare]`` and ``[tune]``:
        ``tune=False, seeds=3, baseline="popularity", trials=20``.

    Returns
    -------
    Compared
        A table with a row for each model, best first. Its `advice` says which to train, and `model`
        is that one, for ``recsys.train(log, model=...)``.

    Examples
    --------
    ::

        recsys.compare(df, ["als", recsys.SVD(128), "popularity"], tune=False).to_pandas()
    """
    names, fixed = _rows(models)
    options = {**options, "models": names}
    given = inputs_of(
        "compare",
        log,
        settings,
        options,
        ("compare", "tune", *_COMMON),
        test=test,
        progress=progress,
    )
    wanted = given.settings
    if wanted.compare.models is None:
        _, left_out = with_a_chance(len(given.log.users), len(given.log.items))
        for name, reason in left_out.items():
            warn(f"compare: {name} is left out: {reason}; models=[{name!r}] compares it")
    compared = _until_interrupted(
        compare_models(
            given.log, wanted, given=fixed, test=given.test, study=study, progress=progress
        ),
        "compare",
    )
    found, metric = dict(compared), f"{wanted.tune.metric}@{wanted.evaluation.k}"
    baseline = wanted.compare.reference
    return Compared(found, baseline if baseline in found else [*found][-1], metric)


def dimensions(
    log: "AnyLog | None" = None,
    factors: Sequence[int] = FACTORS,
    *,
    test: "AnyLog | None" = None,
    settings: AnySettings = None,
    progress: bool = True,
    **options: Any,
) -> DimensionCurve:
    """Measure what each number of factors costs and gives, and which is enough.

    Parameters
    ----------
    log, test, settings, progress, **options
        As for `tune`, but for the keys of ``[tune]``.
    factors : sequence of int
        The numbers to try.

    Returns
    -------
    DimensionCurve
        A table with a row for each number of factors in each storage; its `verdict` says which.

    Examples
    --------
    ::

        recsys.dimensions(df, [16, 64], model="svd").verdict
    """
    given = inputs_of("dimensions", log, settings, options, _COMMON, test=test, progress=progress)
    chosen, _ = with_model(given.settings, given.log, given.test, progress=progress)
    points = try_dimensions(given.log, chosen, factors, test=given.test, progress=progress)
    return DimensionCurve(chosen.chosen_model.name, _until_interrupted(points, "dimensions"))


def _until_interrupted(steps: Iterable[_Step], what: str) -> list[_Step]:
    """Return what was done, also where Ctrl-C, or a notebook's stop, ends it after the first."""
    done: list[_Step] = []
    try:
        done.extend(steps)
    except KeyboardInterrupt:
        if not done:
            raise
        warn(f"{what}: interrupted; the table holds what was done before")
    return done


def _rows(models: Models | None) -> tuple[list[str] | None, dict[str, Any]]:
    """Return the names of the rows of a comparison, and the models that are given as objects."""
    if models is None:
        return None, {}
    if isinstance(models, Mapping):
        named = dict(models)
    elif isinstance(models, Sequence) and not isinstance(models, str):
        named = {_row(model, models): model for model in models}
        if len(named) < len(models):
            raise ConfigError("compare: models: expected different models, got one of them twice")
    else:
        raise ConfigError(
            f"compare: models: expected a list of names and models, got {briefly(models)}; write "
            f"[{models!r}]"
        )
    given = {name: model for name, model in named.items() if not isinstance(model, str)}
    for model in given.values():
        require_fit("compare: models", model)
    return list(named), given


def _row(model: Any, models: Sequence[Any]) -> str:
    """Return a name, or that of a model with the hyperparameters in which others differ."""
    if isinstance(model, str):
        return model
    require_fit("compare: models", model)
    alike = [one for one in models if getattr(one, "name", one) == model.name]
    if len(alike) == 1:
        return str(model.name)
    own = flat(parameters_of(model))
    others = [flat(parameters_of(type(model)() if isinstance(one, str) else one)) for one in alike]
    differing = {
        name: value for name, value in own.items() if any(one.get(name) != value for one in others)
    }
    if not differing and model.name in alike:  # which is tuned, or has its own settings
        return f"{model.name} as given"
    return " ".join([model.name, *(f"{name}={value}" for name, value in differing.items())])

"""Select a model in one line: tune, compare, dimensions, on a log of any kind.

What they return is a table: ``to_pandas()``, ``to_polars()``, ``write("file.csv")``.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recsys.base.errors import ConfigError
from recsys.evaluation import Compared, DimensionCurve
from recsys.inputs import AnyLog, AnySettings, log_of, settings_of
from recsys.models import parameters_of
from recsys.models.protocol import require_fit
from recsys.selection import compare_models, try_dimensions, tune_model
from recsys.training import with_model
from recsys.tuning import Tuned

_COMMON = ("evaluation", "log")
FACTORS = (16, 32, 64, 128, 256)
"""The numbers of factors that are tried where none are given."""


def tune(
    log: AnyLog,
    *,
    test: "AnyLog | None" = None,
    settings: AnySettings = None,
    study: str | Path | None = None,
    progress: bool = False,
    **options: Any,
) -> Tuned:
    """Find the hyperparameters of a model on a validation part; the test part is not used.

    Parameters
    ----------
    log, test, settings, progress
        As for `recsys.train`.
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
    wanted = settings_of("tune", settings, options, ("tune", *_COMMON))
    events = log_of("tune", log, wanted, options, progress=progress)
    test_part = None if test is None else log_of("tune", test, wanted, {}, progress=progress)
    wanted, _ = with_model(wanted, events, test_part, progress=progress)
    return tune_model(events, wanted, test=test_part, study=study, progress=progress)


def compare(
    log: AnyLog,
    models: Sequence[Any] | None = None,
    *,
    test: "AnyLog | None" = None,
    settings: AnySettings = None,
    study: str | Path | None = None,
    progress: bool = False,
    **options: Any,
) -> Compared:
    """Tune, train and test several models on the same parts of a log and the same users.

    Parameters
    ----------
    log, test, settings, progress
        As for `recsys.train`.
    models : sequence of str or model, optional
        By name, or as objects, whose hyperparameters are where the search begins.
    study : path, optional
        As for `tune`.
    **options
        As for `recsys.train`, and the keys of ``[compare]`` and ``[tune]``:
        ``tune=False, seeds=3, baseline="popularity", trials=20``.

    Returns
    -------
    Compared
        A table with a row for each model, best first.

    Examples
    --------
    ::

        recsys.compare(df, ["als", recsys.SVD(128), "popularity"], tune=False).to_pandas()
    """
    options = _with_models(options, models)
    wanted = settings_of("compare", settings, options, ("compare", "tune", *_COMMON))
    events = log_of("compare", log, wanted, options, progress=progress)
    test_part = None if test is None else log_of("compare", test, wanted, {}, progress=progress)
    found = dict(compare_models(events, wanted, test=test_part, study=study, progress=progress))
    return Compared(found, wanted.compare.reference, f"{wanted.tune.metric}@{wanted.evaluation.k}")


def dimensions(
    log: AnyLog,
    factors: Sequence[int] = FACTORS,
    *,
    test: "AnyLog | None" = None,
    settings: AnySettings = None,
    progress: bool = False,
    **options: Any,
) -> DimensionCurve:
    """Measure what each number of factors costs and gives, and which is enough.

    Parameters
    ----------
    log, test, settings, progress, **options
        As for `recsys.train`.
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
    wanted = settings_of("dimensions", settings, options, _COMMON)
    events = log_of("dimensions", log, wanted, options, progress=progress)
    test_part = None if test is None else log_of("dimensions", test, wanted, {}, progress=progress)
    wanted, _ = with_model(wanted, events, test_part, progress=progress)
    points = try_dimensions(events, wanted, factors, test=test_part, progress=progress)
    return DimensionCurve(wanted.chosen_model.name, list(points))


def _with_models(options: dict[str, Any], models: Sequence[Any] | None) -> dict[str, Any]:
    """Return the options with models as ``[compare]`` has them: names, and hyperparameters."""
    if models is None:
        return options
    if isinstance(models, str) or not isinstance(models, Sequence):
        raise ConfigError(
            f"compare: models: expected a list of names and models, got {models!r}; write "
            f"[{models!r}]"
        )
    names: list[str] = []
    parameters = dict(options.get("parameters", {}))
    for model in models:
        if not isinstance(model, str):
            require_fit("compare: models", model)
            parameters[model.name] = parameters_of(model)
        name = model if isinstance(model, str) else model.name
        if name in names:
            raise ConfigError(f"compare: models: expected one of each kind, got {name} twice")
        names.append(name)
    return {**options, "models": names, "parameters": parameters}

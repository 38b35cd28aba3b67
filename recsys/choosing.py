"""Choose what to train: find hyperparameters, compare models, try numbers of factors."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from time import perf_counter

from recsys.config import Settings
from recsys.evaluation import Entry, evaluate
from recsys.evaluation.candidates import Candidate, flat
from recsys.evaluation.memory import peak_memory
from recsys.evaluation.tuning import Task, Tuned, tune
from recsys.logs import Interactions, Parts, split_parts
from recsys.logs.held_out import Split
from recsys.progress import progress_bar
from recsys.reports import DimensionPoint, measure_dimensions


def tune_model(
    log: Interactions,
    settings: Settings,
    *,
    test: Interactions | None = None,
    study: str | Path | None = None,
    progress: bool = False,
) -> Tuned:
    """Find hyperparameters of the model on a validation part that is cut from train.

    The test part is not looked at.

    Parameters
    ----------
    log : Interactions
    settings : Settings
        Of the model, where to begin; of the splits; and the budget.
    test : Interactions, optional
        The test part, for ``evaluation.split = "given"``.
    study : path, optional
        See `recsys.evaluation.tuning.tune`.
    progress : bool

    Returns
    -------
    Tuned

    Raises
    ------
    ConfigError
        If the split is "none", or the study is of something else.
    """
    parts = split_parts(log, settings.evaluation, test)
    candidate = Candidate.of(settings.model)
    return _tuned(candidate, parts, settings, study, progress=progress)


def compare_models(
    log: Interactions,
    settings: Settings,
    *,
    test: Interactions | None = None,
    study: str | Path | None = None,
    progress: bool = False,
) -> dict[str, Entry]:
    """Tune, train and test several models on the same parts of a log, and the same users.

    Each is tuned on the validation part, then fitted to all of train once for each seed, and tested
    once.

    Parameters
    ----------
    log : Interactions
    settings : Settings
        Its ``compare`` says which and how, its model has the hyperparameters that it has there.
    test : Interactions, optional
        The test part, for ``evaluation.split = "given"``.
    study : path, optional
        See `recsys.evaluation.tuning.tune`; one file does for all models.
    progress : bool

    Returns
    -------
    dict of str to Entry
        By name, in the order given.

    Raises
    ------
    ConfigError
        If a name is not known, or the split is "none".
    """
    wanted = settings.compare
    candidates = [_candidate_of(name, settings) for name in wanted.models]
    parts = split_parts(log, settings.evaluation, test)
    entries = {}
    for candidate in candidates:
        start = perf_counter()
        if wanted.tune:
            found = _tuned(candidate, parts, settings, study, progress=progress)
            candidate = found.best.candidate
        tuning_seconds = perf_counter() - start if wanted.tune else 0.0
        entries[candidate.name] = _entry_of(
            candidate, parts.whole, settings, tuning_seconds, progress=progress
        )
    return entries


def try_dimensions(
    log: Interactions,
    settings: Settings,
    factors: Sequence[int],
    *,
    test: Interactions | None = None,
    progress: bool = False,
) -> Iterator[DimensionPoint]:
    """Try the model with each number of factors, on a validation part that is cut from train.

    The test part is not looked at: what is chosen by it is no longer tested by it.

    Parameters
    ----------
    log : Interactions
    settings : Settings
    factors : sequence of int
    test : Interactions, optional
        The test part, for ``evaluation.split = "given"``.
    progress : bool

    Returns
    -------
    iterator of DimensionPoint
        As they are measured, small numbers of factors first; see `recsys.reports`.

    Raises
    ------
    ConfigError
        If the split is "none", or the model has no factors.
    """
    parts = split_parts(log, settings.evaluation, test)
    return measure_dimensions(
        settings.model,
        parts.train,
        parts.validation,
        factors,
        k=settings.evaluation.k,
        progress=progress,
    )


def _candidate_of(name: str, settings: Settings) -> Candidate:
    given = flat(settings.compare.parameters.get(name, {}))
    if settings.model.name == name:
        return Candidate.of(settings.model).having(**given)
    return Candidate(name, given)


def _tuned(
    candidate: Candidate,
    parts: Parts,
    settings: Settings,
    study: str | Path | None,
    *,
    progress: bool,
) -> Tuned:
    wanted = settings.tune
    task = Task(parts.train, parts.validation, wanted.metric, settings.evaluation.k, wanted.seed)
    with progress_bar(f"tuning {candidate.name}", enabled=progress) as on_step:
        return tune(
            candidate,
            task,
            factors=wanted.factors,
            budget=wanted.budget,
            study=study,
            seed=wanted.seed,
            on_step=on_step,
        )


def _entry_of(
    candidate: Candidate, whole: Split, settings: Settings, tuning_seconds: float, *, progress: bool
) -> Entry:
    """Fit a candidate once for each seed, and test it."""
    train, test = whole
    user_items = train.user_items()
    first = int(candidate.parameters.get("seed", 0))
    evaluations, seconds, peaks = [], [], []
    n_bytes = 0
    for seed in range(first, first + settings.compare.seeds):
        start = perf_counter()
        with (
            progress_bar(f"fitting {candidate.name}", enabled=progress) as on_step,
            peak_memory() as peak,
        ):
            scorer = candidate.with_seed(seed).fit(user_items, on_step)
        seconds.append(perf_counter() - start)
        peaks.append(peak.n_bytes)
        n_bytes = scorer.n_bytes
        evaluations.append(
            evaluate(scorer, train, test, k=settings.evaluation.k, progress=progress)
        )
    return Entry(
        evaluations,
        seconds=fmean(seconds),
        n_bytes=n_bytes,
        peak_bytes=max((peak for peak in peaks if peak is not None), default=None),
        parameters=candidate.parameters,
        tuning_seconds=tuning_seconds,
    )

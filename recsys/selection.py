"""Select a model: tune hyperparameters, compare models, try dimensions, write the config."""

import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from time import perf_counter
from typing import Any

import numpy as np
import scipy.sparse as sp

from recsys.base.checks import require_known, require_whole
from recsys.base.devices import Device, on_device
from recsys.base.durable import replace_text, require_place
from recsys.base.environment import extra, missing_package, peak_memory
from recsys.base.errors import ConfigError, briefly
from recsys.base.feature_settings import feature_keys
from recsys.base.progress import progress_bar, progress_line
from recsys.base.stopping import check_stop
from recsys.base.threads import one_blas_thread
from recsys.config import AUTO, Settings, moved_paths
from recsys.evaluation import ComparedModel, DimensionPoint, evaluate
from recsys.index import Searcher
from recsys.inputs import warn_of_unused_features
from recsys.logs import Interactions, require_interactions
from recsys.models import SCORERS, Model, flat
from recsys.models.protocol import epoch_bar, recency_of
from recsys.models.registry import has_factors
from recsys.splits import ThreeWaySplit, split_parts
from recsys.splits.common import Split
from recsys.training import task_of_choice
from recsys.tuning import SPACES, Task, Tuned, choose, require_study, tune
from recsys.tuning.advice import best_name, distilled_name
from recsys.tuning.candidates import Candidate, with_a_chance
from recsys.tuning.fits import student_of
from recsys.tuning.space import space_of
from recsys.vectors import STORAGES, Embeddings, encode


def require_tuned(path: str | Path, study: str | Path | None = None) -> None:
    """Check that a search can be run, and its config written, before the work.

    Raises
    ------
    ConfigError
        If a package is not installed, or a file cannot be written.
    """
    require_config_path(path)
    require_study(study)


def require_config_path(path: str | Path) -> None:
    """Check that a config can be written, before the work whose result it is; see `write_model`."""
    _import_tomli_w()
    require_place(Path(path), _WRITING)


def write_tuned(
    path: str | Path, tuned: Tuned, config: str | Path | Mapping[str, Any] | None = None
) -> None:
    """Write a config with the hyperparameters that a search found; see `write_model`."""
    comment = (
        f"Found by a search: {tuned.metric} {tuned.best.value:.4f} on the validation part, "
        f"the best of {tuned.n_trials} trials."
    )
    write_model(path, tuned.best.candidate.name, tuned.parameters, comment, config)


def write_model(
    path: str | Path,
    name: str,
    parameters: Mapping[str, Any],
    comment: str,
    config: str | Path | Mapping[str, Any] | None = None,
) -> None:
    """Write a config with a model and a comment above it; replaces the file.

    Other tables of `config`, a file or its tables, are kept, and the attributes that a model is to
    know; its paths still lead to the same files. Those of tables are relative to the present
    folder.
    """
    tomli_w, path = _import_tomli_w(), Path(path)
    tables, folder = dict(config) if isinstance(config, Mapping) else {}, Path()
    if isinstance(config, str | Path):
        folder = Path(config).parent
        tables = tomllib.loads(Path(config).read_text(encoding="utf-8"))
    tables = moved_paths(tables, folder, path.parent)
    kept = feature_keys(tables.get("model", {}))
    tables["model"] = {"name": name, **_without_none(parameters), **kept}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_text(path, f"# {comment}\n\n" + tomli_w.dumps(tables).rstrip())
    except OSError as error:
        got = error.strerror or str(error)
        raise ConfigError(f"{_WRITING} to {path}, got {got}; name another file") from error


def _without_none(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return hyperparameters without those that are None by default: TOML has no word for it."""
    return {
        name: _without_none(value) if isinstance(value, Mapping) else value
        for name, value in parameters.items()
        if value is not None
    }


def _import_tomli_w() -> Any:
    try:
        import tomli_w
    except ImportError as error:
        raise missing_package("tune", "tomli_w", extra("tune")) from error
    return tomli_w


_WRITING = "--out: expected to write a config"
_TIMED_USERS = 200
_WARM_UP_USERS = 100


def numbers_of_factors(text: str) -> list[int]:
    """Return the numbers in a text such as "16,32,64"; a ConfigError if it is another text."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ConfigError(
            "dimensions: expected whole numbers of factors above 0, separated by commas, such as "
            f"16,32,64, got {briefly(text)}"
        )
    return [int(part) for part in parts]


def measure_dimensions(
    model: Model,
    train: Interactions,
    test: Interactions,
    factors: Sequence[int],
    *,
    k: int = 20,
    device: Device | None = None,
    progress: bool = False,
) -> Iterator[DimensionPoint]:
    """Fit and evaluate a model with each number of factors, small ones first.

    Points come as they are measured, so that a run that is stopped keeps those it has.
    """
    require_interactions("dimensions", train, test)
    require_whole("dimensions: k", k, least=1)
    if not has_factors(model):
        raise ConfigError(
            f"dimensions: expected a model with factors, such as als or svd, got {model.name}"
        )
    if isinstance(factors, str) or not isinstance(factors, Iterable):
        raise ConfigError(
            f"dimensions: factors: expected a list, got {briefly(factors)}; write [16, 32]"
        )
    distinct = [model.with_factors(number) for number in dict.fromkeys(factors)]
    models = sorted(distinct, key=lambda sized: sized.factors)
    user_items = train.user_items()
    _compile(models[0], train, user_items)
    for number, sized in enumerate(models, start=1):
        what = f"{model.name}, {sized.factors} factors ({number} of {len(models)})"
        with on_device(device), epoch_bar(f"fitting {what}", enabled=progress) as on_epoch:
            start = perf_counter()
            embeddings = sized.fit(train, on_epoch=on_epoch)
            seconds = perf_counter() - start
        microseconds = _query_microseconds(embeddings, user_items, k)
        for storage in STORAGES:
            users, items = encode(embeddings.users, storage), encode(embeddings.items, storage)
            decoded = Embeddings(users.decode(), items.decode())
            evaluation = evaluate(decoded, train, test, k=k, progress=progress)
            if storage == STORAGES[0]:
                reached = f"ndcg@{k} {evaluation.metrics[f'ndcg@{k}']:.4f}"
                progress_line(f"tried {what}: {reached}", enabled=progress)
            yield DimensionPoint(
                factors=sized.factors,
                storage=storage,
                evaluation=evaluation,
                vector_bytes=items.n_bytes // len(items.values),
                n_bytes=users.n_bytes + items.n_bytes,
                train_seconds=seconds,
                query_microseconds=microseconds,
            )


def _compile(model: Model, train: Interactions, user_items: sp.csr_array) -> None:
    """Fit the most active users, so that the first measured fit does not wait for the compiler."""
    most_active = np.argsort(-np.diff(user_items.indptr), kind="stable")[:_WARM_UP_USERS]
    is_active = np.isin(np.arange(len(train.users)), most_active)
    every_item = np.ones(len(train.items), dtype=np.bool_)
    model.fit(train.select_pairs(is_active, every_item).compact())


def _query_microseconds(embeddings: Embeddings, user_items: sp.csr_array, k: int) -> float:
    """Time the exact search on one core, for users from all over the matrix."""
    index = Searcher.of(embeddings.items)
    n_users = len(embeddings.users)
    seconds = []
    with one_blas_thread():
        for user in np.linspace(0, n_users - 1, min(_TIMED_USERS, n_users)).astype(np.int32):
            seen = user_items.indices[user_items.indptr[user] : user_items.indptr[user + 1]]
            start = perf_counter()
            index.search(embeddings.users[user], k, seen)
            seconds.append(perf_counter() - start)
    return float(np.median(seconds)) * 1e6


def tune_model(
    log: Interactions,
    settings: Settings,
    *,
    test: Interactions | None = None,
    study: str | Path | None = None,
    progress: bool = False,
) -> Tuned:
    """Find hyperparameters of the model on a validation part that is cut from train.

    The test part is not used. A ConfigError if the settings name no model.
    """
    warn_of_unused_features("tune", settings)
    candidate = Candidate.of(settings.chosen_model)
    parts = split_parts(log, settings.evaluation, test)
    return _tuned(candidate, parts, settings, study, progress=progress)


def compare_models(
    log: Interactions,
    settings: Settings,
    *,
    given: Mapping[str, Model] | None = None,
    test: Interactions | None = None,
    study: str | Path | None = None,
    on_tuned: Callable[[Tuned], None] | None = None,
    progress: bool = False,
) -> Iterator[tuple[str, ComparedModel]]:
    """Tune, train and test several models on the same parts of a log, and the same users.

    Each is tuned on the validation part, then fitted to all of train once for each seed, and tested
    once; those `given`, by names of ``compare.models``, are taken as they are. Where one without
    vectors is best, a model that is distilled from it comes last: that one can be published. Models
    come, with their names, as they are done, so that a run that is stopped
    keeps those it has; `on_tuned` is called with every search, also with one that was stopped.
    """
    warn_of_unused_features("compare", settings)
    settings = with_models(settings, log)
    names, fixed = settings.compare.models or (), given or {}
    # A wrong one is found now, not after an hour.
    candidates = {
        name: Candidate.of(fixed[name]) if name in fixed else _candidate_of(name, settings)
        for name in names
    }
    parts = split_parts(log, settings.evaluation, test)
    compared: dict[str, ComparedModel] = {}
    metric = f"{settings.tune.metric}@{settings.evaluation.k}"
    for name, candidate in candidates.items():
        start = perf_counter()
        is_tuned = name not in fixed and (settings.compare.tune or candidate is None)
        if candidate is None:
            candidate = _chosen(parts, settings, progress=progress)
        elif is_tuned:
            found = _tuned(candidate, parts, settings, study, progress=progress)
            candidate = found.best.candidate
            if on_tuned is not None:
                on_tuned(found)
            check_stop()
            if not found.is_whole:
                raise KeyboardInterrupt
        seconds = perf_counter() - start if is_tuned else 0.0
        compared[name] = _compared(candidate, parts.whole, settings, seconds, progress=progress)
        reached = f"{metric} {compared[name].evaluation.metrics[metric]:.4f}"
        place = f"model {len(compared)} of {len(candidates)}"
        progress_line(f"compared {name}: {reached}, {place}", enabled=progress)
        yield name, compared[name]
    best = best_name(compared, metric)
    if compared[best].model in SCORERS:
        student = _student_of(compared[best], parts.whole[0], settings)
        yield (
            distilled_name(best),
            _compared(student, parts.whole, settings, 0.0, progress=progress),
        )


def with_models(settings: Settings, log: Interactions) -> Settings:
    """Return the settings with the models that are compared, also where they name none."""
    require_interactions("compare", log)
    chosen, _ = with_a_chance(len(log.users), len(log.items))
    return replace(settings, compare=settings.compare.named(chosen))


def _chosen(parts: ThreeWaySplit, settings: Settings, *, progress: bool) -> Candidate:
    """Return the model that `recsys.train` chooses where none is named."""
    with progress_bar("choosing a model", enabled=progress) as on_step:
        return Candidate.of(choose(task_of_choice(parts, settings), settings.auto, on_step).model)


def _student_of(scorer: ComparedModel, train: Interactions, settings: Settings) -> Candidate:
    """Return the model with vectors that learns the lists of a scorer, which has none."""
    teacher = Candidate(scorer.model, scorer.parameters).model()
    shape = len(train.users), len(train.items)
    return Candidate.of(
        student_of(teacher, shape, settings.tune.factors, recency_of(teacher)),
    )


def try_dimensions(
    log: Interactions,
    settings: Settings,
    factors: Sequence[int],
    *,
    test: Interactions | None = None,
    progress: bool = False,
) -> Iterator[DimensionPoint]:
    """Try the model with each number of factors, on a validation part that is cut from train.

    The test part is not used: a test of what was chosen by it would be no test. A ConfigError if
    the settings name no model.
    """
    warn_of_unused_features("dimensions", settings)
    model = settings.chosen_model
    parts = split_parts(log, settings.evaluation, test)
    return measure_dimensions(
        model,
        parts.train,
        parts.validation,
        factors,
        k=settings.evaluation.k,
        device=settings.compute.device,
        progress=progress,
    )


def _candidate_of(name: str, settings: Settings) -> Candidate | None:
    """Return the model of that name as it is given; None where one is to be chosen."""
    given = flat(settings.compare.parameters.get(name, {}))
    if name == AUTO:
        return None
    if settings.model is not None and settings.model.name == name:
        return Candidate.of(settings.model).having(**given)
    return Candidate(name, given)


def _tuned(
    candidate: Candidate,
    parts: ThreeWaySplit,
    settings: Settings,
    study: str | Path | None,
    *,
    progress: bool,
) -> Tuned:
    search = settings.tune
    require_known("tune.spaces", search.spaces, SPACES)
    task = Task(parts.train, parts.validation, search.metric, settings.evaluation.k, search.seed)
    bar = progress_bar(f"tuning {candidate.name}", enabled=progress, each_step=True)
    with on_device(settings.compute.device), bar as on_step:
        return tune(
            candidate,
            task,
            factors=search.factors,
            budget=search.budget,
            study=study,
            seed=search.seed,
            space=space_of(candidate, task.train, search.spaces.get(candidate.name)),
            on_step=on_step,
        )


def _compared(
    candidate: Candidate, whole: Split, settings: Settings, tuning_seconds: float, *, progress: bool
) -> ComparedModel:
    """Fit a candidate once for each seed, and test it."""
    train, test = whole
    first = int(candidate.parameters.get("seed", 0))
    evaluations, seconds, peaks = [], [], []
    n_bytes = 0
    for seed in range(first, first + settings.compare.seeds):
        start = perf_counter()
        with (
            on_device(settings.compute.device),
            epoch_bar(f"fitting {candidate.name}", enabled=progress) as on_epoch,
            peak_memory() as peak,
        ):
            fitted = candidate.with_seed(seed).fit(train, on_epoch=on_epoch)
        seconds.append(perf_counter() - start)
        peaks.append(peak.n_bytes)
        n_bytes = fitted.n_bytes
        evaluations.append(
            evaluate(fitted, train, test, k=settings.evaluation.k, progress=progress)
        )
    return ComparedModel(
        evaluations,
        seconds=fmean(seconds),
        n_bytes=n_bytes,
        peak_bytes=max((peak for peak in peaks if peak is not None), default=None),
        parameters=candidate.parameters,
        tuning_seconds=tuning_seconds,
        model=candidate.name,
    )

"""The offline flow on one page: split, fit, evaluate, fit on everything, publish."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import scipy.sparse as sp

from recsys.base.devices import on_device
from recsys.base.errors import ConfigError, DataError
from recsys.base.progress import progress_bar
from recsys.base.rule_settings import plain_rules
from recsys.config import Settings
from recsys.evaluation import Evaluation, evaluate, summaries_of
from recsys.evaluation.new_items import of_other_catalogues
from recsys.features import Described, features_of, users_by_attributes
from recsys.inputs import AnyLog, AnySettings, inputs_of
from recsys.logs import Interactions, attributes_of, summarize
from recsys.logs.session import warn
from recsys.logs.sources import ItemSource
from recsys.logs.visits import seen_days, visits_of
from recsys.models import ALS, Blend, Model, Popularity, parameters_of, popularity_of
from recsys.models.protocol import epoch_bar, mean_weight_of, recency_of
from recsys.models.requirements import learns_dislikes
from recsys.monitoring import Gates, warn_of_another_log
from recsys.splits import (
    ThreeWaySplit,
    decide_split,
    require_features_before,
    split_log,
    split_parts,
)
from recsys.splits.common import Split
from recsys.store import (
    Content,
    EvaluationSummary,
    Gate,
    ItemTimes,
    ModelSpec,
    Release,
    Version,
    align_with_current,
    parent_of,
    publish,
    require_comparable,
    require_writable,
)
from recsys.tuning.choice import Choice, choose, unchosen
from recsys.tuning.task import Task
from recsys.vectors import Embeddings

_TABLES = ("evaluation", "log", "index")  # whose keys are keywords of train
MOST_USERS_OF_CHOICE = 3_000  # that it measures on


def train(
    log: "AnyLog | None" = None,
    store: str | Path = "store",
    *,
    settings: AnySettings = None,
    test: "AnyLog | None" = None,
    items: "ItemSource | None" = None,
    users: "ItemSource | None" = None,
    progress: bool = False,
    **options: Any,
) -> Version:
    """Train on a log and publish a version.

    The model is tested first, on a part of the log that it did not see; what is published is the
    same model fitted to the whole log, in the coordinates of the current version where it can be.

    Parameters
    ----------
    log : Interactions, table, path, glob, folder, or a list of these
        As `recsys.read_log` takes or returns them: a pandas, Polars or Arrow table, or files.
        Default: what ``[data]`` of the settings names, with its test part and its items.
    store : path
        Made if it is not there.
    settings : Settings, mapping or path, optional
        A mapping has the tables of a config, or keys such as ``{"index.kind": "exact"}``; a path is
        that of a TOML file.
    test : as `log`, optional
        The test part, for ``evaluation.split = "given"``.
    items, users : table or path, optional
        Attributes of items, as `recsys.read_items` takes or returns them, and of users, likewise:
        the version keeps both, for conditions.
    progress : bool
        Show progress bars where stderr is a terminal.
    **options
        Single settings, which win: `model`, an object, a name or a dict; `factors`;
        `item_features` and `user_features`, columns that the model is to know; the columns
        `user`, `item`, `time`, `event`, `value` of the log; the keys of ``[evaluation]``,
        ``[log]`` and ``[index]``, such as ``split="last", k=10, min_value=4``; a table as a dict,
        such as ``gates={"enabled": False}``.

    Returns
    -------
    Version
        The published version, now the current one.

    Raises
    ------
    DataError
        If the log cannot be split or fitted.
    ConfigError
        If settings contradict each other.
    GateFailedError
        If the index misses its recall target: nothing is published then. If a gate refuses the
        version: it is kept in the store with the reasons, and the current one stays current.
    StoreError
        If the store cannot be written.

    Examples
    --------
    ::

        recsys.train(df, items=items_df, model=recsys.SVD(128), split="last", user="userId")
    """
    given = inputs_of(
        "train",
        log,
        settings,
        options,
        _TABLES,
        test=test,
        items=items,
        users=users,
        takes_items=True,
        progress=progress,
    )
    require_writable(store)  # found out now, not after the training
    log, test = given.log, given.test
    settings = with_split(given.settings, log, test)
    if settings.gates.enabled:
        parent = parent_of(store)
        require_comparable(store, parent)
        if parent.version is not None and parent.damage is None:
            warn_of_another_log(store, Content.of(parent.version), log)
    settings, choice = with_model(settings, log, test, progress=progress)
    known = Described.of(settings.features, given.items, given.users)
    evaluations = evaluate_models(log, settings, test=test, described=known, progress=progress)
    log = log if known is None else known.with_new_items(log)
    user_items = log.user_items()
    model = settings.chosen_model
    warn_of_unused_dislikes(model, log)
    with (
        computed_on(settings),
        epoch_bar(f"fitting {model.name}", enabled=progress) as on_epoch,
    ):
        embeddings = model.fit(log, on_epoch=on_epoch, features=features_of(known, log))
    metrics = {
        name: EvaluationSummary.from_dict(one) for name, one in summaries_of(evaluations).items()
    }
    release = release_of(
        log,
        user_items,
        embeddings,
        settings,
        metrics=metrics,
        items=given.items,
        users=given.users,
        model=spec_of(model, choice),
        described=known,
    )
    release = align_with_current(store, release, settings.alignment)
    return publish(store, release, settings.index, gate=gates_of(settings), progress=progress)


def with_split(settings: Settings, log: Interactions, test: Interactions | None) -> Settings:
    """Return the settings with the split decided for a log, as a manifest keeps them."""
    return replace(settings, evaluation=decide_split(log, settings.evaluation, test))


def with_model(
    settings: Settings, log: Interactions, test: Interactions | None, *, progress: bool = False
) -> tuple[Settings, Choice | None]:
    """Return the settings with a model chosen for a log where they name none, and the choice.

    It is chosen on a validation part that is cut from train: the test part is not used.
    """
    if settings.model is not None:
        return settings, None
    auto, metric = settings.auto, f"{settings.auto.metric}@{settings.evaluation.k}"
    split = settings.evaluation
    if split.split == "none":  # nothing is tested, but a choice needs to measure
        split = replace(split, split="random" if log.timestamp is None else "time")
    try:
        parts = split_parts(log, split, test)
    except DataError as error:
        choice = unchosen(auto, metric, 0, f"no validation part can be cut: {error}")
    else:
        with progress_bar("choosing a model", enabled=progress) as on_step:
            choice = choose(task_of_choice(parts, settings), auto, on_step)
    return replace(settings, model=choice.model), choice


def task_of_choice(parts: ThreeWaySplit, settings: Settings) -> Task:
    """Return what a choice of a model measures: no more users than it needs."""
    return Task(
        parts.train,
        parts.validation,
        settings.auto.metric,
        settings.evaluation.k,
        settings.evaluation.seed,
        MOST_USERS_OF_CHOICE,
    )


def spec_of(model: Model, choice: Choice | None = None) -> ModelSpec:
    """Return what a manifest keeps of a model, and of how it was chosen."""
    chosen = None if choice is None else choice.to_dict()
    return ModelSpec(model.name, parameters_of(model), choice=chosen)


def warn_of_unused_dislikes(model: Model, log: Interactions) -> None:
    """Say once that a model learns nothing from dislikes, where a log has some."""
    if log.dislikes is not None and not learns_dislikes(model):
        warn(
            f"model.name: {model.name} learns nothing from the {len(log.dislikes):,} dislikes of "
            "the log, which are only left out of lists; als, blend and distilled learn from them"
        )


def gates_of(settings: Settings) -> Gate | None:
    """Return the gates that a version has to pass; None where they are switched off."""
    return Gates(settings.gates) if settings.gates.enabled else None


def release_of(
    log: Interactions,
    user_items: sp.csr_array,
    embeddings: Embeddings,
    settings: Settings,
    *,
    metrics: Mapping[str, EvaluationSummary],
    items: pa.Table | None = None,
    users: pa.Table | None = None,
    model: ModelSpec,
    described: Described | None = None,
) -> Release:
    """Put together what is published.

    Parameters
    ----------
    user_items : csr_array, shape (n_users, n_items)
        Of the log.
    metrics : mapping of str to EvaluationSummary
        By model.
    items, users : pyarrow.Table, optional
        As in `train`, read.
    model : ModelSpec
        What was fitted.
    described : Described, optional
        What the model knows of items and users.
    """
    recency = recency_of(settings.chosen_model)
    visits = visits_of(log, settings.log.trending_days)
    encoders = {} if described is None else described.encoders
    seen = user_items
    if recency or log.dislikes is not None:
        seen = log.user_items(recency, signed=True)
    return Release(
        embeddings=embeddings,
        users=log.users,
        items=log.items,
        seen=seen,
        popularity=popularity_of(user_items),
        recent=log.recent_popularity(settings.log.popular_half_life_days),
        attributes=None if items is None else attributes_of(items, log.items),
        user_attributes=None if users is None else attributes_of(users, log.users, "user"),
        described_users=users_by_attributes(encoders.get("user"), users, log.users),
        times=ItemTimes.of(visits),
        seen_day=seen_days(log, seen, visits),
        model=replace(model, mean_weight=mean_weight_of(user_items)),
        data=summarize(log).to_dict(),
        metrics=metrics,
        config=plain_settings(settings),
        encoders=encoders,
    )


def evaluate_models(
    log: Interactions,
    settings: Settings,
    *,
    test: Interactions | None = None,
    described: Described | None = None,
    progress: bool = False,
) -> dict[str, Evaluation]:
    """Test the model, and popularity to compare with, on the split that the settings name.

    Parameters
    ----------
    test : Interactions, optional
        The test part, for ``evaluation.split = "given"``.
    described : Described, optional
        What the model knows of items and users.

    Returns
    -------
    dict of str to Evaluation
        By the name of the model; empty where the split is "none".
    """
    if settings.evaluation.split == "none":
        return {}
    parts = split_log(log, settings.evaluation, test)
    return evaluate_split(parts, settings, described=described, progress=progress)


def evaluate_split(
    split: Split,
    settings: Settings,
    *,
    described: Described | None = None,
    progress: bool = False,
) -> dict[str, Evaluation]:
    """Test the model, and popularity to compare with, on a split; by the name of the model.

    A model that knows items by their attributes is tested on new items alone as well, and on all:
    see `recsys.evaluate_new_items`. Attributes that know of the test are a DataError.
    """
    train_part, test_part = split
    results, features = {}, features_of(described, train_part)
    if described is not None and described.items is not None:
        used = tuple(described.items.encoder.columns)
        require_features_before(described.items.table, test_part, "evaluate", used)
    for model in {model.name: model for model in (settings.chosen_model, Popularity())}.values():
        with (
            computed_on(settings),
            epoch_bar(f"fitting {model.name}", enabled=progress) as on_epoch,
        ):
            embeddings = model.fit(train_part, on_epoch=on_epoch, features=features)
        results[model.name] = evaluate(
            embeddings,
            train_part,
            test_part,
            k=settings.evaluation.k,
            most_users=settings.evaluation.max_users,
            seed=settings.evaluation.seed,
            progress=progress,
        )
        of_new = (
            None
            if described is None
            else described.vectors_of_new(train_part, test_part, embeddings)
        )
        if of_new is not None:
            results |= of_other_catalogues(
                model.name, embeddings, of_new, split, settings.evaluation
            )
    return results


@contextmanager
def computed_on(settings: Settings) -> Iterator[None]:
    """Let the fits of the block take the device of the settings.

    A ConfigError where that is a card by name, and the model is none that is fitted on one.
    """
    device, model = settings.compute.device, settings.chosen_model
    if device == "cuda" and not isinstance(model, ALS | Blend):
        raise ConfigError(
            f'compute.device: expected "auto" or "cpu" for the model {model.name}, which is not '
            f'fitted on a card, got "cuda"; or take als (--model als)'
        )
    with on_device(device):
        yield


def plain_settings(settings: Settings) -> Mapping[str, Any]:
    """Return the settings as the tables of a config."""
    tables = {
        name: asdict(getattr(settings, name))
        for name in ("data", "log", "evaluation", "alignment", "index", "gates")
    }
    tables["log"].pop("full")  # was for once
    tables["data"].pop("cache")  # of the machine
    rules = plain_rules(settings.rules)
    if rules is not None:
        tables["rules"] = rules
    model = settings.chosen_model
    features = settings.features.to_dict()
    return {**tables, "model": {"name": model.name, **parameters_of(model), **features}}

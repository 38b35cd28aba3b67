"""The stages from the log to trained and tested embeddings.

Of each stage there are two functions: `..._key` names everything that its result is made of, the
other one makes it, writes it to a folder and returns the facts that are worth keeping.
"""

from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recsys.base.progress import progress_bar
from recsys.logs import Interactions, LogCache, read_log
from recsys.models import ALS, Model, parameters_of
from recsys.nightly.context import Facts, Material
from recsys.nightly.fingerprints import items_facts, key_of, log_files, plain_log, plain_model
from recsys.nightly.mlflow import require_mlflow
from recsys.nightly.stage_files import write_embeddings, write_interactions
from recsys.training import evaluate_models, fit, split
from recsys.vectors import Embeddings, carry_over


def ingest_key(night: Material) -> str:
    """Depend on the files of the log and on how they are read."""
    settings = night.settings
    return key_of("ingest", log_files(settings.data.log, settings.log.format), plain_log(settings))


def ingest(night: Material, folder: Path) -> Facts:
    """Read the log, of its files those that are new."""
    cache = LogCache(night.store / "cache" / "log")
    log = read_log(
        night.settings.data.log,
        night.settings.log,
        rejects=night.store / "rejects" / f"{night.run.name}.parquet",
        cache=cache,
        now=night.run.now,
        progress=night.progress,
    )
    account = write_interactions(folder, log)
    return {
        "account": account,
        "events": len(log),
        "users": len(log.users),
        "items": len(log.items),
        "rows_read": log.row_counts.rows_read,
        "rejected": sum(log.row_counts.rejected.values()),
        "files_read": len(cache.read),
        "files_reused": len(cache.reused),
        "newest_event": _newest(log),
    }


def _newest(log: Interactions) -> str | None:
    """Return the time of the newest event, ISO 8601 in UTC."""
    if log.timestamp is None:
        return None
    return datetime.fromtimestamp(int(log.timestamp.max()), UTC).isoformat()


def validate_key(night: Material) -> str:
    """Depend on the log, the split and the files that go with the log."""
    return key_of("validate", night.keys["ingest"], _evaluation(night), items_facts(night.settings))


def validate(night: Material, _folder: Path) -> Facts:
    """See that all later stages have what they need, before the long work."""
    settings = night.settings
    if settings.nightly.mlflow is not None:
        require_mlflow()
    facts: Facts = {}
    if settings.evaluation.split != "none":
        train_part, test_part = split(night.log, settings, night.test)
        facts = {"train_events": len(train_part), "test_events": len(test_part)}
    if night.titles is not None:
        facts["described_items"] = night.titles.num_rows
    return facts


def train_key(night: Material) -> str:
    """Depend on the log, the model, and where it starts from."""
    nightly = night.settings.nightly
    start = [night.run.parent, nightly.warm_iterations] if nightly.warm_start else None
    return key_of("train", night.keys["ingest"], plain_model(night.settings), start)


def train(night: Material, folder: Path) -> Facts:
    """Fit the model to the whole log, from where the current version is if it can."""
    start = _start(night)
    model = night.settings.model
    if start is None:
        embeddings = fit(model, night.user_items, progress=night.progress)
    else:
        model, embeddings = _fit_from(night, start)
    write_embeddings(folder, embeddings)
    warm = "cold" if start is None else "warm"
    return {"start": warm, "factors": embeddings.factors, "model": parameters_of(model)}


def evaluate_key(night: Material) -> str:
    """Depend on the log, the model and how it is tested."""
    return key_of("evaluate", night.keys["ingest"], plain_model(night.settings), _evaluation(night))


def evaluate(night: Material, _folder: Path) -> Facts:
    """Test the model on a part of the log that it did not see.

    From a random start always: the current version has seen what is now the test part.
    """
    found = evaluate_models(night.log, night.settings, test=night.test, progress=night.progress)
    return {"metrics": {name: result.to_dict() for name, result in found.items()}}


def _start(night: Material) -> Embeddings | None:
    """Return yesterday's embeddings on today's rows; None where the model cannot start there."""
    model, parent = night.settings.model, night.parent
    if not night.settings.nightly.warm_start or parent is None or not isinstance(model, ALS):
        return None
    manifest = parent.version.manifest
    if manifest.model["name"] != model.name or manifest.factors != model.factors:
        return None
    before = Embeddings(parent.users.embeddings, parent.items.embeddings)
    users, items = night.log.users, night.log.items
    return carry_over(before, parent.users.ids, parent.items.ids, to_users=users, to_items=items)


def _fit_from(night: Material, start: Embeddings) -> tuple[Model, Embeddings]:
    model = night.settings.model
    assert isinstance(model, ALS)  # noqa: S101  as `_start` has seen
    epochs = night.settings.nightly.warm_iterations or model.iterations
    model = replace(model, iterations=epochs)
    with progress_bar(
        f"fitting {model.name} from {night.run.parent}", enabled=night.progress
    ) as on:
        return model, model.fit(night.user_items, on, start=start)


def _evaluation(night: Material) -> list[Any]:
    settings = night.settings
    return [asdict(settings.evaluation), log_files(settings.data.test, settings.log.format)]

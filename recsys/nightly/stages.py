"""What each stage does, and what its result depends on.

A stage is two functions: `key` names everything that its result is made of, `work` makes it, writes
it to a folder and returns the facts that are worth keeping, None where there was nothing to do.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from recsys.errors import StoreError
from recsys.logs import LogCache, read_log
from recsys.models import ALS, Model, parameters_of
from recsys.nightly.fingerprints import files_facts, key_of, log_files, plain_log, plain_model
from recsys.nightly.material import Material
from recsys.nightly.outputs import write_embeddings, write_interactions
from recsys.nightly.report import StageReport
from recsys.nightly.tracking import require_mlflow
from recsys.progress import progress_bar
from recsys.store import (
    Check,
    Content,
    Judge,
    Version,
    activate,
    align_with_current,
    build_indexes,
    current,
    prune,
    publish,
    versions,
)
from recsys.training import evaluate_models, fit, judge_of, split
from recsys.vectors import Embeddings, carry_over

Facts = dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """A stage of the night.

    Parameters
    ----------
    name : str
    key : callable
        Returns the fingerprint of everything that the result is made of.
    work : callable
        Makes the result; gets the folder for it.
    """

    name: str
    key: Callable[[Material], str]
    work: Callable[[Material, Path], Facts | None]


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
        "rows_read": log.account.rows_read,
        "rejected": sum(log.account.rejected.values()),
        "files_read": len(cache.read),
        "files_reused": len(cache.reused),
    }


def validate_key(night: Material) -> str:
    """Depend on the log, the split and the files that go with the log."""
    return key_of("validate", night.keys["ingest"], _evaluation(night), _items(night))


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


def align_key(night: Material) -> str:
    """Depend on the embeddings, the parent, and what else the release is made of."""
    alignment = asdict(night.settings.alignment)
    return key_of("align", night.keys["train"], night.run.parent, alignment, _items(night))


def align(night: Material, folder: Path) -> Facts:
    """Turn the embeddings to where those of the parent lie, if these are alike enough."""
    release = align_with_current(night.store, night.trained, night.settings.alignment)
    write_embeddings(folder, release.embeddings)
    said = dict(release.alignment)
    return {"space_id": release.space, "alignment": said, "space": said["space"]}


def index_key(night: Material) -> str:
    """Depend on the embeddings and the settings of the index."""
    return key_of("index", night.keys["align"], asdict(night.settings.index))


def index(night: Material, folder: Path) -> Facts:
    """Build the indexes and measure them."""
    built = build_indexes(folder, night.release, night.settings.index)
    return {"index": built.facts, "kind": str(built.facts.get("kind"))}


def publish_key(night: Material) -> str:
    """Depend on everything that a version holds, and on the gates."""
    gates = asdict(night.settings.gates)
    return key_of("publish", night.keys["index"], night.keys["evaluate"], _items(night), gates)


def publish_version(night: Material, _folder: Path) -> Facts:
    """Publish the version, unless an earlier start of this run has."""
    found = published_by(night.store, night.run.name, night.keys["publish"])
    if found is None:
        made_by = {"run": night.run.name, "key": night.keys["publish"]}
        found = publish(
            night.store,
            replace(night.release, data={**night.release.data, **made_by}),
            night.settings.index,
            indexes=night.indexes,
            judge=_timed(night, judge_of(night.settings)),
            progress=night.progress,
        )
    elif current(night.store) != found.name:  # killed before it became current
        activate(night.store, found.name)
    return {"version": found.name, "parent": night.run.parent}


def prune_key(night: Material) -> str:
    """Depend on what was published."""
    return key_of("prune", night.keys["publish"], night.settings.nightly.keep)


def prune_versions(night: Material, _folder: Path) -> Facts:
    """Delete old versions."""
    pruning = prune(night.store, night.settings.nightly.keep)
    return {
        "deleted": len(pruning.deleted),
        "deleted_bytes": pruning.n_bytes,
        "kept": len(pruning.kept),
    }


STAGES = (
    Stage("ingest", ingest_key, ingest),
    Stage("validate", validate_key, validate),
    Stage("train", train_key, train),
    Stage("evaluate", evaluate_key, evaluate),
    Stage("align", align_key, align),
    Stage("index", index_key, index),
    Stage("publish", publish_key, publish_version),
    Stage("prune", prune_key, prune_versions),
)


def published_by(store: Path, run: str, key: str | None = None) -> Version | None:
    """Return the newest version that a run has published, None where there is none.

    Parameters
    ----------
    store : path
    run : str
        Its id.
    key : str, optional
        Of the stage that published it. Default: any.
    """
    for version in versions(store):
        try:
            data = version.manifest.data
        except StoreError:  # a damaged version is nobody's
            continue
        if data.get("run") == run and key in (None, data.get("key")):
            return version
    return None


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


def _timed(night: Material, judge: Judge | None) -> Judge | None:
    """Return a judge whose work is told as the stage "gates", inside that of publishing."""
    if judge is None:
        night.within.append(StageReport("gates", "left out", 0.0))
        return None

    def judged(new: Content, before: Content | None) -> Sequence[Check]:
        begun = perf_counter()
        checks = judge(new, before)
        facts = {
            "checks": len(checks),
            "not_passed": sum(not check.passed for check in checks),
            "refusing": sum(check.refuses for check in checks),
            "sentences": [check.sentence for check in checks if not check.passed],
        }
        night.within.append(StageReport("gates", "done", perf_counter() - begun, facts=facts))
        return checks

    return judged


def _evaluation(night: Material) -> list[Any]:
    settings = night.settings
    return [asdict(settings.evaluation), log_files(settings.data.test, settings.log.format)]


def _items(night: Material) -> list[Any]:
    data = night.settings.data
    return [files_facts([data.items]) if data.items else [], dict(data.item_columns)]

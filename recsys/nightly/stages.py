"""The stages of a night, in order: what each does, and what its result depends on."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from recsys.base.environment import installed_version
from recsys.base.errors import StoreError, UnreadableError
from recsys.base.reading import lacks_right
from recsys.evaluation import summaries_of
from recsys.events import NOTHING, take, without_deleted
from recsys.features import features_of
from recsys.logs import Interactions, LiveFiles, LogCache, read_log
from recsys.models import model_from, parameters_of
from recsys.models.protocol import epoch_bar
from recsys.monitoring import warn_of_another_log
from recsys.nightly.context import Context
from recsys.nightly.keys import Input, hashed, identity, setting
from recsys.nightly.outputs import (
    Aligned,
    Chosen,
    Evaluated,
    Gated,
    Indexed,
    Ingested,
    Pruned,
    Published,
    StageResult,
    Trained,
    Validated,
    write_embeddings,
    write_interactions,
)
from recsys.nightly.report import StageReport
from recsys.settings import AS_GOOD, BETTER
from recsys.splits import split_log
from recsys.store import (
    Check,
    Content,
    Damaged,
    Gate,
    Version,
    activate,
    activations,
    align_with_current,
    build_indexes,
    current,
    damage_of,
    prune,
    publish,
    versions,
)
from recsys.training import computed_on, evaluate_models, gates_of, with_model
from recsys.tuning.choice import Choice
from recsys.vectors import Embeddings


@dataclass(frozen=True)
class Stage:
    """A stage of the night.

    An earlier result is used again while the key is the same: a hash of what is declared here.
    """

    name: str
    work: Callable[[Any, Path], StageResult]  # takes the context, and a folder for files
    after: tuple[str, ...] = ()  # stages whose results it uses
    settings: tuple[str, ...] = ()  # that it uses, such as "model" or "nightly.keep"
    reads: tuple[Input, ...] = ()  # files that the settings name, the current version

    @property
    def makes_version(self) -> bool:
        """Whether it has nothing to do where the current version stays."""
        return self.name in ("train", "evaluate", "align", "fold_in", "index", "publish")

    def key(self, night: Context) -> str:
        """Return the hash of everything that the result depends on."""
        return hashed(
            installed_version() or "checkout",
            self.name,
            {name: night.keys[name] for name in self.after},
            {name: setting(night.settings, name) for name in self.settings},
            {name: identity(night, name) for name in self.reads},
        )


def ingest(night: Context, folder: Path) -> Ingested:
    """Read the log, of its files those that are new."""
    cache = LogCache(night.store / "cache" / "log")
    taken = take(night.store, night.events) if night.settings.events.enabled else NOTHING
    log = read_log(
        night.log_source(),
        night.settings.log,
        rejects=night.store / "rejects" / f"{night.run.name}.parquet",
        cache=cache,
        live=LiveFiles(taken.files, partial(without_deleted, deleted=taken.deleted)),
        now=night.run.now,
        progress=night.progress,
    )
    write_interactions(folder, log)
    return Ingested(
        row_counts=log.row_counts,
        events=len(log),
        users=len(log.users),
        items=len(log.items),
        rows_read=log.row_counts.rows_read,
        rejected=sum(log.row_counts.rejected.values()),
        files_read=len(cache.read),
        files_reused=len(cache.reused),
        newest_event=_newest(log),
        live=taken.through,
    )


def _newest(log: Interactions) -> str | None:
    """Return the time of the newest event, ISO 8601 in UTC."""
    if log.timestamp is None:
        return None
    return datetime.fromtimestamp(int(log.timestamp.max()), UTC).isoformat()


def _validate(night: Context, _folder: Path) -> Validated:
    """Check that all later stages have what they need, before the long work."""
    settings = night.with_split
    _ = night.tracker  # raises where MLflow is asked for and not installed
    if night.parent is not None and settings.gates.enabled:
        warn_of_another_log(night.store, night.parent, night.log)
    train_events = test_events = None
    if settings.evaluation.split != "none":
        train_part, test_part = split_log(night.log, settings.evaluation, night.test)
        train_events, test_events = len(train_part), len(test_part)
    _ = night.user_attributes  # raises where they cannot be read
    described = None if night.attributes is None else night.attributes.num_rows
    return Validated(train_events, test_events, described)


def _choose(night: Context, _folder: Path) -> Chosen:
    """Choose the model, where the settings name none: as the current version, or anew."""
    settings, parent = night.settings, night.parent
    choice, source = None, "the settings"
    if settings.model is None and parent is not None and not _has_lost(night.store, parent.version):
        choice = parent.version.manifest.model.choice
        source = parent.version.name
    if choice is None:
        settings, found = with_model(
            night.with_split, night.log, night.test, progress=night.progress
        )
        if found is not None:
            choice, source = found.to_dict(), "tonight"
            for sentence in found.sentences:
                night.journal.write("info", "chosen", "choose", sentence=sentence)
    else:
        settings = replace(settings, model=Choice.from_dict(choice).model)
    model = settings.chosen_model
    return Chosen({"name": model.name, **parameters_of(model)}, source, choice)


def _has_lost(store: Path, parent: Version) -> bool:
    """Whether the newest version was refused for its metrics, after the parent was trained."""
    trained = parent.manifest.refreshed_from or parent.name
    for found in _readable(store):
        if found.manifest.refreshed_from is not None:
            continue
        if found.name == trained:
            break
        if damage_of(found) is None:
            refusing = {check.name for check in found.manifest.checks if check.refuses}
            return bool(refusing & {AS_GOOD, BETTER})
    return False


def _train(night: Context, folder: Path) -> Trained:
    """Fit the model to the whole log, from where the current version is if it can."""
    start = _start(night)
    model, source = night.decided.chosen_model, ""
    if start is not None:
        source = f" from {night.run.parent}"
        epochs = night.settings.nightly.warm_iterations
        if epochs is not None:
            model = model_from(model.name, parameters_of(model) | {"iterations": epochs})
    bar = epoch_bar(f"fitting {model.name}{source}", enabled=night.progress)
    with computed_on(night.decided), bar as on_epoch:
        log, features = night.log_of_fit, features_of(night.described, night.log_of_fit)
        embeddings = model.fit(log, start=start, on_epoch=on_epoch, features=features)
    write_embeddings(folder, embeddings)
    return Trained("cold" if start is None else "warm", embeddings.factors, parameters_of(model))


def _start(night: Context) -> Embeddings | None:
    """Return yesterday's embeddings on today's rows; None where the model cannot start there."""
    model, parent = night.decided.chosen_model, night.parent
    if not night.settings.nightly.warm_start or parent is None or not model.can_warm_start:
        return None
    manifest = parent.version.manifest
    if manifest.model.name != model.name or manifest.factors != model.factors:
        return None
    of_users, of_items = (np.asarray(one.embeddings) for one in (parent.users, parent.items))
    before = Embeddings(of_users, of_items, parent.items.summands)
    users, items = night.log_of_fit.users, night.log_of_fit.items
    return before.reindexed(parent.users.ids, parent.items.ids, to_users=users, to_items=items)


def _evaluate(night: Context, _folder: Path) -> Evaluated:
    """Test the model on a part of the log that it did not see.

    From a random start always: the current version has seen what is now the test part.
    """
    found = evaluate_models(
        night.log,
        night.decided,
        test=night.test,
        described=night.described,
        progress=night.progress,
    )
    return Evaluated(summaries_of(found))


def _align(night: Context, folder: Path) -> Aligned:
    """Rotate the embeddings onto those of the parent, if the two are alike enough."""
    release = align_with_current(night.store, night.trained, night.settings.alignment)
    write_embeddings(folder, release.embeddings)
    alignment = dict(release.alignment)
    return Aligned(release.space, alignment, alignment["space"])


def index(night: Context, folder: Path) -> Indexed:
    """Build the indexes and measure them."""
    built = build_indexes(folder, night.release, night.settings.index)
    return Indexed(built.summaries.to_dict(), built.summaries.main.kind)


def publish_release(night: Context, _folder: Path) -> Published:
    """Publish the version, unless an earlier start of this run has."""
    made_by = {"run": night.run.name, "key": night.keys["publish"]}
    found = published_by(night.store, **made_by)
    if found is None:
        found = publish(
            night.store,
            replace(night.release, data={**night.release.data, **night.live_facts, **made_by}),
            night.settings.index,
            indexes=night.indexes,
            gate=_reported(night, gates_of(night.settings)),
            progress=night.progress,
        )
    elif not _was_current(night.store, found.name):  # killed before it became current
        activate(night.store, found.name)
    return Published(found.name, night.run.parent)


def published_by(store: Path, run: str, key: str | None = None) -> Version | None:
    """Return the newest version that a run has published, by the key of that stage if given."""
    for found in _readable(store):
        data = found.manifest.data
        is_of_run = data.get("run") == run and key in (None, data.get("key"))
        if is_of_run and damage_of(found) is None:
            return found
    return None


def _readable(store: Path) -> Iterator[Version]:
    """Yield the versions whose manifest can be read: not the damaged, nor those of others."""
    for found in versions(store):
        try:
            found.manifest  # noqa: B018
        except UnreadableError as error:
            if not lacks_right(error):
                raise
        except StoreError:
            pass
        else:
            yield found


def _was_current(store: Path, name: str) -> bool:
    """Whether a version is or was current: a rollback since then must hold."""
    return current(store) == name or name in {one.version for one in activations(store)}


def _reported(night: Context, gate: Gate | None) -> Gate | None:
    """Return a gate whose work is reported as a stage of its own."""
    if gate is None:
        night.report(StageReport("gates", "left out", 0.0))
        return None

    def reported(new: Content, before: Content | Damaged | None) -> Sequence[Check]:
        begun = perf_counter()
        checks = gate(new, before)
        failed = [check for check in checks if not check.passed]
        for check in failed:
            night.journal.write("warning", "check", "gates", **asdict(check))
        gated = Gated(
            checks=len(checks),
            not_passed=len(failed),
            refusing=sum(check.refuses for check in checks),
            sentences=[check.sentence for check in failed],
        )
        seconds = perf_counter() - begun
        night.report(StageReport("gates", "done", seconds, facts=gated.to_dict()))
        return checks

    return reported


def _prune(night: Context, _folder: Path) -> Pruned:
    """Delete old versions."""
    done = prune(night.store, night.settings.nightly.keep)
    drop_events(night)
    return Pruned(len(done.deleted), done.n_bytes, len(done.kept))


def drop_events(night: Context) -> None:
    """Delete from the database of the service the events that all kept versions hold."""
    night.drop_events({one.name: one.manifest.data for one in _readable(night.store)})


STAGES = (
    Stage("ingest", ingest, settings=("log", "events"), reads=("data.log", "events")),
    Stage(
        "validate",
        _validate,
        after=("ingest",),
        settings=("evaluation", "data.item_columns", "data.user_columns", "nightly.mlflow"),
        reads=("data.test", "data.items", "data.users"),
    ),
    Stage(
        "choose",
        _choose,
        after=("ingest",),
        settings=("model", "auto", "evaluation"),
        reads=("data.test", "current version"),
    ),
    Stage(
        "train",
        _train,
        after=("ingest", "choose"),
        settings=("model", "features", "nightly.warm_start", "nightly.warm_iterations"),
        reads=("current version", "data.items", "data.users"),
    ),
    Stage(
        "evaluate",
        _evaluate,
        after=("ingest", "choose"),
        settings=("model", "features", "evaluation"),
        reads=("data.test", "data.items", "data.users"),
    ),
    Stage("align", _align, after=("train",), settings=("alignment",), reads=("current version",)),
    Stage("index", index, after=("align",), settings=("index",)),
    Stage(
        "publish",
        publish_release,
        after=("index", "evaluate"),
        settings=("gates", "data.item_columns", "data.user_columns"),
        reads=("data.items", "data.users"),
    ),
    Stage("prune", _prune, after=("publish",), settings=("nightly.keep",)),
)

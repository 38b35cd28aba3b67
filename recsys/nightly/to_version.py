"""The stages from embeddings to a published version; see `recsys.nightly.from_log`."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from time import perf_counter

from recsys.base.errors import StoreError
from recsys.nightly.context import Facts, Material
from recsys.nightly.fingerprints import items_facts, key_of
from recsys.nightly.report import StageReport
from recsys.nightly.stage_files import write_embeddings
from recsys.store import (
    Check,
    Content,
    Judge,
    Version,
    activate,
    activations,
    align_with_current,
    build_indexes,
    current,
    prune,
    publish,
    versions,
)
from recsys.training import judge_of


def align_key(night: Material) -> str:
    """Depend on the embeddings, the parent, and what else the release is made of."""
    alignment = asdict(night.settings.alignment)
    return key_of(
        "align", night.keys["train"], night.run.parent, alignment, items_facts(night.settings)
    )


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
    return key_of(
        "publish", night.keys["index"], night.keys["evaluate"], items_facts(night.settings), gates
    )


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
    elif not _was_current(night.store, found.name):  # killed before it became current
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


def _was_current(store: Path, name: str) -> bool:
    """Whether a version is or was current: who has rolled back since wants it so."""
    return current(store) == name or name in {one.version for one in activations(store)}


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

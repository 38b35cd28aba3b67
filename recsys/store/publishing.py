"""Publish: write a version aside, then make it visible and current at one stroke each."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.errors import StoreError
from recsys.index import IndexKind, IndexSettings, Sample, build_index
from recsys.index.codes import norms_of
from recsys.progress import OnStep, progress_bar
from recsys.store import files
from recsys.store.activating import activate
from recsys.store.checks import Check, Status
from recsys.store.content import INDEX, SIMILAR, Content, read_version
from recsys.store.directory import (
    PUBLISH_LOCK,
    VERSIONS,
    Version,
    current,
    find_version,
    versions,
)
from recsys.store.durable import (
    durable_file,
    errors_of_writing,
    only_writer,
    sha256_of,
    sync,
)
from recsys.store.environment import environment
from recsys.store.files import ItemTable, SeenLists, UserTable
from recsys.store.leftovers import STAGING, clear_leftovers
from recsys.store.manifest import MANIFEST, FileFacts, Manifest
from recsys.store.mapped import write_mapped
from recsys.store.release import Release
from recsys.vectors import FloatMatrix

Judge = Callable[[Content, Content | None], Sequence[Check]]
"""Gets the new version and the current one, returns what it checked."""

_STAMP = "%Y%m%dT%H%M%SZ"
_N_MEASURED = 1000  # users that the index is measured on
_WORTH_A_FOREST = range(400_000, 4_000_000)  # rows: a scan takes a millisecond, a forest minutes


def publish(
    store: str | Path,
    release: Release,
    settings: IndexSettings | None = None,
    *,
    judge: Judge | None = None,
    progress: bool = False,
) -> Version:
    """Publish a version and make it the current one.

    The files are written to a folder that no reader looks at, brought to the disk, renamed, and
    only then named by CURRENT. A crash at any moment leaves the version that was current before,
    and nothing of the new one that a reader could see; what it leaves aside, the next publish
    clears away. One publish runs at a time, others wait for it.

    Parameters
    ----------
    store : path
        Made if it is not there.
    release : Release
    settings : IndexSettings, optional
    judge : callable, optional
        Gets the new version, open as it lies on the disk, and the current one, None where there is
        none that can be read; returns what it checked. See `recsys.monitoring.Gates`.
    progress : bool
        Show a progress bar where stderr is a terminal.

    Returns
    -------
    Version

    Raises
    ------
    GateFailedError
        If the index misses its target recall: nothing is published then. If a check refuses the
        version: it is kept with its checks in the manifest, and the current one stays current.
    StoreError
        If the store cannot be written.
    """
    store = Path(store)
    require_writable(store)
    with (
        errors_of_writing(store, "publish a version"),
        only_writer(store / PUBLISH_LOCK),
        progress_bar("publishing", enabled=progress) as on_step,
        _staging(store / VERSIONS) as folder,
    ):
        index = _write_files(folder, release, settings or IndexSettings(), on_step)
        manifest = _manifest(store, release, index, _file_facts(folder))
        on_step(5, 6)
        if judge is not None:
            manifest = _judged(store, folder, manifest, judge)
        _finish(store, folder, manifest)
        on_step(6, 6)
        return activate(store, manifest.version)


def require_writable(store: str | Path) -> None:
    """Make a store if it is not there, and see that it can be written.

    Call it before long work whose result would go there.

    Raises
    ------
    StoreError
        If the store cannot be written.
    """
    store = Path(store)
    with errors_of_writing(store, "write to the store"):
        (store / VERSIONS).mkdir(parents=True, exist_ok=True)
        with (store / PUBLISH_LOCK).open("ab"):
            pass


@contextmanager
def _staging(parent: Path) -> Iterator[Path]:
    """Make a folder to write to, and clear away what the dead have left of theirs."""
    clear_leftovers(parent)
    folder = parent / f"{STAGING}{os.getpid()}"
    folder.mkdir()
    try:
        yield folder
    finally:  # after a publish it is gone already, under its new name
        shutil.rmtree(folder, ignore_errors=True)


def _write_files(
    folder: Path, release: Release, settings: IndexSettings, on_step: OnStep
) -> dict[str, Any]:
    """Write everything but the manifest; return what is known of the index."""
    space_id = release.space
    users, items = release.embeddings.users, release.embeddings.items
    seen = release.seen_lists
    user_table = UserTable(release.users, users, seen, space_id)
    item_table = ItemTable(release.items, items, release.popularity, space_id, release.recent)
    files.write_users(folder, user_table)
    on_step(1, 6)
    files.write_items(folder, item_table)
    if release.attributes is not None:
        files.write_attributes(folder, release.attributes, release.items, space_id)
    write_mapped(folder, user_table, item_table)
    on_step(3, 6)
    index = _build_indexes(folder, users, items, seen, settings)
    on_step(4, 6)
    return index


def _build_indexes(
    folder: Path,
    users: FloatMatrix,
    items: FloatMatrix,
    seen: SeenLists,
    settings: IndexSettings,
) -> dict[str, Any]:
    """Build the index that answers users, and those for what is similar; return what is known."""
    rows = _sample_of(users, settings.seed)
    sample = Sample(users[rows], [seen[row] for row in rows])
    (folder / INDEX).mkdir()
    facts = build_index(items, sample, settings, folder / INDEX)
    facts["similar_items"] = _build_similar(folder / SIMILAR["item"], items, settings)
    if settings.similar_users:
        facts["similar_users"] = _build_similar(folder / SIMILAR["user"], users, settings)
    return facts


def _build_similar(folder: Path, vectors: FloatMatrix, settings: IndexSettings) -> dict[str, Any]:
    """Build an index by cosine."""
    folder.mkdir()
    rows = _sample_of(vectors, settings.seed)
    units = vectors[rows] / norms_of(vectors[rows])[:, None]
    sample = Sample(units.astype(np.float32), list(rows[:, None].astype(np.int32)))
    is_worth = len(vectors) in _WORTH_A_FOREST and settings.kind != "exact"
    kind: IndexKind = "auto" if is_worth else "exact"
    # All directions have the same norm, so there is no head.
    chosen = replace(settings, kind=kind, head_share=0.0)
    return build_index(vectors, sample, chosen, folder, cosine=True)


def _sample_of(vectors: FloatMatrix, seed: int) -> NDArray[np.intp]:
    """Return the rows to measure an index on; one without a signal is never asked."""
    rows = np.flatnonzero(vectors.any(axis=1))
    rng = np.random.default_rng(seed)
    sample: NDArray[np.intp] = rng.choice(rows, size=min(_N_MEASURED, len(rows)), replace=False)
    return sample


def _file_facts(folder: Path) -> dict[str, FileFacts]:
    """Bring every file to the disk, make it read-only, and return its size and checksum."""
    facts = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        path.chmod(0o444)
        sync(path)
        name = path.relative_to(folder).as_posix()
        facts[name] = FileFacts(bytes=path.stat().st_size, sha256=sha256_of(path))
    return facts


def _manifest(
    store: Path, release: Release, index: dict[str, Any], facts: dict[str, FileFacts]
) -> Manifest:
    """Name the version and say what it is."""
    name, created = _free_name(store, facts)
    return Manifest(
        version=name,
        created=created.isoformat(),
        parent=_parent(store),
        space_id=release.space,
        model=release.model,
        factors=release.embeddings.factors,
        n_users=len(release.users),
        n_items=len(release.items),
        n_seen=len(release.seen_lists.item_idx),
        index=index,
        alignment=release.alignment,
        data=release.data,
        metrics=release.metrics,
        config=release.config,
        environment=environment(),
        files=facts,
    )


def _judged(store: Path, folder: Path, manifest: Manifest, judge: Judge) -> Manifest:
    """Return the manifest with what a judge says of the version."""
    staged = read_version(Version.staged(folder, manifest), is_staged=True)
    checks = tuple(judge(staged, _current_content(store, manifest.parent)))
    status: Status = "refused" if any(check.refuses for check in checks) else "accepted"
    return replace(manifest, status=status, checks=checks)


def _current_content(store: Path, name: str | None) -> Content | None:
    """Open the current version; a damaged one must not stop the publish that replaces it."""
    try:
        return None if name is None else read_version(find_version(store, name))
    except StoreError:
        return None


def _finish(store: Path, folder: Path, manifest: Manifest) -> None:
    """Write the manifest of a version, and make it visible."""
    with durable_file(folder / MANIFEST) as file:
        file.write(manifest.to_json().encode())
    (folder / MANIFEST).chmod(0o444)
    for inside in folder.rglob("*"):
        if inside.is_dir():
            sync(inside)
    sync(folder)
    target = store / VERSIONS / manifest.version
    folder.rename(target)
    sync(target.parent)


def _parent(store: Path) -> str | None:
    """Return the current version; a damaged CURRENT must not stop the publish that mends it."""
    try:
        return current(store)
    except StoreError:
        return None


def _free_name(store: Path, facts: dict[str, FileFacts]) -> tuple[str, datetime]:
    """Return a new name: the time, at a second that no version has, and a hash of the files."""
    content = "".join(f"{name} {fact.sha256}\n" for name, fact in sorted(facts.items()))
    digest = hashlib.sha256(content.encode()).hexdigest()[:8]
    taken = {version.name.partition("-")[0] for version in versions(store)}
    created = datetime.now(UTC).replace(microsecond=0)
    while f"{created:{_STAMP}}" in taken:  # so that names sort by age, also within a second
        created += timedelta(seconds=1)
    return f"{created:{_STAMP}}-{digest}", created

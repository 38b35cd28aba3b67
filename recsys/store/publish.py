"""Publish a version: write its tables and indexes aside, check it, rename it, make it current."""

import hashlib
import itertools
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from recsys.base.durable import (
    appear,
    durable_file,
    errors_of_writing,
    has_rights,
    make_read_only,
    moment_of,
    stamp_of,
    sync,
)
from recsys.base.environment import environment
from recsys.base.locks import has_flock, only_writer
from recsys.base.progress import OnStep, progress_bar
from recsys.base.stopping import uninterrupted
from recsys.store import parquet_files
from recsys.store.activations import Seen, make_current, seen_current
from recsys.store.attribute_files import write_attribute_table, write_described_users
from recsys.store.content import Content
from recsys.store.feature_files import write_feature_map
from recsys.store.indexes import BuiltIndexes, build_indexes
from recsys.store.item_json import write_item_json
from recsys.store.item_times import write_item_times
from recsys.store.manifest import MANIFEST, Check, FileFacts, IndexSummaries, Manifest, files_facts
from recsys.store.parent import Damaged, Parent, parent_of, require_comparable
from recsys.store.parquet_files import ItemTable, UserTable
from recsys.store.prune import STAGING, remove_leftovers
from recsys.store.release import Release
from recsys.store.remote import remote_of, store_folder
from recsys.store.serving_files import SERVING, write_mapped
from recsys.store.sound import warn_of
from recsys.store.versions import PUBLISH_LOCK, VERSIONS, Version, versions
from recsys.vectors.storage import Storage

if TYPE_CHECKING:
    from recsys.settings import IndexSettings

Gate = Callable[[Content, Content | Damaged | None], Sequence[Check]]
"""Checks a version before it is published: takes it and its parent, the last sound version.

Where no version is sound, the parent is a `Damaged` one, of which the manifest alone can be read.
"""

_TRIES = 3  # of publishers at once, which are compared with each other


def publish(
    store: str | Path,
    release: Release,
    settings: "IndexSettings | None" = None,
    *,
    indexes: BuiltIndexes | None = None,
    gate: Gate | None = None,
    progress: bool = False,
) -> Version:
    """Publish a version and make it the current one.

    The files are written to a folder that no reader opens, flushed to the disk, renamed, and only
    then named by CURRENT. A crash at any moment leaves the version that was current before, and
    nothing of the new one that a reader could see; the next publish deletes the unfinished folder.
    One publish runs at a time, others wait for it.

    Parameters
    ----------
    store : path
        Created if missing.
    indexes : BuiltIndexes, optional
        Of this release, where `recsys.store.build_indexes` has built them already.
    gate : callable, optional
        Takes the new version, open as it lies on the disk, and its parent: the last version that
        was current and is sound, or None in a new store. Returns its checks. See
        `recsys.monitoring.Gates`.
    progress : bool
        Show a progress bar where stderr is a terminal.

    Raises
    ------
    GateFailedError
        If the index misses its target recall; nothing is published. Or if a check refuses the
        version: it is kept, with its checks in the manifest, and the current one stays current. Or
        if there is a `gate`, and all versions of the store are damaged.
    UnreadableError
        If a version before it cannot be read now.
    StoreError
        If the store cannot be written, or another publisher of a store at an address was first.
    """
    from recsys.settings import IndexSettings  # not needed to serve

    store = store_folder(store)
    require_writable(store)
    with (
        errors_of_writing(store, "publish a version"),
        only_writer(store / PUBLISH_LOCK),
        progress_bar("publishing", enabled=progress) as on_step,
        _staging(store / VERSIONS) as folder,
    ):
        seen, parent = seen_current(store), parent_of(store)
        if gate is not None:
            require_comparable(store, parent)
        settings = settings or IndexSettings()
        _write_tables(folder, release, settings.storage, on_step)
        index = _write_indexes(folder, release, settings, indexes, on_step)
        on_step(4, 6)
        for path in folder.rglob("*"):
            if path.is_file():
                make_read_only(path)
        facts = files_facts(folder)
        for _ in range(_TRIES):
            manifest = _manifest(store, parent.name, release, index, facts)
            on_step(5, 6)
            if gate is not None:
                manifest = _checked(folder, manifest, parent, gate)
            if _uploaded(store, folder, manifest, seen):
                break
            seen, parent = seen_current(store), parent_of(store)
        on_step(6, 6)
        with uninterrupted():  # what appears becomes current
            _finish(store, folder, manifest)
            manifest.require_accepted()
            return make_current(store, manifest.version, seen)


def require_writable(store: str | Path) -> None:
    """Create a store if it is missing, and check that it can be written.

    Call it before long work whose result goes there. What its file system lacks is named in a
    RuntimeWarning: reading, writing and renaming suffice.

    Raises
    ------
    StoreError
        If the store cannot be written.
    """
    store = store_folder(store)
    remote = remote_of(store)
    if remote is not None:
        remote.require_writable()
    with errors_of_writing(store, "write to the store"):
        (store / VERSIONS).mkdir(parents=True, exist_ok=True)
        lacks = _lacks(store)
    if lacks:
        warn_of([f"store {store}: its file system has no {', no '.join(lacks)}"])


def _lacks(store: Path) -> list[str]:
    """Return what the file system of a store lacks, each with what follows from it."""
    found = []
    if not has_flock(store / PUBLISH_LOCK):
        found.append(
            "locks (flock), so lock files take their place, and a prune deletes no version, as a "
            "reader may have it open, unless it is told that none has (recsys prune "
            "--without-locks)"
        )
    if not sync(store / VERSIONS):
        found.append(
            "flush of folders (fsync), so a crash of the machine may bring back the version before"
        )
    if not has_rights(store / PUBLISH_LOCK):
        found.append("rights of files (chmod), so versions are not made read-only")
    return found


@contextmanager
def _staging(parent: Path) -> Iterator[Path]:
    """Make a folder to write to; remove it unless it was renamed."""
    remote = remote_of(parent.parent)
    if remote is not None:
        remote.remove_leftovers()
    warn_of(remove_leftovers(parent))
    folder = _new_folder(parent)
    try:
        yield folder
    finally:  # after a publish it has its new name
        shutil.rmtree(folder, ignore_errors=True)


def _new_folder(parent: Path) -> Path:
    """Make a folder of a name that no leftover has."""
    for number in itertools.count():
        folder = parent / f"{STAGING}{os.getpid()}-{number}"
        with suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise AssertionError("unreachable")


def _write_tables(folder: Path, release: Release, storage: Storage, on_step: OnStep) -> None:
    """Write the tables and their copies for serving."""
    space_id = release.space
    users, items = release.embeddings.users, release.embeddings.items
    user_table = UserTable(release.users, users, release.seen_lists, space_id)
    item_table = ItemTable(
        release.items,
        items,
        release.popularity,
        space_id,
        release.recent,
        release.embeddings.summands,
        release.seen_lists.dislikes(len(release.items)),
    )
    parquet_files.write_user_table(folder, user_table)
    on_step(1, 6)
    parquet_files.write_item_table(folder, item_table)
    if release.attributes is not None:
        write_attribute_table(folder, release.attributes, release.items, space_id)
    if release.user_attributes is not None:
        write_attribute_table(folder, release.user_attributes, release.users, space_id, "user")
    if release.described_users is not None:
        write_described_users(folder, release.described_users, space_id)
    if release.times is not None:
        write_item_times(folder, release.times, release.items, space_id)
    for side, found in release.feature_maps.items():
        write_feature_map(folder, side, found, space_id)
    write_mapped(folder, user_table, item_table, storage)
    write_item_json(folder, release.items, release.attributes, item_table.n_with_events == 0)
    on_step(3, 6)


def _write_indexes(
    folder: Path,
    release: Release,
    settings: "IndexSettings",
    built: BuiltIndexes | None,
    on_step: OnStep,
) -> IndexSummaries:
    """Build the indexes, or copy those that were built; return their summaries."""
    if built is None:
        found = build_indexes(folder, release, settings, lambda name: on_step(3, 6, name))
        return found.summaries
    for path in (built.folder / SERVING).rglob("*"):
        if path.is_file():  # and its rights, which copytree takes along, not all disks have
            target = folder / path.relative_to(built.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    return built.summaries


def _manifest(
    store: Path,
    parent: str | None,
    release: Release,
    index: IndexSummaries,
    facts: dict[str, FileFacts],
) -> Manifest:
    """Name the version and describe it."""
    from recsys.features import facts_of  # not needed to serve

    name, created = _free_name(store, facts)
    return Manifest(
        version=name,
        created=created.isoformat(),
        parent=parent,
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
        features=facts_of(release.encoders, release.embeddings.ridges),
    )


def _checked(folder: Path, manifest: Manifest, parent: Parent, gate: Gate) -> Manifest:
    """Return the manifest with the checks of the version."""
    staged = Content.of(Version(manifest.version, folder, staged=manifest))
    checks = tuple(gate(staged, _before(parent)))
    is_refused = any(check.refuses for check in checks)
    return replace(manifest, status="refused" if is_refused else "accepted", checks=checks)


def _before(parent: Parent) -> Content | Damaged | None:
    if parent.version is None:
        return None
    if parent.damage is not None:
        return Damaged(parent.version, parent.damage)
    return Content.of(parent.version)


def _uploaded(store: Path, folder: Path, manifest: Manifest, seen: Seen | None) -> bool:
    """Write the files to the bucket, if the store is there; whether the parent still is current.

    Where another publisher was first, the version is compared with that one's and named after it.
    """
    remote = remote_of(store)
    if remote is None:
        return True
    remote.upload(folder, manifest)
    if seen_current(store) == seen:
        return True
    remote.remove(manifest.version)
    return False


def _finish(store: Path, folder: Path, manifest: Manifest) -> None:
    """Write the manifest of a version, and rename its folder to its name."""
    content = manifest.to_json().encode()
    with durable_file(folder / MANIFEST) as file:
        file.write(content)
    make_read_only(folder / MANIFEST)
    remote = remote_of(store)
    if remote is not None:
        remote.complete(manifest, content)
    appear(folder, store / VERSIONS / manifest.version)


def _free_name(store: Path, facts: dict[str, FileFacts]) -> tuple[str, datetime]:
    """Return a name of the time, later than that of every version, and of a hash of the files."""
    content = "".join(f"{name} {fact.sha256}\n" for name, fact in sorted(facts.items()))
    digest = hashlib.sha256(content.encode()).hexdigest()[:8]
    created = datetime.now(UTC).replace(microsecond=0)
    # Names sort by age, even within one second or after the clock was set back.
    for newest in versions(store)[:1]:
        before = moment_of(newest.name.partition("-")[0])
        created = max(created, before + timedelta(seconds=1))
    return f"{stamp_of(created)}-{digest}", created

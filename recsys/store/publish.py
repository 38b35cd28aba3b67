"""Publish a version: write it aside, check it, rename it, point CURRENT at it."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from recsys.base.durable import (
    appear,
    durable_file,
    errors_of_writing,
    moment_of,
    only_writer,
    sha256_of,
    stamp_of,
)
from recsys.base.errors import StoreError
from recsys.base.progress import OnStep, progress_bar
from recsys.store import tables
from recsys.store.activations import activate
from recsys.store.content import Content
from recsys.store.manifest import (
    MANIFEST,
    Check,
    FileFacts,
    IndexSummaries,
    Manifest,
    Status,
    environment,
)
from recsys.store.release import BuiltIndexes, Release, build_indexes
from recsys.store.serving_files import SERVING, write_mapped
from recsys.store.tables import ItemTable, UserTable
from recsys.store.versions import (
    PUBLISH_LOCK,
    VERSIONS,
    Version,
    current_or_none,
    find_version,
    versions,
)

if TYPE_CHECKING:
    from recsys.settings import IndexSettings

STAGING = ".staging-"
"""Start of the name of a folder that is being published."""

TRASH = ".trash-"
"""Start of the name of a folder that was a version and is being deleted."""

Gate = Callable[[Content, Content | None], Sequence[Check]]
"""Checks a version before it is published: takes the new version and the current one."""


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
        Takes the new version, open as it lies on the disk, and the current one, or None where no
        current one can be read; returns its checks. See `recsys.monitoring.Gates`.
    progress : bool
        Show a progress bar where stderr is a terminal.

    Raises
    ------
    GateFailedError
        If the index misses its target recall; nothing is published. Or if a check refuses the
        version: it is kept, with its checks in the manifest, and the current one stays current.
    StoreError
        If the store cannot be written.
    """
    from recsys.settings import IndexSettings  # not needed to serve

    store = Path(store)
    require_writable(store)
    with (
        errors_of_writing(store, "publish a version"),
        only_writer(store / PUBLISH_LOCK),
        progress_bar("publishing", enabled=progress) as on_step,
        _staging(store / VERSIONS) as folder,
    ):
        _write_tables(folder, release, on_step)
        index = _write_indexes(folder, release, settings or IndexSettings(), indexes)
        on_step(4, 6)
        manifest = _manifest(store, release, index, _file_facts(folder))
        on_step(5, 6)
        if gate is not None:
            manifest = _checked(store, folder, manifest, gate)
        _finish(store, folder, manifest)
        on_step(6, 6)
        return activate(store, manifest.version)


def require_writable(store: str | Path) -> None:
    """Create a store if it is missing, and check that it can be written.

    Call it before long work whose result goes there.

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


def remove_leftovers(versions: Path) -> None:
    """Remove folders left by crashed publishers and pruners; the caller holds the publish lock."""
    for prefix in (STAGING, TRASH):
        for folder in versions.glob(f"{prefix}*"):
            shutil.rmtree(folder)


@contextmanager
def _staging(parent: Path) -> Iterator[Path]:
    """Make a folder to write to; remove it unless it was renamed."""
    remove_leftovers(parent)
    folder = parent / f"{STAGING}{os.getpid()}"
    folder.mkdir()
    try:
        yield folder
    finally:  # after a publish it has its new name
        shutil.rmtree(folder, ignore_errors=True)


def _write_tables(folder: Path, release: Release, on_step: OnStep) -> None:
    """Write the tables and their copies for serving."""
    space_id = release.space
    users, items = release.embeddings.users, release.embeddings.items
    user_table = UserTable(release.users, users, release.seen_lists, space_id)
    item_table = ItemTable(release.items, items, release.popularity, space_id, release.recent)
    tables.write_users(folder, user_table)
    on_step(1, 6)
    tables.write_items(folder, item_table)
    if release.attributes is not None:
        tables.write_attributes(folder, release.attributes, release.items, space_id)
    write_mapped(folder, user_table, item_table)
    on_step(3, 6)


def _write_indexes(
    folder: Path, release: Release, settings: "IndexSettings", built: BuiltIndexes | None
) -> IndexSummaries:
    """Build the indexes, or copy those that were built; return their summaries."""
    if built is None:
        return build_indexes(folder, release, settings).summaries
    shutil.copytree(built.folder / SERVING, folder / SERVING, dirs_exist_ok=True)
    return built.summaries


def _file_facts(folder: Path) -> dict[str, FileFacts]:
    """Make every file read-only, and return its size and checksum."""
    facts = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        path.chmod(0o444)
        name = path.relative_to(folder).as_posix()
        facts[name] = FileFacts(bytes=path.stat().st_size, sha256=sha256_of(path))
    return facts


def _manifest(
    store: Path, release: Release, index: IndexSummaries, facts: dict[str, FileFacts]
) -> Manifest:
    """Name the version and describe it."""
    name, created = _free_name(store, facts)
    return Manifest(
        version=name,
        created=created.isoformat(),
        parent=current_or_none(store),
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


def _checked(store: Path, folder: Path, manifest: Manifest, gate: Gate) -> Manifest:
    """Return the manifest with the checks of the version."""
    staged = Content.of(Version(manifest.version, folder, staged=manifest))
    checks = tuple(gate(staged, _parent_content(store, manifest.parent)))
    status: Status = "refused" if any(check.refuses for check in checks) else "accepted"
    return replace(manifest, status=status, checks=checks)


def _parent_content(store: Path, name: str | None) -> Content | None:
    """Open the parent; a damaged one must not stop the publish that replaces it."""
    try:
        return None if name is None else Content.of(find_version(store, name))
    except StoreError:
        return None


def _finish(store: Path, folder: Path, manifest: Manifest) -> None:
    """Write the manifest of a version, and rename its folder to its name."""
    with durable_file(folder / MANIFEST) as file:
        file.write(manifest.to_json().encode())
    (folder / MANIFEST).chmod(0o444)
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

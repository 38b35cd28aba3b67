"""Prune: delete the oldest versions while readers may have them open."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recsys.base.checks import require
from recsys.base.durable import errors_of_writing, only_writer, sync
from recsys.base.errors import StoreError
from recsys.store.activations import pinned, version_before
from recsys.store.content import unless_leased
from recsys.store.publish import TRASH, remove_leftovers
from recsys.store.versions import CURRENT_LOCK, PUBLISH_LOCK, VERSIONS, Version, current, versions


@dataclass(frozen=True)
class Pruning:
    """What a prune deleted, or would delete."""

    deleted: tuple[str, ...]  # names, oldest first
    n_bytes: int  # of their files
    kept: Mapping[str, str]  # the other versions, newest first, and why each is kept


def prune(store: str | Path, keep: int, *, dry_run: bool = False) -> Pruning:
    """Delete the oldest versions, and the folders left by crashed publishers and pruners.

    Refused versions do not count, and are deleted with the accepted ones around them. In addition
    to the newest, these are kept: the current version, the one that a rollback would take, pinned
    ones, and those that a process on this machine has open. A job that reads the Parquet files by
    their path should pin the version.

    A version is first renamed to a name that no reader opens, then deleted: a crash at any moment
    leaves whole versions only, and the next prune or publish deletes the rest. A reader that read
    CURRENT just before finds its version gone and opens the new one (`open_version`).

    Parameters
    ----------
    keep : int
        Number of the newest versions that are kept, 1 or more.
    dry_run : bool
        Delete nothing.

    Raises
    ------
    ConfigError
        If `keep` is less than 1.
    StoreError
        If the store cannot be read or written.
    """
    require("keep", keep, least=1, expected="1 or more versions to keep")
    store = Path(store)
    listed = versions(store)  # raises where there is no store
    if dry_run:
        return _prune(store, listed, keep, lambda version: None)
    with errors_of_writing(store, "prune"), only_writer(store / PUBLISH_LOCK):
        remove_leftovers(store / VERSIONS)
        with only_writer(store / CURRENT_LOCK):  # no version becomes current meanwhile
            done = _prune(store, versions(store), keep, _move_away)
            sync(store / VERSIONS)
        remove_leftovers(store / VERSIONS)
    return done


def _prune(
    store: Path, listed: Sequence[Version], keep: int, remove: Callable[[Version], None]
) -> Pruning:
    """Remove the versions that nothing keeps, oldest first."""
    kept = _reasons(store, listed, keep)
    deleted, n_bytes = [], 0
    for version in reversed(listed):
        if version.name in kept:
            continue
        with unless_leased(version.folder) as is_free:
            if not is_free:
                kept[version.name] = "open"
                continue
            n_bytes += version.n_bytes
            remove(version)
        deleted.append(version.name)
    return Pruning(tuple(deleted), n_bytes, dict(sorted(kept.items(), reverse=True)))


def _reasons(store: Path, listed: Sequence[Version], keep: int) -> dict[str, str]:
    """Return the versions to keep, each with its strongest reason."""
    newest = _newest(listed, keep)
    existing = {version.name for version in listed}
    reasons = newest | dict.fromkeys(pinned(store) & existing, "pinned")
    for name, reason in ((version_before(store), "rollback"), (current(store), "current")):
        if name is not None:
            reasons[name] = reason
    return reasons


def _newest(listed: Sequence[Version], keep: int) -> dict[str, str]:
    """Return the newest accepted versions, and the refused ones between them."""
    reasons: dict[str, str] = {}
    n_counted = 0
    for version in listed:
        if n_counted == keep:
            break
        is_refused = _is_refused(version)
        reasons[version.name] = "refused" if is_refused else f"newest {keep}"
        n_counted += not is_refused
    return reasons


def _is_refused(version: Version) -> bool:
    try:
        return version.manifest.status == "refused"
    except (StoreError, FileNotFoundError):  # damaged, or pruned by another process
        return False


def _move_away(version: Version) -> None:
    version.folder.rename(version.folder.with_name(f"{TRASH}{version.name}"))

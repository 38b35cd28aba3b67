"""Prune: delete the oldest versions, under the eyes of readers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from recsys.base.durable import errors_of_writing, only_writer, sync
from recsys.base.errors import ConfigError, StoreError
from recsys.store.activations import pinned, version_before
from recsys.store.content import unless_leased
from recsys.store.publish import TRASH, clear_leftovers
from recsys.store.versions import CURRENT_LOCK, PUBLISH_LOCK, VERSIONS, Version, current, versions


@dataclass(frozen=True)
class Pruning:
    """What a prune has done, or would do.

    Parameters
    ----------
    deleted : tuple of str
        The names of the versions, oldest first.
    n_bytes : int
        Of their files.
    kept : mapping of str to str
        The other versions, newest first, and why each is kept.
    """

    deleted: tuple[str, ...]
    n_bytes: int
    kept: Mapping[str, str]


def prune(store: str | Path, keep: int, *, dry_run: bool = False) -> Pruning:
    """Delete the oldest versions, and what dead publishers and pruners have left aside.

    Versions that gates refused do not count, and are deleted with the accepted ones around them.
    Beside the newest ones are kept: the current version, the one that a rollback would take, those
    that are pinned, and those that somebody on this machine has open. Who only knows the path of a
    version, such as a job that reads its Parquet files, pins it.

    A version leaves by one rename, to a name that no reader looks at, and is deleted then: a crash
    at any moment leaves whole versions only, and the next prune or publish deletes the rest.
    Readers that opened CURRENT right before find the version gone and CURRENT changed, and open
    the new one (`open_version`).

    Parameters
    ----------
    store : path
    keep : int
        Number of the newest versions that are kept, 1 or more.
    dry_run : bool
        Delete nothing.

    Returns
    -------
    Pruning

    Raises
    ------
    ConfigError
        If `keep` is less than 1.
    StoreError
        If the store cannot be read or written.
    """
    if keep < 1:
        raise ConfigError(f"keep: expected 1 or more versions to keep, got {keep}")
    store = Path(store)
    listed = versions(store)  # says what is wrong where there is no store
    if dry_run:
        return _prune(store, listed, keep, lambda version: None)
    with errors_of_writing(store, "prune"), only_writer(store / PUBLISH_LOCK):
        clear_leftovers(store / VERSIONS)
        with only_writer(store / CURRENT_LOCK):  # so that none becomes current meanwhile
            done = _prune(store, versions(store), keep, _move_away)
            sync(store / VERSIONS)
        clear_leftovers(store / VERSIONS)
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
            n_bytes += bytes_of(version)
            remove(version)
        deleted.append(version.name)
    return Pruning(tuple(deleted), n_bytes, dict(sorted(kept.items(), reverse=True)))


def _reasons(store: Path, listed: Sequence[Version], keep: int) -> dict[str, str]:
    """Return why versions are kept, the weightiest reason of each."""
    newest = _newest(listed, keep)
    there = {version.name for version in listed}
    reasons = newest | dict.fromkeys(pinned(store) & there, "pinned")
    for name, reason in ((version_before(store), "rollback"), (current(store), "current")):
        if name is not None:
            reasons[name] = reason
    return reasons


def _newest(listed: Sequence[Version], keep: int) -> dict[str, str]:
    """Return the newest versions, with the refused between them, which do not count."""
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
    except (StoreError, FileNotFoundError):  # damaged, or pruned by another one
        return False


def _move_away(version: Version) -> None:
    version.folder.rename(version.folder.with_name(f"{TRASH}{version.name}"))


def bytes_of(version: Version) -> int:
    """Return the bytes of the files of a version."""
    return sum(path.stat().st_size for path in version.folder.rglob("*") if path.is_file())

"""Delete the oldest versions, while readers may have them open, and what crashes have left."""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from recsys.base.checks import require_whole
from recsys.base.durable import errors_of_writing, sync
from recsys.base.errors import StoreError, UnreadableError
from recsys.base.locks import only_writer
from recsys.store.activations import pinned, version_before
from recsys.store.remote import RemoteStore, remote_of, store_folder
from recsys.store.sound import damage_of, lease_of, warn_of
from recsys.store.versions import (
    CURRENT_LOCK,
    PUBLISH_LOCK,
    VERSIONS,
    Version,
    current,
    is_version_name,
    versions,
)

STAGING = ".staging-"
"""Start of the name of a folder that is being published."""

TRASH = ".trash-"
"""Start of the name of a folder that was a version and is being deleted."""

KEPT_REFRESHED = 2
"""Versions of refreshes that are kept: the current one, and the one before."""

_LEFTOVER = "a folder that recsys left"
_OPEN_ELSEWHERE = ".nfs"  # start of the name that NFS gives a deleted file that is still open

_State = Literal["accepted", "refused", "refreshed", "damaged", "unreadable", "of another release"]


@dataclass(frozen=True)
class Pruning:
    """What a prune deleted, or would delete."""

    deleted: tuple[str, ...]  # names, oldest first
    n_bytes: int  # of their files
    kept: Mapping[str, str]  # the other versions, newest first, and why each is kept


def prune(
    store: str | Path, keep: int, *, dry_run: bool = False, without_locks: bool = False
) -> Pruning:
    """Delete the oldest versions, and the folders left by crashed publishers and pruners.

    Refused versions do not count, and are deleted with the accepted ones around them; nor do those
    of a refresh, of which the two newest are kept. In addition
    to the newest, these are kept: the current version, the one that a rollback would take, pinned
    ones, and those that a process on this machine has open. A job that reads the Parquet files by
    their path should pin the version.

    Damaged versions do not count, and no rollback takes them. A prune that finds one deletes no
    sound version: those are worth more then. What cannot be deleted is kept, with a RuntimeWarning.

    A version is first renamed to a name that no reader opens, then deleted: a crash at any moment
    leaves whole versions only, and the next prune or publish deletes the rest. A reader that read
    CURRENT just before finds its version gone and opens the new one (`open_version`).

    Parameters
    ----------
    keep : int
        Number of the newest versions that are kept, 1 or more.
    dry_run : bool
        Delete nothing.
    without_locks : bool
        On a file system without locks it cannot be known whether a version is open, and all are
        kept as "perhaps open". Delete them all the same: no reader may have them open.

    Raises
    ------
    ConfigError
        If `keep` is less than 1.
    StoreError
        If the store cannot be read or written.
    """
    require_whole("keep", keep, least=1, expected="1 or more versions to keep")
    store = store_folder(store)
    listed = versions(store)  # raises where there is no store
    if dry_run:
        states = _states(listed, keep)
        return _prune(store, listed, states, keep, lambda version: None, without_locks)
    with errors_of_writing(store, "prune"), only_writer(store / PUBLISH_LOCK):
        _remove_leftover_objects(store)
        remove_leftovers(store / VERSIONS)
        states = _states(listed, keep)  # reads all files, so before the other lock
        with only_writer(store / CURRENT_LOCK):  # no version becomes current meanwhile
            done = _prune(store, listed, states, keep, _move_away, without_locks)
            sync(store / VERSIONS)
        left = remove_leftovers(store / VERSIONS)
    damaged = [name for name in done.deleted if states[name] == "damaged"]
    said = [f"deleted {name}: it was damaged" for name in damaged]
    warn_of([*left, *strays(store / VERSIONS), *said, *_worth_a_look(store, done)])
    return done


def prune_refreshed(store: str | Path, keep: int = KEPT_REFRESHED) -> Pruning:
    """Delete the versions that refreshes made, but for the newest; all others are kept.

    As `prune` it keeps the current version, the one that a rollback would take, pinned ones and
    those that are open, and it reads no more than manifests.
    """
    store = store_folder(store)
    with errors_of_writing(store, "prune"), only_writer(store / PUBLISH_LOCK):
        listed = versions(store)
        is_one = {version.name: _is_refreshed(version) for version in listed}
        with only_writer(store / CURRENT_LOCK):
            kept = dict.fromkeys((name for name in is_one if not is_one[name]), "of no refresh")
            kept |= _newest_refreshed(is_one, keep) | _in_use(store, listed)
            done = _removed(listed, kept, _move_away, without_locks=False)
            sync(store / VERSIONS)
        warn_of(remove_leftovers(store / VERSIONS))
    return done


def _is_refreshed(version: Version) -> bool:
    """Whether a refresh has made a version; not where its manifest cannot be read."""
    try:
        return version.manifest.refreshed_from is not None
    except StoreError:
        return False


def remove_leftovers(versions: Path) -> list[str]:
    """Remove folders left by crashed publishers and pruners; the caller holds the publish lock.

    Returns a sentence for each that cannot be removed: of another user, or with a file that a
    reader on another machine holds open (``.nfs...``). The next call tries again.
    """
    found = [delete_folder(folder, _LEFTOVER) for folder in _leftovers(versions)]
    return [sentence for sentence in found if sentence is not None]


def delete_folder(folder: Path, expected: str) -> str | None:
    """Delete a folder; return a sentence where it is none, or cannot be deleted."""
    if folder.is_symlink() or not folder.is_dir():
        return stray(folder, expected)
    try:
        shutil.rmtree(folder)
    except OSError as error:
        at = Path(error.filename or folder)
        return f"{folder}: cannot be deleted: {at}: {error.strerror}; passed over; {_advice(at)}"
    return None


def strays(versions: Path) -> list[str]:
    """Return a sentence for everything among the versions that is none in a folder of its own.

    Leftovers are not in it: `remove_leftovers` says what of them stays.
    """
    found = []
    for path in sorted(versions.iterdir()) if versions.is_dir() else ():
        is_version = is_version_name(path.name) and path.is_dir()
        if is_version and path.is_symlink():
            found.append(
                f"{path}: expected a folder, got a symlink; it counts as a version, and no prune "
                "deletes it; put the folder in its place"
            )
        elif not is_version and not path.name.startswith((STAGING, TRASH)):
            found.append(stray(path, "a version"))
    return found


def lasting_leftovers(versions: Path) -> list[str]:
    """Return a sentence for each leftover that no publish or prune of this user can remove now."""
    found = []
    for folder in _leftovers(versions):
        if folder.is_symlink() or not folder.is_dir():
            found.append(stray(folder, _LEFTOVER))
        elif opened := next(folder.rglob(f"{_OPEN_ELSEWHERE}*"), None):
            found.append(f"{opened}: {_advice(opened)}")
        elif _why_not_deletable(folder) is not None:
            found.append(f"{folder}: this user may not delete its files; {_advice(folder)}")
    return found


def stray(path: Path, expected: str) -> str:
    """Return a sentence for what is in the place of something else."""
    return f"{path}: expected {expected}, got {_kind_of(path)}; passed over; {_advice(path)}"


def _prune(
    store: Path,
    listed: Sequence[Version],
    states: Mapping[str, _State],
    keep: int,
    remove: Callable[[Version], None],
    without_locks: bool,
) -> Pruning:
    """Remove the versions that nothing keeps, oldest first."""
    return _removed(listed, _reasons(store, listed, states, keep), remove, without_locks)


def _removed(
    listed: Sequence[Version],
    kept: dict[str, str],
    remove: Callable[[Version], None],
    without_locks: bool,
) -> Pruning:
    remote = listed[0].remote if listed else None
    if remote is not None:
        return _removed_objects(remote, listed, kept, is_dry=remove is not _move_away)
    deleted, n_bytes = [], 0
    for version in reversed(listed):
        if version.name in kept:
            continue
        with lease_of(version.folder) as held:
            reason = _why_not_deletable(version.folder) or _open_reason(held, without_locks)
            if reason is not None:
                kept[version.name] = reason
                continue
            n_bytes += version.n_bytes
            remove(version)
        deleted.append(version.name)
    return Pruning(tuple(deleted), n_bytes, dict(sorted(kept.items(), reverse=True)))


def _removed_objects(
    remote: RemoteStore, listed: Sequence[Version], kept: dict[str, str], *, is_dry: bool
) -> Pruning:
    """Remove versions from a bucket, where other machines may open or activate them meanwhile."""
    deleted, n_bytes, now = [], 0, remote.now()

    def is_needed(name: str) -> bool:
        return name in _in_use(remote.folder, listed)

    for version in reversed(listed):
        if version.name in kept:
            continue
        size = version.n_bytes
        if is_dry:
            is_open = remote.is_leased(version.name, now)
        else:
            is_open = not remote.delete(version.name, is_needed, now)
        if is_open:
            kept[version.name] = "open"
            continue
        n_bytes += size
        deleted.append(version.name)
    return Pruning(tuple(deleted), n_bytes, dict(sorted(kept.items(), reverse=True)))


def _remove_leftover_objects(store: Path) -> None:
    remote = remote_of(store)
    if remote is not None:
        remote.remove_leftovers()


def _open_reason(held: str, without_locks: bool) -> str | None:
    if held == "unknown":
        return None if without_locks else PERHAPS_OPEN
    return "open" if held == "held" else None


PERHAPS_OPEN = "perhaps open"
_BESIDE_DAMAGE = "another is damaged"
_WORTH_A_LOOK = {
    "damaged": "it is damaged: recsys verify {name} says what of it",
    "unreadable": "it cannot be read now",
    "of another release": "another release of recsys made it: prune it with that one",
    "of another user": "this user may not delete its files",
    PERHAPS_OPEN: "its file system has no locks, so a reader may have it open: recsys prune "
    "--without-locks deletes it all the same",
}


def _worth_a_look(store: Path, done: Pruning) -> list[str]:
    return [
        f"{store / VERSIONS / name}: kept: {_WORTH_A_LOOK[reason].format(name=name)}"
        for name, reason in done.kept.items()
        if reason in _WORTH_A_LOOK
    ]


def _states(listed: Sequence[Version], keep: int) -> dict[str, _State]:
    """Return the state of each version; nothing is read where nothing can be deleted."""
    if len(listed) <= keep:
        return dict.fromkeys((version.name for version in listed), "accepted")
    return {version.name: _state(version) for version in listed}


def _state(version: Version) -> _State:
    try:
        if damage_of(version, quickly=version.remote is not None) is not None:
            return "damaged"
        is_sound_refresh = version.manifest.status == "accepted" and _is_refreshed(version)
        return "refreshed" if is_sound_refresh else version.manifest.status
    except UnreadableError:
        return "unreadable"
    except StoreError:
        return "of another release"


def _reasons(
    store: Path, listed: Sequence[Version], states: Mapping[str, _State], keep: int
) -> dict[str, str]:
    """Return the versions to keep, each with its strongest reason."""
    reasons: dict[str, str] = {}
    if "damaged" in states.values():
        sound = (name for name, state in states.items() if state != "damaged")
        reasons |= dict.fromkeys(sound, _BESIDE_DAMAGE)
    unknown = ("unreadable", "of another release")
    reasons |= {name: state for name, state in states.items() if state in unknown}
    reasons |= _newest(listed, states, keep)
    return reasons | _in_use(store, listed)


def _in_use(store: Path, listed: Sequence[Version]) -> dict[str, str]:
    """Return the versions that are pinned, current, or what a rollback would take."""
    existing = {version.name for version in listed}
    reasons = dict.fromkeys(pinned(store) & existing, "pinned")
    for name, reason in ((version_before(store), "rollback"), (current(store), "current")):
        if name is not None:
            reasons[name] = reason
    return reasons


def _newest(listed: Sequence[Version], states: Mapping[str, _State], keep: int) -> dict[str, str]:
    """Return the newest accepted versions, the refused between them, and few of refreshes."""
    is_refreshed = {name: state == "refreshed" for name, state in states.items()}
    reasons = _newest_refreshed(is_refreshed, KEPT_REFRESHED)
    n_counted = 0
    for version in listed:
        if n_counted == keep:
            break
        state = states.get(version.name, "accepted")
        if state == "refreshed":
            continue
        reasons[version.name] = f"newest {keep}" if state == "accepted" else state
        n_counted += state == "accepted"
    return reasons


def _newest_refreshed(is_refreshed: Mapping[str, bool], keep: int) -> dict[str, str]:
    """Return the newest of the versions that refreshes made."""
    names = sorted((name for name, is_one in is_refreshed.items() if is_one), reverse=True)
    return dict.fromkeys(names[:keep], f"newest {keep} refreshed")


def _move_away(version: Version) -> None:
    version.folder.rename(version.folder.with_name(f"{TRASH}{version.name}"))


def _why_not_deletable(folder: Path) -> str | None:
    """Return why a version cannot be deleted by this process, None where it can."""
    if folder.is_symlink():
        return "symlink"
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    if all(os.access(path, os.W_OK | os.X_OK) for path in folders):
        return None
    return "of another user"


def _leftovers(versions: Path) -> list[Path]:
    return [*sorted(versions.glob(f"{STAGING}*")), *sorted(versions.glob(f"{TRASH}*"))]


def _advice(path: Path) -> str:
    if path.name.startswith(_OPEN_ELSEWHERE):
        return "a reader on another machine has it open; once that ends, the next prune deletes it"
    return "move it away, or delete it"


def _kind_of(path: Path) -> str:
    if path.is_symlink():
        return "a symlink" if path.exists() else "a symlink to nothing"
    return "a folder" if path.is_dir() else "a file"

"""Activate a version, roll back, pin; and the record of activations."""

import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple

from recsys.base.durable import errors_of_writing, replace_text
from recsys.base.errors import StoreError, VersionNotFoundError, briefly
from recsys.base.locks import only_writer
from recsys.objects import TakenError
from recsys.store.remote import RemoteStore, leased, remote_of, store_folder
from recsys.store.sound import PassedOver, first_usable, require_sound, warn_of
from recsys.store.versions import (
    CURRENT,
    CURRENT_LOCK,
    Version,
    current,
    current_or_none,
    find_version,
    read_text,
    versions,
)

ACTIVATIONS = "ACTIVATIONS"
PINNED = "PINNED"

_Kind = Literal["activate", "rollback"]

_LINE = re.compile(r"(\S+) (activate|rollback) (\S+)", re.ASCII)
_MAX_LINES = 1000
_TRIES = 5  # where other processes change the same object


class Seen(NamedTuple):
    """CURRENT as it was read; a write under this condition replaces no other one."""

    etag: str | None  # None where there was none


class Activation(NamedTuple):
    """One change of the current version."""

    time: str  # ISO 8601, UTC
    kind: _Kind
    version: str  # name


def activate(store: str | Path, name: str, *, force: bool = False) -> Version:
    """Make a version the current one; readers open it with their next call.

    Parameters
    ----------
    force : bool
        Activate it even if gates refused it.

    Raises
    ------
    GateFailedError
        If the version was refused when it was published, unless `force`.
    VersionNotFoundError
        If there is no such version.
    CorruptVersionError
        If a file of it is damaged.
    StoreError
        If the store cannot be written.
    """
    store = store_folder(store)
    version = find_version(store, name)  # before the lock, which may not be writable
    require_sound(version)
    if not force:
        version.manifest.require_accepted()
    with errors_of_writing(store, f"make {name} current"), only_writer(store / CURRENT_LOCK):
        return _make_current(store, name, "activate")


def make_current(store: Path, name: str, seen: Seen | None = None) -> Version:
    """Make a version current that was written just now, in the place of the one that was seen.

    Raises
    ------
    StoreError
        If another publisher has made one current since.
    """
    with only_writer(store / CURRENT_LOCK):
        return _make_current(store, name, "activate", seen)


def seen_current(store: Path) -> Seen | None:
    """Return what CURRENT of a store at an address is now; a folder is locked instead."""
    remote = remote_of(store)
    return None if remote is None else Seen(remote.text(CURRENT)[1])


def rollback(store: str | Path) -> Version:
    """Make the version current that was current before, without waiting for a publish.

    Rollbacks undo activations one by one: after A, B and C, the first one makes B current and the
    second one A. Versions that were pruned are skipped; damaged ones are passed over, with a
    RuntimeWarning.

    Returns
    -------
    Version
        The one that is current now.

    Raises
    ------
    VersionNotFoundError
        If there is no current version, or none before it that is sound.
    UnreadableError
        If the one before cannot be read now; the current one stays current.
    StoreError
        If the store cannot be read or written.

    See Also
    --------
    activations : which versions were current, and when
    """
    store = store_folder(store)
    now = find_version(store).name
    with errors_of_writing(store, "roll back"), only_writer(store / CURRENT_LOCK):
        before, passed_over = _sound_before(store)
        if before is None:
            damaged = "".join(f"; {one.name}: {one.reason}" for one in passed_over)
            raise VersionNotFoundError(
                f"store {store}: expected a version that was current before "
                f"{current(store) or now}, got none that is still there{damaged}; activate one by "
                "its name"
            )
        version = _make_current(store, before.name, "rollback")
    warn_of(passed_over)
    return version


def activations(store: str | Path) -> list[Activation]:
    """Return all activations, oldest first; the last one made current what CURRENT names."""
    store = store_folder(store)
    lines, now = _lines_of(store), current_or_none(store)
    if not lines or lines[-1].version != now:
        before = lines[-2].version if len(lines) > 1 else None
        if lines and before == now:  # a process died before it replaced CURRENT
            lines.pop()
        elif now is not None:  # CURRENT was written by hand, or by a release without ACTIVATIONS
            lines.append(_of_now("activate", now))
    return lines


def version_before(store: str | Path) -> str | None:
    """Return the name of the version that a rollback makes current, None where there is none.

    As an editor undoes changes: after A, B and C, the first one makes B current and the second one
    A; an activation after that follows A alone. Pruned and damaged versions are skipped.

    Raises
    ------
    UnreadableError
        If a version cannot be read now: then it is not known whether it is damaged.
    """
    before, _ = _sound_before(store_folder(store))
    return None if before is None else before.name


def served(store: str | Path) -> list[str]:
    """Return the names of the versions that are or were current, the latest first.

    Those that a rollback undid or a prune deleted are left out. The current version is in it even
    where CURRENT is damaged.
    """
    existing = {version.name for version in versions(store)}
    return [name for name in reversed(_not_undone(activations(store))) if name in existing]


def names_before(store: Path) -> list[str]:
    """Return the names that a rollback looks at, the first sound one of which it takes."""
    *_, now = _not_undone(activations(store)) or [""]
    return [name for name in served(store) if name != now]


def pinned(store: str | Path) -> frozenset[str]:
    """Return the names of the pinned versions."""
    return frozenset((read_text(store_folder(store) / PINNED) or "").split())


def pin(store: str | Path, name: str) -> Version:
    """Keep a version from every prune until it is unpinned. A pinned one stays pinned.

    Raises
    ------
    VersionNotFoundError
        If there is no such version.
    StoreError
        If the store cannot be written.
    """
    store = store_folder(store)
    find_version(store, name)
    with (
        errors_of_writing(store, f"pin {name}"),
        only_writer(store / CURRENT_LOCK),
        leased(store, name),
    ):
        version = find_version(store, name)  # once more, as nothing can prune it now
        _change_pins(store, lambda names: names | {name})
    return version


def unpin(store: str | Path, name: str) -> None:
    """Let the next prune delete a version.

    Raises
    ------
    StoreError
        If it is not pinned, or the store cannot be written.
    """
    store = store_folder(store)
    if not isinstance(name, str) or name not in pinned(store):
        known = ", ".join(sorted(pinned(store))) or "none is"
        raise StoreError(
            f"store {store}: expected a pinned version, got {briefly(name)}; pinned are: {known}"
        )
    with errors_of_writing(store, f"unpin {name}"), only_writer(store / CURRENT_LOCK):
        _change_pins(store, lambda names: names - {name})


def _sound_before(store: Path) -> tuple[Version | None, tuple[PassedOver, ...]]:
    """Return the version that a rollback takes, and the damaged ones that it passes over."""
    return first_usable(store, names_before(store), require_sound)


def _make_current(store: Path, name: str, kind: _Kind, seen: Seen | None = None) -> Version:
    """Write ACTIVATIONS, then CURRENT; the caller holds the lock."""
    remote = remote_of(store)
    with leased(store, name):
        version = find_version(store, name)  # once more, as nothing can prune it now
        version.manifest  # noqa: B018  a version that cannot be opened must not become current
        if remote is None:
            known = activations(store)
            if _is_another(known, name):
                replace_text(store / ACTIVATIONS, _text_of([*known, _of_now(kind, name)]))
            replace_text(store / CURRENT, name)
        else:
            _make_current_at(remote, name, kind, seen)
    return version


def _make_current_at(remote: RemoteStore, name: str, kind: _Kind, seen: Seen | None) -> None:
    """Do so in a bucket, where another process may do the same: each write names what it saw."""
    for _ in range(_TRIES):
        now = remote.text(CURRENT)[1]
        if seen is not None and now != seen.etag:
            break
        of_activations = remote.text(ACTIVATIONS)[1]
        known = activations(remote.folder)
        with suppress(TakenError):
            if _is_another(known, name):
                text = _text_of([*known, _of_now(kind, name)])
                of_activations = remote.replace(ACTIVATIONS, text, of_activations)
            try:
                remote.replace(CURRENT, name, now)
            except TakenError:  # so it was never current
                remote.replace(ACTIVATIONS, _text_of(known), of_activations)
                raise
            return
    raise StoreError(
        f"store {remote.address}: expected version {name} to become current, but another process "
        f"made {current(remote.folder)} current meanwhile; both are kept: recsys activate {name} "
        "makes this one current"
    )


def _is_another(known: list[Activation], name: str) -> bool:
    return not known or known[-1].version != name


def _of_now(kind: _Kind, name: str) -> Activation:
    return Activation(_now(), kind, name)


def _text_of(known: list[Activation]) -> str:
    return "\n".join(" ".join(activation) for activation in known[-_MAX_LINES:])


def _not_undone(past: Iterable[Activation]) -> list[str]:
    """Return the names of the versions that no rollback has undone, oldest first."""
    names: list[str] = []
    for activation in past:
        if activation.kind == "rollback":
            while names and names[-1] != activation.version:
                names.pop()
        if not names or names[-1] != activation.version:
            names.append(activation.version)
    return names


def _lines_of(store: Path) -> list[Activation]:
    """Return the lines that can be read: a damaged file must not stop a publish."""
    text = read_text(store / ACTIVATIONS) or ""
    found = (_LINE.fullmatch(line) for line in text.splitlines())
    return [
        Activation(line[1], "rollback" if line[2] == "rollback" else "activate", line[3])
        for line in found
        if line
    ]


def _change_pins(store: Path, change: Callable[[frozenset[str]], frozenset[str]]) -> None:
    remote = remote_of(store)
    for _ in range(_TRIES):
        etag = None if remote is None else remote.text(PINNED)[1]
        text = "\n".join(sorted(change(pinned(store))))
        if remote is None:
            replace_text(store / PINNED, text)
            return
        with suppress(TakenError):
            remote.replace(PINNED, text, etag)
            return
    raise StoreError(f"store {store}: others change the pins again and again; try again")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

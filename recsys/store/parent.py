"""What a new version is compared with and aligned to: the last version that is sound.

It is the version that serving falls back to where the current one is damaged.
"""

from dataclasses import dataclass
from pathlib import Path

from recsys.base.errors import GateFailedError, StoreError
from recsys.store.activations import served
from recsys.store.sound import PassedOver, first_usable, require_sound, warn_of
from recsys.store.versions import CURRENT, Version, current, versions


@dataclass(frozen=True)
class Damaged:
    """A version of which no more than the manifest can be used; `reason` names the damage."""

    version: Version
    reason: str


@dataclass(frozen=True)
class Parent:
    """The version before a new one.

    Parameters
    ----------
    version : Version or None
        None where there is none to compare with.
    damage : str or None
        Where no version is sound: what is damaged of this one. Its manifest can be read.
    passed_over : tuple of PassedOver
        Later ones, that are damaged.
    """

    version: Version | None
    damage: str | None = None
    passed_over: tuple[PassedOver, ...] = ()

    @property
    def name(self) -> str | None:
        """Its name."""
        return None if self.version is None else self.version.name


def parent_of(store: str | Path, *, warn: bool = True) -> Parent:
    """Return the last once current version that is sound.

    Parameters
    ----------
    warn : bool
        Warn of those that are passed over.

    Raises
    ------
    UnreadableError
        If a version cannot be read now: then it is not known whether it is damaged.
    StoreError
        If there is no store, or it cannot be read.
    """
    store = Path(store)
    names, damaged_current = candidates(store)
    version, passed = first_usable(store, names, require_sound)
    passed = damaged_current + passed
    if warn:
        warn_of(passed)
    if version is not None:
        return Parent(version, None, passed)
    described, _ = first_usable(store, names, _with_manifest)
    damage = None if described is None else _reason_of(described.name, passed)
    return Parent(described, damage, passed)


def candidates(store: Path) -> tuple[list[str], tuple[PassedOver, ...]]:
    """Return the names of the versions that may stand for the current one, the best first.

    Returns
    -------
    names : list of str
        The current version, those that were current before it, and last the others that gates
        accepted: a damaged store may not say which were current.
    passed_over : tuple of PassedOver
        CURRENT, where it is damaged.
    """
    damaged: tuple[PassedOver, ...] = ()
    named = None
    try:
        named = current(store)
    except StoreError as error:
        damaged = (PassedOver(CURRENT, str(error)),)
    once_current = [] if named is None else [named]
    accepted = (version.name for version in versions(store) if _accepted(version))
    return list(dict.fromkeys([*once_current, *served(store), *accepted])), damaged


def require_comparable(store: str | Path, parent: Parent) -> None:
    """Raise a GateFailedError where a store has had versions, and none can be compared with."""
    if parent.version is None and parent.passed_over:
        reasons = "; ".join(f"{one.name}: {one.reason}" for one in parent.passed_over)
        raise GateFailedError(
            [
                f"store {store}: expected a version to compare the new one with, got only damaged "
                f"ones: {reasons}; bring one back from a backup, or publish once without a "
                "comparison, with gates.enabled = false"
            ]
        )


def _with_manifest(version: Version) -> Version:
    version.manifest  # noqa: B018  raises where it is damaged
    return version


def _accepted(version: Version) -> bool:
    try:
        return version.manifest.status == "accepted"
    except StoreError:
        return True  # which is found out when it is used


def _reason_of(name: str, passed_over: tuple[PassedOver, ...]) -> str:
    return next(one.reason for one in passed_over if one.name == name)

"""The parent of a new version: the last one that is sound; and the rotation into its space.

It is the version that serving falls back to where the current one is damaged.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys.base.errors import (
    ConfigError,
    CorruptVersionError,
    GateFailedError,
    StoreError,
    UnreadableError,
    VersionNotFoundError,
)
from recsys.store.activations import served
from recsys.store.manifest import ModelSpec
from recsys.store.parquet_files import read_item_table
from recsys.store.release import Release
from recsys.store.remote import store_folder
from recsys.store.sound import PassedOver, first_usable, require_sound, warn_of
from recsys.store.versions import CURRENT, Version, current, find_version, versions
from recsys.vectors import align, shared_rows

if TYPE_CHECKING:
    from recsys.settings import AlignmentSettings


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


def parent_of(store: str | Path) -> Parent:
    """Return the last once current version that is sound; warn of those that are passed over.

    Raises
    ------
    UnreadableError
        If a version cannot be read now: then it is not known whether it is damaged.
    StoreError
        If there is no store, or it cannot be read, or another release made the current version.
    """
    store = store_folder(store)
    once_current, damaged_current = _once_current(store)
    if not damaged_current:
        _require_this_release(store)
    version, passed = first_usable(store, _candidates(store, once_current), require_sound)
    warn_of(damaged_current + passed)
    if version is not None:
        return Parent(version, None, damaged_current + passed)
    reasons = {one.name: one.reason for one in passed}
    described, _ = first_usable(store, reasons, _with_manifest)
    damage = None if described is None else reasons[described.name]
    return Parent(described, damage, damaged_current + passed)


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


def align_with_current(
    store: str | Path, release: Release, settings: "AlignmentSettings | None" = None
) -> Release:
    """Rotate a release onto the current version of a store, to stay in its space.

    Where that is damaged, the last sound one stands for it (`recsys.store.parent_of`).

    Users and items are rotated alike, so no score changes. Where the two cannot be aligned, the
    release stays as it is, in a new space. Its `alignment` says which of both, and why. Each
    version is aligned with its parent alone: over many versions a space may drift.
    """
    from recsys.settings import AlignmentSettings  # not needed to serve

    settings = settings or AlignmentSettings()
    parent = parent_of(store) if store_folder(store).is_dir() else Parent(None)
    if parent.version is None:
        damaged = parent.passed_over[0].reason if parent.passed_over else None
        return _in_new_space(release, None, damaged or "the first version of the store")
    if not settings.enabled:
        return _in_new_space(release, parent.name, "alignment is switched off")
    reason = parent.damage or _why_not_alignable(release, parent.version)
    if reason is not None:
        return _in_new_space(release, parent.name, reason)
    return _aligned(release, parent.version, settings.min_agreement)


def _aligned(release: Release, parent: Version, min_agreement: float) -> Release:
    """Return the release in the space of its parent if they agree well enough."""
    before = read_item_table(parent.folder)
    ours, theirs = shared_rows(release.items, before.ids)
    items, onto = release.embeddings.items[ours], before.embeddings[theirs]
    blocks = _blocks(release.model) or ()
    n_shared = int((items.any(axis=1) & onto.any(axis=1)).sum())
    widest = max((block.stop - block.start for block in blocks), default=0)
    if n_shared < widest:
        reason = f"{n_shared} items are in both versions, and {widest} factors need as many"
        return _in_new_space(release, parent.name, reason, n_shared=n_shared)
    # The weight of an item is its number of users, in the version where it has fewer.
    popularity = np.minimum(release.popularity[ours], before.popularity[theirs])
    found = align(items, onto, popularity, blocks=blocks)
    facts = {name: value for name, value in asdict(found).items() if name != "rotation"}
    if found.agreement < min_agreement:
        reason = (
            "items are too far from where they were: their agreement is "
            f"{found.agreement:.3f}, below {min_agreement:g}"
        )
        return _in_new_space(release, parent.name, reason, **facts)
    reason = "aligned with the version before"
    return replace(
        release,
        embeddings=found.apply(release.embeddings),
        space_id=before.space_id,
        alignment={"parent": parent.name, "space": "kept", "reason": reason, **facts},
    )


def _in_new_space(release: Release, parent: str | None, reason: str, **facts: Any) -> Release:
    alignment = {"parent": parent, "space": "new", "reason": reason, **facts}
    return replace(release, space_id=None, alignment=alignment)


def _why_not_alignable(release: Release, parent: Version) -> str | None:
    """Return why no rotation can align the two, None where one can."""
    before, name = parent.manifest, release.model.name
    if before.model.name != name:
        return f"the model changed from {before.model.name} to {name}"
    if before.factors != release.embeddings.factors:
        return f"the factors changed from {before.factors} to {release.embeddings.factors}"
    blocks = _blocks(release.model)
    if blocks is None:
        return f"recsys has no model {name} with these parameters, so none that can be rotated"
    if _blocks(before.model) != blocks:
        return f"the coordinates of {name} are divided otherwise, by other hyperparameters"
    return None


def _blocks(model: ModelSpec) -> tuple[slice, ...] | None:
    """Return the blocks of coordinates of a model; None for one that this release does not know."""
    from recsys.models import model_from  # the solvers are not needed to read a store

    try:
        return model_from(model.name, model.parameters).rotatable
    except ConfigError:
        return None


def _once_current(store: Path) -> tuple[tuple[str, ...], tuple[PassedOver, ...]]:
    """Return the names of the current version and of those before it; and CURRENT, if damaged."""
    damaged: tuple[PassedOver, ...] = ()
    named: tuple[str, ...] = ()
    try:
        found = current(store)
        named = () if found is None else (found,)
    except StoreError as error:
        damaged = (PassedOver(CURRENT, str(error)),)
    return tuple(dict.fromkeys([*named, *served(store)])), damaged


def _candidates(store: Path, once_current: tuple[str, ...]) -> Iterator[str]:
    """Yield the names of the versions that may stand for the current one, the best first.

    Last the others that gates accepted, as a damaged store may not say which were current. Their
    manifests are read where nothing better is found.
    """
    yield from once_current
    others = (one for one in versions(store) if one.name not in once_current)
    yield from (one.name for one in others if _accepted(one))


def _require_this_release(store: Path) -> None:
    """Raise the StoreError of a current version that another release made: it is not damaged."""
    with suppress(CorruptVersionError, UnreadableError, VersionNotFoundError):
        find_version(store).manifest  # noqa: B018


def _with_manifest(version: Version) -> Version:
    version.manifest  # noqa: B018  raises where it is damaged
    return version


def _accepted(version: Version) -> bool:
    try:
        return version.manifest.status == "accepted"
    except StoreError:
        return True  # which is found out when it is used

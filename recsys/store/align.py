"""Align a release with its parent: rotate it into the parent's space, or begin a new one."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys.base.errors import ConfigError
from recsys.store.manifest import ModelSpec
from recsys.store.parent import Parent, parent_of
from recsys.store.release import Release
from recsys.store.tables import ItemTable, read_items
from recsys.store.versions import Version
from recsys.vectors import Alignment, align, shared_rows

if TYPE_CHECKING:
    from recsys.settings import AlignmentSettings


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
    parent = parent_of(store) if Path(store).is_dir() else Parent(None)
    if parent.version is None:
        damaged = parent.passed_over[0].reason if parent.passed_over else None
        return _of_new_space(release, None, damaged or "the first version of the store")
    if not settings.enabled:
        return _of_new_space(release, parent.name, "alignment is switched off")
    reason = parent.damage or _why_not_alignable(release, parent.version)
    if reason is not None:
        return _of_new_space(release, parent.name, reason)
    before = read_items(parent.version.folder)
    return _aligned(release, parent.version.name, before, settings.min_agreement)


def _aligned(release: Release, parent: str, before: ItemTable, min_agreement: float) -> Release:
    """Return the release in the space of its parent if they agree well enough."""
    ours, theirs = shared_rows(release.items, before.ids)
    items, onto = release.embeddings.items[ours], before.embeddings[theirs]
    blocks = _blocks(release.model) or ()
    n_shared, widest = int((items.any(axis=1) & onto.any(axis=1)).sum()), _widest(blocks)
    if n_shared < widest:
        reason = f"{n_shared} items are in both versions, and {widest} factors need as many"
        return _of_new_space(release, parent, reason, {"n_shared": n_shared})
    # The weight of an item is its number of users, in the version where it has fewer.
    popularity = np.minimum(release.popularity[ours], before.popularity[theirs])
    found = align(items, onto, popularity, blocks=blocks)
    facts = _facts(found)
    if found.agreement < min_agreement:
        reason = (
            "items are too far from where they were: their agreement is "
            f"{found.agreement:.3f}, below {min_agreement:g}"
        )
        return _of_new_space(release, parent, reason, facts)
    return replace(
        release,
        embeddings=found.apply(release.embeddings),
        space_id=before.space_id,
        alignment=_alignment(parent, "kept", "aligned with the version before", facts),
    )


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


def _widest(blocks: Sequence[slice]) -> int:
    return max((block.stop - block.start for block in blocks), default=0)


def _of_new_space(
    release: Release,
    parent: str | None,
    reason: str,
    facts: Mapping[str, Any] | None = None,
) -> Release:
    return replace(release, space_id=None, alignment=_alignment(parent, "new", reason, facts or {}))


def _alignment(
    parent: str | None, space: str, reason: str, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what the manifest keeps of the alignment."""
    return {"parent": parent, "space": space, "reason": reason, **facts}


def _facts(found: Alignment) -> dict[str, Any]:
    return {name: value for name, value in asdict(found).items() if name != "rotation"}

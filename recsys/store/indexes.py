"""The indexes of a version: the one that answers users, and those for what is similar."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.index import IndexKind, IndexSettings, Sample, build_index
from recsys.index.codes import norms_of
from recsys.store.content import INDEX, SIMILAR
from recsys.store.release import Release
from recsys.vectors import FloatMatrix

_N_MEASURED = 1000  # users that the index is measured on
_WORTH_A_FOREST = range(400_000, 4_000_000)  # rows: a scan takes a millisecond, a forest minutes


@dataclass(frozen=True)
class BuiltIndexes:
    """The indexes of a release, on the disk.

    Parameters
    ----------
    folder : Path
        Holds them under the names that they have in a version.
    facts : dict
        For the manifest: what was built and measured.
    """

    folder: Path
    facts: dict[str, Any]


def build_indexes(folder: Path, release: Release, settings: IndexSettings) -> BuiltIndexes:
    """Build the index that answers users, and those for what is similar.

    Parameters
    ----------
    folder : Path
        Where they go; there, and without any.
    release : Release
    settings : IndexSettings

    Returns
    -------
    BuiltIndexes

    Raises
    ------
    GateFailedError
        If the index misses its target recall.
    """
    users, items = release.embeddings.users, release.embeddings.items
    rows = _sample_of(users, settings.seed)
    sample = Sample(users[rows], [release.seen_lists[row] for row in rows])
    (folder / INDEX).mkdir(parents=True)
    facts = build_index(items, sample, settings, folder / INDEX)
    facts["similar_items"] = _build_similar(folder / SIMILAR["item"], items, settings)
    if settings.similar_users:
        facts["similar_users"] = _build_similar(folder / SIMILAR["user"], users, settings)
    return BuiltIndexes(folder, facts)


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

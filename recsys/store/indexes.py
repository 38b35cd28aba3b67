"""The indexes of a version: the one that answers users, and those for what is similar."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recsys.index import IndexSummary, Sample, build_index
from recsys.store.content import INDEX, SIMILAR
from recsys.store.manifest import IndexSummaries
from recsys.store.release import Release
from recsys.vectors import FloatMatrix
from recsys.vectors.ids import Kind
from recsys.vectors.storage import encode
from recsys.vectors.vector import norms_of

if TYPE_CHECKING:
    from recsys.settings import IndexKind, IndexSettings

_N_MEASURED = 1000  # users that the index is measured on
_N_MEASURED_OF_SCANS = 200
_WORTH_A_FOREST = range(400_000, 4_000_000)  # rows: a scan takes a millisecond, a forest minutes


@dataclass(frozen=True)
class BuiltIndexes:
    """The indexes of a release on the disk, and what was built and measured of them."""

    folder: Path  # holds them under the names that they have in a version
    summaries: IndexSummaries


def build_indexes(
    folder: Path,
    release: Release,
    settings: "IndexSettings",
    on_index: Callable[[str], None] = lambda _: None,
) -> BuiltIndexes:
    """Build the index that answers users, and those for what is similar.

    Parameters
    ----------
    folder : Path
        Where they go; it exists and holds none.
    on_index : callable, optional
        Is called before each index with its name; that of similar users may take minutes.

    Raises
    ------
    GateFailedError
        If the index misses its target recall.
    """
    # As they are served.
    users, items = (
        np.asarray(encode(matrix, settings.storage))
        for matrix in (release.embeddings.users, release.embeddings.items)
    )
    rows = _sample_of(users, settings.seed)
    sample = Sample(users[rows], [release.seen_lists[row] for row in rows])
    (folder / INDEX).mkdir(parents=True)
    on_index("index of items")
    main = build_index(items, sample, settings, folder / INDEX)
    if main.without_annoy is not None:  # which was warned of; once is enough
        settings = replace(settings, kind="exact")
    sides: dict[Kind, FloatMatrix] = {"item": items}
    if settings.similar_users:
        sides["user"] = users
    similar: dict[Kind, IndexSummary] = {}
    for side, vectors in sides.items():
        on_index(f"index of similar {side}s")
        similar[side] = _build_similar(folder / SIMILAR[side], vectors, settings)
    return BuiltIndexes(folder, IndexSummaries(main, similar))


def _build_similar(folder: Path, vectors: FloatMatrix, settings: "IndexSettings") -> IndexSummary:
    """Build an index by cosine."""
    folder.mkdir()
    is_worth = len(vectors) in _WORTH_A_FOREST and settings.kind != "exact"
    kind: IndexKind = "auto" if is_worth else "exact"
    rows = _sample_of(vectors, settings.seed)
    if not is_worth:  # few tell which of two scans costs less
        rows = rows[:_N_MEASURED_OF_SCANS]
    units = vectors[rows] / norms_of(vectors[rows])[:, None]
    sample = Sample(units.astype(np.float32), list(rows[:, None].astype(np.int32)))
    # All directions have the same norm, so there is no head.
    chosen = replace(settings, kind=kind, head_share=0.0)
    return build_index(vectors, sample, chosen, folder, cosine=True)


def _sample_of(vectors: FloatMatrix, seed: int) -> NDArray[np.intp]:
    """Return rows to measure an index on; none that is zero, as those are never searched for."""
    rows = np.flatnonzero(vectors.any(axis=1))
    rng = np.random.default_rng(seed)
    sample: NDArray[np.intp] = rng.choice(rows, size=min(_N_MEASURED, len(rows)), replace=False)
    return sample

"""What is most similar to a user or an item, by the cosine of their embeddings."""

import numpy as np

from recsys.index import Allowed, Index
from recsys.serving.recommendations import Recommendations, ScoredItem
from recsys.store import Content
from recsys.vectors import Id, NamedVectors
from recsys.vectors.arguments import Kind


class Similar:
    """Searches by cosine, through the indexes of a version where it has them.

    Parameters
    ----------
    content : Content
    """

    def __init__(self, content: Content) -> None:
        self._content = content
        self._indexes: dict[Kind, tuple[Index | None, Allowed | None]] = {}

    def to(self, vectors: NamedVectors, id_: Id, k: int) -> Recommendations:
        """Return the nearest of some users or items to one of them, but for itself."""
        row, version = vectors.row(id_), self._content.version.name
        index, has_direction = self._index(vectors.kind)
        if index is None:
            found = vectors.nearest(id_, k)
            return Recommendations(tuple(map(ScoredItem._make, found)), "similar", version)
        vector = vectors.matrix[row].astype(np.float64)
        norm = float(np.linalg.norm(vector))
        if norm == 0:
            return Recommendations((), "similar", version)
        itself = np.array([row], dtype=np.int32)
        rows, cosines = index.search((vector / norm).astype(np.float32), k, itself, has_direction)
        ids, scores = vectors.ids.tolist(rows), np.clip(cosines, -1, 1).tolist()
        return Recommendations(tuple(map(ScoredItem, ids, scores)), "similar", version)

    def _index(self, kind: Kind) -> tuple[Index | None, Allowed | None]:
        """Return the index by cosine, if the version has one, and who has a direction."""
        if kind not in self._indexes:
            index, allowed = self._content.similar(kind), None
            if index is not None:
                has_direction = np.asarray(index.items.any(axis=1))
                allowed = None if has_direction.all() else index.allow(has_direction)
            self._indexes[kind] = index, allowed
        return self._indexes[kind]

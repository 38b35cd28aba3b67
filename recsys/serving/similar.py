"""What is near in the space of a version, by cosine."""

from dataclasses import replace

import numpy as np

from recsys.index import Allowed, Index
from recsys.serving.known import Known, ScoredItem, scored_items
from recsys.serving.request import Request
from recsys.serving.results import Recommendations
from recsys.store import Content
from recsys.vectors import Id, NamedVectors, Vector
from recsys.vectors.ids import Kind


class Similar:
    """Searches by cosine, through the indexes of a version where it has them."""

    def __init__(self, content: Content, known: Known) -> None:
        self._content, self._known = content, known
        self._indexes: dict[Kind, tuple[Index | None, Allowed | None]] = {}

    def to(self, vectors: NamedVectors, id_: Id, request: Request) -> Recommendations:
        """Return the users or items nearest to one of them, without itself.

        The rows of the request are those of the same users or items.
        """
        exclude = np.append(request.exclude, np.int32(vectors.row(id_)))
        return self.near(vectors, vectors[id_], replace(request, exclude=exclude))

    def near(self, vectors: NamedVectors, vector: Vector, request: Request) -> Recommendations:
        """Return the users or items nearest to a point of their space."""
        index, has_direction = self._index(vectors.kind)
        exclude = request.exclude
        if index is None:
            among = request.allowed_rows(len(vectors))
            nearest = vectors.nearest_rows(vector, request.k, exclude=exclude, among=among)
            return self._listed(tuple(map(ScoredItem._make, nearest)), vectors.kind)
        if vector.is_zero:
            return self._listed((), vectors.kind)
        unit = vector.unit().values.astype(np.float32)
        is_allowed = request.is_allowed(len(vectors))
        if is_allowed is not None:
            has_direction = index.allow(is_allowed & np.asarray(index.items.any(axis=1)))
        rows, cosines = index.search(unit, request.k, exclude, has_direction)
        found = scored_items(vectors.ids.tolist(rows), np.clip(cosines, -1, 1))
        return self._listed(found, vectors.kind)

    def _listed(self, found: tuple[ScoredItem, ...], kind: Kind) -> Recommendations:
        about = (self._known, None) if kind == "item" else None
        return Recommendations(found, "similar", self._content.version.name, about, kind)

    def _index(self, kind: Kind) -> tuple[Index | None, Allowed | None]:
        """Return the index by cosine, if the version has one, and the rows that are not zero."""
        # Two threads may both do it the first time, to the same end.
        if kind not in self._indexes:
            index, allowed = self._content.similar(kind), None
            if index is not None:
                has_direction = np.asarray(index.items.any(axis=1))
                allowed = None if has_direction.all() else index.allow(has_direction)
            self._indexes[kind] = index, allowed
        return self._indexes[kind]

"""Embeddings by external ids: similarity, arithmetic, directions and the nearest."""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from recsys.base.errors import DataError, UnknownItemError, UnknownUserError, briefly
from recsys.base.lazy import lazy_property
from recsys.base.tables import TableList, Tabular
from recsys.vectors.embeddings import Embeddings, FloatMatrix
from recsys.vectors.ids import ID, Id, Ids, Kind, checked_id, checked_k, unknown_id
from recsys.vectors.top_k import By, NearestRows, Rows
from recsys.vectors.vector import Vector, require_same_space, space_id_of

Point = Id | Vector | NDArray[np.floating]

_NO_DISTANCE = 1e-12  # of two means, relative to their vectors: what float64 sums round off


class ScoredId(NamedTuple):
    """An id and its score, a cosine or a dot product."""

    id: Id
    score: float


class NamedVectors(Tabular):
    """The embeddings of all users, or of all items, by their ids.

    Users and items are two sets of points in one space: the vector of a user can be added to those
    of items, and the nearest items to a user can be found. A point is an id of this set, any
    `Vector` of the space, or an array of its coordinates, such as a folded-in user.

    A zero vector (of an item without users, for example) has no direction. Its cosine with another
    vector is an error, `nearest` by cosine leaves it out and finds nothing near it; its dot
    product with any vector is 0.

    Parameters
    ----------
    matrix : ndarray of float32, shape (n, factors)
        Row i is the embedding of id i.
    kind : {"user", "item"}
    space_id : str
        Sets of one space share it.
    where : str
        What holds them, for error messages, such as "of version v".

    Raises
    ------
    DataError
        If there is not one id for each row. By every method for an argument that is none of its
        kind, a vector of another space and an empty group.
    UnknownUserError, UnknownItemError
        By every method for an id that is not in the set.

    Examples
    --------
    >>> import numpy as np
    >>> places = np.array([[0, 2], [1, 2], [0, 1], [1, 1]], dtype=np.float32)
    >>> items = NamedVectors(Ids(["king", "queen", "man", "woman"]), places, "item", "s")
    >>> items["king"] - items["man"] + items["woman"] == items["queen"]
    True
    >>> items.analogy("man", "king", "woman", k=1)[0].id
    'queen'
    >>> items.project(["man", "queen"], items.direction(["man", "king"], ["woman", "queen"]))
    array([0., 1.])
    """

    def __init__(
        self, ids: Ids, matrix: FloatMatrix, kind: Kind, space_id: str, where: str = ""
    ) -> None:
        if len(ids) != len(matrix):
            raise DataError(
                f"vectors of {kind}s: expected one id for each of {len(matrix)} rows, "
                f"got {len(ids)} ids"
            )
        self.ids, self.matrix = ids, matrix
        self.kind, self.space_id = kind, space_id
        self._where = where

    def __repr__(self) -> str:
        return f"NamedVectors({len(self)} {self.kind}s, {self.factors} factors, {self.space_id!r})"

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Id]:
        return iter(self.ids.tolist())

    def __contains__(self, id_: object) -> bool:
        if isinstance(id_, np.integer):
            id_ = int(id_)
        return isinstance(id_, str | int) and self.ids.find(id_) is not None

    def __getitem__(self, id_: Id) -> Vector:
        return Vector(self.matrix[self.row(id_)], self.space_id)

    def to_arrow(self) -> pa.Table:
        """Return one row per id: user_id or item_id, and its embedding, a list of float32."""
        return self.first_rows(len(self))

    def first_rows(self, n: int) -> pa.Table:
        """Return the first rows of the table."""
        values = pa.array(np.ascontiguousarray(self.matrix[:n], dtype=np.float32).reshape(-1))
        vectors = pa.FixedSizeListArray.from_arrays(values, self.factors)
        return pa.table({f"{self.kind}_id": self.ids.values[:n], "embedding": vectors})

    def caption(self) -> str:
        """Return how many there are, and of which space."""
        return f"{len(self):,} {self.kind}s, {self.factors} factors, space {self.space_id}"

    @property
    def factors(self) -> int:
        """The dimension of the vectors."""
        return int(self.matrix.shape[1])

    def row(self, id_: Id) -> int:
        """Return the row of an id."""
        row = self.ids.find(checked_id(id_, f"{self.kind}_id"))
        if row is None:
            raise self._unknown(id_)
        return row

    def vector(self, values: ArrayLike) -> Vector:
        """Return `factors` finite numbers, such as a folded-in user, as a vector of this space."""
        vector = Vector(values, self.space_id)
        require_same_space(vector, self.space_id, self.factors)
        return vector

    def cosine(self, a: Point, b: Point) -> float:
        """Return the cosine of two points, from -1 to 1; a DataError where one is zero."""
        return self._vector(a).cosine(self._vector(b))

    def dot(self, a: Point, b: Point) -> float:
        """Return the dot product of two points; that of a user and an item is their score."""
        return self._vector(a) @ self._vector(b)

    def average(self, points: Iterable[Point]) -> Vector:
        """Return the mean of some points; a repeated one counts each time."""
        return self._group(points, "average")[0]

    def direction(self, start: Iterable[Point], end: Iterable[Point]) -> Vector:
        """Return the direction from one group to another, of length 1.

        ``(mean(end) - mean(start)) / |mean(end) - mean(start)|``; a DataError for equal means.
        """
        (from_mean, from_size), (to_mean, to_size) = (
            self._group(points, name) for points, name in ((start, "start"), (end, "end"))
        )
        step = to_mean - from_mean
        if step.norm <= _NO_DISTANCE * max(from_size, to_size):
            raise DataError(
                "direction: expected two groups with different means, got the same mean twice; "
                "look for ids that are in both groups"
            )
        return step.unit()

    def project(self, points: Iterable[Point], direction: Vector) -> NDArray[np.float64]:
        """Return how far each point lies along a direction: ``x @ direction / |direction|``.

        Parameters
        ----------
        points : iterable of str, int or Vector
            This set itself for all its ids.
        direction : Vector
            Of any length; `direction` returns one.

        Returns
        -------
        ndarray of float64, shape (n_points,)
            Larger is further along, 0 for a zero vector.
        """
        unit = self._vector(direction).unit().values
        along: NDArray[np.float64] = self._matrix_of(points, "points") @ unit
        return along

    def nearest(
        self,
        point: Point,
        k: int = 10,
        *,
        by: By = "cosine",
        exclude: Iterable[Id] = (),
        among: Iterable[Id] | None = None,
    ) -> TableList[ScoredId]:
        """Return the nearest of these users or items to a point, by an exact search.

        Parameters
        ----------
        point : str, int, Vector or array
            An id of this set is not in its own list.
        k : int
            Length of the list, which is shorter where there are no more.
        by : {"cosine", "dot"}
            The dot product of a user with items gives the order of recommendations.
        exclude : iterable of str or int
            Ids to leave out, such as those that a vector was made of.
        among : iterable of str or int, optional
            The only ids that may be in the list. Default: all.

        Returns
        -------
        list of ScoredId
            Also a table, with ``to_pandas()``. Best first, ties by lower row. By cosine, zero
            vectors are not in it, and the list of a zero vector is empty.
        """
        k = checked_k(k)
        if by not in ("cosine", "dot"):
            raise DataError(f'by: expected "cosine" or "dot", got {briefly(by)}')
        vector = self._vector(point)
        left_out = self._rows(exclude, "exclude")
        if isinstance(point, ID):
            left_out = np.append(left_out, np.int32(self.row(point)))
        allowed = None if among is None else self._rows(among, "among")
        return self.nearest_rows(vector, k, by=by, exclude=left_out, among=allowed)

    def nearest_rows(
        self, vector: Vector, k: int, *, by: By = "cosine", exclude: Rows, among: Rows | None = None
    ) -> TableList[ScoredId]:
        """Return what `nearest` does, without and among rows."""
        if by == "cosine":
            if vector.is_zero:
                return TableList()
            vector = vector.unit()
        query = vector.values.astype(np.float32)
        rows, scores = self._nearest.search(query, k, by=by, exclude=exclude, among=among)
        return TableList(map(ScoredId, self.ids.tolist(rows), scores.tolist()))

    def analogy(
        self, a: Id, b: Id, c: Id, k: int = 10, *, by: By = "cosine"
    ) -> TableList[ScoredId]:
        """Return what is to `c` as `b` is to `a`: the nearest to ``c + b - a``, none of these."""
        return self.nearest(self[c] + self[b] - self[a], k, by=by, exclude=(a, b, c))

    @lazy_property
    def _nearest(self) -> NearestRows:
        return NearestRows(self.matrix)

    def _unknown(self, id_: Id) -> UnknownUserError | UnknownItemError:
        error = unknown_id(self.kind, id_, self.ids, self._where)
        if self.kind == "item" and self._where:  # of a version, which may know titles
            error.add_note("find(words) of a recommender finds items by title")
        return error

    def _vector(self, point: Point) -> Vector:
        if isinstance(point, np.ndarray):
            return self.vector(point)
        if not isinstance(point, Vector):
            return self[point]
        require_same_space(point, self.space_id, self.factors)
        return point

    def _group(self, points: Iterable[Point], name: str) -> tuple[Vector, float]:
        """Return the mean of some points and the size of their largest value."""
        matrix = self._matrix_of(points, name)
        if len(matrix) == 0:
            raise DataError(f"{name}: expected at least one {self.kind}, got none")
        return Vector(matrix.mean(axis=0), self.space_id), float(np.abs(matrix).max())

    def _matrix_of(self, points: Iterable[Point], name: str) -> NDArray[np.float64]:
        listed = _listed(points, name)
        if any(isinstance(point, Vector | np.ndarray) for point in listed):
            return np.stack([self._vector(point).values for point in listed])
        return self.matrix[self._rows(listed, name)].astype(np.float64)

    def _rows(self, ids: Iterable[Id], name: str) -> Rows:
        listed = [checked_id(id_, name) for id_ in _listed(ids, name)]
        rows = self.ids.rows(listed)
        unknown = np.flatnonzero(rows < 0)
        if len(unknown):
            raise self._unknown(listed[unknown[0]])
        return rows


def named_vectors(
    embeddings: Embeddings, users: Ids, items: Ids, *, space_id: str | None = None
) -> tuple[NamedVectors, NamedVectors]:
    """Return embeddings by the ids of their rows.

    Parameters
    ----------
    users, items : Ids
        As `Interactions` has them.
    space_id : str, optional
        Default: a hash of the item embeddings, as in a first version that is published of them; a
        later version is rotated into the space of the one before it.

    Returns
    -------
    users, items : NamedVectors
        Two sets of points in one space.

    Examples
    --------
    ::

        embeddings = recsys.ALS(factors=64).fit(log.user_items())
        users, items = recsys.named_vectors(embeddings, log.users, log.items)
        items.nearest(users["u42"], k=10, by="dot")
    """
    space = space_id or space_id_of(embeddings.items)
    return (
        NamedVectors(users, embeddings.users, "user", space),
        NamedVectors(items, embeddings.items, "item", space),
    )


def _listed(points: Iterable[Any], name: str) -> list[Any]:
    if isinstance(points, str | Vector) or not isinstance(points, Iterable):
        shown = repr(points)[:60]
        raise DataError(f"{name}: expected a list, got {shown}; write [{shown}]")
    return list(points)

"""The two matrices of embeddings, of users and of items."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from recsys.base.errors import DataError, DivergedError
from recsys.base.mapped import parts
from recsys.vectors.ids import Ids

FloatMatrix = NDArray[np.float32]
FloatVector = NDArray[np.float32]
_MATRICES = ("users", "items", "summands", "item_map", "user_map")


class Scorer(Protocol):
    """What can be ranked: `Embeddings`, or anything else that scores all items for some users."""

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of users and of items."""
        ...

    def scores(self, user_idx: NDArray[np.integer], out: FloatMatrix | None = None) -> FloatMatrix:
        """Return float32 (n, n_items), in `out` if that is given; called by several threads."""
        ...


@dataclass(frozen=True, eq=False)
class Embeddings:
    """User and item embeddings; the score of a pair is ``items[i] @ users[u]``.

    Parameters
    ----------
    users : ndarray of float32, shape (n_users, factors)
    items : ndarray of float32, shape (n_items, factors)
    summands : ndarray of float32, shape (n_items, factors), optional
        What each item of a history adds to the embedding of its user, where a fold-in cannot tell
        it from the items; see `recsys.Distilled`.
    item_map, user_map : ndarray of float32, shape (n_features, factors), optional
        From the features of an item or a user to its embedding, where a fit was given features;
        see `recsys.features`.
    ridges : mapping of str to float
        That of the map of each side, "item" and "user", also where the fit has chosen it.

    Raises
    ------
    DataError
        If a matrix is not two-dimensional, not float32, or the two differ in width.
    DivergedError
        If a number is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> embeddings = Embeddings(np.eye(2, dtype=np.float32), np.ones((3, 2), dtype=np.float32))
    >>> embeddings
    Embeddings(2 users, 3 items, 2 factors)
    >>> embeddings.scores(np.array([1]))
    array([[1., 1., 1.]], dtype=float32)
    """

    users: FloatMatrix
    items: FloatMatrix
    summands: FloatMatrix | None = None
    item_map: FloatMatrix | None = None
    user_map: FloatMatrix | None = None
    ridges: Mapping[str, float] = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        matrices = self.matrices
        for name, matrix in ({"users": self.users, "items": self.items} | matrices).items():
            if not isinstance(matrix, np.ndarray):
                raise DataError(
                    f"embeddings of {name}: expected a float32 matrix, got {type(matrix).__name__}"
                )
            if matrix.ndim != 2 or matrix.dtype != np.float32:
                raise DataError(
                    f"embeddings of {name}: expected a float32 matrix, "
                    f"got {matrix.dtype} of shape {matrix.shape}"
                )
            if not all(np.isfinite(matrix[part]).all() for part in parts(len(matrix))):
                raise DivergedError(
                    f"embeddings of {name}: {int((~np.isfinite(matrix)).any(axis=1).sum())} of "
                    f"{len(matrix)} rows hold numbers that are not finite; raise the "
                    "regularization, or look for extreme weights in the log"
                )
        if self.users.shape[1] != self.items.shape[1]:
            raise DataError(
                "embeddings: users and items must have the same number of factors, "
                f"got {self.users.shape[1]} and {self.items.shape[1]}"
            )
        for name in ("item_map", "user_map"):
            if name in matrices and matrices[name].shape[1] != self.factors:
                raise DataError(
                    f"embeddings: expected {name} of {self.factors} factors, as the items have, "
                    f"got {matrices[name].shape[1]}"
                )
        if self.summands is not None and self.summands.shape != self.items.shape:
            raise DataError(
                f"embeddings: expected summands of the shape of the items, {self.items.shape}, "
                f"got {self.summands.shape}"
            )

    @property
    def matrices(self) -> dict[str, FloatMatrix]:
        """The matrices that there are, by the names of the parameters."""
        found = {name: getattr(self, name) for name in _MATRICES}
        return {name: one for name, one in found.items() if one is not None}

    def __repr__(self) -> str:
        n_users, n_items = len(self.users), len(self.items)
        return f"Embeddings({n_users} users, {n_items} items, {self.factors} factors)"

    @property
    def factors(self) -> int:
        """The dimension of the embeddings."""
        return int(self.users.shape[1])

    @property
    def n_bytes(self) -> int:
        """Bytes of the matrices."""
        return sum(one.nbytes for one in self.matrices.values())

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of users and of items."""
        return len(self.users), len(self.items)

    def scores(
        self, user_idx: NDArray[np.integer] | slice, out: FloatMatrix | None = None
    ) -> FloatMatrix:
        """Return the scores of all items for some users, shape (n, n_items)."""
        scores: FloatMatrix = np.matmul(self.users[user_idx], self.items.T, out=out)
        return scores

    def reindexed(self, users: Ids, items: Ids, *, to_users: Ids, to_items: Ids) -> "Embeddings":
        """Return the embeddings of other users and items, matched by id.

        Parameters
        ----------
        users, items : Ids
            Of the rows of these embeddings.
        to_users, to_items : Ids
            Of the rows of the result. One that is new has a zero row, which a fit that starts here
            solves from the others in its first epoch.

        Examples
        --------
        >>> old = Embeddings(np.ones((1, 2), np.float32), np.ones((2, 2), np.float32))
        >>> users, items = Ids(["ann"]), Ids(["a", "b"])
        >>> new = old.reindexed(users, items, to_users=Ids(["ann", "bob"]), to_items=Ids(["b"]))
        >>> new.users.tolist(), new.items.tolist()
        ([[1.0, 1.0], [0.0, 0.0]], [[1.0, 1.0]])
        """
        summands = self.summands
        return replace(
            self,
            users=_rows_of(self.users, users, to_users),
            items=_rows_of(self.items, items, to_items),
            summands=None if summands is None else _rows_of(summands, items, to_items),
        )


def _rows_of(matrix: FloatMatrix, ids: Ids, to_ids: Ids) -> FloatMatrix:
    rows = ids.rows_of(to_ids)
    found = np.zeros((len(to_ids), matrix.shape[1]), dtype=np.float32)
    found[rows >= 0] = matrix[rows[rows >= 0]]
    return found

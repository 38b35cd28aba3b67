"""The two matrices that training makes and everything else reads."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.errors import DataError, DivergedError

FloatMatrix = NDArray[np.float32]
FloatVector = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Embeddings:
    """User and item embeddings; the score of a pair is ``items[i] @ users[u]``.

    Parameters
    ----------
    users : ndarray of float32, shape (n_users, factors)
    items : ndarray of float32, shape (n_items, factors)

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

    def __post_init__(self) -> None:
        for name, matrix in (("users", self.users), ("items", self.items)):
            if matrix.ndim != 2 or matrix.dtype != np.float32:
                raise DataError(
                    f"embeddings of {name}: expected a float32 matrix, "
                    f"got {matrix.dtype} of shape {matrix.shape}"
                )
            if not np.isfinite(matrix).all():
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

    def __repr__(self) -> str:
        n_users, n_items = len(self.users), len(self.items)
        return f"Embeddings({n_users} users, {n_items} items, {self.factors} factors)"

    @property
    def factors(self) -> int:
        """The dimension of the embeddings."""
        return int(self.users.shape[1])

    @property
    def n_bytes(self) -> int:
        """Bytes of both matrices."""
        return self.users.nbytes + self.items.nbytes

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

"""EASE: weights between all items, by one inverse."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.devices import Device
from recsys.base.errors import DataError
from recsys.base.threads import Threads, chunks, threads
from recsys.models.item_to_item import ItemToItem, OfHistories, bytes_of_sparse
from recsys.models.protocol import (
    OnEpoch,
    Unsized,
    UserItems,
    normalized,
    require_cpu,
    require_hyperparameters,
)
from recsys.models.spectral.truncated import multiply_rows
from recsys.vectors import FloatMatrix, FloatVector

MOST_ROWS = 32_768  # of the inverse: 4 GiB
_SIDE = 512  # of the squares that the inverse is worked on in


@dataclass(frozen=True)
class EASE(Unsized):
    r"""Weights between all items that best give back each user's row from its other entries.

    Steck, WWW 2019 (arXiv 1905.03375). With X the users' rows and
    :math:`P = (X'X + \lambda I)^{-1}` they are
    :math:`B = I - P\,\mathrm{diag}(1 / \mathrm{diag} P)` (equation 8), and scores are XB. A log
    with fewer users than items takes the inverse of the users' side instead,
    :math:`K = (XX' + \lambda I)^{-1}`: as :math:`XP = KX` and
    :math:`\mathrm{diag} P = (1 - \mathrm{diag} X'KX) / \lambda`, scores are
    :math:`X - KX\,\mathrm{diag}(1 / \mathrm{diag} P)`.

    The fit takes ``n^3`` flops and ``4 n^2`` bytes, and scores of a user ``2 n_history n_items``
    flops, with n the number of users or items, whichever are fewer: 32,768 at most, which are
    4 GiB and, on two cores, some minutes. The result does not depend on the number of threads.
    There are no vectors, so that it cannot be published: a `Distilled` model learns its lists.

    Parameters
    ----------
    regularization : float
        :math:`\lambda`, above 0, in the unit of pairs of mean weight.

    Raises
    ------
    ConfigError
        If a hyperparameter is out of range.
    """

    name: ClassVar[str] = "ease"

    regularization: float = 500.0

    def __post_init__(self) -> None:
        require_hyperparameters(self, least={}, above={"regularization": 0})

    def fit(
        self,
        user_items: UserItems,
        *,
        on_epoch: OnEpoch | None = None,
        n_threads: int | None = None,
        device: Device | None = None,
    ) -> "ItemToItem | UserKernel":
        """Invert the smaller side; `on_epoch` is not called.

        A DataError if there are more than 32,768 users and more than 32,768 items, or a weight is
        negative or not finite.
        """
        require_cpu(self.name, device)
        matrix = normalized(user_items)
        n_users, n_items = matrix.shape
        if min(n_users, n_items) > MOST_ROWS:
            raise DataError(
                f"ease: expected at most {MOST_ROWS:,} users or items, whose inverse takes 4 GiB, "
                f"got {n_users:,} users and {n_items:,} items; take knn, or keep fewer of them"
            )
        with threads(n_threads) as pool:
            if n_users < n_items:
                return self._of_users(matrix, pool)
            return self._of_items(matrix, pool)

    def _of_items(self, matrix: sp.csr_array, pool: Threads) -> ItemToItem:
        weights: FloatMatrix = self._inverse(sp.csr_array(matrix.T.tocsr()) @ matrix, pool)
        weights /= -np.diag(weights).copy()
        np.fill_diagonal(weights, 0)
        return ItemToItem(matrix, weights)

    def _of_users(self, matrix: sp.csr_array, pool: Threads) -> "UserKernel":
        inverse = self._inverse(matrix @ sp.csr_array(matrix.T.tocsr()), pool)
        by_item = sp.csr_array(matrix.T.tocsr())
        kept = 1 - quadratic_forms(by_item, inverse, pool)
        return UserKernel(matrix, by_item, inverse, (self.regularization / kept).astype(np.float32))

    def _inverse(self, gram: sp.csr_array, pool: Threads) -> FloatMatrix:
        dense: FloatMatrix = gram.astype(np.float32).toarray()
        dense[np.diag_indices_from(dense)] += np.float32(self.regularization)
        invert(dense, pool)
        return dense


@dataclass(frozen=True, eq=False)
class UserKernel(OfHistories):
    """EASE from the users' side: ``X - KX D``."""

    by_item: sp.csr_array  # X', as `user_items` is X
    inverse: FloatMatrix  # K, (n_users, n_users), symmetric
    scale: FloatVector  # (n_items,): the diagonal of D, 1 / diag P

    @property
    def n_bytes(self) -> int:
        """Bytes of the inverse, the matrix and the diagonal."""
        return int(self.inverse.nbytes + self.scale.nbytes) + bytes_of_sparse(self.by_item)

    def scores(
        self, user_idx: NDArray[np.integer] | slice, out: FloatMatrix | None = None
    ) -> FloatMatrix:
        """Return float32 (n, n_items)."""
        history = self.user_items[user_idx]
        if out is None:
            out = np.empty(history.shape, dtype=np.float32)
        X, columns = self.by_item, np.ascontiguousarray(self.inverse[user_idx].T)
        product = np.empty((X.shape[0], columns.shape[1]), dtype=np.float32)
        multiply_rows(X.indptr, X.indices, X.data, columns, product, 0, len(product))
        np.multiply(product.T, -self.scale, out=out)
        rows = np.repeat(np.arange(len(out)), np.diff(history.indptr))
        out[rows, history.indices] += history.data
        return out


def quadratic_forms(rows: sp.csr_array, matrix: FloatMatrix, pool: Threads) -> NDArray[np.float64]:
    """Return ``r M r'`` of each sparse row."""

    def form(row: int) -> float:
        part = slice(rows.indptr[row], rows.indptr[row + 1])
        idx, data = rows.indices[part], rows.data[part].astype(np.float64)
        return float(data @ (matrix[np.ix_(idx, idx)] @ data))

    def of(part: slice) -> list[float]:
        return [form(row) for row in range(part.start, part.stop)]

    return np.concatenate(pool.map(of, chunks(rows.shape[0])))


def invert(matrix: FloatMatrix, pool: Threads) -> None:
    """Invert a symmetric positive definite matrix in place, by sweeps of whole blocks.

    A sweep of the block k replaces ``A_ij`` by ``A_ij - A_ik P A_kj`` with ``P = A_kk^-1``, the
    blocks beside it by ``P A_kj``, and itself by ``-P``; after all sweeps, ``-A^-1`` is left
    (Goodnight, The American Statistician 1979). Only the lower half is worked on: n^3 flops.
    """
    starts = range(0, len(matrix), _SIDE)
    for start in starts:
        _sweep(matrix, start, pool)

    def finish(first: int) -> None:
        rows = matrix[first : first + _SIDE, : first + _SIDE]
        np.negative(rows, out=rows)
        square = rows[:, first:]
        square[:] = np.tril(square) + np.tril(square, -1).T
        matrix[:first, first : first + _SIDE] = rows[:, :first].T

    pool.map(finish, starts)


def _sweep(matrix: FloatMatrix, start: int, pool: Threads) -> None:
    """Sweep the block that begins in a row, in the lower half of a matrix."""
    stop = min(start + _SIDE, len(matrix))
    beside = np.hstack([matrix[start:stop, :start], matrix[start:, start:stop].T])
    inverse = np.linalg.inv(beside[:, start:stop].astype(np.float64)).astype(np.float32)
    swept = np.empty_like(beside)

    def multiply(first: int) -> None:
        columns = slice(first, first + _SIDE)
        swept[:, columns] = inverse @ beside[:, columns]

    def update(first: int) -> None:
        last = first + _SIDE
        if first != start:
            matrix[first:last, :last] -= beside[:, first:last].T @ swept[:, :last]

    starts = range(0, len(matrix), _SIDE)
    pool.map(multiply, starts)
    pool.map(update, reversed(starts))  # the longest first
    matrix[start:stop, :start] = swept[:, :start]
    matrix[stop:, start:stop] = swept[:, stop:].T
    matrix[start:stop, start:stop] = -inverse

"""Scores of items from a user's history alone: no vectors, but weights between items."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.jit import compiled
from recsys.models.spectral.truncated import multiply_rows
from recsys.vectors import FloatMatrix


@dataclass(frozen=True, eq=False)
class OfHistories:
    """What scores the items for the users of histories."""

    user_items: sp.csr_array  # (n_users, n_items), float32

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of users and of items."""
        n_users, n_items = self.user_items.shape
        return n_users, n_items


@dataclass(frozen=True, eq=False)
class ItemToItem(OfHistories):
    """A user's score of an item: the sum of the weights of the history's items with it.

    Scores of a batch of users take 2 flops for each entry of their histories and each weight in
    the row of its item: ``2 n neighbors`` or ``2 n n_items`` flops for histories of n items.

    Parameters
    ----------
    user_items : csr_array of float32, shape (n_users, n_items)
        The histories.
    weights : csr_array or ndarray of float32, shape (n_items, n_items)
        Row i holds what item i of a history adds to the score of each item.
    """

    weights: Any

    @property
    def n_bytes(self) -> int:
        """Bytes of the weights."""
        if not sp.issparse(self.weights):
            return int(self.weights.nbytes)
        return bytes_of_sparse(self.weights)

    def scores(
        self, user_idx: NDArray[np.integer] | slice, out: FloatMatrix | None = None
    ) -> FloatMatrix:
        """Return float32 (n, n_items), 0 where no item of the history has a weight."""
        rows = self.user_items[user_idx]
        if out is None:
            out = np.empty(rows.shape, dtype=np.float32)
        # As other matrices have them, for which compiled code exists.
        history = (rows.indptr.astype(np.int32), rows.indices.astype(np.int32), rows.data)
        if sp.issparse(self.weights):
            w = self.weights
            add_rows(*history, w.indptr, w.indices, w.data, out)
        else:
            multiply_rows(*history, self.weights, out, 0, len(out))
        return out


def bytes_of_sparse(matrix: sp.csr_array) -> int:
    """Return the bytes of a sparse matrix."""
    return int(matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes)


@compiled()
def add_rows(
    indptr: NDArray[np.integer],  # histories, CSR
    indices: NDArray[np.integer],
    data: FloatMatrix,
    weight_indptr: NDArray[np.integer],  # weights, CSR
    weight_indices: NDArray[np.integer],
    weight_data: FloatMatrix,
    out: FloatMatrix,  # (n_histories, n_items): the product, dense
) -> None:
    """Multiply sparse histories by sparse weights."""
    for row in range(len(indptr) - 1):
        total = out[row]
        total[:] = 0
        for j in range(indptr[row], indptr[row + 1]):
            item, weight = indices[j], data[j]
            for w in range(weight_indptr[item], weight_indptr[item + 1]):
                total[weight_indices[w]] += weight * weight_data[w]

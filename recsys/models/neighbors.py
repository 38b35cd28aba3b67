"""Item-item neighbours: BM25, TF-IDF and cosine over the users that items share."""

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.checks import require
from recsys.base.devices import Device
from recsys.base.jit import compiled, nth
from recsys.base.threads import ranges_of_equal_work, threads
from recsys.models.item_to_item import ItemToItem
from recsys.models.protocol import (
    OnEpoch,
    Unsized,
    UserItems,
    normalized,
    require_cpu,
    require_hyperparameters,
)
from recsys.vectors import FloatVector

Weighting = Literal["bm25", "tfidf", "cosine"]
_PARTS = 64
_LEAST = np.float32(1e-18)  # the product of two of them is still a float32 above 0


@dataclass(frozen=True)
class KNN(Unsized):
    r"""Score the items that are most alike to those of a history, by the users they share.

    An item is the weighted row of its users, :math:`v_i`; it is alike to another by
    :math:`v_i \cdot v_j`, of which each item keeps its strongest `neighbors`. A user's score of
    item j is :math:`\sum_i w_{ui}\, v_i \cdot v_j` over the history. With :math:`n` items of which
    a user has :math:`n_u`, and :math:`\mathrm{idf}_u = \log n / (1 + n_u)`, weightings are those of
    `implicit`:

    - "bm25": :math:`v_{iu} = \mathrm{idf}_u\, w_{ui} (k_1 + 1) / (w_{ui} + k_1 (1 - b + b\, l_i))`,
      :math:`l_i` the sum of the item's weights per mean of such sums;
    - "tfidf": :math:`\mathrm{idf}_u \sqrt{w_{ui}}`, at length 1;
    - "cosine": :math:`w_{ui}`, at length 1.

    The fit takes ``2 sum_u n_u^2`` flops, and the memory of the result,
    ``8 n_items neighbors`` bytes, beside two copies of the matrix. It does not depend on the number
    of threads. There are no vectors, so that it cannot be published: a `Distilled` model learns its
    lists.

    Parameters
    ----------
    neighbors : int
        Of each item, the item itself not counted; ties go to the lower row.
    weighting : {"bm25", "tfidf", "cosine"}
        How much a user counts.
    k1, b : float
        Of BM25: how far a weight goes beyond 1, 0 or more, and how much a popular item loses, 0 to
        1. The defaults did well on Gowalla's validation part.
    recency : float
        Above 0, the weights of the histories that are scored fall with the steps back, to this
        power; see `Interactions.user_items`. What items share is taken from weights as they are.

    Raises
    ------
    ConfigError
        If a hyperparameter is out of range.
    """

    name: ClassVar[str] = "knn"

    neighbors: int = 100
    weighting: Weighting = "bm25"
    k1: float = 0.1
    b: float = 0.3
    recency: float = 0.0

    def __post_init__(self) -> None:
        require_hyperparameters(self, least={"neighbors": 1, "k1": 0, "b": 0, "recency": 0})
        require("knn.weighting", self.weighting, one_of=get_args(Weighting))
        require("knn.b", self.b, at_most=1)

    def fit(
        self,
        user_items: UserItems,
        *,
        on_epoch: OnEpoch | None = None,
        n_threads: int | None = None,
        device: Device | None = None,
    ) -> ItemToItem:
        """Return the weights between items; `on_epoch` is not called.

        Weights of interactions are divided by their mean first. `n_threads` is one for each usable
        core by default, and does not change the result. A DataError if a weight is negative or not
        finite.
        """
        require_cpu(self.name, device)
        matrix = normalized(user_items)
        histories = normalized(user_items, self.recency) if self.recency else matrix
        return ItemToItem(histories, strongest_products(self._weighted(matrix), self.neighbors))

    def _weighted(self, matrix: sp.csr_array) -> sp.csr_array:
        """Return the rows of users that items are, as a matrix of users and items."""
        n_users, n_items = matrix.shape
        n_of_user = np.diff(matrix.indptr)
        weights = matrix.data.astype(np.float64)
        idf = np.repeat(np.maximum(np.log(n_items) - np.log1p(n_of_user), 0), n_of_user)
        if self.weighting == "bm25":
            total = np.bincount(matrix.indices, weights, n_items)
            length = 1 - self.b + self.b * total / max(total.mean(), 1e-30)
            weights *= (self.k1 + 1) / (self.k1 * length[matrix.indices] + weights) * idf
        else:
            if self.weighting == "tfidf":
                weights = np.sqrt(weights) * idf
            square = np.bincount(matrix.indices, weights**2, n_items)
            weights /= np.sqrt(np.maximum(square, 1e-30))[matrix.indices]
        data = weights.astype(np.float32)
        data[data < _LEAST] = 0
        weighted = sp.csr_array(
            (data, matrix.indices, matrix.indptr), (n_users, n_items), copy=True
        )
        weighted.eliminate_zeros()
        return weighted


def strongest_products(
    matrix: sp.csr_array, length: int, n_threads: int | None = None
) -> sp.csr_array:
    """Return the largest entries of each row of ``M' M`` off the diagonal, `length` at most.

    Parameters
    ----------
    matrix : csr_array of float32, shape (n_users, n_items)
        M, of entries above 0, whose products are sums over users in their order.
    """
    n_items = matrix.shape[1]
    by_item = sp.csr_array(matrix.T.tocsr())
    work = np.concatenate([[0], np.cumsum(np.diff(matrix.indptr)[by_item.indices])])
    found = np.empty((n_items, min(length, n_items)), dtype=np.int32)
    values = np.zeros(found.shape, dtype=np.float32)
    rows_of = (by_item.indptr, by_item.indices, by_item.data)

    def of_part(part: tuple[int, int]) -> None:
        of_users = (matrix.indptr, matrix.indices, matrix.data)
        _strongest(*rows_of, *of_users, found, values.view(np.int32), *part)

    with threads(n_threads) as pool:
        pool.map(of_part, ranges_of_equal_work(work[by_item.indptr], _PARTS))
    kept = values > 0
    indptr = np.concatenate([[0], np.cumsum(kept.sum(axis=1))]).astype(np.int32)
    return sp.csr_array((values[kept], found[kept], indptr), shape=(n_items, n_items))


@compiled(fastmath={"contract"})
def _strongest(
    item_indptr: NDArray[np.integer],
    item_indices: NDArray[np.integer],
    item_data: FloatVector,
    user_indptr: NDArray[np.integer],
    user_indices: NDArray[np.integer],
    user_data: FloatVector,
    found: NDArray[np.int32],  # out, (n_items, length): of each item, by row
    bits: NDArray[np.int32],  # out, (n_items, length): of their products; 0 past the end
    first: int,
    last: int,
) -> None:
    """Find the strongest neighbours of items first..last-1."""
    n_items, length = len(item_indptr) - 1, found.shape[1]
    sums = np.zeros(n_items, dtype=np.float32)
    met = np.empty(n_items + 1, dtype=np.int32)
    keys = np.empty(n_items, dtype=np.int64)
    for item in range(first, last):
        n = 0
        for place in range(item_indptr[item], item_indptr[item + 1]):
            user, weight = item_indices[place], item_data[place]
            for j in range(user_indptr[user], user_indptr[user + 1]):
                other = user_indices[j]
                met[n] = other
                n += int(sums[other] == 0)  # all products are above 0
                sums[other] += weight * user_data[j]
        sums[item] = 0
        n_keys = 0
        for place in range(n):
            other = met[place]
            # Floats above 0 sort like their bits; of equal ones the lower row has the larger key.
            keys[n_keys] = (np.int64(sums.view(np.int32)[other]) << 32) - other
            n_keys += int(other != item)
            sums[other] = 0
        n_found = min(n_keys, length)
        if n_found < n_keys:
            nth(keys[:n_keys], n_keys - n_found)
        for place in range(n_found):
            key = keys[n_keys - 1 - place]
            found[item, place] = np.int32(-key)  # the lower half
            bits[item, place] = np.int32((key + found[item, place]) >> 32)

"""Item vectors from which items share users, and user vectors from their items."""

from dataclasses import dataclass
from math import log
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.devices import Device
from recsys.base.jit import compiled, nth
from recsys.base.threads import ranges_of_equal_work, threads
from recsys.features import Features
from recsys.models.mapped import mapped, with_priors
from recsys.models.protocol import (
    Contributions,
    FoldIn,
    OnEpoch,
    Sized,
    UserItems,
    checked,
    fit_in_one_step,
    popularity_of,
    power_of_counts,
    require_cpu,
    require_hyperparameters,
    require_no_start,
)
from recsys.models.spectral import symmetric_eigenpairs
from recsys.vectors import Embeddings, FloatMatrix

_PARTS, _PART_ROWS = 64, 1024


@dataclass(frozen=True)
class Item2Vec(Sized):
    r"""Factorization of the shifted mutual information of items, which is what item2vec learns.

    Item2vec (Barkan & Koenigstein 2016, arXiv 1603.04259) is skip-gram with negative sampling over
    histories: every other item of a history is an item's context, in no order. With k negative
    samples it factorizes, implicitly, the pointwise mutual information of items less log k (Levy &
    Goldberg, NeurIPS 2014). Here that matrix is made, kept where it is positive, and factorized by
    its largest eigenvalues, :math:`P \approx V \Lambda V'`:

    .. math::

        P_{ij} = \frac{n_{ij}}{n_{ij} + \delta}
        \max\Big(0, \log \frac{n_{ij}\, T}{n_i^s\, n_j^s} - \log k\Big), \qquad
        n_{ij} = \sum_{u \ni i, j} (n_u - 1)^{-h}, \quad
        n_i = \sum_j n_{ij}, \quad T = \big(\sum_i n_i^s\big)^2 \big/ \sum_i n_i

    An item is :math:`D_i^c V_i \Lambda^{p/2}`, D_i its number of users, and a user is the mean over
    the history of :math:`D_i^{-b} V_i \Lambda^{p/2}`. Weights are not used: an item is in a history
    or it is not. On the two logs where both were run, gensim's skip-gram over whole histories took
    a hundred times as long and ranked worse.

    Parameters
    ----------
    factors : int
        Dimension of the embeddings. Beyond the positive eigenvalues the columns are zero.
    negatives : float
        k, above 0: more keep only the stronger associations.
    context_exponent : float
        s, above 0: below 1, as word2vec has it, associations of rare items are worth less.
    discount : float
        delta, 0 or more: what rests on so little evidence counts half.
    history_exponent : float
        h, 0 or more: with 0 each pair of a history counts alike, so that a history of n items
        has the weight of n^2; with 1 each item does.
    spectral_power : float
        p, 0 or more: how much more the strong directions count.
    item_exponent : float
        b, 0 or more: how much less popular items of a history count.
    popularity_exponent : float
        c: above 0 the scores of popular items are raised, below 0 lowered.
    neighbors : int
        Associations that an item keeps, at most; it has more where it is among the strongest of
        others. They bound the memory: 16 bytes each for each item, three times that while the
        matrix is made, and a basis as in `SVD`.
    oversampling : float
        Above 0: columns of the Krylov basis beyond the factors, as a multiple of them.
    seed : int
        Of the random start of the iteration.

    Raises
    ------
    ConfigError
        If a hyperparameter is out of range.
    """

    name: ClassVar[str] = "item2vec"
    can_warm_start: ClassVar[bool] = False

    factors: int = 64
    negatives: float = 1.0
    context_exponent: float = 0.75
    discount: float = 1.0
    history_exponent: float = 0.5
    spectral_power: float = 0.5
    item_exponent: float = 0.25
    popularity_exponent: float = 0.25
    neighbors: int = 300
    oversampling: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        powers = ("discount", "history_exponent", "spectral_power", "item_exponent")
        require_hyperparameters(
            self,
            least={"factors": 1, "neighbors": 1, "seed": 0, **dict.fromkeys(powers, 0)},
            above={"negatives": 0, "context_exponent": 0, "oversampling": 0},
            finite=("popularity_exponent",),
        )

    def fit(
        self,
        user_items: UserItems,
        *,
        start: Embeddings | None = None,
        on_epoch: OnEpoch | None = None,
        features: Features | None = None,
        device: Device | None = None,
    ) -> Embeddings:
        """Factorize the associations of the items; see `Model.fit`.

        An item that shares no user with another has a zero embedding.
        """
        require_no_start(self.name, start)
        require_cpu(self.name, device)
        found = fit_in_one_step(lambda: self._factorized(checked(user_items)), on_epoch)
        return mapped(found, user_items, features)

    def _factorized(self, user_items: sp.csr_array) -> Embeddings:
        popularity = popularity_of(user_items)
        values, V = symmetric_eigenpairs(
            self.associations(user_items),
            self.factors,
            oversampling=self.oversampling,
            seed=self.seed,
        )  # (factors,), (n_items, factors)
        scale = power_of_counts(popularity, self.popularity_exponent)[:, None]
        items: FloatMatrix = (scale * V * values ** (self.spectral_power / 2)).astype(np.float32)
        return Embeddings(self.fold_in(items, popularity)(user_items), items)

    def fold_in(
        self,
        items: FloatMatrix,
        popularity: NDArray[np.integer],
        mean_weight: float = 1.0,
        summands: FloatMatrix | None = None,
    ) -> FoldIn:
        """Prepare the mean over a history, ``x = mean of D_i^-(b+c) y_i``; see `Model.fold_in`."""
        exponent = self.item_exponent + self.popularity_exponent
        summands = power_of_counts(popularity, -exponent)[:, None] * items

        def embed(user_items: sp.csr_array) -> FloatMatrix:
            histories = checked(user_items, len(items))
            share = power_of_counts(np.diff(histories.indptr), -1.0)
            histories.data = np.repeat(share, np.diff(histories.indptr))
            users: FloatMatrix = histories @ summands
            return users

        return with_priors(embed)

    def contributions(
        self,
        items: FloatMatrix,
        popularity: NDArray[np.integer],
        mean_weight: float = 1.0,
        summands: FloatMatrix | None = None,
    ) -> Contributions:
        """Prepare the summands of the mean times the item."""
        scale = power_of_counts(popularity, -(self.item_exponent + self.popularity_exponent))

        def contributed(history: sp.csr_array, item_idx: int) -> NDArray[np.float64]:
            rows = checked(history).indices
            similar = items[rows].astype(np.float64) @ items[item_idx]
            return np.asarray(scale[rows] * similar / max(len(rows), 1), dtype=np.float64)

        return contributed

    def associations(self, user_items: sp.csr_array, n_threads: int | None = None) -> sp.csr_array:
        """Return P, float32 (n_items, n_items): symmetric, sparse, zero on the diagonal.

        A row is made from the histories of the item's users, in one array over the items, and keeps
        its `neighbors` largest entries: the matrix of all co-occurrences never exists. An entry
        that either item keeps is there for both. `n_threads` does not change the result.
        """
        histories = checked(user_items)
        n_items = histories.shape[1]
        most = min(self.neighbors, n_items)
        pair_weight, commonness = self._chance(histories)
        by_item = sp.csr_array(histories.T.tocsr())
        rows = (by_item.indptr, by_item.indices, histories.indptr, histories.indices)
        numbers = (pair_weight, commonness, float(np.log(self.negatives)), self.discount)

        def part_of(part: tuple[int, int]) -> tuple[NDArray[Any], ...]:
            columns = np.empty((part[1] - part[0], most), dtype=np.int32)
            values = np.empty(columns.shape, dtype=np.float32)
            counts = np.empty(len(columns), dtype=np.int64)
            _associate(*rows, *numbers, *part, columns, values, counts)
            filled = np.arange(most) < counts[:, None]
            return counts, columns[filled], values[filled]

        with threads(n_threads) as pool:
            made = pool.map(
                part_of, ranges_of_equal_work(by_item.indptr, max(_PARTS, n_items // _PART_ROWS))
            )
        counts, columns, values = (np.concatenate(arrays) for arrays in zip(*made, strict=True))
        indptr = np.concatenate([[0], np.cumsum(counts)])
        one_sided = sp.csr_array((values, columns, indptr), shape=(n_items, n_items))
        return sp.csr_array(one_sided.maximum(one_sided.T.tocsr()))

    def _chance(self, histories: sp.csr_array) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Return what a pair in each user's history counts for, and how common each item is.

        Two items meet by chance as often as the product of how common they are.
        """
        per_user = np.diff(histories.indptr)
        others = np.maximum(per_user - 1, 0)  # (n_users,)
        pair_weight = power_of_counts(others, -self.history_exponent)
        # An item meets every other item of a history once.
        in_history = np.repeat(pair_weight * others, per_user)
        n_i = np.bincount(histories.indices, in_history, minlength=histories.shape[1])
        smoothed = power_of_counts(n_i, self.context_exponent).astype(np.float64)
        return pair_weight, smoothed / max(smoothed.sum(), 1e-12) * np.sqrt(n_i.sum())


@compiled()
def _associate(
    item_indptr: NDArray[np.integer],  # the histories as CSR by item
    item_users: NDArray[np.integer],
    user_indptr: NDArray[np.integer],  # and by user
    user_items: NDArray[np.integer],
    pair_weight: NDArray[np.float32],  # (n_users,): what a pair in this user's history counts for
    commonness: NDArray[np.float64],  # (n_items,)
    shift: float,  # log k
    discount: float,  # delta
    first: int,
    last: int,
    columns: NDArray[np.int32],  # out, (last - first, neighbors)
    values: NDArray[np.float32],  # out, likewise
    counts: NDArray[np.int64],  # out, (last - first,): filled entries of each row
) -> None:
    """Write the strongest positive associations of items ``first..last-1``.

    Two items are at chance level where their sum of pair weights is the product of how common both
    are. Rows are filled in the order in which the histories bring the items.
    """
    n_items = len(item_indptr) - 1
    together = np.zeros(n_items, np.float64)  # sum of weights of this item with every other
    met = np.empty(n_items, np.int32)
    strength = np.empty(n_items, np.float32)
    most = columns.shape[1]
    for item in range(first, last):
        n_met = 0
        for entry in range(item_indptr[item], item_indptr[item + 1]):
            user = item_users[entry]
            for j in range(user_indptr[user], user_indptr[user + 1]):
                other = user_items[j]
                if together[other] == 0:
                    met[n_met] = other
                    n_met += 1
                together[other] += pair_weight[user]
        n_positive = 0
        for j in range(n_met):
            other, weight = met[j], together[met[j]]
            together[other] = 0
            if other == item or weight == 0:
                continue
            above = log(weight / (commonness[item] * commonness[other])) - shift
            if above > 0:
                met[n_positive] = other  # never ahead of j
                strength[n_positive] = above * weight / (weight + discount)
                n_positive += 1
        counts[item - first] = _keep_strongest(
            met[:n_positive],
            strength[:n_positive],
            most,
            columns[item - first],
            values[item - first],
        )


@compiled()
def _keep_strongest(
    items: NDArray[np.int32],
    strength: NDArray[np.float32],
    most: int,
    columns: NDArray[np.int32],
    values: NDArray[np.float32],
) -> int:
    """Copy the `most` strongest, or fewer, in the order in which they come; return how many."""
    floor, n_ties = np.float32(0), 0
    if len(strength) > most:
        floor, n_ties = nth(strength.copy(), len(strength) - most), most
        for j in range(len(strength)):
            n_ties -= int(strength[j] > floor)
    kept = 0
    for j in range(len(strength)):
        if strength[j] <= floor:
            if strength[j] < floor or n_ties == 0:
                continue
            n_ties -= 1
        columns[kept] = items[j]
        values[kept] = strength[j]
        kept += 1
    return kept

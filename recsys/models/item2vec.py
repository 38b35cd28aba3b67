"""Item vectors from which items share users, and user vectors from their items."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.models.associations import strongest_associations
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
    require_hyperparameters,
    require_no_start,
)
from recsys.models.spectral import symmetric_eigenpairs
from recsys.vectors import Embeddings, FloatMatrix


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
    ) -> Embeddings:
        """Factorize the associations of the items; see `Model.fit`.

        An item that shares no user with another has a zero embedding.
        """
        require_no_start(self.name, start)
        return fit_in_one_step(lambda: self._factorized(checked(user_items)), on_epoch)

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

        return embed

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
        """Return P, float32 (n_items, n_items): symmetric, sparse, zero on the diagonal."""
        return strongest_associations(
            checked(user_items),
            negatives=self.negatives,
            context_exponent=self.context_exponent,
            discount=self.discount,
            history_exponent=self.history_exponent,
            neighbors=self.neighbors,
            n_threads=n_threads,
        )

"""Truncated SVD of the degree-normalized matrix, and its settings PureSVD and PCA."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.devices import Device
from recsys.base.errors import ConfigError
from recsys.features import Features
from recsys.logs.interactions import Interactions
from recsys.logs.order import windows
from recsys.models.mapped import mapped, with_priors
from recsys.models.protocol import (
    Contributions,
    FoldIn,
    OnEpoch,
    Sized,
    UserItems,
    checked,
    fit_in_one_step,
    in_mean_weights,
    mean_weight_of,
    popularity_of,
    power_of_counts,
    require_cpu,
    require_hyperparameters,
    require_no_start,
    require_order,
)
from recsys.models.spectral import truncated_svd
from recsys.vectors import Embeddings, FloatMatrix


@dataclass(frozen=True)
class SVD(Sized):
    """Truncated SVD of ``A = D_u^-a R D_i^-b``.

    R holds the weights to the power w, D_u the number of items of each user, D_i the number of
    users of each item. With ``A = U S V'`` a user is ``r_u D_i^-b V S^(p/2)``, r_u the row of R,
    and an item is ``D_i^(b+c) V S^(p/2)``. Exponents a and b of 1/2 with the others 0 give the
    linear part of GF-CF (Shen et al., arXiv 2108.07567).

    Centered, ``A - 1 m'`` is factorized instead, m the mean row of A (never densified), and the
    mean is added back to the scores: principal component analysis. The last factor is then a
    constant: ``D_u^a`` of a user, ``D_i^(b+c) (m - m V S^p V')`` of an item.

    Parameters
    ----------
    factors : int
        Dimension of the embeddings. Beyond the rank of the matrix the columns are zero.
    user_exponent, item_exponent : float
        a and b, 0 or more.
    spectral_power : float
        p, 0 or more: how much more the strong directions count.
    popularity_exponent : float
        c: above 0 the scores of popular items are raised, below 0 lowered.
    weight_exponent : float
        w, 0 or more: 0 counts every interaction alike, 1 takes weights as they are.
    centered : bool
        Factorize the difference from the mean user, and give one factor to the mean.
    recency : float
        Above 0, the weights of a user's row fall with the steps back in the history, to this
        power, before w is; see `Interactions.user_items`. Relations between items are taken from
        R as it is, as what users did long ago tells of items as well.
    window : int
        Above 0, every run of so many items in a history is one more row of R, so that items near
        one another are related more; the weights between items at a distance then fall like a
        triangle. Takes as many times the work.
    window_weight : float
        What all runs together weigh of a pair beside the user, above 0.
    oversampling : float
        Above 0: columns of the Krylov basis beyond the factors, as a multiple of them. More is
        more accurate and takes more time and memory: on Gowalla with 256 factors 0.5, 1, 2 and 4
        miss 2e-2, 5e-3, 7e-5 and 1e-7 of the energy. See `truncated_svd` for the memory.
    seed : int
        Of the random start of the iteration.

    Raises
    ------
    ConfigError
        If a hyperparameter is out of range.
    """

    name: ClassVar[str] = "svd"
    can_warm_start: ClassVar[bool] = False

    factors: int = 64
    user_exponent: float = 0.35
    item_exponent: float = 0.35
    spectral_power: float = 1.0
    popularity_exponent: float = 0.0
    weight_exponent: float = 0.5
    centered: bool = False
    recency: float = 0.0
    window: int = 0
    window_weight: float = 0.2
    oversampling: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        exponents = ("user_exponent", "item_exponent", "spectral_power", "weight_exponent")
        from_0 = ("seed", "recency", "window", *exponents)
        require_hyperparameters(
            self,
            least={"factors": 1, **dict.fromkeys(from_0, 0)},
            above={"oversampling": 0, "window_weight": 0},
            finite=("popularity_exponent",),
        )
        if self.centered and self.window:
            raise ConfigError(
                "svd: expected a window or centered, got both: the mean user would be one of runs "
                "as well; set svd.window = 0"
            )

    @property
    def rotatable(self) -> tuple[slice, ...]:
        """All coordinates, but for the last of a centered one, which holds the mean."""
        return (slice(0, self.factors - self.centered),)

    @classmethod
    def pure(cls, factors: int = 64, **others: Any) -> "SVD":
        """PureSVD (Cremonesi et al., RecSys 2010): the best approximation of the weights."""
        plain = dict.fromkeys(("user_exponent", "item_exponent", "spectral_power"), 0.0)
        return cls(factors=factors, weight_exponent=1.0, **{**plain, **others})

    @classmethod
    def pca(cls, factors: int = 64, **others: Any) -> "SVD":
        """Principal components of the users: the mean, and the best approximation of the rest."""
        return cls.pure(factors, centered=True, **others)

    def fit(
        self,
        user_items: UserItems,
        *,
        start: Embeddings | None = None,
        on_epoch: OnEpoch | None = None,
        features: Features | None = None,
        device: Device | None = None,
    ) -> Embeddings:
        """Factorize a matrix of weights; see `Model.fit`."""
        require_no_start(self.name, start)
        require_cpu(self.name, device)
        found = fit_in_one_step(lambda: self._factorized(user_items), on_epoch)
        return mapped(found, user_items, features)

    def _in_unit(
        self, user_items: UserItems, mean_weight: float, n_items: int | None = None
    ) -> sp.csr_array:
        """Return a clean copy of weights, in mean weights where their unit would change lists.

        Else another unit multiplies all scores by one number. But where the spectrum of what is
        left of the mean is raised to a power, the mean would count otherwise beside it.
        """
        is_sensitive = self.centered and self.spectral_power > 0
        return in_mean_weights(user_items, mean_weight if is_sensitive else 1.0, n_items)

    def _factorized(self, log: UserItems) -> Embeddings:
        matrix = checked(log)
        mean_weight = mean_weight_of(matrix)
        user_items = self._in_unit(matrix, mean_weight)
        popularity = popularity_of(user_items)
        normalized = self.normalized(user_items, popularity)
        if self.window:
            runs = self._runs(require_order(log, "svd.window"), popularity, mean_weight)
            normalized = sp.csr_array(sp.vstack([normalized, runs], format="csr"))
        mean = normalized.mean(axis=0, dtype=np.float64) if self.centered else None
        values, V = truncated_svd(
            normalized,
            self.factors - self.centered,
            mean=mean,
            oversampling=self.oversampling,
            seed=self.seed,
        )  # (factors,), (n_items, factors), one less if centered
        # The filter S^p is split evenly over both sides, so that a fold-in needs nothing but
        # the stored items.
        items = V * values ** (self.spectral_power / 2)
        if mean is not None:
            items = np.column_stack([items, mean - items @ (mean @ items)])
        exponent = self.item_exponent + self.popularity_exponent
        items = power_of_counts(popularity, exponent)[:, None] * items
        stored: FloatMatrix = np.ascontiguousarray(items, dtype=np.float32)
        if self.recency:
            user_items = self._in_unit(checked(log, recency=self.recency), mean_weight)
        return Embeddings(self.fold_in(stored, popularity)(user_items), stored)

    def _runs(
        self, log: Interactions, popularity: NDArray[np.integer], mean_weight: float
    ) -> sp.csr_array:
        """Return the runs of a window as further rows of A; a pair weighs the mean of the log."""
        runs = windows(log, self.window)
        weight = (self.window_weight / self.window) ** 0.5 * mean_weight**self.weight_exponent
        scale = np.float32(weight) * power_of_counts(popularity, -self.item_exponent)
        runs.data *= scale[runs.indices]
        return runs

    def fold_in(
        self,
        items: FloatMatrix,
        popularity: NDArray[np.integer],
        mean_weight: float = 1.0,
        summands: FloatMatrix | None = None,
    ) -> FoldIn:
        """Prepare the projection on these items, ``x = r_u D_i^-(2b+c) Y``; see `Model.fold_in`."""
        exponent = 2 * self.item_exponent + self.popularity_exponent
        projection = power_of_counts(popularity, -exponent)[:, None] * items

        def embed(user_items: sp.csr_array) -> FloatMatrix:
            histories = self.powered(user_items, mean_weight, len(items))
            users: FloatMatrix = histories @ projection
            if self.centered:  # the scores are those of D_u^a A, and so is the mean
                users[:, -1] = power_of_counts(np.diff(histories.indptr), self.user_exponent)
            return users

        return with_priors(embed)

    def contributions(
        self,
        items: FloatMatrix,
        popularity: NDArray[np.integer],
        mean_weight: float = 1.0,
        summands: FloatMatrix | None = None,
    ) -> Contributions:
        """Prepare the summands of the projection times the item.

        Centered, the mean's share of a score belongs to no item of the history.
        """
        exponent = 2 * self.item_exponent + self.popularity_exponent
        scale = power_of_counts(popularity, -exponent)
        width = items.shape[1] - self.centered

        def contributed(history: sp.csr_array, item_idx: int) -> NDArray[np.float64]:
            powered = self.powered(history, mean_weight)
            rows = powered.indices
            similar = items[rows, :width].astype(np.float64) @ items[item_idx, :width]
            return np.asarray(powered.data * scale[rows] * similar, dtype=np.float64)

        return contributed

    def normalized(self, matrix: sp.csr_array, popularity: NDArray[np.integer]) -> sp.csr_array:
        """Return the matrix that is factorized, A, before centering.

        Parameters
        ----------
        matrix : csr_array, shape (n_users, n_items)
            As `checked` returns it.
        popularity : ndarray of int, shape (n_items,)
            Number of users of each item.
        """
        per_user = np.diff(matrix.indptr)
        normalized = self._powered(matrix)
        normalized.data *= np.repeat(power_of_counts(per_user, -self.user_exponent), per_user)
        normalized.data *= power_of_counts(popularity, -self.item_exponent)[matrix.indices]
        return normalized

    def powered(
        self, user_items: UserItems, mean_weight: float, n_items: int | None = None
    ) -> sp.csr_array:
        """Return a clean copy of weights as R has them: in the unit of the fit, to the power w."""
        return self._powered(self._in_unit(user_items, mean_weight, n_items))

    def _powered(self, matrix: sp.csr_array) -> sp.csr_array:
        data = matrix.data**self.weight_exponent
        return sp.csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)

"""ALS and SVD side by side: one embedding whose scores are the sum of both."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.errors import ConfigError
from recsys.base.progress import OnStep
from recsys.models.als import ALS
from recsys.models.protocol import Contributions, FoldIn, Model, checked
from recsys.models.svd import SVD
from recsys.vectors import Embeddings, FloatMatrix, FloatVector


@dataclass(frozen=True)
class Blend:
    r"""The embeddings of ALS and SVD in one, as they err on different items.

    An item is both of its vectors, one behind the other, and so is a user, each divided by its mean
    score over the user's history:

    .. math::

        x = \Big(\frac{(1 - s)\, x_A}{x_A \cdot \bar y_A},\ \frac{s\, x_S}{x_S \cdot \bar y_S}\Big),
        \qquad \bar y = \sum_i w_{ui}\, y_i \Big/ \sum_i w_{ui}

    so that a share s of the score of what a user knows comes from SVD, however the two are scaled.

    Parameters
    ----------
    als : ALS
    svd : SVD
    svd_share : float
        s, 0 to 1.

    Raises
    ------
    ConfigError
        If the share is out of range.

    Examples
    --------
    >>> Blend(ALS(factors=48), SVD(factors=16)).factors
    64
    """

    name: ClassVar[str] = "blend"

    als: ALS = field(default_factory=ALS)
    svd: SVD = field(default_factory=SVD)
    svd_share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.svd_share <= 1:
            raise ConfigError(f"blend.svd_share: expected 0 to 1, got {self.svd_share}")

    @property
    def factors(self) -> int:
        """The dimension of the embeddings."""
        return self.als.factors + self.svd.factors

    @property
    def rotatable(self) -> tuple[slice, ...]:
        """The coordinates of ALS among themselves, and those of SVD, as each folds in by itself."""
        behind = self.als.factors
        of_svd = (slice(behind + run.start, behind + run.stop) for run in self.svd.rotatable)
        return (*self.als.rotatable, *of_svd)

    @property
    def iterations(self) -> int:
        """The steps that `fit` tells of: the epochs of ALS, and SVD as one."""
        return self.als.iterations + 1

    def fit(self, user_items: sp.csr_array, on_step: OnStep | None = None) -> Embeddings:
        """Factorize a matrix of weights, by one model after the other.

        Parameters
        ----------
        user_items : csr_array, shape (n_users, n_items)
            Finite weights above 0; rows are users.
        on_step : callable, optional
            Called after every epoch of ALS with the epochs done and those in all, and after SVD.

        Returns
        -------
        Embeddings

        Raises
        ------
        DataError
            If the matrix is empty or a weight is negative or not finite.
        DivergedError
            If the loss of ALS is not finite any more.
        """
        matrix = checked(user_items)

        def tell(done: int, total: int, note: str = "") -> None:
            if on_step is not None:
                on_step(done, total + 1, note)

        parts = [self.als.fit(matrix, on_step=tell), self.svd.fit(matrix)]
        tell(self.als.iterations + 1, self.als.iterations)
        users = self._joined(matrix, [part.users for part in parts], [part.items for part in parts])
        return Embeddings(users, np.hstack([part.items for part in parts]))

    def fold_in(self, items: FloatMatrix, popularity: NDArray[np.integer]) -> FoldIn:
        """Prepare the fold-ins of both.

        Parameters
        ----------
        items : ndarray of float32, shape (n_items, factors)
        popularity : ndarray of int, shape (n_items,)
            Number of users of each item.

        Returns
        -------
        FoldIn
            Takes histories (n, n_items), gives embeddings (n, factors).
        """
        halves = self._halves(items)
        embeds = [
            self.als.fold_in(halves[0], popularity),
            self.svd.fold_in(halves[1], popularity),
        ]

        def embed(user_items: sp.csr_array) -> FloatMatrix:
            histories = checked(user_items)
            return self._joined(histories, [one(histories) for one in embeds], halves)

        return embed

    def contributions(self, items: FloatMatrix, popularity: NDArray[np.integer]) -> Contributions:
        """Prepare the parts of scores: those of both models, at their shares.

        Parameters
        ----------
        items : ndarray of float32, shape (n_items, factors)
        popularity : ndarray of int, shape (n_items,)
        """
        halves = self._halves(items)
        models: tuple[Model, Model] = (self.als, self.svd)
        embeds = [one.fold_in(half, popularity) for one, half in zip(models, halves, strict=True)]
        of_halves = [
            one.contributions(half, popularity) for one, half in zip(models, halves, strict=True)
        ]

        def parts(history: sp.csr_array, item_idx: int) -> NDArray[np.float64]:
            clean = checked(history)
            total = np.zeros(clean.nnz)
            for share, half, embed, of_half in zip(
                self._shares(), halves, embeds, of_halves, strict=True
            ):
                scale = float(_per_mean_score(embed(clean), half, clean)[0])
                total += share * scale * of_half(clean, item_idx)
            return total

        return parts

    def _halves(self, items: FloatMatrix) -> list[FloatMatrix]:
        """Return the items of ALS and those of SVD."""
        return [np.ascontiguousarray(half) for half in np.split(items, [self.als.factors], 1)]

    def _shares(self) -> tuple[float, float]:
        return 1 - self.svd_share, self.svd_share

    def _joined(
        self, histories: sp.csr_array, users: Sequence[FloatMatrix], items: Sequence[FloatMatrix]
    ) -> FloatMatrix:
        """Return the users of both parts at their shares."""
        return np.hstack(
            [
                np.float32(share) * x * _per_mean_score(x, y, histories)[:, None]
                for share, x, y in zip(self._shares(), users, items, strict=True)
            ]
        )


def _per_mean_score(users: FloatMatrix, items: FloatMatrix, histories: sp.csr_array) -> FloatVector:
    """Return 1 / the mean score of each user over its history; zero where that is not > 0."""
    total = histories @ np.ones(len(items), dtype=np.float32)
    sums: FloatVector = np.einsum("ij,ij->i", users, histories @ items)
    scale = np.zeros_like(sums)
    np.divide(total, sums, out=scale, where=sums > np.finfo(np.float32).tiny)
    return scale

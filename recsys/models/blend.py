"""ALS and SVD side by side: one embedding whose scores are the sum of both."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal, Self, TypeAlias, get_args

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.checks import require, require_types
from recsys.base.devices import Device
from recsys.base.errors import ConfigError, briefly
from recsys.base.signed import liked
from recsys.base.threads import chunks, threads
from recsys.features import Features
from recsys.logs.interactions import Interactions
from recsys.models.als import ALS
from recsys.models.als.gram import gram
from recsys.models.mapped import mapped, with_priors
from recsys.models.protocol import (
    Contributions,
    Epoch,
    FoldIn,
    Model,
    OnEpoch,
    UserItems,
    checked,
    require_no_start,
)
from recsys.models.svd import SVD
from recsys.vectors import Embeddings, FloatMatrix, FloatVector

ScaleName = Literal["history", "deviation"]
_Scale: TypeAlias = Callable[[FloatMatrix, sp.csr_array], FloatVector]
"""Users (n_users, d) and their histories to what each user is multiplied by."""

_ALIKE = np.float32(1e-3)
_PER_ALS_FACTOR = 4  # factors, of which one is of ALS


@dataclass(frozen=True)
class Blend:
    r"""The embeddings of ALS and SVD in one, as they err on different items.

    An item is both of its vectors, one after the other, and so is a user, each divided by its mean
    score over the user's history:

    .. math::

        x = \Big(\frac{(1 - s)\, x_A}{x_A \cdot \bar y_A},\ \frac{s\, x_S}{x_S \cdot \bar y_S}\Big),
        \qquad \bar y = \sum_i w_{ui}\, y_i \Big/ \sum_i w_{ui}

    so that a share s of the score of what a user knows comes from SVD, however the two are scaled.
    Or each is divided by the deviation of its scores over all items, which tells better how far
    its lists can be trusted, and does not depend on how it scores what the user knows.

    Parameters
    ----------
    svd_share : float
        s, 0 to 1.
    scale : {"history", "deviation"}
        What each is divided by: the mean score over the history, or the deviation.

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
    can_warm_start: ClassVar[bool] = False
    takes_dislikes: ClassVar[bool] = True

    als: ALS = field(default_factory=ALS)
    svd: SVD = field(default_factory=SVD)
    svd_share: float = 0.5
    scale: ScaleName = "history"

    def __post_init__(self) -> None:
        require_types("blend", self)
        for half, kind in ((self.als, ALS), (self.svd, SVD)):
            if not isinstance(half, kind):
                raise ConfigError(
                    f"blend.{kind.name}: expected an {kind.__name__}, got {briefly(half)}"
                )
        require("blend.svd_share", self.svd_share, least=0, at_most=1)
        require("blend.scale", self.scale, one_of=get_args(ScaleName))
        if self.als.recency != self.svd.recency:
            raise ConfigError(
                "blend: expected one recency, as a history is weighed once, got als.recency = "
                f"{self.als.recency:g} and svd.recency = {self.svd.recency:g}; to let it count "
                "less in one of both, lower its weight_exponent"
            )

    @property
    def recency(self) -> float:
        """The recency of both."""
        return self.als.recency

    @property
    def factors(self) -> int:
        """The dimension of the embeddings."""
        return self.als.factors + self.svd.factors

    @property
    def rotatable(self) -> tuple[slice, ...]:
        """The coordinates of ALS among themselves, and those of SVD, as each folds in by itself."""
        first = self.als.factors
        of_svd = (slice(first + run.start, first + run.stop) for run in self.svd.rotatable)
        return (*self.als.rotatable, *of_svd)

    def with_factors(self, factors: int) -> Self:
        """Return the model with a quarter of the dimensions for ALS and the others for SVD.

        Each keeps one at least.
        """
        of_als = max(factors // _PER_ALS_FACTOR, 1)
        als, svd = self.als.with_factors(of_als), self.svd.with_factors(max(factors - of_als, 1))
        return replace(self, als=als, svd=svd)

    def with_seed(self, seed: int) -> Self:
        """Return the model with another random start of both."""
        return replace(self, als=self.als.with_seed(seed), svd=self.svd.with_seed(seed))

    def fit(
        self,
        user_items: UserItems,
        *,
        start: Embeddings | None = None,
        on_epoch: OnEpoch | None = None,
        features: Features | None = None,
        device: Device | None = None,
    ) -> Embeddings:
        """Fit SVD, then ALS, whose epochs are those of the blend; see `Model.fit`."""
        require_no_start(self.name, start)
        blended = self._with(user_items, self.svd.fit(_likes_of(user_items)))

        def on_als_epoch(epoch: Epoch) -> bool | None:
            if on_epoch is None:
                return False
            return on_epoch(replace(epoch, embeddings=lambda: blended(epoch.embeddings())))

        found = blended(self.als.fit(user_items, on_epoch=on_als_epoch, device=device))
        return mapped(found, user_items, features)

    def of(self, user_items: UserItems, als: Embeddings, svd: Embeddings) -> Embeddings:
        """Return the blend of both, fitted to the same log, (n, factors of both)."""
        return self._with(user_items, svd)(als)

    def _with(self, user_items: UserItems, svd: Embeddings) -> Callable[[Embeddings], Embeddings]:
        """Prepare the blend of an SVD with any epoch of ALS."""
        matrix = checked(_likes_of(user_items), recency=self.recency)
        of_svd = self._scale_of(svd.items)

        def blended(als: Embeddings) -> Embeddings:
            scales = [self._scale_of(als.items), of_svd]
            users = self._joined(matrix, [als.users, svd.users], scales)
            return Embeddings(users, np.hstack([als.items, svd.items]))

        return blended

    def fold_in(
        self,
        items: FloatMatrix,
        popularity: NDArray[np.integer],
        mean_weight: float = 1.0,
        summands: FloatMatrix | None = None,
    ) -> FoldIn:
        """Prepare the fold-ins of both; see `Model.fold_in`."""
        halves = self.halves(items)
        embeds = [
            self.als.fold_in(halves[0], popularity, mean_weight),
            self.svd.fold_in(halves[1], popularity, mean_weight),
        ]
        scales = self._scales_of(halves, popularity)

        def embed(user_items: sp.csr_array) -> FloatMatrix:
            histories = checked(user_items, len(items), signed=True)
            likes = liked(histories)
            users = [embed(of) for embed, of in zip(embeds, (histories, likes), strict=True)]
            return self._joined(likes, users, scales)

        return with_priors(embed)

    def contributions(
        self,
        items: FloatMatrix,
        popularity: NDArray[np.integer],
        mean_weight: float = 1.0,
        summands: FloatMatrix | None = None,
    ) -> Contributions:
        """Prepare the contributions of both models, at their shares."""
        halves = self.halves(items)
        models: tuple[Model, Model] = (self.als, self.svd)
        pairs = list(zip(models, halves, strict=True))
        embeds = [one.fold_in(half, popularity, mean_weight) for one, half in pairs]
        of_halves = [one.contributions(half, popularity, mean_weight) for one, half in pairs]
        scales = self._scales_of(halves, popularity)

        def contributed(history: sp.csr_array, item_idx: int) -> NDArray[np.float64]:
            clean = checked(history, signed=True)
            likes, is_liked = liked(clean), clean.data > 0
            taken = ((clean, np.ones_like(is_liked)), (likes, is_liked))  # SVD has no dislikes
            total = np.zeros(clean.nnz)
            for share, scale, embed, of_half, (own, is_own) in zip(
                self._shares(), scales, embeds, of_halves, taken, strict=True
            ):
                scaled = share * float(scale(embed(own), likes)[0])
                total[is_own] += scaled * of_half(own, item_idx)
            return total

        return contributed

    def halves(self, items: FloatMatrix) -> list[FloatMatrix]:
        """Return the items of ALS and those of SVD."""
        return [np.ascontiguousarray(half) for half in np.split(items, [self.als.factors], 1)]

    def _shares(self) -> tuple[float, float]:
        return 1 - self.svd_share, self.svd_share

    def _scales_of(
        self, halves: Sequence[FloatMatrix], popularity: NDArray[np.integer]
    ) -> list[_Scale]:
        """Prepare the scales of both; an item that nobody has touched was zero in the fit."""
        is_known = (np.asarray(popularity) > 0)[:, None]
        return [self._scale_of(half if is_known.all() else half * is_known) for half in halves]

    def _scale_of(self, items: FloatMatrix) -> _Scale:
        """Prepare what users of one of both are multiplied by."""
        if self.scale == "deviation":
            return _per_deviation(items)
        return lambda users, histories: _per_mean_score(users, items, histories)

    def _joined(
        self, histories: sp.csr_array, users: Sequence[FloatMatrix], scales: Sequence[_Scale]
    ) -> FloatMatrix:
        """Return the users of both, at their shares, one after the other."""
        return np.hstack(
            [
                np.float32(share) * x * scale(x, histories)[:, None]
                for share, x, scale in zip(self._shares(), users, scales, strict=True)
            ]
        )


def _likes_of(user_items: UserItems) -> UserItems:
    """Return a matrix without its dislikes; a log has them apart."""
    if isinstance(user_items, Interactions):
        return user_items
    return liked(checked(user_items, signed=True))


def _per_mean_score(users: FloatMatrix, items: FloatMatrix, histories: sp.csr_array) -> FloatVector:
    """Return 1 / the mean score of each user over its history; zero where that is not > 0."""
    total = histories @ np.ones(len(items), dtype=np.float32)
    sums: FloatVector = np.einsum("ij,ij->i", users, histories @ items)
    scale = np.zeros_like(sums)
    np.divide(total, sums, out=scale, where=sums > np.finfo(np.float32).tiny)
    return scale


def _per_deviation(items: FloatMatrix) -> _Scale:
    """Prepare 1 / the deviation of each user's scores over all items.

    The variance of the scores of x is ``x' C x`` with C the covariance of the items. Scores that
    are all alike are taken to deviate by a thousandth of themselves.
    """
    mean = items.mean(axis=0, dtype=np.float64).astype(np.float32)
    centered = items - mean
    with threads() as pool:
        covariance = gram(centered, np.ones(len(items), dtype=np.float32), pool) / len(items)

    def deviations(users: FloatMatrix) -> FloatVector:
        variance = np.einsum("ij,ij->i", users @ covariance.astype(np.float32), users)
        alike = _ALIKE * np.abs(users @ mean)
        return np.asarray(np.maximum(np.sqrt(np.maximum(variance, 0)), alike), dtype=np.float32)

    def scale(users: FloatMatrix, _histories: sp.csr_array) -> FloatVector:
        with threads() as pool:  # each multiplies by itself: the bits are the same for any number
            parts = pool.map(lambda rows: deviations(users[rows]), chunks(len(users)))
        deviation: FloatVector = np.concatenate(parts)
        inverse: FloatVector = np.zeros_like(deviation)
        np.divide(1, deviation, out=inverse, where=deviation > np.finfo(np.float32).tiny)
        return inverse

    return scale

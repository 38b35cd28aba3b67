"""What a student learns from: any model, given embeddings, or what the shape of a log allows."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import scipy.sparse as sp

from recsys.base.errors import ConfigError, DataError
from recsys.models.als import ALS
from recsys.models.blend import Blend
from recsys.models.distilled.lists import Scorer
from recsys.models.svd import SVD
from recsys.vectors import Embeddings


class Teacher(Protocol):
    """A model, or anything else whose `fit` returns what scores all items for some users."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    name: ClassVar[str]

    def with_seed(self, seed: int) -> Self:
        """Return the same with another random start, as far as it has any."""

    def fit(self, user_items: sp.csr_array) -> Scorer:
        """Fit it to a matrix of weights (n_users, n_items)."""


@dataclass(frozen=True)
class Given:
    """Embeddings that were fitted before; a config has their name alone."""

    name: ClassVar[str] = "given"

    embeddings: Embeddings | None = field(
        default=None, repr=False, compare=False, metadata={"is_hyperparameter": False}
    )

    def with_seed(self, seed: int) -> Self:
        """Return the same: nothing is random."""
        return self

    def fit(self, user_items: sp.csr_array) -> Embeddings:
        """Return the embeddings, if they have the rows of the matrix."""
        if self.embeddings is None:
            raise ConfigError(
                "distilled.teacher: expected a model, got the name of embeddings that were given "
                "in Python, which no config holds; give them again, or name a model"
            )
        if self.embeddings.shape != user_items.shape:
            raise DataError(
                "distilled.teacher: expected embeddings of (users, items) "
                f"{user_items.shape}, got {self.embeddings.shape}; bring them to the rows of this "
                "matrix with Embeddings.reindexed"
            )
        return self.embeddings


_MOST_OF_SVD, _MOST_OF_ALS = 1280, 512
_USERS_PER_FACTOR_OF_SVD, _USERS_PER_FACTOR_OF_ALS = 23, 58  # or items, whichever are fewer
_LEAST_FACTORS = 16


def teacher_for(user_items: sp.csr_array) -> Blend:
    """Return SVD and ALS side by side, with as many factors as the shape of a log allows.

    Their settings are those of Gowalla's validation part.
    """
    fewer = min(user_items.shape[0], int((np.bincount(user_items.indices) > 0).sum()))
    of_svd = min(max(fewer // _USERS_PER_FACTOR_OF_SVD, _LEAST_FACTORS), _MOST_OF_SVD)
    of_als = min(max(fewer // _USERS_PER_FACTOR_OF_ALS, _LEAST_FACTORS), _MOST_OF_ALS)
    return Blend(
        ALS(factors=of_als, regularization=0.3, unobserved_weight=0.01, item_exponent=0.25),
        SVD(factors=of_svd, item_exponent=0.45, spectral_power=1.3),
        scale="deviation",
    )

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
_USERS_PER_FACTOR = 13  # or items, whichever are fewer
_LEAST_FACTORS = 16
_MANY = 512  # factors of an SVD, which find too popular items


def teacher_for(user_items: sp.csr_array) -> Blend:
    """Return SVD and ALS side by side, with as many factors as the shape of a log allows.

    Found on the validation parts of Gowalla and of five smaller logs: the denser a log, the more
    an item that a user has not seen counts as one that the user does not want.
    """
    n_users, n_items = user_items.shape
    fewer = min(n_users, int((np.bincount(user_items.indices) > 0).sum()))
    allowed = max(fewer // _USERS_PER_FACTOR, _LEAST_FACTORS)
    of_svd, density = min(allowed, _MOST_OF_SVD), user_items.nnz / (n_users * n_items)
    has_many = of_svd >= _MANY
    return Blend(
        ALS(
            factors=min(allowed, _MOST_OF_ALS),
            regularization=0.3,
            unobserved_weight=float(f"{0.4 * density**0.5:.1g}"),
            item_exponent=0.25,
        ),
        SVD(
            factors=of_svd,
            item_exponent=0.45 if has_many else 0.3,
            spectral_power=1.3 if has_many else 1.0,
        ),
        scale="deviation",
    )

"""Students of one teacher, whose lists are found once for all of them."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.threads import threads
from recsys.models.distilled.teacher import TeacherLists, strongest_unseen
from recsys.models.protocol import normalized
from recsys.vectors import FloatMatrix, Scorer

_LENGTH = 100  # that students look at


@dataclass(frozen=True, eq=False)
class Listed:
    """A scorer that knows the first unseen items of each user alone."""

    shape: tuple[int, int]  # users and items
    lists: TeacherLists  # of all users

    @classmethod
    def of(cls, scorer: Scorer, user_items: sp.csr_array) -> Self:
        """Take the lists of what was fitted."""
        with threads() as pool:
            everyone = np.arange(user_items.shape[0])
            lists = strongest_unseen(scorer, normalized(user_items), everyone, _LENGTH, pool)
        return cls((user_items.shape[0], user_items.shape[1]), lists)

    def scores(
        self, user_idx: NDArray[np.integer] | slice, out: FloatMatrix | None = None
    ) -> FloatMatrix:
        """Return float32 (n, n_items), below all listed scores where an item is not listed."""
        items, scores = self.lists.item_idx[user_idx], self.lists.scores[user_idx]
        is_listed = items >= 0
        least = np.where(is_listed, scores, np.inf).min(axis=1)
        if out is None:
            out = np.empty((len(items), self.shape[1]), dtype=np.float32)
        out[:] = np.where(np.isfinite(least), least, 0)[:, None] - 1
        rows, places = np.nonzero(is_listed)
        out[rows, items[rows, places]] = scores[rows, places]
        return out

"""What is said of each user, gathered while blocks of users are ranked in several threads."""

from collections.abc import Mapping, Sequence
from threading import Lock

import numpy as np

from recsys.evaluation.beyond import BeyondAccuracy
from recsys.evaluation.metrics import AUC, METRICS, FloatArray, auc
from recsys.evaluation.ranking import RankedBlock


class Tally:
    """Keeps the value of every metric for every user, and none of the lists.

    Parameters
    ----------
    ks : sequence of int
        Lengths of lists, ascending.
    n_users : int
        Users that will be ranked.
    beyond : BeyondAccuracy
        Is given all lists.
    n_items : int

    Attributes
    ----------
    n_found : ndarray of int64, shape (n_items,)
        Users in whose list each item is a hit.
    """

    def __init__(
        self, ks: Sequence[int], n_users: int, beyond: BeyondAccuracy, n_items: int
    ) -> None:
        self.n_found = np.zeros(n_items, dtype=np.int64)
        self._counting = Lock()
        self._ks = ks
        self._beyond = beyond
        names = [*(f"{name}@{k}" for k in ks for name in METRICS), AUC]
        self._per_user: dict[str, FloatArray] = {name: np.empty(n_users) for name in names}

    def take(self, block: RankedBlock) -> None:
        """Measure a block of users; threads call it at once."""
        ranked, place = block.ranked, slice(block.start, block.start + len(block.columns))
        for k in self._ks:
            shorter = ranked.first(k)
            for name, metric in METRICS.items():
                self._per_user[f"{name}@{k}"][place] = metric(shorter)
        areas = auc(block.n_misordered, ranked.n_relevant, ranked.n_unseen)
        self._per_user[AUC][place] = areas
        found = np.bincount(block.columns[ranked.hits], minlength=len(self.n_found))
        with self._counting:
            self.n_found += found
        self._beyond.take(block.start, block.columns, ranked.hits)

    @property
    def per_user(self) -> Mapping[str, FloatArray]:
        """Each metric of single users by name, one value per user."""
        return self._per_user | dict(self._beyond.per_user)

"""Lists for every test user from a CUDA card, where no metric needs the ranks of all items."""

from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.devices import Device
from recsys.base.packing import has_pairs
from recsys.base.progress import OnStep
from recsys.base.stopping import check_stop
from recsys.cuda.lists import CardSearcher, card_for_lists
from recsys.evaluation.metrics import RankedHits
from recsys.evaluation.ranking import RankedBlock
from recsys.vectors import Embeddings, Scorer


class CardRanking:
    """Lists the best items of each user by embeddings on a card, without what was seen.

    It calls `take` as `recsys.evaluation.ranking.rank` does, but for pairs in wrong order.
    """

    def __init__(self, embeddings: Embeddings, searcher: CardSearcher) -> None:
        self._embeddings, self._searcher = embeddings, searcher

    @classmethod
    def chosen(cls, scorer: Scorer, n_users: int, k: int, device: Device) -> "CardRanking | None":
        """Return the ranking of a card; None where the CPU does it.

        Raises
        ------
        ConfigError
            If a card is asked for by name, and there is none, or nothing to drive it.
        """
        if not isinstance(scorer, Embeddings):
            return None
        backend = card_for_lists(device, n_users, k, scorer.items.shape)
        if backend is None:
            return None
        return cls(scorer, CardSearcher(backend, np.asarray(scorer.items, np.float32)))

    def rank(
        self,
        seen: sp.csr_array,
        relevant: sp.csr_array,
        user_idx: NDArray[np.int32],
        k: int,
        take: Callable[[RankedBlock], None],
        on_step: OnStep,
    ) -> None:
        """List for users; the matrices are those of `rank`."""
        n_items = seen.shape[1]
        n_relevant = np.diff(relevant.indptr).astype(np.int64)
        for start in range(0, len(user_idx), self._searcher.users_per_block):
            check_stop()
            users = user_idx[start : start + self._searcher.users_per_block]
            left_out = seen[users]
            columns, _ = self._searcher.search_many(
                np.asarray(self._embeddings.users[users], np.float32),
                min(k, n_items),
                left_out.indptr.astype(np.int64),
                left_out.indices,
            )
            is_listed = columns >= 0
            listed = np.maximum(columns, 0).ravel()
            is_hit = has_pairs(relevant, np.repeat(users, columns.shape[1]), listed)
            ranked = RankedHits(
                is_hit.reshape(columns.shape) & is_listed,
                n_relevant[users],
                is_listed.sum(axis=1),
                n_items - np.diff(left_out.indptr).astype(np.int64),
            )
            take(RankedBlock(start, columns, ranked))
            on_step(start + len(users), len(user_idx))

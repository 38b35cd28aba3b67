"""Lists of many users: what is said of them, and what searches: all cores, or a CUDA card."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.base.devices import Device
from recsys.base.environment import usable_cores
from recsys.index import Allowed, Index, ItemRows
from recsys.vectors import FloatMatrix

if TYPE_CHECKING:
    import scipy.sparse as sp

    from recsys.cuda.lists import CardSearcher

FindMany = Callable[
    [FloatMatrix, int, NDArray[np.int64], ItemRows], tuple[NDArray[np.int32], FloatMatrix]
]
"""Takes vectors, k, starts and exclusions, and returns rows and scores; see `search_many`."""

_USERS_PER_BLOCK = 256  # that a thread takes at a time: enough to hide what a call costs
_CARD_THREADS = 2  # one prepares a block while the card works on another


@dataclass(frozen=True, eq=False)
class FoldedIn:
    """What is said of users beside what the version knows of them, in the order asked for."""

    position: NDArray[np.int64]  # (n_users,): the row of a user's history, -1 for one without
    histories: "sp.csr_array | None"  # (n_histories, n_items); None without any
    vectors: FloatMatrix  # (n_histories, factors)
    source: NDArray[np.int8]  # (n_histories,): FOLD_IN, or ATTRIBUTES where nothing is liked
    disliked: "Sequence[ItemRows] | None" = None  # of each user, also of known ones

    @classmethod
    def nobody(cls, n_users: int, factors: int) -> "FoldedIn":
        """Return that no user has a history."""
        vectors = np.empty((0, factors), dtype=np.float32)
        return cls(np.full(n_users, -1), None, vectors, np.empty(0, np.int8))

    def __getitem__(self, users: slice) -> "FoldedIn":
        disliked = None if self.disliked is None else self.disliked[users]
        return replace(self, position=self.position[users], disliked=disliked)

    def liked(self) -> dict[int, ItemRows]:
        """Return the items of each history that are no dislikes, by the number of the user."""
        found: dict[int, ItemRows] = {}
        if self.histories is None:
            return found
        for user in np.flatnonzero(self.position >= 0).tolist():
            start, end = self.histories.indptr[self.position[user] :][:2]
            rows = np.asarray(self.histories.indices[start:end], dtype=np.int32)
            found[user] = rows[self.histories.data[start:end] > 0]
        return found


class ManySearch(NamedTuple):
    """A search, and how users are dealt out to it."""

    find: FindMany
    n_threads: int
    users_per_block: int


class ManySearches:
    """Chooses who searches for the lists of many users of one version.

    Parameters
    ----------
    index : Index
    items : ndarray of float32, shape (n_items, factors), or StoredMatrix
        All that may be listed.
    """

    def __init__(self, index: Index, items: FloatMatrix) -> None:
        self._index, self._items = index, items
        self._lock = Lock()
        self._on_card: CardSearcher | None = None

    def of(self, n_users: int, k: int, allowed: Allowed | None, device: Device) -> ManySearch:
        """Return the search for lists among items that are allowed.

        Raises
        ------
        ConfigError
            If a card is asked for by name, and there is none, or nothing to drive it.
        """
        searcher = self._card(n_users, k, device) if allowed is None else None
        if searcher is None:
            find = partial(self._index.search_many, allowed=allowed)
            return ManySearch(find, usable_cores(), _USERS_PER_BLOCK)
        return ManySearch(partial(self._by_card, searcher), _CARD_THREADS, searcher.users_per_block)

    def _card(self, n_users: int, k: int, device: Device) -> "CardSearcher | None":
        """Return the search of the card, which holds the items from the first time on."""
        if device == "cpu":
            return None
        from recsys.cuda.lists import CardSearcher, card_for_lists

        backend = card_for_lists(device, n_users, k, self._items.shape)
        if backend is None:
            return None
        with self._lock:
            if self._on_card is None:
                self._on_card = CardSearcher(backend, np.asarray(self._items, np.float32))
            return self._on_card

    def _by_card(
        self,
        searcher: "CardSearcher",
        users: FloatMatrix,
        k: int,
        starts: NDArray[np.int64],
        exclude: ItemRows,
    ) -> tuple[NDArray[np.int32], FloatMatrix]:
        with self._lock:  # its memory is that of one block
            return searcher.search_many(users, k, starts, exclude)

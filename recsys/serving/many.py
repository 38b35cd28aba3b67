"""What searches for the lists of many users: the index on all cores, or a CUDA card."""

from collections.abc import Callable
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
    from recsys.cuda.lists import CardSearcher

FindMany = Callable[
    [FloatMatrix, int, NDArray[np.int64], ItemRows], tuple[NDArray[np.int32], FloatMatrix]
]
"""Takes vectors, k, starts and exclusions, and returns rows and scores; see `search_many`."""

_USERS_PER_BLOCK = 256  # that a thread takes at a time: enough to hide what a call costs
_CARD_THREADS = 2  # one prepares a block while the card works on another


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

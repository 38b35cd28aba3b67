"""Exact lists of the best items on a card: all items of a catalogue, for many users at once.

No scores are stored. A product in float16 finds the best score of each group of 64 items, and from
these a floor that the whole list of a user reaches, lowered by what rounding can do; what reaches
the floor is kept, scored in float32 and sorted. So the list is that of float32, whatever float16
has lost. A user of whom more is kept than there is room for, as where hundreds of items tie, is
searched for on the CPU.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.base.devices import Device
from recsys.cuda.backend import WARP, Array, Backend, Launch, Program, in_blocks, int32
from recsys.cuda.device import card_for
from recsys.cuda.rows import WIDTHS
from recsys.vectors import FloatMatrix, FloatVector, top_k
from recsys.vectors.top_k import EXCLUDED

LONGEST = 256
"""The longest list that a card makes; the floor of a longer one would be low."""

MOST_ITEMS = 2**24
"""A bit for each group of them fits into the shared memory of a block."""

GROUP_ITEMS = 64

# Of a user's length times the largest of an item: what float16 takes from a product at most, twice
# 2^-11 as both are rounded, and 1/8 of that for the rounding of float32 in all sums; of one score
# and of another, so twice.
_MARGIN = 2 * 1.125 * 2.0**-10
_WORTH = 1e12  # users times items times factors; an index takes seconds, as CuPy does to begin
_THREADS = 256  # of a block for one user: it deals the groups to 1,024 hands
_ROOM = 1024  # items that are kept of a user, a power of two
_SMALL_ROOM = 4096  # of a catalogue of no more items, all of them
_ITEMS_PER_PLACE = 8192  # with more for each place of a list, groups are looked at one by one
_BLOCKS_AT_ONCE = 2048  # of 128 threads: some more than the largest card runs
_BLOCK_BYTES = 1 << 30  # of the best scores of groups, and of what is kept
_MOST_USERS = 65_536  # of a block: more gain nothing
_PARTS_OF_MEMORY = 4  # that is free, of which a block takes one


class Shape(NamedTuple):
    """Tiles of 16 users that a warp multiplies with a tile of items, and warps of a block."""

    tiles: int
    warps: int

    @property
    def n_users(self) -> int:
        """Users of a block."""
        return 16 * self.tiles * self.warps


@dataclass(frozen=True)
class Shapes:
    """Of the pass that finds the best of groups, and of the one that keeps items."""

    best: Shape
    keep: Shape


# Measured where there is one; the vectors of a tile of users are in registers.
_SHAPES = {
    32: Shapes(Shape(2, 8), Shape(4, 4)),
    64: Shapes(Shape(2, 8), Shape(4, 4)),
    128: Shapes(Shape(4, 4), Shape(2, 4)),
    256: Shapes(Shape(2, 4), Shape(2, 4)),
    512: Shapes(Shape(1, 4), Shape(1, 4)),
}


def program_of(width: int) -> Program:
    """Return the kernels for lists of vectors of a width."""
    shapes = _SHAPES[width]
    return Program(
        ("lanes.cu", "lists.cu"),
        (
            ("FACTORS", width),
            *(("BEST_TILES", shapes.best.tiles), ("BEST_WARPS", shapes.best.warps)),
            *(("KEEP_TILES", shapes.keep.tiles), ("KEEP_WARPS", shapes.keep.warps)),
        ),
    )


def can_list(k: int, n_items: int, factors: int) -> bool:
    """Tell whether a card makes lists of a length among some items."""
    return k <= LONGEST and 0 < n_items <= MOST_ITEMS and 0 < factors <= WIDTHS[-1]


def card_for_lists(device: Device, n_users: int, k: int, shape: tuple[int, ...]) -> Backend | None:
    """Return the card for lists of some users among items of a shape; None where the CPU does it.

    Raises
    ------
    ConfigError
        If a card is asked for by name, and there is none, or nothing to drive it.
    """
    if not can_list(k, *shape):
        return None
    return card_for(device, float(n_users) * shape[0] * shape[1], _WORTH)


class Exclusions(NamedTuple):
    """Items that users must not get: those of user j are ``items[starts[j]:starts[j + 1]]``."""

    starts: NDArray[np.int64]  # (n + 1,)
    items: NDArray[np.int32]

    def of(self, first: int, last: int) -> "Exclusions":
        """Return those of some users."""
        own = slice(int(self.starts[first]), int(self.starts[last]))
        return Exclusions(self.starts[first : last + 1] - self.starts[first], self.items[own])

    def ascending(self) -> "Exclusions":
        """Return them in the order of rows, for each user."""
        falls = np.flatnonzero(np.diff(self.items) <= 0) + 1
        if np.isin(falls, self.starts).all():
            return self
        users = np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))
        return Exclusions(self.starts, self.items[np.lexsort((self.items, users))])


@dataclass(frozen=True, eq=False)
class Asked:
    """Users of a block, and what they must not get: arrays of the backend."""

    users: Array  # float32 (n, width), numbers below 1
    halves: Array  # float16 (n, width)
    lengths: Array  # float32 (n,)
    exponents: Array  # int32 (n, 1): scores are to be multiplied by 2 to the power of it
    starts: Array  # int32 (n + 1,)
    excluded: Array  # int32 (n_excluded + 1,), ascending within a user


class CardSearcher:
    """Finds the items with the largest dot products among all of a catalogue, on a card.

    Parameters
    ----------
    backend : Backend
    items : ndarray of float32, shape (n_items, factors)
        They go to the card once.
    by_groups : bool, optional
        Whether groups are looked at one by one; default: where there are many for each place.
    room : int, optional
        How many items are kept of a user at most, a power of two.

    Examples
    --------
    ::

        searcher = CardSearcher(open_card(), embeddings.items)
        rows, scores = searcher.search_many(users, 20, seen.indptr, seen.indices)
    """

    def __init__(
        self,
        backend: Backend,
        items: FloatMatrix,
        *,
        by_groups: bool | None = None,
        room: int | None = None,
    ) -> None:
        n_items, factors = items.shape
        self._backend, self._by_groups = backend, by_groups
        self._host, self._n_items = items, n_items
        self._width = next(width for width in WIDTHS if factors <= width)
        self._room = room or (_SMALL_ROOM if n_items <= _SMALL_ROOM else _ROOM)
        self._n_groups = in_blocks(n_items, GROUP_ITEMS)
        xp = backend.xp
        n_rows = self._n_groups * GROUP_ITEMS  # zeros at the end
        items_there = self._padded(items, n_rows)
        _, exponent = xp.frexp(xp.abs(items_there).max())
        self._exponent = exponent.astype(np.int32)
        self._items = xp.ldexp(items_there, -self._exponent)  # numbers below 1
        self._halves = self._items.astype(np.float16)
        self._longest = float(xp.sqrt(xp.einsum("ij,ij->i", self._items, self._items).max()))

    @cached_property
    def users_per_block(self) -> int:
        """Users who are searched for at once."""
        per_user = 4 * (self._n_groups + self._room + 4 * self._width)
        n_bytes = min(_BLOCK_BYTES, self._backend.free_bytes // _PARTS_OF_MEMORY)
        return int(min(_MOST_USERS, max(n_bytes // per_user, 1)))

    def search_many(
        self,
        users: FloatMatrix,
        k: int,
        starts: NDArray[np.int64],
        exclude: NDArray[np.int32],
    ) -> tuple[NDArray[np.int32], FloatMatrix]:
        """Return the lists of many users.

        Parameters
        ----------
        users : ndarray of float32, shape (n, factors)
        k : int
            1 to `LONGEST`.
        starts, exclude
            See `Exclusions`.

        Returns
        -------
        item_idx : ndarray of int32, shape (n, k)
            Score descending, ties by lower row; -1 after the end of a short list.
        scores : ndarray of float32, shape (n, k)
            Minus infinity after the end of a short list.
        """
        excluded = Exclusions(starts, exclude).ascending()
        rows = np.full((len(users), k), -1, np.int32)
        scores = np.full((len(users), k), EXCLUDED, np.float32)
        length, to_host = min(k, self._n_items), self._backend.to_host
        edges = [*range(0, len(users), self.users_per_block), len(users)]
        for first, last in pairwise(edges):
            asked = self.bring(users[first:last], excluded.of(first, last))
            *lists, counts = (to_host(one) for one in self.listed(asked, length))
            rows[first:last, :length], scores[first:last, :length] = lists
            for place in (first + np.flatnonzero(counts > self._room)).tolist():
                left_out = excluded.of(place, place + 1).items
                found = self._by_host(users[place], length, left_out)
                rows[place, :length], scores[place, :length] = found
        return rows, scores

    def bring(self, users: FloatMatrix, excluded: Exclusions) -> "Asked":
        """Bring the users of a block to the card, with what they must not get, ascending."""
        xp = self._backend.xp
        there = self._padded(users, len(users))
        _, exponents = xp.frexp(xp.abs(there).max(axis=1))
        scaled = xp.ldexp(there, -exponents[:, None])  # exact, and of float16 the best part
        return Asked(
            scaled,
            scaled.astype(np.float16),
            xp.sqrt(xp.einsum("ij,ij->i", scaled, scaled)),
            (exponents + self._exponent)[:, None],
            xp.asarray(excluded.starts.astype(np.int32)),
            xp.asarray(np.append(excluded.items, 0).astype(np.int32)),  # never without memory
        )

    def listed(self, asked: "Asked", k: int) -> tuple[Array, Array, Array]:
        """Return rows and scores of the lists of a block, and how many items each user had.

        Where these are more than there is room for, there is no list.
        """
        backend, xp, n = self._backend, self._backend.xp, len(asked.users)
        shapes, excluded = _SHAPES[self._width], (asked.starts, asked.excluded)
        best = xp.empty((n, self._n_groups), dtype=np.float32)
        floors, counts = xp.empty(n, dtype=np.float32), xp.empty(n, dtype=np.int32)
        items = xp.empty((n, self._room), dtype=np.int32)
        rows, scores = xp.empty((n, k), dtype=np.int32), xp.zeros((n, k), dtype=np.float32)
        kept, among = (counts, items, int32(self._room)), (best, int32(self._n_groups))
        margin = np.float32(_MARGIN * self._longest)
        floor = Launch(
            "floors_of_users",
            (n, 1),
            _THREADS,
            (*among, *excluded, int32(k), asked.lengths, margin, floors, counts),
            4 * in_blocks(self._n_groups, 32),
        )
        keep = self._scan("keep_of_all", shapes.keep, asked.halves, (floors, *kept))
        if self._looks_at_groups(k):
            keep = self._keep_of_groups(asked.users, (best, floors, *kept))
        rank = Launch(
            "rank_kept",
            (n, 1),
            _THREADS,
            (asked.users, self._items, *kept, *excluded, int32(k), rows, scores),
            8 * self._room,
        )
        first = self._scan("best_of_groups", shapes.best, asked.halves, (best,))
        backend.run(program_of(self._width), [[first, floor, keep, rank]])
        return rows, xp.ldexp(scores, asked.exponents), counts

    def _scan(
        self, kernel: str, shape: Shape, users: Array, arguments: tuple[object, ...]
    ) -> Launch:
        """Return a pass over all items: blocks of users, and parts of the groups beside them."""
        n_blocks = in_blocks(len(users), shape.n_users)
        n_parts = max(1, _BLOCKS_AT_ONCE * 4 // shape.warps // n_blocks)
        per_part = in_blocks(self._n_groups, min(n_parts, self._n_groups))
        sizes = (len(users), self._n_items, self._n_groups, per_part)
        return Launch(
            kernel,
            (n_blocks, in_blocks(self._n_groups, per_part)),
            shape.warps * WARP,
            (users, self._halves, *map(int32, sizes), *arguments),
        )

    def _keep_of_groups(self, users: Array, arguments: tuple[object, ...]) -> Launch:
        n_warps = 4
        sizes = (len(users), self._n_items, self._n_groups)
        return Launch(
            "keep_of_groups",
            (in_blocks(len(users), n_warps), 1),
            n_warps * WARP,
            (users, self._halves, *map(int32, sizes), *arguments),
        )

    def _looks_at_groups(self, k: int) -> bool:
        return self._n_items > _ITEMS_PER_PLACE * k if self._by_groups is None else self._by_groups

    def _by_host(
        self, user: FloatVector, k: int, excluded: NDArray[np.int32]
    ) -> tuple[NDArray[np.int32], FloatVector]:
        """Search for one user on the CPU."""
        scores = self._host @ user  # (n_items,)
        scores[excluded] = EXCLUDED
        rows, best = top_k(scores[None], k)
        return rows[0], best[0]

    def _padded(self, vectors: FloatMatrix, n_rows: int) -> Array:
        """Bring vectors to the card, with columns and rows of zeros added."""
        xp, (n, factors) = self._backend.xp, vectors.shape
        if (n, factors) == (n_rows, self._width):
            return xp.asarray(vectors, dtype=np.float32)
        wide = xp.zeros((n_rows, self._width), dtype=np.float32)
        wide[:n, :factors] = xp.asarray(vectors)
        return wide

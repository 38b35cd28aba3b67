"""The search: a user embedding in, the best items out, exactly or with the help of a forest."""

import threading
from collections.abc import Mapping, Sequence
from copy import copy
from ctypes import pointer
from dataclasses import fields
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.index import compiled
from recsys.index.clusters import Clusters, encode_centers
from recsys.index.plain import Allowed, ItemRows
from recsys.index.quantized import PER_BLOCK, Codes, encode_items
from recsys.vectors import FloatMatrix, FloatVector
from recsys.vectors.storage import StoredMatrix
from recsys.vectors.top_k import EXCLUDED

SHORT, LONG = 20, 100
"""Lengths of the lists that the search of a forest is set for; the target is for the short ones."""

_MOST_OF_TAIL = 0.25  # a search for more candidates takes as long as a scan of the tail
_NO_FOREST = compiled.Forest()


class Searcher:
    """Finds the items with the largest dot products, or cosines, by a compiled search.

    Without a forest it is exact: a scan in 8 bits, in the order of norms, ends where no later item
    can enter the list, and scores in float32 all who may be among the best. What rounding to 8 bits
    can have changed is bounded for every item, so the list is that of a search in float32.

    With a forest, the items before it, the head, are scanned like that, and the forest offers
    candidates of the others, the tail, which are scored exactly. Where no item of the tail can
    enter the list, by its norm, the forest is not asked.

    The forest answers only the kinds of queries on which calibration saw it reach its target: among
    all items, for lists of at most 100, with few exclusions. For all others the tail is scanned, as
    it is where the candidates do not fill the list, and the list is exact.

    With clusters, those whose centers score highest are scanned, on the same terms; and then all
    others, where the list is to be exact.

    Threads may share one.

    Parameters
    ----------
    items : ndarray of float32, shape (n_items, factors), or StoredMatrix of int8
        C-contiguous; may be memory-mapped.
    codes : Codes
        Of these items.
    forest : compiled.Forest, optional
        As `open_forest` returns it.
    search_k : mapping of int to int, optional
        Candidates to take from the forest for a list of 20 and of 100, or clusters to scan; 0 scans
        the tail, or all clusters.
    most_excluded : mapping of int to int, optional
        Exclusions of a query for lists of 20 and of 100, above which the tail is scanned; below 0
        it always is. Default: no limit.
    clusters : Clusters, optional
        That the codes are in the order of, in place of a forest.

    Examples
    --------
    >>> import numpy as np
    >>> index = Searcher.of(np.array([[1], [3], [2]], dtype=np.float32))
    >>> index.search(np.ones(1, dtype=np.float32), k=2, exclude=np.array([1], dtype=np.int32))
    (array([2, 0], dtype=int32), array([2., 1.], dtype=float32))
    """

    def __init__(
        self,
        items: FloatMatrix,
        codes: Codes,
        forest: Any = None,
        search_k: Mapping[int, int] | None = None,
        most_excluded: Mapping[int, int] | None = None,
        clusters: Clusters | None = None,
    ) -> None:
        self.items = items if isinstance(items, StoredMatrix) else np.ascontiguousarray(items, "f4")
        self.codes, self.clusters = codes, clusters
        self._forest = forest or _NO_FOREST
        self.search_k = search_k or {SHORT: 0, LONG: 0}
        self.most_excluded = most_excluded or dict.fromkeys((SHORT, LONG), len(items))
        self._n_blocks = len(codes.codes)
        self._n_head = self._n_blocks if forest is None else forest.first // PER_BLOCK  # blocks
        n_offered = len(clusters.centers) if clusters else self._forest.n_items
        self._most_candidates = _MOST_OF_TAIL * n_offered
        self._catalogue = _catalogue_of(self.items, codes, clusters)
        self._threads = threading.local()
        self._everything = self.allow(None)

    @classmethod
    def of(cls, items: FloatMatrix, *, cosine: bool = False) -> "Searcher":
        """Return an exact search of items in memory, by dot product or by cosine."""
        return cls(items, encode_items(items, cosine=cosine))

    def with_limits(
        self, search_k: Mapping[int, int], most_excluded: Mapping[int, int] | None = None
    ) -> "Searcher":
        """Return a search of the same index that goes so far, up to so many exclusions."""
        other = copy(self)
        other.search_k = search_k
        other.most_excluded = most_excluded or dict.fromkeys((SHORT, LONG), len(self.items))
        return other

    @property
    def n_head(self) -> int:
        """How many items, those with the largest norms, are scanned before the forest is asked."""
        if self.clusters:
            return 0
        return min(self._n_head * PER_BLOCK, len(self.items))

    @property
    def factor(self) -> FloatVector | None:
        """What the product with each item is multiplied by; None for 1."""
        return self.codes.factor if len(self.codes.factor) else None

    def allow(self, is_allowed: NDArray[np.bool_] | None) -> Allowed:
        """Prepare, once, searches among some items only.

        Parameters
        ----------
        is_allowed : ndarray of bool, shape (n_items,), or None for all
        """
        by_position = np.zeros(self._n_blocks * PER_BLOCK, dtype=np.bool_)
        by_position[: len(self.items)] = True if is_allowed is None else is_allowed[self.codes.row]
        mask = np.packbits(by_position, bitorder="little").view(np.uint16)  # (n_blocks,)
        return Allowed(mask, int(by_position.sum()), self._is_all(is_allowed))

    def search(
        self, user: FloatVector, k: int, exclude: ItemRows, allowed: Allowed | None = None
    ) -> tuple[ItemRows, FloatVector]:
        """Return the best items that are allowed and not excluded.

        Parameters
        ----------
        user : ndarray of float32, shape (factors,)
        k : int
            At least 1.
        exclude : ndarray of int32, shape (n_excluded,)
            Rows that must not be returned, in any order.
        allowed : Allowed, optional
            Default: all items.

        Returns
        -------
        item_idx : ndarray of int32, shape (n_found,)
            Of k items, or of as many as are left. Score descending, ties by lower row.
        scores : ndarray of float32, same shape
            Exact dot products, or cosines where the index is one of directions.
        """
        k = min(k, len(self.items))
        rows, scores = np.empty(k, dtype=np.int32), np.empty(k, dtype=np.float32)
        allowed = allowed or self._everything
        wanted, most_excluded = self._n_candidates(k, allowed)
        n = compiled.library.search(
            self._catalogue,
            self._forest,
            self._scratch(),
            compiled.address(user, np.float32),
            k,
            compiled.address(allowed.mask, np.uint16),
            allowed.n,
            compiled.address(exclude, np.int32),
            len(exclude),
            self._n_head,
            wanted if len(exclude) <= most_excluded else 0,
            compiled.address(rows, np.int32),
            compiled.address(scores, np.float32),
        )
        return rows[:n], scores[:n]

    def search_many(
        self,
        users: FloatMatrix,
        k: int,
        starts: NDArray[np.int64],
        exclude: ItemRows,
        allowed: Allowed | None = None,
        work: NDArray[np.int64] | None = None,
    ) -> tuple[NDArray[np.int32], FloatMatrix]:
        """Return the lists of many users, those that `search` gives.

        Threads may call it at once, and do without Python's lock.

        Parameters
        ----------
        users : ndarray of float32, shape (n, factors)
        starts : ndarray of int64, shape (n + 1,)
            User j must not get ``exclude[starts[j]:starts[j + 1]]``.
        work : ndarray of int64, shape (n, 10), optional
            Where to write what each query did, in the order of `compiled.COUNTED`.

        Returns
        -------
        item_idx : ndarray of int32, shape (n, k)
            -1 after the end of a short list.
        scores : ndarray of float32, shape (n, k)
            Minus infinity after the end of a short list.
        """
        rows = np.empty((len(users), k), dtype=np.int32)
        scores = np.empty((len(users), k), dtype=np.float32)
        if k > len(self.items):  # more than there is room for
            n_items = len(self.items)
            rows[:, n_items:], scores[:, n_items:] = -1, EXCLUDED
            rows[:, :n_items], scores[:, :n_items] = self.search_many(
                users, n_items, starts, exclude, allowed, work
            )
            return rows, scores
        allowed = allowed or self._everything
        wanted, most_excluded = self._n_candidates(k, allowed)
        n_candidates = np.where(np.diff(starts) <= most_excluded, wanted, 0)  # (n,)
        ends = np.flatnonzero(np.diff(n_candidates)) + 1  # of users who are searched for alike
        for first, last in pairwise([0, *ends.tolist(), len(users)]):
            if first < last:
                compiled.library.search_many(
                    self._catalogue,
                    self._forest,
                    self._scratch(),
                    compiled.address(users[first:], np.float32),
                    last - first,
                    k,
                    compiled.address(allowed.mask, np.uint16),
                    allowed.n,
                    compiled.address(starts[first:], np.int64),
                    compiled.address(exclude, np.int32),
                    self._n_head,
                    int(n_candidates[first]),
                    compiled.address(rows[first:], np.int32),
                    compiled.address(scores[first:], np.float32),
                    None if work is None else compiled.address(work[first:], np.int64),
                )
        return rows, scores

    def rank(self, user: FloatVector, rows: ItemRows, k: int) -> tuple[ItemRows, FloatVector]:
        """Return the best of some items, every one of which is scored.

        Parameters
        ----------
        user : ndarray of float32, shape (factors,)
        rows : ndarray of int32, shape (n,)
            None of them twice.
        """
        k = min(k, len(rows))
        found, scores = np.empty(k, dtype=np.int32), np.empty(k, dtype=np.float32)
        compiled.library.rank(
            self._catalogue,
            self._scratch(),
            compiled.address(user, np.float32),
            compiled.address(rows, np.int32),
            len(rows),
            k,
            compiled.address(found, np.int32),
            compiled.address(scores, np.float32),
        )
        return found, scores

    def scans(self, k: int, exclude: Sequence[ItemRows], allowed: Allowed) -> bool:
        """Return whether all items are scanned for each of some queries, so that it is exact."""
        wanted, most_excluded = self._n_candidates(k, allowed)
        return not wanted or all(len(rows) > most_excluded for rows in exclude)

    def plain_lists(self, **others: Any) -> Any:
        """Return what `plain_list` of plain_list.c reads, for lists among all items by this thread.

        What it reads besides the index is given by its names there.
        """
        everything = self._everything
        return compiled.structure(
            compiled.PlainLists,
            arrays={"allowed": everything.mask},
            catalogue=pointer(self._catalogue),
            forest=pointer(self._forest),
            scratch=pointer(self._scratch()),
            n_allowed=everything.n,
            n_head=self._n_head,
            **others,
        )

    def limits(self, k: int) -> tuple[int, int]:
        """Return how far a search among all items goes, and up to how many exclusions."""
        return self._n_candidates(k, self._everything)

    def last_work(self) -> NDArray[np.int64]:
        """Return what the last query of this thread did, in the order of `compiled.COUNTED`."""
        work: NDArray[np.int64] = self._scratch().arrays["work"]
        return work.copy()

    def _n_candidates(self, k: int, allowed: Allowed) -> tuple[int, int]:
        """Return the candidates to take from the forest, and up to how many exclusions.

        With 0 candidates, or more exclusions, the tail is scanned. This is the one place that
        decides how a list is searched.
        """
        length = SHORT if k <= SHORT else LONG
        wanted = self.search_k[length]
        if k > LONG or not allowed.is_all or wanted > self._most_candidates:
            wanted = 0
        return wanted, self.most_excluded[length]

    def _is_all(self, is_allowed: NDArray[np.bool_] | None) -> bool:
        """Return whether nothing is left out, but for zeros where the search is by cosine."""
        if is_allowed is None or self.factor is None:
            return is_allowed is None or bool(is_allowed.all())
        return bool((is_allowed | (self.factor == 0)).all())

    def _scratch(self) -> Any:
        """Return what this thread writes to."""
        scratch = getattr(self._threads, "scratch", None)
        if scratch is None:
            scratch = _new_scratch(
                self.items.shape, self.codes, self._forest.n_roots, self.clusters
            )
            self._threads.scratch = scratch
        return scratch


def _catalogue_of(items: FloatMatrix, codes: Codes, clusters: Clusters | None) -> Any:
    arrays: dict[str, NDArray[Any]] = {"items": items}
    if isinstance(items, StoredMatrix):
        arrays = {"bytes": items.values, "scales": items.scale}
    arrays |= {
        "row": codes.row,
        "position": codes.position,
        "codes": codes.codes,
        "norms": codes.bounds[0],
        "errors": codes.bounds[1],
    }
    if len(codes.factor):
        arrays["factor"] = codes.factor
    n_items, factors = items.shape
    others = {}
    if clusters is not None:
        others["clusters"] = compiled.structure(
            compiled.ClusterPointers,
            arrays={field.name: getattr(clusters, field.name) for field in fields(Clusters)}
            | {"codes": encode_centers(clusters.centers)},
            n=len(clusters.centers),
            n_axes=len(clusters.axes),
        )
    return compiled.structure(
        compiled.Catalogue,
        arrays=arrays,
        **{name: pointer(one) for name, one in others.items()},
        n_items=n_items,
        factors=factors,
        n_blocks=len(codes.codes),
        width=codes.codes.shape[1] - 1,
    )


def _new_scratch(
    shape: tuple[int, ...], codes: Codes, n_roots: int, clusters: Clusters | None
) -> Any:
    # Most of it is never touched, and so takes no memory.
    n_items, factors = shape
    n_centers = len(clusters.centers) if clusters else 0
    arrays = {
        "mask": np.empty(len(codes.codes), dtype=np.uint16),
        "query": np.zeros(4 * (codes.codes.shape[1] - 1), dtype=np.int8),
        "lead": np.zeros(len(clusters.axes) if clusters else 0, dtype=np.int8),
        "vector": np.empty(factors, dtype=np.float32),
        "found": np.empty(n_items, dtype=np.int32),
        "lowest": np.empty(n_items, dtype=np.float32),
        "floors": np.empty(n_items, dtype=np.float32),
        "keys": np.empty(n_items, dtype=np.int64),
        "queue": np.empty(
            max(n_items + compiled.LEAST_QUEUE_PER_ROOT * n_roots, 2 * n_centers), dtype=np.int64
        ),
        "leaves": np.empty(n_items + factors + 3, dtype=np.int32),
        "work": np.zeros(len(compiled.COUNTED), dtype=np.int64),
    }
    return compiled.structure(compiled.Scratch, arrays=arrays)

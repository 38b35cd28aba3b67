"""Approximate search: an exact head of large items, an Annoy forest over the tail."""

from pathlib import Path
from typing import Any

import numpy as np

from recsys.errors import CorruptVersionError
from recsys.index.exact import ExactIndex, best_of
from recsys.index.protocol import ItemRows
from recsys.vectors import FloatMatrix, FloatVector
from recsys.vectors.top_k import EXCLUDED

FOREST = "index.annoy"
TAIL = "tail.npy"

_LARGEST_HEAD = 1 << 15  # a head of more items takes longer than a forest over them
_CANDIDATES_OF_SEARCH_K = 100  # search_k is meant for this many; more candidates search more


class AnnoyIndex:
    r"""Maximum inner product search by an exact head and an angular Annoy forest.

    The items with the largest norms, the head, are scored exactly. Those of the tail get one
    more coordinate, ``sqrt(M^2 - |y|^2)`` with M the largest norm of the tail, and queries a
    zero there: all then have norm M, so that the nearest by angle is the largest by dot product
    (Bachrach et al., RecSys 2014). Without a head, a few large items would push all others
    together near one pole, where angles tell them apart badly. Annoy's own "dot" metric is not
    used: the trees that release 1.17.3 builds for it are wrong (spotify/annoy#619).

    Candidates are rescored exactly. Where they do not fill the list, or where the list and the
    excluded items together are a large part of the catalogue, the answer is the exact one.

    Parameters
    ----------
    items : ndarray of float32, shape (n_items, factors)
    folder : path
        Where `build_forest` wrote the files for these items; the forest is memory-mapped.
    search_k : int
        Nodes to look at for a short list; long ones look at more in proportion.

    Raises
    ------
    CorruptVersionError
        If a file is not one that `build_forest` writes for so many items.
    """

    def __init__(self, items: FloatMatrix, folder: Path, search_k: int) -> None:
        self.items = items
        self.search_k = search_k
        self._tail = _load_tail(folder / TAIL, len(items))
        self._forest = _load_forest(folder / FOREST, len(self._tail), items.shape[1])
        is_head = np.ones(len(items), dtype=np.bool_)
        is_head[self._tail] = False
        self._head = np.flatnonzero(is_head).astype(np.int32)
        self._head_items = items[self._head]  # one block of memory
        self._exact = ExactIndex(items)

    def search(self, user: FloatVector, k: int, exclude: ItemRows) -> tuple[ItemRows, FloatVector]:
        """Return the best items that are not excluded; see `recsys.index.Index.search`."""
        wanted = 2 * k + len(exclude)
        if 4 * wanted >= len(self._tail) or not user.any():
            return self._exact.search(user, k, exclude)
        head, head_scores = self._best_of_head(user, k, exclude)
        tail = _without(self._tail[self._candidates(user, wanted)], exclude)
        if len(head) + len(tail) < k:
            return self._exact.search(user, k, exclude)
        rows = np.concatenate((head, tail))
        scores = np.concatenate((head_scores, self.items[tail] @ user))
        by_row = rows.argsort()  # best_of breaks ties by position
        positions, best = best_of(scores[by_row], k)
        return rows[by_row[positions]], best

    def _best_of_head(
        self, user: FloatVector, k: int, exclude: ItemRows
    ) -> tuple[ItemRows, FloatVector]:
        scores = self._head_items @ user
        places = np.searchsorted(self._head, exclude)
        places = places[places < len(self._head)]
        is_here = self._head[places] == exclude[: len(places)]
        scores[places[is_here]] = EXCLUDED
        positions, best = best_of(scores, min(k, len(scores) - int(is_here.sum())))
        return self._head[positions], best

    def _candidates(self, user: FloatVector, wanted: int) -> ItemRows:
        query = np.append(user, np.float32(0))
        search_k = self.search_k * max(1, -(-wanted // _CANDIDATES_OF_SEARCH_K))
        return np.array(self._forest.get_nns_by_vector(query, wanted, search_k), dtype=np.int32)


def build_forest(
    items: FloatMatrix, folder: Path, *, head_share: float, trees: int, seed: int
) -> bool:
    """Write the files of an `AnnoyIndex`. The same items and seed give the same files.

    Parameters
    ----------
    items : ndarray of float32, shape (n_items, factors)
    folder : path
    head_share : float
        Share of the items that are scored exactly, at least 0 and below 1.
    trees, seed : int

    Returns
    -------
    bool
        False, and no file, where the tail has no directions that a forest could split.

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    from annoy import AnnoyIndex as Forest

    tail = _tail_of(items, head_share)
    if not items[tail].any():
        return False
    np.save(folder / TAIL, tail)
    forest = Forest(items.shape[1] + 1, "angular")
    forest.set_seed(seed)
    for row, vector in enumerate(_on_a_sphere(items[tail])):
        forest.add_item(row, vector)
    forest.build(trees, n_jobs=1)  # each thread would draw its own numbers
    forest.save(str(folder / FOREST))
    forest.unload()
    return True


def _tail_of(items: FloatMatrix, head_share: float) -> ItemRows:
    """Return the rows of all items but those with the largest norms, ascending."""
    n_head = min(int(head_share * len(items)), _LARGEST_HEAD)
    descending = np.argsort(-_norms(items), kind="stable")
    return np.sort(descending[n_head:]).astype(np.int32)


def _on_a_sphere(items: FloatMatrix) -> FloatMatrix:
    """Append the coordinate that gives every item the same norm, here 1."""
    # Angles do not change with the scale; at norm 1 no square leaves the range of float32.
    norms = _norms(items)
    shares = norms / norms.max()
    missing = np.sqrt(1 - np.minimum(shares, 1) ** 2)
    return np.column_stack((items / norms.max(), missing)).astype(np.float32)


def _norms(items: FloatMatrix) -> np.ndarray[Any, np.dtype[np.float64]]:
    norms: np.ndarray[Any, np.dtype[np.float64]] = np.linalg.norm(items.astype(np.float64), axis=1)
    return norms


def _load_tail(path: Path, n_items: int) -> ItemRows:
    try:
        tail: ItemRows = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise _damaged(path, f"not a list of rows: {error}") from error
    ascends = tail.ndim == 1 and tail.dtype == np.int32 and bool((np.diff(tail) > 0).all())
    if not ascends or len(tail) == 0 or tail[0] < 0 or tail[-1] >= n_items:
        raise _damaged(path, f"expected ascending rows below {n_items}, got others")
    return tail


def _load_forest(path: Path, n_items: int, factors: int) -> Any:
    from annoy import AnnoyIndex as Forest

    forest = Forest(factors + 1, "angular")
    try:
        forest.load(str(path))
    except OSError as error:
        raise _damaged(path, f"not an Annoy forest: {error}") from error
    if forest.get_n_items() != n_items:
        raise _damaged(path, f"expected {n_items} items, got {forest.get_n_items()}")
    return forest


def _damaged(path: Path, reason: str) -> CorruptVersionError:
    return CorruptVersionError(
        f"{path}: damaged: {reason}; train again, or activate another version"
    )


def _without(rows: ItemRows, exclude: ItemRows) -> ItemRows:
    """Return the rows that are not among the excluded ones, which ascend."""
    if len(exclude) == 0:
        return rows
    places = np.searchsorted(exclude, rows).clip(max=len(exclude) - 1)
    kept: ItemRows = rows[exclude[places] != rows]
    return kept

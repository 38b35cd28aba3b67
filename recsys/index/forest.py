"""Approximate search: an exact head of large items, an Annoy forest over the tail."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.index import kernel
from recsys.index.catalogue import CodedItems, damaged
from recsys.index.codes import PER_BLOCK, Codes, norms_of
from recsys.index.protocol import Allowed, ItemRows
from recsys.index.trial import LONG, SHORT
from recsys.vectors import FloatMatrix, FloatVector

FOREST = "forest.annoy"

_LEAST_ALLOWED_SHARE = 0.2  # with fewer, most candidates would be looked at in vain
_MOST_OF_TAIL = 0.25  # whoever wants more candidates than that has scanned the tail as fast
_NODE_WORDS = 3  # 32-bit numbers of a node before its vector: descendants, two children


class AnnoyIndex:
    r"""Maximum inner product search by an exact head and an angular Annoy forest.

    The items with the largest norms, the head, are scanned exactly. Those of the tail get one
    more coordinate, ``sqrt(M^2 - |y|^2)`` with M the largest norm of the tail, and queries a
    zero there: all then have norm M, so that the nearest by angle is the largest by dot product
    (Bachrach et al., RecSys 2014). Without a head, a few large items would push all others
    together near one pole, where angles tell them apart badly. Annoy's own "dot" metric is not
    used: the trees that release 1.17.3 builds for it are wrong (spotify/annoy#619).

    Annoy builds the forest and its file; the file is searched by `recsys.index.kernel`. Where no
    item of the tail can enter the list, by its norm, the forest is not asked. Where its candidates
    do not fill the list, or few items are allowed, the tail is scanned and the answer exact.

    Parameters
    ----------
    coded : CodedItems
    path : path
        Of the forest that `build_forest` wrote for these items; it is memory-mapped.
    search_k : mapping of str to int
        Candidates to take from the forest for a list of 20 ("20") and of 100 ("100").

    Raises
    ------
    CorruptVersionError
        If the file is not one that `build_forest` writes for so many items.
    """

    def __init__(self, coded: CodedItems, path: Path, search_k: Mapping[str, int]) -> None:
        self.items = coded.items
        self._coded = coded
        self._forest = _open_forest(path, *coded.items.shape)
        self._short, self._long = search_k[str(SHORT)], search_k[str(LONG)]

    def allow(self, is_allowed: NDArray[np.bool_]) -> Allowed:
        """Prepare searches among some items; see `recsys.index.Index.allow`."""
        return self._coded.allow(is_allowed)

    def search(
        self, user: FloatVector, k: int, exclude: ItemRows, allowed: Allowed | None = None
    ) -> tuple[ItemRows, FloatVector]:
        """Return the best items; see `recsys.index.Index.search`."""
        search_k = self._search_k_for(k, allowed)
        return self._coded.search(user, k, exclude, allowed, self._forest, search_k)

    def search_many(
        self,
        users: FloatMatrix,
        k: int,
        starts: NDArray[np.int64],
        exclude: ItemRows,
        allowed: Allowed | None = None,
    ) -> tuple[NDArray[np.int32], FloatMatrix]:
        """Return the lists of many users; see `recsys.index.Index.search_many`."""
        search_k = self._search_k_for(k, allowed)
        return self._coded.search_many(users, k, starts, exclude, allowed, self._forest, search_k)

    def rank(self, user: FloatVector, rows: ItemRows, k: int) -> tuple[ItemRows, FloatVector]:
        """Return the best of some items; see `recsys.index.Index.rank`."""
        return self._coded.rank(user, rows, k)

    def _search_k_for(self, k: int, allowed: Allowed | None) -> int:
        """Return the candidates to take from the forest, 0 where a scan is as good."""
        n_allowed = (allowed or self._coded.everybody).n
        search_k = self._search_k(k)
        is_narrow = n_allowed < _LEAST_ALLOWED_SHARE * len(self.items)
        return 0 if is_narrow or search_k > _MOST_OF_TAIL * self._forest.n_items else search_k

    def _search_k(self, k: int) -> int:
        if k <= SHORT:
            return self._short
        if k <= LONG:
            return self._long
        return -(-self._long * k // LONG)


def build_forest(
    items: FloatMatrix, codes: Codes, path: Path, *, n_head: int, trees: int, seed: int
) -> bool:
    """Write the forest of an `AnnoyIndex`. The same items and seed give the same file.

    Parameters
    ----------
    items : ndarray of float32, shape (n_items, factors)
    codes : Codes
        Of these items.
    path : path
    n_head : int
        Items with the largest norms that are left out; a multiple of 16.
    trees, seed : int

    Returns
    -------
    bool
        False, and no file, where the tail has no directions that a forest could split.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    from annoy import AnnoyIndex as Forest

    tail = items[codes.row[n_head:]]
    if len(codes.factor):
        tail *= codes.factor[codes.row[n_head:], None]
    if not tail.any():
        return False
    forest = Forest(items.shape[1] + 1, "angular")
    forest.set_seed(seed)
    for number, vector in enumerate(_on_a_sphere(tail)):
        forest.add_item(number, vector)
    forest.build(trees, n_jobs=1)  # each thread would draw its own numbers
    forest.save(str(path))
    forest.unload()
    return True


def _on_a_sphere(items: FloatMatrix) -> FloatMatrix:
    """Append the coordinate that gives every item the same norm, here 1."""
    # Angles do not change with the scale; at norm 1 no square leaves the range of float32.
    norms = norms_of(items)
    shares = norms / norms.max()
    missing = np.sqrt(1 - np.minimum(shares, 1) ** 2)
    return np.column_stack((items / norms.max(), missing)).astype(np.float32)


def _open_forest(path: Path, n_items: int, factors: int) -> Any:
    """Map the nodes of a file of Annoy and find the roots of its trees, as Annoy does.

    The first nodes are the items. Behind the last tree, the roots of all are repeated.
    """
    width = factors + 1 + _NODE_WORDS
    try:
        words: NDArray[Any] = np.memmap(path, dtype=np.int32, mode="c")
    except (OSError, ValueError) as error:
        raise damaged(path, str(error)) from error
    if len(words) == 0 or len(words) % width:
        raise damaged(path, f"expected nodes of {4 * width} bytes, got {4 * len(words)} bytes")
    nodes = np.asarray(words).reshape(-1, width)
    n_tail = int(nodes[-1, 0])
    roots = []
    for node in range(len(nodes) - 1, -1, -1):
        if nodes[node, 0] != n_tail:
            break
        roots.append(node)
    if len(roots) > 1 and nodes[roots[0], 1] == nodes[roots[-1], 1]:
        roots.pop()  # the last tree stands right before the copies of the roots
    n_head = n_items - n_tail
    if not 0 < n_tail <= min(n_items, len(nodes)) or n_head % PER_BLOCK:
        raise damaged(path, f"expected a forest of the tail of {n_items} items, got another file")
    arrays = {"nodes": nodes, "roots": np.array(roots, dtype=np.int32)}
    return kernel.structure(
        kernel.Forest,
        arrays=arrays,
        n_nodes=len(nodes),
        n_roots=len(roots),
        first=n_head,
        n_items=n_tail,
    )

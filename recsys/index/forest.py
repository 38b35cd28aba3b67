"""The Annoy forest over the tail of the items: from what it is built, and how it is opened."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.base.reading import damaged, errors_of_reading
from recsys.index import annoy, compiled
from recsys.index.quantized import PER_BLOCK, Codes
from recsys.vectors import FloatMatrix
from recsys.vectors.vector import norms_of

FOREST = "forest.annoy"

_NODE_WORDS = 3  # 32-bit numbers of a node before its vector: descendants, two children


def build_forest(
    items: FloatMatrix, codes: Codes, path: Path, *, n_head: int, trees: int, seed: int
) -> bool:
    r"""Write an angular Annoy forest over the items after the head.

    The items with the largest norms, the head, are left out. Those of the tail get one more
    coordinate, ``sqrt(M^2 - |y|^2)`` with M the largest norm of the tail, and queries a zero
    there: all then have norm M, so that the nearest by angle is the largest by dot product
    (Bachrach et al., RecSys 2014). Without a head, a few large items would push all others
    together near one pole, where angles tell them apart badly. Annoy's own "dot" metric is not
    used: the trees that release 1.17.3 builds for it are wrong (spotify/annoy#619).

    The same items, seed and build of Annoy give the same file.
    """
    tail = items[codes.row[n_head:]]  # (n_tail, factors)
    if len(codes.factor):
        tail *= codes.factor[codes.row[n_head:], None]
    if not tail.any():
        return False
    annoy.build(_on_a_sphere(tail), path, trees=trees, seed=seed)
    return True


def open_forest(path: Path, n_items: int, factors: int) -> Any:
    """Map the nodes of a file of Annoy and find the roots of its trees, as Annoy does.

    The first nodes are the items. After the last tree, the roots of all are repeated.
    """
    width = factors + 1 + _NODE_WORDS
    with errors_of_reading(path, ValueError):
        words: NDArray[Any] = np.memmap(path, dtype=np.int32, mode="c")
    if len(words) == 0 or len(words) % width:
        raise damaged(path, f"expected nodes of {4 * width} bytes, got {4 * len(words)} bytes")
    nodes = np.asarray(words).reshape(-1, width)
    n_tail = int(nodes[-1, 0])
    n_head = n_items - n_tail
    if not 0 < n_tail <= min(n_items, len(nodes)) or n_head % PER_BLOCK:
        raise damaged(path, f"expected a forest of the tail of {n_items} items, got another file")
    roots = _roots_of(nodes, n_tail)
    return compiled.structure(
        compiled.Forest,
        arrays={"nodes": nodes, "roots": roots},
        n_nodes=len(nodes),
        n_roots=len(roots),
        first=n_head,
        n_items=n_tail,
    )


def _on_a_sphere(items: FloatMatrix) -> FloatMatrix:
    """Append the coordinate that gives every item the same norm, here 1."""
    # Angles do not change with the scale; at norm 1 no square leaves the range of float32.
    norms = norms_of(items)
    shares = norms / norms.max()
    missing = np.sqrt(1 - np.minimum(shares, 1) ** 2)
    return np.column_stack((items / norms.max(), missing)).astype(np.float32)


def _roots_of(nodes: NDArray[np.int32], n_tail: int) -> NDArray[np.int32]:
    """Return the nodes at the end of the file that have all items below them."""
    roots = []
    for node in range(len(nodes) - 1, -1, -1):
        if nodes[node, 0] != n_tail:
            break
        roots.append(node)
    if len(roots) > 1 and nodes[roots[0], 1] == nodes[roots[-1], 1]:
        roots.pop()  # the last tree stands right before the copies of the roots
    return np.array(roots, dtype=np.int32)

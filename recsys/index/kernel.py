"""What `kernel.c` reads and writes, and how it is called.

It is C, compiled when the package is installed: a server should neither wait for a just-in-time
compiler nor hold one in memory.
"""

import ctypes
from ctypes import POINTER, c_int32, c_int64, c_void_p
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LIBRARY = Path(__file__).with_name("_kernel.so")

LEAST_QUEUE_PER_ROOT = 66
"""Room that a walk needs for each tree, after one for each item."""

COUNTED = ("masked", "excluded", "blocks", "hits", "nodes", "vectors", "listed")
"""What a query counts: blocks whose mask was copied, items that were excluded, blocks that were
scored by their codes, items of these that could be among the best, nodes of the forest that were
visited, embeddings that were scored in float32, and items of the list."""


class Catalogue(ctypes.Structure):
    """The items as a query reads them.

    Attributes
    ----------
    items : float32 (n_items, factors)
        By row.
    row : int32 (n_items,)
        The row at each position, largest norm first.
    position : int32 (n_items,)
        The position of each row.
    codes : int32 (n_blocks, width + 1, 16)
        Of sixteen positions: four numbers in 8 bits in each, and last the bits of their scales.
    norms : float32 (n_blocks,)
        The largest of the block.
    errors : float32 (n_blocks,)
        The largest distance between an item and what its code says.
    factor : float32 (n_items,)
        What the embedding of each row is multiplied by, such as 1 / norm; none for ones.
    """

    _fields_ = (
        *((name, c_void_p) for name in ("items", "row", "position", "codes", "norms", "errors")),
        ("factor", c_void_p),
        *((name, c_int64) for name in ("n_items", "factors", "n_blocks", "width")),
    )


class Forest(ctypes.Structure):
    """An Annoy forest over the positions from `first` on.

    Attributes
    ----------
    nodes : int32 (n_nodes, factors + 4)
        Descendants, children, normal of the splitting plane; or many children.
    roots : int32 (n_roots,)
    first : int
        The position of its item 0.
    """

    _fields_ = (
        ("nodes", c_void_p),
        ("roots", c_void_p),
        *((name, c_int64) for name in ("n_nodes", "n_roots", "first", "n_items")),
    )


class Scratch(ctypes.Structure):
    """Memory that a query uses in addition to its list; one for each thread.

    Attributes
    ----------
    mask : uint16 (n_blocks,)
    found, lowest, floors : int32, float32, float32 (n_items,)
    keys : int64 (n_items,)
    queue : int64 (n_items + 66 * n_roots,)
    leaves : int32 (n_items + factors + 3,)
    work : int64 (7,)
        What the last query did, as `COUNTED` names it.
    """

    _fields_ = tuple(
        (name, c_void_p)
        for name in (
            *("mask", "query", "found", "lowest", "floors", "keys", "queue", "leaves", "work"),
        )
    )


def structure(kind: Any, *, arrays: dict[str, NDArray[Any]], **numbers: int) -> Any:
    """Return a structure that points to some arrays and keeps them alive."""
    made = kind(**{name: array.ctypes.data for name, array in arrays.items()}, **numbers)
    made.arrays = arrays
    return made


def load() -> ctypes.CDLL:
    """Open the compiled library, with the types of its functions.

    Raises
    ------
    ImportError
        If it is not there, or was compiled from another kernel.c.
    """
    try:
        library = ctypes.CDLL(str(LIBRARY))
        n_counts = library.n_counts()
    except (OSError, AttributeError) as error:
        raise ImportError(_other_library(str(error))) from error
    if n_counts != len(COUNTED):
        raise ImportError(_other_library(f"one that counts {n_counts} things"))
    catalogue, forest, scratch = POINTER(Catalogue), POINTER(Forest), POINTER(Scratch)
    array, number = c_void_p, c_int64
    library.search.argtypes = (
        *(catalogue, forest, scratch, array, number),  # user, k
        *(array, number, array, number),  # allowed, n_allowed, exclude, n_exclude
        *(number, number),  # n_head, search_k
        *(array, array),  # rows, scores
    )
    library.search.restype = number
    library.search_many.argtypes = (
        *(catalogue, forest, scratch, array, number, number),  # users, n_users, k
        *(array, number, array, array),  # allowed, n_allowed, starts, exclude
        *(number, number),  # n_head, search_k
        *(array, array),
    )
    library.search_many.restype = None
    library.rank.argtypes = (catalogue, scratch, array, array, number, number, array, array)
    library.rank.restype = number
    library.use_vnni.argtypes, library.use_vnni.restype = (c_int32,), c_int32
    library.use_vnni(1)
    return library


def _other_library(found: str) -> str:
    return (
        f"{LIBRARY}: expected the compiled search of this release, got {found}; install the "
        "package again, in a checkout with `make install`"
    )


library = load()


def address(array: NDArray[Any], dtype: Any) -> int:
    """Return where the numbers of an array lie, which must be of that type and in one piece."""
    if array.dtype != dtype or not array.flags.c_contiguous:
        raise TypeError(f"expected contiguous {np.dtype(dtype)}, got {array.dtype}")
    found: int = array.__array_interface__["data"][0]  # half the time of `array.ctypes.data`
    return found

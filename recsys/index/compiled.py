"""How `kernel.c` and `plain_list.c` are called; there it says what each array is.

It is C, compiled when the package is installed: a server should neither wait for a just-in-time
compiler nor hold one in memory.
"""

import ctypes
from collections.abc import Callable
from ctypes import POINTER, c_char_p, c_int32, c_int64, c_void_p
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LIBRARY = Path(__file__).with_name("_kernel.so")

LEAST_QUEUE_PER_ROOT = 66
"""Room that a walk needs for each tree, after one for each item."""

COUNTED = (
    *("masked", "excluded", "blocks", "hits", "nodes", "vectors", "listed"),
    *("centers", "probed", "leads"),
)
"""What a query counts: blocks whose mask was copied, items that were excluded, blocks that were
scored by their codes, those of centers included, items of these that could be among the best, nodes
of the forest that were visited, embeddings that were scored in float32, items of the list, centers
of clusters that were scored in float32, clusters that were scanned before the others, and blocks
that were scored by their codes in 4 bits."""


_NUMBER = c_int64  # and arrays are c_void_p
_first_byte: Callable[[Any], ctypes.c_char] = ctypes.c_char.from_buffer


class ClusterPointers(ctypes.Structure):
    """The clusters that items stand in: `clusters_t`."""

    _fields_ = (
        *((name, c_void_p) for name in ("starts", "centers", "radius", "axes", "leads", "limits")),
        ("codes", c_void_p),
        *((name, _NUMBER) for name in ("n", "n_axes")),
    )


class Catalogue(ctypes.Structure):
    """The items as a query reads them: `catalogue_t`."""

    _fields_ = (
        *((name, c_void_p) for name in ("items", "bytes", "scales", "row", "position", "codes")),
        *((name, c_void_p) for name in ("norms", "errors")),
        ("factor", c_void_p),
        ("clusters", POINTER(ClusterPointers)),
        *((name, _NUMBER) for name in ("n_items", "factors", "n_blocks", "width")),
    )


class Forest(ctypes.Structure):
    """An Annoy forest over the positions from `first` on: `forest_t`."""

    _fields_ = (
        ("nodes", c_void_p),
        ("roots", c_void_p),
        *((name, _NUMBER) for name in ("n_nodes", "n_roots", "first", "n_items")),
    )


class Scratch(ctypes.Structure):
    """Memory that a query uses in addition to its list; one for each thread: `scratch_t`."""

    _fields_ = tuple(
        (name, c_void_p)
        for name in (
            *("mask", "query", "lead", "vector", "found", "lowest"),
            *("floors", "keys", "queue", "leaves", "work"),
        )
    )


class FileNumbers(ctypes.Structure):
    """An array in a file: `file_array_t`."""

    _fields_ = tuple((name, _NUMBER) for name in ("file", "offset", "n"))


class PlainLists(ctypes.Structure):
    """What the lists of users are made of: `lists_t`."""

    _fields_ = (
        ("catalogue", POINTER(Catalogue)),
        ("forest", POINTER(Forest)),
        ("allowed", c_void_p),
        ("scratch", POINTER(Scratch)),
        *((name, c_void_p) for name in ("json", "json_starts")),
        *((name, c_char_p) for name in ("ending", "out")),
        *((name, _NUMBER) for name in ("n_allowed", "n_head", "n_json", "n_ending", "n_out")),
        *((name, _NUMBER) for name in ("n_users", "n_homes")),
        *((name, FileNumbers) for name in ("slots", "numbers", "text", "embeddings", "scales")),
        *((name, FileNumbers) for name in ("seen_starts", "seen")),
    )


_INDEX, _LIST = (POINTER(Catalogue), POINTER(Forest), POINTER(Scratch)), (c_void_p, c_void_p)
_ARGUMENTS = {
    "search": (
        *(*_INDEX, c_void_p, _NUMBER),  # user, k
        *(c_void_p, _NUMBER, c_void_p, _NUMBER),  # allowed, n_allowed, exclude, n_exclude
        *(_NUMBER, _NUMBER, *_LIST),  # n_head, search_k
    ),
    "search_many": (
        *(*_INDEX, c_void_p, _NUMBER, _NUMBER),  # users, n_users, k
        *(c_void_p, _NUMBER, c_void_p, c_void_p),  # allowed, n_allowed, starts, exclude
        *(_NUMBER, _NUMBER, *_LIST, c_void_p),  # n_head, search_k, ..., work
    ),
    "encode_items": (c_void_p, c_void_p, c_void_p, _NUMBER, _NUMBER, *[c_void_p] * 4),
    "rank": (
        *(POINTER(Catalogue), POINTER(Scratch), c_void_p),  # user
        *(c_void_p, _NUMBER, _NUMBER, *_LIST),  # rows, n_rows, k
    ),
    "use_vnni": (c_int32,),
    "plain_list": (
        *(POINTER(PlainLists), c_char_p, c_char_p, _NUMBER),  # hash, id, n_id
        *(_NUMBER, _NUMBER, _NUMBER),  # k, search_k, most_excluded
    ),
    "write_number": (ctypes.c_float, c_char_p),
}
_RESULTS = {
    **dict.fromkeys(("search", "rank", "plain_list", "write_number"), _NUMBER),
    "use_vnni": c_int32,
}  # of others: none


def structure(kind: Any, *, arrays: dict[str, NDArray[Any]], **others: Any) -> Any:
    """Return a structure that points to some arrays and keeps them alive."""
    made = kind(**{name: array.ctypes.data for name, array in arrays.items()}, **others)
    made.arrays = arrays
    return made


def open_library() -> ctypes.CDLL:
    """Open the library; an ImportError if there is none, or one of another kernel.c."""
    try:
        library = ctypes.CDLL(str(LIBRARY))
        layout = library.layout()
        lists_layout = library.lists_layout()
        functions = {name: getattr(library, name) for name in _ARGUMENTS}
    except (OSError, AttributeError) as error:
        raise ImportError(_other_library(str(error))) from error
    sizes = map(ctypes.sizeof, (Catalogue, ClusterPointers, Scratch))
    if layout != len(COUNTED) + 1000 * sum(sizes) or lists_layout != ctypes.sizeof(PlainLists):
        raise ImportError(_other_library("one of another release"))
    for name, function in functions.items():
        function.argtypes, function.restype = _ARGUMENTS[name], _RESULTS.get(name)
    library.use_vnni(1)
    return library


def _other_library(found: str) -> str:
    return (
        f"{LIBRARY}: expected the compiled search of this release, got {found}; install the "
        "package again, in a checkout with `make install`"
    )


library = open_library()


def address(array: NDArray[Any], dtype: Any) -> int:
    """Return where the numbers of an array lie, which must be of that type and in one piece."""
    if array.dtype != dtype or not array.flags.c_contiguous:
        raise TypeError(f"expected contiguous {np.dtype(dtype)}, got {array.dtype}")
    if array.flags.writeable and array.size:  # a third of the time of the other way
        return ctypes.addressof(_first_byte(array))
    found: int = array.__array_interface__["data"][0]
    return found

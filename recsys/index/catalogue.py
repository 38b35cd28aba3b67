"""Items as queries read them: their codes, in memory or in files, and searches of them."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.base.errors import CorruptVersionError
from recsys.index import kernel
from recsys.index.codes import PER_BLOCK, Codes, encode_items
from recsys.index.protocol import Allowed, ItemRows
from recsys.vectors import FloatMatrix, FloatVector
from recsys.vectors.top_k import EXCLUDED

_FILES = ("row", "position", "codes", "bounds", "factor")
_NO_FOREST = kernel.Forest()
_SMALL_FILE = 4096  # bytes; and nothing at all cannot be mapped


class CodedItems:
    """A catalogue that can be searched.

    Parameters
    ----------
    items : ndarray of float32, shape (n_items, factors)
        C-contiguous; may be memory-mapped.
    codes : Codes
        Of these items.
    """

    def __init__(self, items: FloatMatrix, codes: Codes) -> None:
        self.items = np.ascontiguousarray(items, dtype=np.float32)
        self.codes = codes
        self.n_blocks = len(codes.codes)
        arrays = {
            "items": self.items,
            "row": codes.row,
            "position": codes.position,
            "codes": codes.codes,
            "norms": codes.bounds[0],
            "errors": codes.bounds[1],
        }
        if len(codes.factor):
            arrays["factor"] = codes.factor
        self._catalogue = kernel.structure(
            kernel.Catalogue,
            arrays=arrays,
            n_items=len(items),
            factors=items.shape[1],
            n_blocks=self.n_blocks,
            width=codes.codes.shape[1] - 1,
        )
        self._threads = threading.local()
        self.everybody = self.allow(None)

    def allow(self, is_allowed: NDArray[np.bool_] | None) -> Allowed:
        """Return the items that a search may find, as it takes them.

        Parameters
        ----------
        is_allowed : ndarray of bool, shape (n_items,), or None for all
        """
        n_items = len(self.items)
        by_position = np.zeros(self.n_blocks * PER_BLOCK, dtype=np.bool_)
        by_position[:n_items] = True if is_allowed is None else is_allowed[self.codes.row]
        mask = np.packbits(by_position, bitorder="little").view(np.uint16)
        return Allowed(mask, int(by_position.sum()))

    def search(
        self,
        user: FloatVector,
        k: int,
        exclude: ItemRows,
        allowed: Allowed | None = None,
        forest: Any = None,
        search_k: int = 0,
    ) -> tuple[ItemRows, FloatVector]:
        """Return the best items; see `recsys.index.Index.search`.

        Exact without a forest. With one, blocks before it are scanned, and `search_k` candidates
        of it are scored.
        """
        k = min(k, len(self.items))
        rows, scores = np.empty(k, dtype=np.int32), np.empty(k, dtype=np.float32)
        allowed = allowed or self.everybody
        n = kernel.library.search(
            self._catalogue,
            forest or _NO_FOREST,
            self._scratch(forest),
            kernel.address(user, np.float32),
            k,
            kernel.address(allowed.mask, np.uint16),
            allowed.n,
            kernel.address(exclude, np.int32),
            len(exclude),
            self._n_head(forest),
            search_k,
            kernel.address(rows, np.int32),
            kernel.address(scores, np.float32),
        )
        return rows[:n], scores[:n]

    def search_many(
        self,
        users: FloatMatrix,
        k: int,
        starts: NDArray[np.int64],
        exclude: ItemRows,
        allowed: Allowed | None = None,
        forest: Any = None,
        search_k: int = 0,
    ) -> tuple[NDArray[np.int32], FloatMatrix]:
        """Return the best items of many users; see `recsys.index.Index.search_many`."""
        rows = np.empty((len(users), k), dtype=np.int32)
        scores = np.empty((len(users), k), dtype=np.float32)
        if k > len(self.items):  # more than there is room for
            n_items = len(self.items)
            rows[:, n_items:], scores[:, n_items:] = -1, EXCLUDED
            rows[:, :n_items], scores[:, :n_items] = self.search_many(
                users, n_items, starts, exclude, allowed, forest, search_k
            )
            return rows, scores
        allowed = allowed or self.everybody
        kernel.library.search_many(
            self._catalogue,
            forest or _NO_FOREST,
            self._scratch(forest),
            kernel.address(users, np.float32),
            len(users),
            k,
            kernel.address(allowed.mask, np.uint16),
            allowed.n,
            kernel.address(starts, np.int64),
            kernel.address(exclude, np.int32),
            self._n_head(forest),
            search_k,
            kernel.address(rows, np.int32),
            kernel.address(scores, np.float32),
        )
        return rows, scores

    def rank(self, user: FloatVector, rows: ItemRows, k: int) -> tuple[ItemRows, FloatVector]:
        """Return the best of some items; see `recsys.index.Index.rank`."""
        k = min(k, len(rows))
        found, scores = np.empty(k, dtype=np.int32), np.empty(k, dtype=np.float32)
        kernel.library.rank(
            self._catalogue,
            self._scratch(None),
            kernel.address(user, np.float32),
            kernel.address(rows, np.int32),
            len(rows),
            k,
            kernel.address(found, np.int32),
            kernel.address(scores, np.float32),
        )
        return found, scores

    def _n_head(self, forest: Any) -> int:
        """Return the blocks to scan before the forest."""
        return self.n_blocks if forest is None else forest.first // PER_BLOCK

    def _scratch(self, forest: Any) -> Any:
        """Return what this thread writes to."""
        n_roots = 0 if forest is None else forest.n_roots
        scratch, room = getattr(self._threads, "scratch", (None, -1))
        if room < n_roots:
            scratch = self._new_scratch(n_roots)
            self._threads.scratch = scratch, n_roots
        return scratch

    def _new_scratch(self, n_roots: int) -> Any:
        # Most of it is never touched, and so takes no memory.
        n_items, factors = self.items.shape
        arrays = {
            "mask": np.empty(self.n_blocks, dtype=np.uint16),
            "query": np.zeros(4 * (self.codes.codes.shape[1] - 1), dtype=np.int8),
            "found": np.empty(n_items, dtype=np.int32),
            "lowest": np.empty(n_items, dtype=np.float32),
            "floors": np.empty(n_items, dtype=np.float32),
            "keys": np.empty(n_items, dtype=np.int64),
            "queue": np.empty(n_items + kernel.LEAST_QUEUE_PER_ROOT * n_roots, dtype=np.int64),
            "leaves": np.empty(n_items + factors + 3, dtype=np.int32),
        }
        return kernel.structure(kernel.Scratch, arrays=arrays)


def write_codes(items: FloatMatrix, folder: Path, *, cosine: bool = False) -> CodedItems:
    """Encode items, write the codes as files of a folder, and open them.

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    codes = encode_items(items, cosine=cosine)
    for name in _FILES:
        np.save(folder / f"{name}.npy", getattr(codes, name))
    return CodedItems(items, codes)


def open_codes(items: FloatMatrix, folder: Path) -> CodedItems:
    """Open, memory-mapped, what `write_codes` wrote for these items.

    Raises
    ------
    CorruptVersionError
        If a file is not one for so many items; it is named.
    """
    n_items, factors = items.shape
    n_blocks = -(-n_items // PER_BLOCK)
    arrays = {name: open_array(folder / f"{name}.npy") for name in _FILES}
    expected: dict[str, tuple[Any, tuple[int, ...]]] = {
        "row": (np.int32, (n_items,)),
        "position": (np.int32, (n_items,)),
        "codes": (np.int32, (n_blocks, 1 + -(-factors // 4), PER_BLOCK)),
        "bounds": (np.float32, (2, n_blocks)),
        "factor": (np.float32, (n_items if len(arrays["factor"]) else 0,)),
    }
    for name, (dtype, shape) in expected.items():
        found = arrays[name]
        if found.dtype != dtype or found.shape != shape or not found.flags.c_contiguous:
            raise damaged(
                folder / f"{name}.npy",
                f"expected {np.dtype(dtype)} of shape {shape}, got {found.dtype} of {found.shape}",
            )
    return CodedItems(items, Codes(**arrays))


def open_array(path: Path) -> NDArray[Any]:
    """Open an array memory-mapped; a CorruptVersionError names a file that is none.

    The memory is shared between processes. It is not marked read-only, though nobody writes to
    it: whoever did would change a page of his own and never the file.
    """
    try:
        is_small = path.stat().st_size <= _SMALL_FILE
        array: NDArray[Any] = np.load(path, mmap_mode=None if is_small else "c", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise damaged(path, str(error)) from error
    return np.asarray(array)


def damaged(path: Path, reason: str) -> CorruptVersionError:
    """Return the error for a file of the index that is not what was written."""
    return CorruptVersionError(
        f"{path}: damaged: {reason}; train again, or activate another version"
    )

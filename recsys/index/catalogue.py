"""Items as queries read them: their codes, in memory or in files, and searches of them."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.errors import CorruptVersionError
from recsys.index import kernel
from recsys.index.codes import PER_BLOCK, Codes, encode_items
from recsys.index.memory import Catalogue, Forest, Scratch
from recsys.index.protocol import Allowed, ItemRows
from recsys.vectors import FloatMatrix, FloatVector

_FILES = ("row", "position", "codes", "bounds", "factor")
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
        self.items = items
        self.codes = codes
        self.n_blocks = len(codes.codes)
        self._catalogue = Catalogue(
            _plain(items),
            _plain(codes.row),
            _plain(codes.position),
            _plain(codes.codes),
            _plain(codes.codes).view(np.float32),
            _plain(codes.bounds)[0],
            _plain(codes.bounds)[1],
            _plain(codes.factor),
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
        forest: Forest | None = None,
        search_k: int = 0,
    ) -> tuple[ItemRows, FloatVector]:
        """Return the best items; see `recsys.index.Index.search`.

        Exact without a forest. With one, blocks before it are scanned, and `search_k` candidates
        of it are scored.
        """
        scratch, no_forest = self._scratch()
        n_head = self.n_blocks if forest is None else forest.first // PER_BLOCK
        mask = (allowed or self.everybody).mask.view(np.uint16)
        rows, scores = kernel.search(
            self._catalogue,
            forest or no_forest,
            scratch,
            np.ascontiguousarray(user),
            k,
            mask,
            _plain(exclude),
            n_head,
            search_k,
        )
        return rows, scores

    def search_many(
        self,
        users: FloatMatrix,
        k: int,
        starts: NDArray[np.int64],
        exclude: ItemRows,
        allowed: Allowed | None = None,
        forest: Forest | None = None,
        search_k: int = 0,
    ) -> tuple[NDArray[np.int32], FloatMatrix]:
        """Return the best items of many users; see `recsys.index.Index.search_many`."""
        scratch, no_forest = self._scratch()
        n_head = self.n_blocks if forest is None else forest.first // PER_BLOCK
        rows = np.empty((len(users), k), dtype=np.int32)
        scores = np.empty((len(users), k), dtype=np.float32)
        kernel.search_many(
            self._catalogue,
            forest or no_forest,
            scratch,
            _plain(users),
            k,
            (allowed or self.everybody).mask.view(np.uint16),
            _plain(starts),
            _plain(exclude),
            n_head,
            search_k,
            rows,
            scores,
        )
        return rows, scores

    def rank(self, user: FloatVector, rows: ItemRows, k: int) -> tuple[ItemRows, FloatVector]:
        """Return the best of some items; see `recsys.index.Index.rank`."""
        found, scores = kernel.rank(self._catalogue, _plain(user), _plain(rows), k)
        return found, scores

    def _scratch(self) -> tuple[Scratch, Forest]:
        """Return what this thread writes to."""
        try:
            return self._threads.scratch  # type: ignore[no-any-return]
        except AttributeError:
            self._threads.scratch = self._new_scratch()
            return self._threads.scratch  # type: ignore[no-any-return]

    def _new_scratch(self) -> tuple[Scratch, Forest]:
        n_items, factors = self.items.shape
        query = np.zeros(4 * -(-factors // 4), dtype=np.int8)
        nodes = np.empty((0, factors + 4), dtype=np.int32)
        scratch = Scratch(
            np.empty(self.n_blocks, dtype=np.uint16),
            query,
            query.view(np.int32),
            np.empty(PER_BLOCK, dtype=np.float32),
            np.empty(n_items, dtype=np.int32),
            np.empty(n_items, dtype=np.float32),
        )
        no_roots = np.empty(0, dtype=np.int32)
        return scratch, Forest(nodes, nodes.view(np.float32), no_roots, 0, 0)


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


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array as the kernel takes it: in one piece, not marked read-only.

    Arrays that are marked so are another type, for which it would be compiled once more.
    """
    array = np.ascontiguousarray(array)
    return array if array.flags.writeable else array.copy()

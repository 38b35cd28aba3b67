"""Vectors of one side for the solve of the other: sent whole, or exchanged in blocks of files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.base.aligned import aligned_zeros
from recsys.spark.blocks import Cut, block_path, read_array

_MOST_KEPT = 2  # broadcasts that a worker keeps: those of both sides
_kept: dict[str, NDArray[Any]] = {}


@dataclass(frozen=True, eq=False)
class Broadcasted:
    """All vectors of a side, sent to each executor once; a process of Python has a copy.

    Parameters
    ----------
    name : str
    key : str
        Unlike that of any others in the life of a worker.
    handle : Broadcast
        Of an array (n_rows, width), of uint16 for half precision, else of float32.
    scale : float
        What they are multiplied by.
    """

    name: str
    key: str
    handle: Any
    cut: Cut
    scale: float

    def all(self) -> NDArray[Any]:
        """Return all rows, each of whole cache lines."""
        if self.key not in _kept:
            while len(_kept) >= _MOST_KEPT:
                _kept.pop(next(iter(_kept)))
            sent = self.handle.value
            mine = aligned_zeros(len(sent), sent.shape[1], sent.dtype.type)
            mine[:] = sent
            _kept[self.key] = mine
        return _kept[self.key]

    def block(self, block: int) -> NDArray[Any]:
        """Return the rows of a block."""
        first, last = self.cut.rows(block)
        return self.all()[first:last]

    def take(self, _needed: NDArray[np.int32]) -> NDArray[Any]:
        """Return all rows: blocks that are packed for vectors sent whole name none."""
        return self.all()

    def free(self) -> None:
        """Let the executors forget them."""
        self.handle.destroy()


@dataclass(frozen=True, eq=False)
class Mapped:
    """All vectors of a side in one file, which tasks on the machine of the driver map."""

    name: str
    folder: str
    cut: Cut
    scale: float

    @property
    def path(self) -> Path:
        """The file."""
        return whole_path(Path(self.folder), self.name)

    def block(self, block: int) -> NDArray[Any]:
        """Return the rows of a block."""
        first, last = self.cut.rows(block)
        return read_array(self.path)[first:last]

    def take(self, _needed: NDArray[np.int32]) -> NDArray[Any]:
        """Return all rows: blocks that are packed for vectors sent whole name none."""
        return read_array(self.path)

    def free(self) -> None:
        """Do nothing: the checkpoint removes files of epochs that are past."""


@dataclass(frozen=True, eq=False)
class Filed:
    """Vectors of a side in files by block, of which a task reads the rows that it needs."""

    name: str
    folder: str
    cut: Cut
    scale: float

    def path(self, block: int) -> Path:
        """Return the file of a block."""
        return block_path(Path(self.folder), block, self.name)

    def block(self, block: int) -> NDArray[Any]:
        """Return the rows of a block."""
        return read_array(self.path(block))

    def take(self, needed: NDArray[np.int32]) -> NDArray[Any]:
        """Return some rows, which ascend, in one array of whole cache lines."""
        ends = np.searchsorted(needed, self.cut.edges)
        taken = None
        for block in range(len(self.cut)):
            some = needed[ends[block] : ends[block + 1]]
            if not len(some):
                continue
            rows = self.block(block)
            if taken is None:
                taken = aligned_zeros(len(needed), rows.shape[1], rows.dtype.type)
            np.take(
                rows,
                some - self.cut.edges[block],
                axis=0,
                out=taken[ends[block] : ends[block + 1]],
                mode="clip",  # without which NumPy makes a copy first
            )
        return self.block(0)[:0] if taken is None else taken

    def free(self) -> None:
        """Do nothing: the checkpoint removes files of epochs that are past."""


Vectors = Broadcasted | Mapped | Filed


def whole_path(folder: Path, name: str) -> Path:
    """Return where all vectors of a side lie in one file."""
    return folder / f"all.{name}.npy"


def in_float32(vectors: NDArray[Any], scale: float) -> NDArray[np.float32]:
    """Return a copy of rows as they are before they are multiplied and rounded."""
    copy = aligned_zeros(len(vectors), vectors.shape[1])
    if vectors.dtype == np.uint16:
        np.multiply(vectors.view(np.float16), np.float32(1 / scale), out=copy, dtype=np.float32)
    else:
        copy[:] = vectors
    return copy

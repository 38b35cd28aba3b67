"""Files of arrays in a folder that the driver and all executors see, each whole or not there."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.base.errors import DataError


@dataclass(frozen=True)
class Cut:
    """How the rows of one side are cut into blocks: block i has rows ``edges[i]..edges[i+1]-1``."""

    edges: tuple[int, ...]  # (n_blocks + 1,)

    @property
    def n_rows(self) -> int:
        """Of all blocks."""
        return self.edges[-1]

    def __len__(self) -> int:
        return len(self.edges) - 1

    def rows(self, block: int) -> tuple[int, int]:
        """Return the first row of a block, and the first after it."""
        return self.edges[block], self.edges[block + 1]

    def blocks_of(self, rows: NDArray[np.integer]) -> NDArray[np.intp]:
        """Return the block of each row."""
        found: NDArray[np.intp] = np.searchsorted(np.array(self.edges[1:]), rows, side="right")
        return found


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Write an array that appears whole, whoever else writes the same one: an attempt before it.

    It is not flushed to the disk: it outlives processes, not the machine.
    """
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.new")
    try:
        with aside.open("wb") as file:
            np.save(file, array)
        aside.replace(path)
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


def read_array(path: Path) -> NDArray[Any]:
    """Map an array that `write_array` wrote; a DataError where it is not whole."""
    try:
        # Copied where it is written, which it is not: the solver is compiled for such arrays.
        found: NDArray[Any] = np.load(path, mmap_mode="c").view(np.ndarray)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            f"{path}: expected a file of a fit on Spark, got {error}; expected is a folder that "
            "the driver and all executors see (spark.checkpoint), and that nobody empties meanwhile"
        ) from error
    return found


def write_block(folder: Path, block: int, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write the arrays of a block."""
    for name, array in arrays.items():
        write_array(block_path(folder, block, name), array)


def block_path(folder: Path, block: int, name: str) -> Path:
    """Return where an array of a block lies."""
    return folder / f"{block:06}.{name}.npy"


def remove_arrays(folder: Path, pattern: str) -> None:
    """Remove arrays that are no longer needed."""
    for path in folder.glob(pattern):
        path.unlink(missing_ok=True)


def make_folder(path: Path) -> Path:
    """Make a folder that is shared, if it is not there."""
    os.makedirs(path, exist_ok=True)  # noqa: PTH103  faster where there are many
    return path

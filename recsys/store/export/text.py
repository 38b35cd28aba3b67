"""Vectors as text, the shortest that reads back as the same float32; names that hold anything."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.store.durable import durable_file
from recsys.store.export.source import Source
from recsys.vectors import Id


def vector_texts(vectors: NDArray[np.floating], separator: str) -> list[str]:
    """Return each row as text.

    Parameters
    ----------
    vectors : ndarray of float32 or float16, shape (n, factors)
    separator : str
        Between two numbers.
    """
    import pyarrow.compute as pc

    n_rows, factors = vectors.shape
    numbers = pc.cast(pa.array(vectors.astype(np.float32).ravel()), pa.string())
    offsets = pa.array(np.arange(0, n_rows * factors + 1, factors, dtype=np.int32))
    rows = pa.ListArray.from_arrays(offsets, numbers)
    texts: list[str] = pc.binary_join(rows, separator).to_pylist()
    return texts


def write_lines(path: Path, blocks: Iterable[Iterable[str]]) -> None:
    """Write lines, each with a line feed behind it, in UTF-8; durable."""
    with durable_file(path) as file:
        for lines in blocks:
            file.write("".join(f"{line}\n" for line in lines).encode())


def write_ids(path: Path, source: Source) -> None:
    """Write one id a line as JSON: a text in quotes or a number, whatever it holds."""
    size = 1 << 16
    write_lines(
        path,
        (
            _as_json(source.ids.values.slice(first, size).to_pylist())
            for first in range(0, len(source.ids), size)
        ),
    )


def _as_json(ids: list[Id]) -> list[str]:
    return [json.dumps(id_, ensure_ascii=False) for id_ in ids]

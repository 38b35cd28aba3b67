"""NumPy: one .npy file a matrix, which can be memory-mapped, and its ids."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recsys.store.content import Content
from recsys.store.durable import durable_file
from recsys.store.export.source import Source
from recsys.store.export.text import write_ids


def write(folder: Path, sources: Sequence[Source], content: Content) -> dict[str, Any]:  # noqa: ARG001
    """Write items.npy (n_items, factors) and items_ids.jsonl, row i for row i; users likewise."""
    files = {}
    for source in sources:
        name, ids = f"{source.kind}.npy", f"{source.kind}_ids.jsonl"
        _write_matrix(folder / name, source)
        write_ids(folder / ids, source)
        files[name] = {"rows": len(source.ids), "ids": ids}
    return files


def _write_matrix(path: Path, source: Source) -> None:
    dtype = np.dtype(source.dtype).newbyteorder("<")
    header = {"descr": dtype.str, "fortran_order": False, "shape": source.shape}
    with durable_file(path) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for block in source.blocks():
            file.write(block.vectors.astype(dtype, copy=False).tobytes())

"""Array formats: NumPy files, and a faiss index."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recsys.base.distribution import missing_package
from recsys.base.durable import durable_file
from recsys.export.source import Source
from recsys.export.text import write_ids
from recsys.store.content import Content


def write_numpy(folder: Path, sources: Sequence[Source], content: Content) -> dict[str, Any]:  # noqa: ARG001
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


def write_faiss(folder: Path, sources: Sequence[Source], content: Content) -> dict[str, Any]:  # noqa: ARG001
    """Write items.faiss, an IndexFlatIP, and items_ids.jsonl; users likewise.

    The index finds integer ids themselves (an IndexIDMap), where none is negative, else rows.
    """
    try:
        import faiss
    except ImportError as error:
        raise missing_package("export", "faiss", "faiss-cpu") from error
    files: dict[str, Any] = {}
    for source in sources:
        name, ids = f"{source.kind}.faiss", f"{source.kind}_ids.jsonl"
        finds_ids = source.ids.are_integers and _least(source) >= 0  # -1 is faiss's "nothing"
        index: Any = faiss.IndexFlatIP(source.shape[1])
        if finds_ids:
            index = faiss.IndexIDMap(index)
        for block in source.blocks():
            if finds_ids:
                index.add_with_ids(block.vectors, np.array(block.ids, dtype=np.int64))
            else:
                index.add(block.vectors)
        try:
            faiss.write_index(index, str(folder / name))
        except RuntimeError as error:  # which faiss raises for errors of the operating system
            raise OSError(str(error).splitlines()[0]) from error
        write_ids(folder / ids, source)
        finds = source.id_name if finds_ids else source.idx_name
        files[name] = {"rows": len(source.ids), "ids": ids, "finds": finds}
    return files


def _least(source: Source) -> int:
    return int(np.asarray(source.ids.values).min(initial=0))

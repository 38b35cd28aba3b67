"""Slow, obvious readers of what is exported: ids and vectors of users or items."""

import json
from pathlib import Path
from urllib.parse import unquote

import numpy as np

UNESCAPED = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\"}


def lines_of(path: Path) -> list[str]:
    """Lines end at a line feed and nowhere else."""
    *lines, rest = path.read_bytes().decode().split("\n")
    assert rest == ""
    return lines


def floats(text: str, separator: str) -> list[float]:
    return [float(one) for one in text.split(separator)]


def unescaped(text: str) -> str:
    """Undo the escapes of COPY, character by character."""
    left, found = iter(text), ""
    for one in left:
        found += UNESCAPED[next(left)] if one == "\\" else one
    return found


def ids_of(folder: Path, kind: str) -> list:
    return [json.loads(line) for line in lines_of(folder / f"{kind}_ids.jsonl")]


def from_numpy(folder: Path, kind: str) -> tuple[list, np.ndarray]:
    return ids_of(folder, kind), np.load(folder / f"{kind}.npy", mmap_mode="r")


def from_faiss(folder: Path, kind: str) -> tuple[list, np.ndarray]:
    import faiss

    index = faiss.read_index(str(folder / f"{kind}.faiss"))
    assert index.metric_type == faiss.METRIC_INNER_PRODUCT
    ids, flat = ids_of(folder, kind), index
    if isinstance(index, faiss.IndexIDMap):
        assert faiss.vector_to_array(index.id_map).tolist() == ids
        flat = faiss.downcast_index(index.index)
    return ids, flat.reconstruct_n(0, flat.ntotal)


def from_pgvector(folder: Path, kind: str) -> tuple[list, np.ndarray]:
    cells = [line.split("\t") for line in lines_of(folder / f"{kind}.copy")]
    assert [int(row) for row, _, _ in cells] == list(range(len(cells)))
    vectors = [floats(text.removeprefix("[").removesuffix("]"), ",") for _, _, text in cells]
    return [unescaped(id_) for _, id_, _ in cells], np.array(vectors)


def from_projector(folder: Path, kind: str) -> tuple[list, np.ndarray]:
    vectors = [floats(line, "\t") for line in lines_of(folder / kind / "vectors.tsv")]
    heading, *cells = [line.split("\t") for line in lines_of(folder / kind / "metadata.tsv")]
    assert heading[:2] == [f"{kind[:-1]}_id", f"{kind[:-1]}_idx"]
    assert all(len(row) == len(heading) for row in cells)
    assert len(cells) == len(vectors)
    rows = [int(row[1]) for row in cells]
    assert rows == sorted(set(rows))
    return [unescaped(row[0]) for row in cells], np.array(vectors)


def from_word2vec(folder: Path, kind: str) -> tuple[list, np.ndarray]:
    heading, *lines = lines_of(folder / f"{kind}.txt")
    words = [line.split(" ") for line in lines]
    vectors = np.array([[float(one) for one in row] for _, *row in words])
    assert heading == f"{len(words)} {vectors.shape[1]}"
    return [unquote(word) for word, *_ in words], vectors


READERS = {
    "numpy": from_numpy,
    "faiss": from_faiss,
    "pgvector": from_pgvector,
    "projector": from_projector,
    "word2vec": from_word2vec,
}

"""The writers of the formats: NumPy, faiss, word2vec, TensorBoard's projector, pgvector."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys.base.durable import durable_file
from recsys.base.environment import missing_package
from recsys.base.errors import DataError, briefly
from recsys.export.vector_table import VectorBlock, VectorTable
from recsys.store.content import Content
from recsys.vectors import Id

Tables = Sequence[VectorTable]
Files = dict[str, Any]
"""What export.json says of each file."""


def write_numpy(folder: Path, tables: Tables, _content: Content) -> Files:
    """Write items.npy (n_items, factors) and items_ids.jsonl, row i for row i; users likewise."""
    files = {}
    for table in tables:
        name, ids = f"{table.kind}.npy", f"{table.kind}_ids.jsonl"
        dtype = np.dtype(table.dtype).newbyteorder("<")
        header = {"descr": dtype.str, "fortran_order": False, "shape": table.shape}
        with durable_file(folder / name) as file:
            np.lib.format.write_array_header_1_0(file, header)
            for block in table.blocks():
                file.write(block.vectors.astype(dtype, copy=False).tobytes())
        _write_ids(folder / ids, table)
        files[name] = {"rows": len(table.ids), "ids": ids}
    return files


def write_faiss(folder: Path, tables: Tables, _content: Content) -> Files:
    """Write items.faiss, an IndexFlatIP, and items_ids.jsonl; users likewise.

    The index finds integer ids themselves (an IndexIDMap), where none is negative, else rows.
    """
    try:
        import faiss
    except ImportError as error:
        raise missing_package("export", "faiss", "faiss-cpu") from error
    files = {}
    for table in tables:
        name, ids = f"{table.kind}.faiss", f"{table.kind}_ids.jsonl"
        finds_ids = table.ids.are_integers and _least(table) >= 0  # -1 is faiss's "nothing"
        index: Any = faiss.IndexFlatIP(table.shape[1])
        if finds_ids:
            index = faiss.IndexIDMap(index)
        for block in table.blocks():
            if finds_ids:
                index.add_with_ids(block.vectors, np.array(block.ids, dtype=np.int64))
            else:
                index.add(block.vectors)
        try:
            faiss.write_index(index, str(folder / name))
        except RuntimeError as error:  # which faiss raises for errors of the operating system
            raise OSError(str(error).splitlines()[0]) from error
        _write_ids(folder / ids, table)
        finds = table.id_name if finds_ids else table.idx_name
        files[name] = {"rows": len(table.ids), "ids": ids, "finds": finds}
    return files


def _least(table: VectorTable) -> int:
    return int(np.asarray(table.ids.values).min(initial=0))


def _write_ids(path: Path, table: VectorTable) -> None:
    """Write one id per line as JSON: a quoted string or a number."""
    _write_lines(
        path, ([json.dumps(id_, ensure_ascii=False) for id_ in ids] for _, ids in table.id_blocks())
    )


def _write_lines(path: Path, blocks: Iterable[Iterable[str]]) -> None:
    """Write lines in UTF-8, each ended by a line feed; durable."""
    with durable_file(path) as file:
        for lines in blocks:
            file.write("".join(f"{line}\n" for line in lines).encode())


def vector_texts(vectors: NDArray[np.floating], separator: str) -> list[str]:
    """Return each row as text, its numbers joined by the separator."""
    n_rows, factors = vectors.shape
    numbers = pc.cast(pa.array(vectors.astype(np.float32).ravel()), pa.string())
    offsets = pa.array(np.arange(0, n_rows * factors + 1, factors, dtype=np.int32))
    rows = pa.ListArray.from_arrays(offsets, numbers)
    texts: list[str] = pc.binary_join(rows, separator).to_pylist()
    return texts


# --- word2vec


def write_word2vec(folder: Path, tables: Tables, _content: Content) -> Files:
    """Write items.txt and users.txt: a line with rows and factors, then an id and its vector."""
    files = {}
    for table in tables:
        name = f"{table.kind}.txt"
        _write_lines(folder / name, _word2vec_lines(table))
        files[name] = {"rows": len(table.ids), "ids": "percent-encoded"}
    return files


def _word2vec_lines(table: VectorTable) -> Iterator[list[str]]:
    n_rows, factors = table.shape
    yield [f"{n_rows} {factors}"]
    for block in table.blocks():
        rows = zip(block.ids, vector_texts(block.vectors, " "), strict=True)
        yield [f"{_word(table, id_)} {text}" for id_, text in rows]


def _word(table: VectorTable, id_: Id) -> str:
    text = str(id_)
    if not text:
        raise DataError(
            f"export: expected a {table.id_name} of one character or more for word2vec, got ''; "
            "choose another format"
        )
    if text.isprintable() and " " not in text and "%" not in text:
        return text
    return "".join(
        one if one.isprintable() and one not in " %" else _percent_encoded(one) for one in text
    )


def _percent_encoded(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())


# --- TensorBoard's projector

# The format has no quotes: characters that would end a cell are escaped as in Python.
_TSV_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def write_projector(folder: Path, tables: Tables, content: Content) -> Files:
    """Write a folder for items and one for users, and the config that names them."""
    manifest = content.version.manifest
    files = {}
    config = [f"# recsys version {manifest.version}, space {manifest.space_id}"]
    for table in tables:
        vectors, metadata = f"{table.kind}/vectors.tsv", f"{table.kind}/metadata.tsv"
        (folder / table.kind).mkdir()
        _write_lines(
            folder / vectors, (vector_texts(block.vectors, "\t") for block in table.blocks())
        )
        _write_lines(folder / metadata, _metadata(table))
        config += [
            "embeddings {",
            f'  tensor_name: "{table.kind}"',
            f'  tensor_path: "{vectors}"',
            f'  metadata_path: "{metadata}"',
            "}",
        ]
        files[vectors] = {"rows": len(table.ids), "metadata": metadata, **drawn(table)}
    _write_lines(folder / "projector_config.pbtxt", [config])
    return files


def drawn(table: VectorTable) -> Files:
    """Say of a sample what it was drawn from; nothing where all are there."""
    if table.sample is None:
        return {}
    strata = [asdict(one) for one in table.sample.strata]
    return {"of": sum(one.n for one in table.sample.strata), "strata": strata}


def _metadata(table: VectorTable) -> Iterator[list[str]]:
    """Yield a heading, then one line per row: id, row number and attributes."""
    names = [] if table.attributes is None else table.attributes.column_names
    yield ["\t".join(_cell(name) for name in (table.id_name, table.idx_name, *names))]
    for first, ids in table.id_blocks():
        known: list[list[Any]] = []
        if table.attributes is not None:
            rows = table.attributes.slice(first, len(ids))
            known = [column.to_pylist() for column in rows.columns]
        cells = zip(ids, table.idx[first : first + len(ids)], *known, strict=True)
        yield ["\t".join(map(_cell, row)) for row in cells]


def _cell(value: Any) -> str:
    return "" if value is None else str(value).translate(_TSV_ESCAPES)


# --- pgvector

_COPY_ESCAPES = str.maketrans(
    {"\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
)
_MOST_FACTORS = 16_000  # of a column, by the documentation of pgvector


def write_pgvector(folder: Path, tables: Tables, content: Content) -> Files:
    """Write items.copy, users.copy and load.sql."""
    manifest = content.version.manifest
    if manifest.factors > _MOST_FACTORS:
        raise DataError(
            f"export: expected at most {_MOST_FACTORS} factors for pgvector, got {manifest.factors}"
        )
    files = {}
    statements = ["BEGIN;", "CREATE EXTENSION IF NOT EXISTS vector;"]
    comment = f"recsys version {manifest.version}, space {manifest.space_id}"
    for table in tables:
        file, name = f"{table.kind}.copy", f"recsys_{table.kind}"
        _write_lines(folder / file, (_copy_lines(table, block) for block in table.blocks()))
        files[file] = {"rows": len(table.ids), "table": name}
        statements += [*_loading(table, name, file), f"COMMENT ON TABLE {name} IS '{comment}';"]
    search = "-- By score: ORDER BY embedding <#> '[...]' (the negative dot product) LIMIT 10"
    _write_lines(folder / "load.sql", [[*statements, "COMMIT;", search]])
    return files


def _loading(table: VectorTable, name: str, file: str) -> list[str]:
    """Return the statements that make a table and load it."""
    idx, id_ = table.idx_name, table.id_name
    id_type = "bigint" if table.ids.are_integers else "text"
    vector = "halfvec" if table.dtype == "float16" else "vector"
    # The row number is the key: an id may be too long for an index.
    return [
        f"CREATE TABLE {name} ({idx} integer PRIMARY KEY, {id_} {id_type} NOT NULL, "
        f"embedding {vector}({table.shape[1]}) NOT NULL);",
        f"\\copy {name} ({idx}, {id_}, embedding) FROM '{file}' "
        "WITH (FORMAT text, ENCODING 'UTF8')",
    ]


def _copy_lines(table: VectorTable, block: VectorBlock) -> list[str]:
    rows = zip(block.ids, vector_texts(block.vectors, ","), strict=True)
    return [
        f"{row}\t{_escaped(table, id_)}\t[{text}]"
        for row, (id_, text) in enumerate(rows, start=block.first)
    ]


def _escaped(table: VectorTable, id_: Id) -> str:
    text = str(id_)
    if "\0" in text:
        raise DataError(
            f"export: expected a {table.id_name} that PostgreSQL can hold, got {briefly(text)} "
            f"with the "
            "character 0; choose another format"
        )
    return text.translate(_COPY_ESCAPES)

"""Text formats: word2vec, TensorBoard's projector, and COPY files for pgvector."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys.base.durable import durable_file
from recsys.base.errors import DataError
from recsys.export.source import Block, Source
from recsys.store.content import Content
from recsys.vectors import Id


def vector_texts(vectors: NDArray[np.floating], separator: str) -> list[str]:
    """Return each row as text, its numbers joined by the separator."""
    n_rows, factors = vectors.shape
    numbers = pc.cast(pa.array(vectors.astype(np.float32).ravel()), pa.string())
    offsets = pa.array(np.arange(0, n_rows * factors + 1, factors, dtype=np.int32))
    rows = pa.ListArray.from_arrays(offsets, numbers)
    texts: list[str] = pc.binary_join(rows, separator).to_pylist()
    return texts


def write_lines(path: Path, blocks: Iterable[Iterable[str]]) -> None:
    """Write lines in UTF-8, each ended by a line feed; durable."""
    with durable_file(path) as file:
        for lines in blocks:
            file.write("".join(f"{line}\n" for line in lines).encode())


def write_ids(path: Path, source: Source) -> None:
    """Write one id per line as JSON: a quoted string or a number."""
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


def write_word2vec(folder: Path, sources: Sequence[Source], content: Content) -> dict[str, Any]:  # noqa: ARG001
    """Write items.txt and users.txt: a line with rows and factors, then an id and its vector."""
    files = {}
    for source in sources:
        name = f"{source.kind}.txt"
        write_lines(folder / name, _blocks(source))
        files[name] = {"rows": len(source.ids), "ids": "percent-encoded"}
    return files


def _blocks(source: Source) -> Iterator[list[str]]:
    n_rows, factors = source.shape
    yield [f"{n_rows} {factors}"]
    for block in source.blocks():
        rows = zip(block.ids, vector_texts(block.vectors, " "), strict=True)
        yield [f"{_word(source, id_)} {text}" for id_, text in rows]


def _word(source: Source, id_: Id) -> str:
    text = str(id_)
    if not text:
        raise DataError(
            f"export: expected a {source.id_name} of one character or more for word2vec, got ''; "
            "choose another format"
        )
    if text.isprintable() and not any(one.isspace() or one == "%" for one in text):
        return text
    return "".join(
        one if one.isprintable() and not one.isspace() and one != "%" else _encoded(one)
        for one in text
    )


def _encoded(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())


CONFIG = "projector_config.pbtxt"

# The format has no quotes: characters that would end a cell are escaped as in Python.
_TSV_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def write_projector(folder: Path, sources: Sequence[Source], content: Content) -> dict[str, Any]:
    """Write a folder for items and one for users, and the config that names them."""
    manifest = content.version.manifest
    files = {}
    config = [f"# recsys version {manifest.version}, space {manifest.space_id}"]
    for source in sources:
        vectors, metadata = f"{source.kind}/vectors.tsv", f"{source.kind}/metadata.tsv"
        (folder / source.kind).mkdir()
        write_lines(
            folder / vectors, (vector_texts(block.vectors, "\t") for block in source.blocks())
        )
        _write_metadata(folder / metadata, source)
        config += _entry(source, vectors, metadata)
        files[vectors] = {"rows": len(source.ids), "metadata": metadata}
    write_lines(folder / CONFIG, [config])
    return files


def _entry(source: Source, vectors: str, metadata: str) -> list[str]:
    return [
        "embeddings {",
        f'  tensor_name: "{source.kind}"',
        f'  tensor_path: "{vectors}"',
        f'  metadata_path: "{metadata}"',
        "}",
    ]


def _write_metadata(path: Path, source: Source) -> None:
    """Write a heading, then one line per row: id, row number and attributes."""
    columns = [] if source.attributes is None else source.attributes.column_names
    heading = "\t".join(_cell(name) for name in (source.id_name, source.idx_name, *columns))
    write_lines(path, _metadata(heading, source))


def _metadata(heading: str, source: Source) -> Iterator[list[str]]:
    size = 1 << 16
    yield [heading]
    for first in range(0, len(source.ids), size):
        block = Block(
            first, source.ids.values.slice(first, size).to_pylist(), source.embeddings[:0]
        )
        yield _described(block, source)


def _described(block: Block, source: Source) -> list[str]:
    known: list[list[Any]] = []
    if source.attributes is not None:
        rows = source.attributes.slice(block.first, len(block.ids))
        known = [column.to_pylist() for column in rows.columns]
    return [
        "\t".join((_cell(id_), str(block.first + row), *(_cell(column[row]) for column in known)))
        for row, id_ in enumerate(block.ids)
    ]


def _cell(value: Any) -> str:
    return "" if value is None else str(value).translate(_TSV_ESCAPES)


LOAD = "load.sql"

_COPY_ESCAPES = str.maketrans(
    {"\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
)
_MOST_FACTORS = 16_000  # of a column, by the documentation of pgvector


def write_pgvector(folder: Path, sources: Sequence[Source], content: Content) -> dict[str, Any]:
    """Write items.copy, users.copy and load.sql."""
    manifest = content.version.manifest
    if manifest.factors > _MOST_FACTORS:
        raise DataError(
            f"export: expected at most {_MOST_FACTORS} factors for pgvector, got {manifest.factors}"
        )
    files = {}
    statements = ["BEGIN;", "CREATE EXTENSION IF NOT EXISTS vector;"]
    for source in sources:
        name = f"{source.kind}.copy"
        write_lines(folder / name, (_lines(source, block) for block in source.blocks()))
        files[name] = {"rows": len(source.ids), "table": _table(source)}
        comment = f"recsys version {manifest.version}, space {manifest.space_id}"
        statements += [
            *_statements(source, name),
            f"COMMENT ON TABLE {_table(source)} IS '{comment}';",
        ]
    search = "-- By score: ORDER BY embedding <#> '[...]' (the negative dot product) LIMIT 10"
    write_lines(folder / LOAD, [[*statements, "COMMIT;", search]])
    return files


def _statements(source: Source, name: str) -> Iterable[str]:
    table, idx, id_ = _table(source), source.idx_name, source.id_name
    id_type = "bigint" if source.ids.are_integers else "text"
    type_ = "halfvec" if source.dtype == "float16" else "vector"
    # The row number is the key: an id may be too long for an index.
    return [
        f"CREATE TABLE {table} ({idx} integer PRIMARY KEY, {id_} {id_type} NOT NULL, "
        f"embedding {type_}({source.shape[1]}) NOT NULL);",
        f"\\copy {table} ({idx}, {id_}, embedding) FROM '{name}' "
        "WITH (FORMAT text, ENCODING 'UTF8')",
    ]


def _table(source: Source) -> str:
    return f"recsys_{source.kind}"


def _lines(source: Source, block: Block) -> list[str]:
    texts = vector_texts(block.vectors, ",")
    rows = zip(block.ids, texts, strict=True)
    return [
        f"{row}\t{_escaped(source, id_)}\t[{text}]"
        for row, (id_, text) in enumerate(rows, start=block.first)
    ]


def _escaped(source: Source, id_: Id) -> str:
    text = str(id_)
    if "\0" in text:
        raise DataError(
            f"export: expected a {source.id_name} that PostgreSQL can hold, got {text!r} with the "
            "character 0; choose another format"
        )
    return text.translate(_COPY_ESCAPES)

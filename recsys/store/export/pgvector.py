r"""pgvector: files for COPY, and the SQL that makes the tables and loads them.

``cd`` to the folder, then ``psql -f load.sql``. The text format of COPY escapes what would end a
field or a line by a backslash.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from recsys.errors import DataError
from recsys.store.content import Content
from recsys.store.export.source import Block, Source
from recsys.store.export.text import vector_texts, write_lines
from recsys.vectors import Id

LOAD = "load.sql"

_ESCAPES = str.maketrans(
    {"\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
)
_MOST_FACTORS = 16_000  # of a column, by the documentation of pgvector


def write(folder: Path, sources: Sequence[Source], content: Content) -> dict[str, Any]:
    """Write items.copy, users.copy and load.sql.

    Raises
    ------
    DataError
        If an id holds the character 0, which PostgreSQL does not store, or there are more factors
        than pgvector takes.
    """
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
        said = f"recsys version {manifest.version}, space {manifest.space_id}"
        statements += [
            *_statements(source, name),
            f"COMMENT ON TABLE {_table(source)} IS '{said}';",
        ]
    search = "-- By score: ORDER BY embedding <#> '[...]' (the negative dot product) LIMIT 10"
    write_lines(folder / LOAD, [[*statements, "COMMIT;", search]])
    return files


def _statements(source: Source, name: str) -> Iterable[str]:
    table, idx, id_ = _table(source), source.idx_name, source.id_name
    id_type = "bigint" if source.ids.are_integers else "text"
    type_ = "halfvec" if source.dtype == "float16" else "vector"
    # The row is the key: a text of any length can be an id, but not be in an index.
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
    return text.translate(_ESCAPES)

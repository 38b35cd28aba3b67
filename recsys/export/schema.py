"""A page that says how to read a version: files, columns, rules, and snippets that load them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from recsys.base.durable import durable_file
from recsys.export.source import Source
from recsys.export.text import write_lines
from recsys.store import tables
from recsys.store.content import Content
from recsys.store.manifest import Manifest, plain

_PANDAS = """\
import numpy as np
import pandas as pd

folder = {folder!r}
users = pd.read_parquet(folder + "/users.parquet")
items = pd.read_parquet(folder + "/items.parquet")
scores = np.stack(items["embedding"]) @ users["embedding"][0]
print(items["item_id"].iloc[np.argsort(-scores, kind="stable")[:5]].tolist())
"""

_POLARS = """\
import numpy as np
import polars as pl

folder = {folder!r}
users = pl.read_parquet(folder + "/users.parquet")
items = pl.read_parquet(folder + "/items.parquet")
scores = items["embedding"].to_numpy() @ users["embedding"].to_numpy()[0]
print(items["item_id"].gather(np.argsort(-scores, kind="stable")[:5]).to_list())
"""

_DUCKDB = """\
import duckdb

folder = {folder!r}
found = duckdb.execute(
    '''
    select item_id
    from (select * from read_parquet($items, file_row_number = true)) as items,
         (select embedding as own from read_parquet($users, file_row_number = true)
          where file_row_number = 0) as users
    order by array_inner_product(embedding::float[{factors}], own::float[{factors}]) desc,
             file_row_number
    limit 5
    ''',
    {{"items": folder + "/items.parquet", "users": folder + "/users.parquet"}},
).fetchall()
print([item_id for (item_id,) in found])
"""

_NUMPY = """\
import numpy as np
import pyarrow.parquet as pq

folder = {folder!r}


def vectors_of(table):
    column = table["embedding"].combine_chunks()
    return column.flatten().to_numpy().reshape(len(table), {factors})


users = pq.read_table(folder + "/users.parquet")
items = pq.read_table(folder + "/items.parquet")
scores = vectors_of(items) @ vectors_of(users)[0]
print([items["item_id"][row].as_py() for row in np.argsort(-scores, kind="stable")[:5].tolist()])
"""

_SPARK = """\
from pyspark.sql import SparkSession
from pyspark.sql import functions as f

folder = {folder!r}
spark = SparkSession.builder.getOrCreate()
users = spark.read.parquet(folder + "/users.parquet").where(f.col("user_id") == {user!r})
items = spark.read.parquet(folder + "/items.parquet")
products = f.zip_with("embedding", "own", lambda a, b: (a * b).cast("double"))
scored = items.crossJoin(users.select(f.col("embedding").alias("own"))).select(
    "item_id", f.aggregate(products, f.lit(0.0), lambda total, one: total + one).alias("score")
)
print([row["item_id"] for row in scored.orderBy(f.desc("score")).limit(5).collect()])
"""

SNIPPETS: Mapping[str, str] = {
    "pandas": _PANDAS,
    "Polars": _POLARS,
    "DuckDB": _DUCKDB,
    "NumPy": _NUMPY,
    "Spark": _SPARK,
}


_MEANINGS = {
    "user_id": "The user, as the log spells it; unique.",
    "item_id": "The item, as the log spells it; unique.",
    "embedding": "Coordinates in the space of this version; all 0 where nothing is known.",
    "seen": "Rows of items.parquet that the user interacted with, ascending.",
    "seen_weight": "How much each seen item counted in training; absent where all are 1.",
    "popularity": "Users of the item.",
    "recent_popularity": "The same, with old interactions counting less.",
}
_COLUMNS_OF_OTHERS = "As the table of items had it."

_RULES = """\
- **The row number is the key.** Row i of `items.parquet` is item i of every `seen` list and of
  `attributes.parquet`. Where rows lose their order, number them while reading: DuckDB has
  `file_row_number`, Polars `row_index_name`; Spark has nothing like it, so go by the ids there.
- **The metric is the dot product.** A user's score of an item is `user · item`: scores of one user
  can be compared, those of two users cannot. The cosine of two items, or of two users, says how
  alike they are; the cosine of a user and an item leaves out how strong the item is, and ranks
  otherwise than the score. A zero vector has no cosine.
- **Compare only within a space.** Vectors of two versions may be compared, averaged or searched
  together only where their `space_id` is the same; it stands in the metadata of each Parquet file
  and in `manifest.json`. Anything trained on vectors of one space is wrong on those of another.
- **A version never changes.** Take the folder that `CURRENT` names, pin it for as long as you read
  it (`recsys pin VERSION`), and take all files from the one folder."""


def write_schema(folder: Path, sources: Sequence[Source], content: Content) -> dict[str, Any]:  # noqa: ARG001
    """Write both pages; the sources do not matter."""
    described = _described(content)
    with durable_file(folder / "schema.json") as file:
        file.write((json.dumps(described, indent=2, ensure_ascii=False) + "\n").encode())
    write_lines(folder / "schema.md", [_page(content, described)])
    return {"schema.md": {}, "schema.json": {}}


def _described(content: Content) -> dict[str, Any]:
    manifest, folder = content.version.manifest, content.version.folder
    names = (tables.USERS, tables.ITEMS, tables.ATTRIBUTES)
    return {
        "version": manifest.version,
        "parent": manifest.parent,
        "space_id": manifest.space_id,
        "metric": "dot product",
        "factors": manifest.factors,
        "dtype": "float32",
        "model": plain(manifest.model),
        "files": {name: _file(folder / name) for name in names if name in manifest.files},
    }


def _file(path: Path) -> dict[str, Any]:
    import pyarrow.parquet as pq

    schema, rows = pq.read_schema(path), pq.read_metadata(path).num_rows
    columns = [
        {
            "name": field.name,
            "type": _type(field.type),
            "meaning": _MEANINGS.get(field.name, _COLUMNS_OF_OTHERS),
        }
        for field in schema
    ]
    return {"rows": rows, "columns": columns}


def _type(type_: pa.DataType) -> str:
    if pa.types.is_fixed_size_list(type_):
        return f"fixed_size_list<{type_.value_type}>[{type_.list_size}]"
    if pa.types.is_list(type_):
        return f"list<{type_.value_type}>"
    return str(type_)


def _page(content: Content, described: dict[str, Any]) -> Iterator[str]:
    manifest = content.version.manifest
    yield f"# Embeddings of version {manifest.version}\n"
    yield f"{_origin(manifest)}\n"
    for name, facts in described["files"].items():
        yield f"## {name}: {facts['rows']:,} rows\n"
        yield "| column | type | meaning |\n|---|---|---|"
        for column in facts["columns"]:
            yield f"| {_cell(column['name'])} | {_cell(column['type'])} | {column['meaning']} |"
        yield ""
    yield f"## Rules\n\n{_RULES}\n"
    yield "## How to load them\n"
    yield "Each prints the five items with the highest scores for the user of row 0, seen or not."
    filled = {
        "folder": str(content.version.folder),
        "factors": manifest.factors,
        "user": content.users.ids[0],
    }
    for title, snippet in SNIPPETS.items():
        code = snippet.format(**filled)
        yield f"\n### {title}\n\n```python\n{code}```"


def _origin(manifest: Manifest) -> str:
    return (
        f"Space `{manifest.space_id}`, {manifest.factors} factors, float32; "
        f"model {manifest.model.name}, published {manifest.created}."
    )


def _cell(text: str) -> str:
    return f"`{text}`".replace("|", "\\|").replace("\n", " ")

"""A page on how to read a version: files, columns, rules, and snippets that load them."""

import json
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recsys.base.durable import durable_file
from recsys.base.plain import plain
from recsys.export.formats import Files, Tables
from recsys.store.attribute_files import ATTRIBUTES
from recsys.store.content import Content
from recsys.store.feature_files import FEATURES
from recsys.store.item_times import TIMES
from recsys.store.parquet_files import ITEMS, USERS, errors_of_parquet

_TEMPLATE = Path(__file__).with_name("templates") / "schema.md"

_MEANINGS = {
    "user_id": "The user, as the log spells it; unique.",
    "item_id": "The item, as the log spells it; unique.",
    "embedding": "Coordinates in the space of this version; all 0 where nothing is known.",
    "seen": "Rows of items.parquet that the user interacted with, ascending.",
    "seen_weight": "How much each seen item counted in training, below 0 what the user disliked; "
    "absent where all are 1.",
    "seen_day": "Day of the last event with each seen item, where people come back to items.",
    "popularity": "Users of the item; 0 of an item that only its attributes speak for.",
    "recent_popularity": "The same, with old interactions counting less.",
    "dislikes": "Users who dislike the item, whom popularity leaves out; absent where nobody does.",
    "first_day": "Day of the first event of the item.",
    "velocity": "How much more often the item is met of late than its own past lets expect.",
    "repeat_share": "Of the users of the item, those who come back to it on a later day.",
    "repeat_gap": "Days after which they usually do.",
    "feature": "What an attribute says: its column, and the value, word or number. What is known "
    "by attributes alone has the sum over its features for an embedding.",
    "summand": "What the item adds to the embedding of a user who has it in the history.",
}
_OTHER_MEANING = "As the table of items had it."


def write_schema(folder: Path, _tables: Tables, content: Content) -> Files:
    """Write schema.md and schema.json, on all files of the version."""
    described = _described(content)
    with durable_file(folder / "schema.json") as file:
        file.write((json.dumps(described, indent=2, ensure_ascii=False) + "\n").encode())
    with durable_file(folder / "schema.md") as file:
        file.write(_page(content, described).encode())
    return {"schema.md": {}, "schema.json": {}}


def _described(content: Content) -> dict[str, Any]:
    manifest, folder = content.version.manifest, content.version.folder
    of_a_version = (USERS, ITEMS, *ATTRIBUTES.values(), TIMES, *FEATURES.values())
    names = [name for name in of_a_version if name in manifest.files]
    return {
        "version": manifest.version,
        "parent": manifest.parent,
        "space_id": manifest.space_id,
        "metric": "dot product",
        "factors": manifest.factors,
        "dtype": "float32",
        "model": plain(manifest.model),
        "features": plain(manifest.features),
        "files": {name: _file(folder / name) for name in names},
    }


def _file(path: Path) -> dict[str, Any]:
    with errors_of_parquet(path):
        schema, rows = pq.read_schema(path), pq.read_metadata(path).num_rows
    columns = [
        {
            "name": field.name,
            "type": _type(field.type),
            "meaning": _meaning(field.name, path.name),
        }
        for field in schema
    ]
    return {"rows": rows, "columns": columns}


def _meaning(name: str, file: str) -> str:
    """Return what a column is; those of the tables of items and users may have any name."""
    side = next((one for one, its in ATTRIBUTES.items() if its == file), None)
    if side is None or name == f"{side}_id":
        return _MEANINGS.get(name, _OTHER_MEANING)
    return f"As the table of {side}s had it."


def _type(type_: pa.DataType) -> str:
    if pa.types.is_fixed_size_list(type_):
        return f"fixed_size_list<{type_.value_type}>[{type_.list_size}]"
    if pa.types.is_list(type_):
        return f"list<{type_.value_type}>"
    return str(type_)


def _page(content: Content, described: dict[str, Any]) -> str:
    manifest = content.version.manifest
    values = {
        "version": manifest.version,
        "origin": (
            f"Space `{manifest.space_id}`, {manifest.factors} factors, float32; "
            f"model {manifest.model.name}, published {manifest.created}."
        ),
        "tables": "".join(_table(name, facts) for name, facts in described["files"].items()),
        "folder": repr(str(content.version.folder)),
        "factors": str(manifest.factors),
        "user": repr(content.users.ids[0]),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda name: values[name[1]], _TEMPLATE.read_text("utf-8"))


def _table(name: str, facts: dict[str, Any]) -> str:
    rows = [
        f"| {_cell(column['name'])} | {_cell(column['type'])} | {column['meaning']} |"
        for column in facts["columns"]
    ]
    heading = f"## {name}: {facts['rows']:,} rows\n\n| column | type | meaning |\n|---|---|---|"
    return "\n".join([heading, *rows, "\n"])


def _cell(text: str) -> str:
    return f"`{text}`".replace("|", "\\|").replace("\n", " ")

"""Attributes of the users, from a table next to the log: read as that of the items is."""

import re
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from recsys.base.errors import DataError
from recsys.logs.items import read_attributes
from recsys.logs.sources import ItemSource
from recsys.settings import ItemSettings


def read_users(
    source: ItemSource, columns: Mapping[str, str] | None = None, column_of_log: str | None = None
) -> pa.Table:
    """Read a table of user attributes; a column user_id and the attributes.

    Parameters
    ----------
    source : path or table
        As `recsys.read_items` takes it.
    columns : mapping of str to str, optional
        Our name to the name in the table: user_id, where it is called otherwise. Where anything
        else is named, only what is named is kept.
    column_of_log : str, optional
        What the log calls its users: where the table has no user_id, their column there.

    Raises
    ------
    DataError
        If the source cannot be read, or has no column of ids.
    """
    named = dict(columns or {})
    own = named.pop("user_id", None)
    found: DataError | None = None
    for column in [own] if own else dict.fromkeys(["user_id", column_of_log or "user_id"]):
        try:
            table = read_attributes("user", source, ItemSettings({"item_id": column, **named}))
        except DataError as error:
            found = found or error
        else:
            names = ["user_id" if name == "item_id" else name for name in table.column_names]
            return table.rename_columns(names)
    raise DataError(_of_users(str(found), source)) from found


def _of_users(message: str, source: ItemSource) -> str:
    """Return what is said of a table of items as said of one of users; its name stays."""
    if message.startswith("users: "):
        return message
    words = {"items": "users", "item_id": "user_id", "item_columns": "user_columns"}
    names = [str(source), Path(source).name] if isinstance(source, str | Path) else []
    kept = [*map(re.escape, names), "column '[^']*'"]  # which come before a word in them
    return re.sub("|".join([*kept, *words]), lambda found: words.get(found[0], found[0]), message)

"""Attributes of the users, from a table next to the log: read as that of the items is."""

from collections.abc import Mapping

import pyarrow as pa

from recsys.base.errors import DataError
from recsys.logs.items import read_items
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
            table = read_items(source, ItemSettings({"item_id": column, **named}))
        except DataError as error:
            found = found or error
        else:
            names = ["user_id" if name == "item_id" else name for name in table.column_names]
            return table.rename_columns(names)
    # It was read as a table of items, and says so.
    words = {"items": "users", "item_id": "user_id", "item_columns": "user_columns"}
    message = str(found)
    for theirs, ours in words.items():
        message = message.replace(theirs, ours)
    raise DataError(message) from found

"""Which attribute of the items is their title."""

import re

import pyarrow as pa

_TITLES = [
    re.compile(spelled, re.IGNORECASE)
    for spelled in (
        *("^title$", "^name$", r"(\b|_)title$"),
        "^(item|product|article|movie|film|book|artist|album|song|track|game|app|show)[ _-]?name$",
        "^description$",
    )
]


def title_column(table: pa.Table) -> str | None:
    """Return the column of a table of items that holds titles, or None.

    It is the column of texts named title, else name, else one whose name ends with title, such as
    "Book-Title", else the name of a thing, such as product_name, else description.
    """
    names = [one.name for one in table.schema if one.name != "item_id" and _are_texts(one.type)]
    return next((name for spelled in _TITLES for name in names if spelled.search(name)), None)


def _are_texts(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )

"""What a value should be, as the errors of a config say it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

_A_LIST = 'a list, such as ["a", "b"]'
_IN_TOML = {
    "bool_type": "true or false",
    "dict_type": 'a table, such as { title = "name" }',
    "float_type": "a number",
    "int_type": "an integer",
    "sequence_str": _A_LIST,
    "string_type": "a text in quotes",
    "tuple_type": _A_LIST,
}
"""Types of pydantic's errors, in the words of TOML."""


def expected_in_toml(error: "ValidationError") -> str:
    """Return what a value should be, in the words of TOML."""
    first = error.errors()[0]
    said = first["msg"].removeprefix("Input should be ")
    return f"expected {_IN_TOML.get(first['type'], said[:1].lower() + said[1:])}"

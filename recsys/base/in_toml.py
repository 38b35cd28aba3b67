"""What a value should be, as the errors of a config say it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

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
    first, *others = error.errors()
    words = [one for one in others if one["type"] == "literal_error"]  # such as a number or 'auto'
    return f"expected {' or '.join(map(_in_words, (first, *words)))}"


def _in_words(one: "ErrorDetails") -> str:
    said = one["msg"].removeprefix("Input should be ")
    return _IN_TOML.get(one["type"], said[:1].lower() + said[1:])

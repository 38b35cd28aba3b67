"""The one place where text of others becomes SQL."""

from collections.abc import Iterable


def identifier(name: str) -> str:
    """Spell a column or table name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str | int | float) -> str:
    """Spell a string or number as a SQL literal."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value)


def literals(values: Iterable[str | int | float]) -> str:
    """Spell values as a SQL list."""
    return "[" + ", ".join(literal(value) for value in values) + "]"


def case(branches: Iterable[tuple[str, str]], otherwise: str = "NULL") -> str:
    """Spell ``CASE``: the result of the first condition that holds, else `otherwise`."""
    whens = " ".join(f"WHEN {condition} THEN {result}" for condition, result in branches)
    return f"CASE {whens} ELSE {otherwise} END" if whens else otherwise

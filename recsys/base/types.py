"""Whether a value that came from a file has the type that its field promises."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints


def misfit(value: Any, expected: Any, name: str) -> str | None:
    """Return what is wrong with a value for an annotation, None if nothing is.

    Parameters
    ----------
    expected : type
        A class, a dataclass, a union, a Literal, a Mapping or a tuple of these. A float may be an
        int or None, as JSON has no NaN.

    Examples
    --------
    >>> misfit({"a": [1]}, Mapping[str, int], "counts")
    'counts.a: expected int, got [1]'
    """
    origin, inside = get_origin(expected), get_args(expected)
    if expected is Any:
        return None
    if origin in (Union, UnionType):
        faults = [misfit(value, one, name) for one in inside]
        return None if None in faults else faults[0]
    if origin is Literal:
        return None if value in inside else _fault(name, f"one of {', '.join(inside)}", value)
    if origin is not None and issubclass(origin, Mapping):
        return _of_mapping(value, inside, name)
    if origin is tuple:
        return _of_tuple(value, inside, name)
    if expected is float:
        is_number = isinstance(value, int | float | NoneType) and not isinstance(value, bool)
        return None if is_number else _fault(name, "a number", value)
    if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
        return _fault(name, expected.__name__, value)
    if is_dataclass(expected):
        kinds = _fields(cast(Any, expected))
        parts = ((one, getattr(value, one), kind) for one, kind in kinds.items())
        return _first(misfit(part, kind, f"{name}.{one}") for one, part, kind in parts)
    return None


def _of_mapping(value: Any, inside: tuple[Any, ...], name: str) -> str | None:
    if not isinstance(value, Mapping):
        return _fault(name, "an object", value)
    keys, values = inside
    return _first(
        misfit(key, keys, f"a key of {name}") or misfit(part, values, f"{name}.{key}")
        for key, part in value.items()
    )


def _of_tuple(value: Any, inside: tuple[Any, ...], name: str) -> str | None:
    if not isinstance(value, tuple | list):
        return _fault(name, "a list", value)
    kinds = [inside[0]] * len(value) if inside[-1] is ... else list(inside)
    if len(kinds) != len(value):
        return _fault(name, f"{len(kinds)} values", value)
    return _first(misfit(part, kind, name) for part, kind in zip(value, kinds, strict=True))


def _first(faults: Any) -> str | None:
    return next((fault for fault in faults if fault is not None), None)


@cache
def _fields(kind: Any) -> dict[str, Any]:
    """Return the fields of a dataclass and their types, resolved."""
    hints = get_type_hints(kind)
    return {one.name: hints[one.name] for one in fields(kind)}


def _fault(name: str, expected: str, value: Any) -> str:
    return f"{name}: expected {expected}, got {repr(value)[:40]}"

"""What a file holds, checked against the annotations of what it is read into."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from itertools import repeat
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, cast, get_args, get_origin, get_type_hints

from recsys.base.errors import briefly


def misfit(value: Any, expected: Any, name: str) -> str | None:
    """Return what is wrong with a value of a file for an annotation, None if nothing is.

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
    fault = _check_of(expected)(value)
    return None if fault is None else fault.told_of(name)


class _Fault(NamedTuple):
    """What was expected of a value, and what stands before and after the name of the whole.

    It becomes a sentence at the end: most are of one part of a union, and forgotten.
    """

    expected: str
    value: Any
    after: str = ""
    before: str = ""

    def inside(self, name: str) -> "_Fault":
        return self._replace(after=f".{name}{self.after}")

    def told_of(self, name: str) -> str:
        where = f"{self.before}{name}{self.after}"
        return f"{where}: expected {self.expected}, got {briefly(self.value)}"


_Check = Callable[[Any], _Fault | None]


@cache
def _check_of(expected: Any) -> _Check:
    """Return the check of an annotation, which looks at this once and not at each value."""
    origin, inside = get_origin(expected), get_args(expected)
    if expected is Any:
        return lambda value: None
    if origin in (Union, UnionType):
        return _check_of_union(inside)
    if origin is Literal:
        words = ", ".join(inside)
        return lambda value: None if value in inside else _Fault(f"one of {words}", value)
    if origin is not None and issubclass(origin, Mapping):
        return _check_of_mapping(*inside)
    if origin is tuple:
        return _check_of_tuple(inside)
    if is_dataclass(expected):
        return _check_of_dataclass(cast(Any, expected))
    return _check_of_class(expected)


def _check_of_union(inside: tuple[Any, ...]) -> _Check:
    checks = [_check_of(one) for one in inside]

    def check(value: Any) -> _Fault | None:
        first: _Fault | None = None
        for one in checks:
            fault = one(value)
            if fault is None:
                return None
            first = first or fault
        return first

    return check


def _check_of_mapping(keys: Any, values: Any) -> _Check:
    check_key, check_value = _check_of(keys), _check_of(values)

    def check(value: Any) -> _Fault | None:
        if not isinstance(value, Mapping):
            return _Fault("an object", value)
        for key, part in value.items():
            if fault := check_key(key):
                return fault._replace(before="a key of ")
            if fault := check_value(part):
                return fault.inside(str(key))
        return None

    return check


def _check_of_tuple(inside: tuple[Any, ...]) -> _Check:
    checks = [_check_of(one) for one in inside if one is not ...]
    any_number = inside[-1] is ...

    def check(value: Any) -> _Fault | None:
        if not isinstance(value, tuple | list):
            return _Fault("a list", value)
        if not any_number and len(checks) != len(value):
            return _Fault(f"{len(checks)} values", value)
        each = repeat(checks[0], len(value)) if any_number else checks
        return _first(one(part) for one, part in zip(each, value, strict=True))

    return check


def _check_of_dataclass(expected: Any) -> _Check:
    checks = {name: _check_of(kind) for name, kind in _fields(expected).items()}

    def check(value: Any) -> _Fault | None:
        if not isinstance(value, expected):
            return _Fault(expected.__name__, value)
        for name, one in checks.items():
            if fault := one(getattr(value, name)):
                return fault.inside(name)
        return None

    return check


def _check_of_class(expected: Any) -> _Check:
    accepted: tuple[type, ...]
    if expected is float:
        accepted, words, may_be_bool = (int, float, NoneType), "a number", False
    else:
        accepted, words, may_be_bool = (expected,), expected.__name__, expected is not int

    def check(value: Any) -> _Fault | None:
        fits = isinstance(value, accepted) and (may_be_bool or not isinstance(value, bool))
        return None if fits else _Fault(words, value)

    return check


def _first(faults: Iterable[_Fault | None]) -> _Fault | None:
    return next((fault for fault in faults if fault is not None), None)


@cache
def _fields(kind: Any) -> dict[str, Any]:
    """Return the fields of a dataclass and their types, resolved."""
    hints = get_type_hints(kind)
    return {one.name: hints[one.name] for one in fields(kind)}

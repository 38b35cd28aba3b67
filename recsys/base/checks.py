"""Checks of settings: one line each, and one grammar of errors."""

import re
from collections.abc import Collection, Iterable
from dataclasses import MISSING, Field, fields
from datetime import UTC, datetime
from functools import cache
from math import inf
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, cast, get_args, get_type_hints

from recsys.base.errors import ConfigError, DataError, briefly, did_you_mean


class ShowsChanges:
    """What a dataclass of settings inherits to show, in its repr, what differs from its defaults.

    It is declared with ``repr=False``.
    """

    def __repr__(self) -> str:
        shown = [
            f"{one.name}={getattr(self, one.name)!r}"
            for one in fields(cast(Any, self))
            if getattr(self, one.name) != _default_of(one)
        ]
        return f"{type(self).__name__}({', '.join(shown)})"


def _default_of(one: "Field[Any]") -> Any:
    return one.default if one.default_factory is MISSING else one.default_factory()


def require(
    name: str,
    value: Any,
    *,
    least: float | None = None,
    above: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
    one_of: Collection[Any] | None = None,
    expected: str | None = None,
) -> None:
    """Check that a setting is in its range; a NaN is in none.

    Parameters
    ----------
    name : str
        The setting as the config spells it, such as "log.half_life_days".
    least, above, below, at_most : float, optional
        Bounds, of which `least` and `at_most` may be reached. ``below=inf`` asks for a finite
        number.
    one_of : collection, optional
        All values there are.
    expected : str, optional
        The range in words. Default: made of the bounds.

    Raises
    ------
    ConfigError
        If the value is out of range.

    Examples
    --------
    >>> require("log.half_life_days", -1, above=0)
    Traceback (most recent call last):
    recsys.base.errors.ConfigError: log.half_life_days: expected above 0, got -1
    """
    try:
        is_in_range = (
            (least is None or value >= least)
            and (above is None or value > above)
            and (below is None or value < below)
            and (at_most is None or value <= at_most)
            and (one_of is None or value in one_of)
        )
    except (TypeError, ValueError):  # a text, a list, None, an array
        is_in_range = False
    if is_in_range:
        return
    if expected is None:
        expected = _range_in_words(least, above, below, at_most)
        if one_of is not None:
            expected = f"one of {', '.join(map(str, one_of))}"
    got = value if isinstance(value, Real) else briefly(value)
    raise ConfigError(f"{name}: expected {expected}, got {got}")


def require_types(where: str, settings: Any) -> None:
    """Check that numbers, flags and texts of a dataclass of settings are what they should be.

    A config in TOML is checked when it is read; this checks what is written in Python.

    Parameters
    ----------
    where : str
        The table of the config, such as "als".

    Raises
    ------
    ConfigError
        If a field has another type than its annotation.

    Examples
    --------
    >>> from recsys.models import ALS
    >>> ALS(factors="8")
    Traceback (most recent call last):
    recsys.base.errors.ConfigError: als.factors: expected a whole number, got '8'
    """
    kind: Any = type(settings)
    for name, annotation in _hints_of(kind).items():
        value = getattr(settings, name)
        kinds = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
        is_checked = all(kind in _WORDS for kind in kinds)
        if not is_checked or any(_is_a(value, kind) for kind in kinds):
            continue
        words = " or ".join(_WORDS[kind] for kind in kinds if kind is not NoneType)
        raise ConfigError(f"{where}.{name}: expected {words}, got {briefly(value)}")


@cache  # a choice makes hundreds of models of a few classes
def _hints_of(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


_WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    NoneType: "nothing",
}


def _is_a(value: object, kind: type) -> bool:
    """Whether a value is of one of the kinds above; NumPy's numbers are, a flag is no number."""
    if kind in (int, float):
        number = Integral if kind is int else Real
        return isinstance(value, number) and not isinstance(value, bool)
    return isinstance(value, kind)


def require_whole(name: str, value: Any, *, least: int, expected: str | None = None) -> None:
    """Check that an argument is a whole number, no flag, from a least one to what 32 bits hold.

    Raises
    ------
    ConfigError
        If it is not.
    """
    if not _is_a(value, int) or not least <= value < 2**31:
        words = expected or f"a whole number of {least} or more"
        raise ConfigError(f"{name}: expected {words}, got {briefly(value)}")


def as_path(name: str, value: object) -> Path:
    """Return an argument as a path; a DataError if it is none."""
    if not isinstance(value, str | PathLike):
        raise DataError(f"{name}: expected a path, got {type(value).__name__}")
    return Path(value)


def require_a(name: str, value: object, kind: type | UnionType, words: str) -> None:
    """Check that an argument is of a type, which `words` describe; a DataError if it is not."""
    if not isinstance(value, kind):
        raise DataError(f"{name}: expected {words}, got {type(value).__name__}")


def require_known(name: str, values: Iterable[str], known: Collection[str]) -> None:
    """Check that a setting lists only names that there are.

    Raises
    ------
    ConfigError
        If one is not; it names the closest that is.
    """
    for value in values:
        if value not in known:
            raise ConfigError(
                f"{name}: expected some of {', '.join(known)}, got {briefly(value)}"
                f"{did_you_mean(value, known)}"
            )


def require_encoding(name: str, encoding: str) -> None:
    """Check that a setting names an encoding of text.

    Raises
    ------
    ConfigError
        If Python does not know it.
    """
    try:
        "".encode(encoding)
    except (LookupError, UnicodeError, ValueError) as error:
        raise ConfigError(
            f"{name}: expected an encoding such as utf-8, cp1252 or shift_jis, got "
            f"{briefly(encoding)}"
        ) from error


def require_time_format(name: str, form: str) -> None:
    """Check that a setting says how times are written, a date at least.

    Raises
    ------
    ConfigError
        If it is no format of strptime.
    """
    moment = datetime(2024, 5, 31, 23, 59, 58, tzinfo=UTC)
    try:
        has_date = datetime.strptime(moment.strftime(form), form).date() == moment.date()
    except ValueError:
        has_date = False
    if not has_date:
        raise ConfigError(
            f"{name}: expected a format of strptime with a date, such as %m/%d/%Y %H:%M, "
            f"got {briefly(form)}"
        )


def unix_seconds(name: str, moment: str) -> float:
    """Return an ISO 8601 date or time, UTC unless it names a zone, in seconds since 1970.

    Raises
    ------
    ConfigError
        If the setting is not ISO 8601.
    """
    try:
        parsed = datetime.fromisoformat(moment)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{name}: expected an ISO 8601 date or time such as 2024-05-31 or "
            f"2024-05-31T12:00:00Z, got {briefly(moment)}"
        ) from error
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([KMGT]?)B", re.IGNORECASE)


def size_of(name: str, size: str) -> int:
    """Return the bytes of a size such as 2GB.

    Raises
    ------
    ConfigError
        If the setting is no size.
    """
    found = _SIZE.fullmatch(size.strip())
    if found is None:
        raise ConfigError(f"{name}: expected a size such as 2GB or 500MB, got {briefly(size)}")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def _range_in_words(
    least: float | None, above: float | None, below: float | None, at_most: float | None
) -> str:
    """Return a range such as "1 or more", "0 to 1" or "above 0 and at most 1"."""
    if least is not None and at_most is not None:
        return f"{least:g} to {at_most:g}"
    if least is not None and below in (None, inf):
        return f"{least:g} or more"
    is_finite = below == inf
    bounds = (
        ("at least", least),
        ("above", None if above == -inf else above),
        ("below", None if is_finite else below),
        ("at most", at_most),
    )
    words = " and ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)
    return f"a finite number {words}".rstrip() if is_finite else words

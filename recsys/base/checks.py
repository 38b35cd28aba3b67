"""Checks of settings: each range is one line, and its error has one grammar."""

from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from math import inf
from typing import Any

from recsys.base.errors import ConfigError, did_you_mean


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
    if (
        (least is None or value >= least)
        and (above is None or value > above)
        and (below is None or value < below)
        and (at_most is None or value <= at_most)
        and (one_of is None or value in one_of)
    ):
        return
    if expected is None:
        expected = _range_in_words(least, above, below, at_most)
        if one_of is not None:
            expected = f"one of {', '.join(map(str, one_of))}"
    got = repr(value) if one_of is not None else value
    raise ConfigError(f"{name}: expected {expected}, got {got}")


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
                f"{name}: expected some of {', '.join(known)}, got {value!r}"
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
            f"{name}: expected an encoding such as utf-8, cp1252 or shift_jis, got {encoding!r}"
        ) from error


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
            f"2024-05-31T12:00:00Z, got {moment!r}"
        ) from error
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


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

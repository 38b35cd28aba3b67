"""The arguments of a request: read from a query or a JSON body, and held to the limits."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn
from urllib.parse import unquote_to_bytes

from recsys.base.errors import briefly, did_you_mean
from recsys.base.service_settings import ServiceSettings
from recsys.service.problems import ProblemError

_Number = Literal["k", "number", "numbers", "value", "time"]
_Text = Literal["text", "condition", "column", "columns"]
Kind = Literal[_Number, _Text, "flag", "id", "ids", "object", "objects", "events", "boosts", "pins"]

_FLAGS = {"true": True, "1": True, "false": False, "0": False}
_MOST_DIGITS = 18
_OBJECTS = ("objects", "events", "boosts", "pins")
_LISTS = ("ids", "numbers", "columns", *_OBJECTS)


@dataclass(frozen=True)
class Parameter:
    """An argument by its name in Python."""

    name: str
    kind: Kind
    description: str
    choices: tuple[str, ...] = ()
    default: Any = None
    required: bool = False
    in_query: bool = True
    most_characters: int = 0  # of a text; 0 for no limit


Arguments = dict[str, Any]


def in_query(
    query: bytes, parameters: Mapping[str, Parameter], settings: ServiceSettings
) -> Arguments:
    """Return the arguments of a query; lists of ids repeat their name."""
    found: Arguments = {}
    if query:
        for part in query.split(b"&"):
            name, _, raw = part.partition(b"=")
            parameter = parameters.get(text := unescaped(name.replace(b"+", b" "), "a name"))
            if parameter is None or not parameter.in_query:
                raise _unknown(text, parameters)
            value = unescaped(raw.replace(b"+", b" "), text)
            if parameter.kind in ("ids", "numbers", "columns"):
                found.setdefault(text, []).append(value)
            elif text in found:
                raise ProblemError("invalid", f"{text}: expected it once, got it twice")
            else:
                found[text] = _of_text(value, parameter)
    return _checked(found, parameters, settings)


def in_body(
    body: object, parameters: Mapping[str, Parameter], settings: ServiceSettings
) -> Arguments:
    """Return the arguments of an object of JSON; null stands for the default."""
    if not isinstance(body, dict):
        raise ProblemError("invalid", f"the body: expected an object, got {_short(body)}")
    found: Arguments = {}
    for name, value in body.items():
        parameter = parameters.get(name)
        if parameter is None:
            raise _unknown(name, parameters)
        if value is not None:
            found[name] = _of_json(value, parameter)
    return _checked(found, parameters, settings)


def parsed(body: bytes) -> object:
    """Read JSON as RFC 8259 has it: no name twice in an object, no NaN."""
    try:
        return json.loads(
            body.decode(), object_pairs_hook=_without_repeats, parse_constant=_no_constant
        )
    except (ValueError, RecursionError) as error:
        reason = "too many levels" if isinstance(error, RecursionError) else str(error)[:100]
        raise ProblemError(
            "malformed", f"the body: expected JSON in UTF-8, got {reason}"
        ) from error


def unescaped(raw: bytes, name: str) -> str:
    """Return what a part of the path or query says, percent-encoded UTF-8."""
    try:
        return (unquote_to_bytes(raw) if b"%" in raw else raw).decode()
    except UnicodeDecodeError as error:
        raise ProblemError(
            "malformed", f"{name[:40]}: expected percent-encoded UTF-8, got other bytes"
        ) from error


def _of_text(value: str, parameter: Parameter) -> Any:
    kind = parameter.kind
    if kind == "k":
        if not (value.isascii() and value.isdigit() and len(value) <= _MOST_DIGITS):
            raise _misfit(parameter.name, "a whole number", value)
        return int(value)
    if kind == "flag":
        if value not in _FLAGS:
            raise _misfit(parameter.name, "true or false", value)
        return _FLAGS[value]
    if kind == "number":
        try:
            return float(value)
        except ValueError:
            raise _misfit(parameter.name, "a number", value) from None
    return value


def _of_json(value: Any, parameter: Parameter) -> Any:
    name, kind = parameter.name, parameter.kind
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "k":
        if not is_number or value != value // 1:
            raise _misfit(name, "a whole number", value)
        return int(value)  # 10.0 is a whole number of JSON
    if kind in ("number", "value"):
        if not is_number:
            raise _misfit(name, "a number", value)
    elif kind == "flag":
        if not isinstance(value, bool):
            raise _misfit(name, "true or false", value)
    elif kind == "ids":
        _require_list(name, value, (str, int), "texts and whole numbers")
    elif kind == "numbers":
        _require_list(name, value, (int, float), "numbers")
    elif kind == "time":
        if not (is_number or isinstance(value, str)):
            raise _misfit(name, "a number or a text", value)
    elif kind == "columns":
        if not isinstance(value, str):
            _require_list(name, value, (str,), "texts")
    elif kind in _OBJECTS:
        if not isinstance(value, list):
            raise _misfit(name, "a list of objects", value)
    elif kind == "object":
        if not isinstance(value, dict):
            raise _misfit(name, "an object", value)
    elif kind == "id":
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise _misfit(name, "a text or a whole number", value)
    elif not isinstance(value, str):
        raise _misfit(name, "a text", value)
    return value


def _require_list(name: str, value: Any, kinds: tuple[type, ...], words: str) -> None:
    if not isinstance(value, list):
        raise _misfit(name, f"a list of {words}", value)
    for one in value:
        if not isinstance(one, kinds) or isinstance(one, bool):
            raise _misfit(name, f"a list of {words}", one)


def _checked(
    found: Arguments, parameters: Mapping[str, Parameter], settings: ServiceSettings
) -> Arguments:
    """Hold arguments to the limits of the settings."""
    for parameter in parameters.values():
        if parameter.required and parameter.name not in found:
            raise ProblemError("invalid", f"{parameter.name}: expected it, got none")
    for name, value in found.items():
        parameter = parameters[name]
        if parameter.kind == "k" and not 1 <= value <= settings.max_k:
            raise ProblemError(
                "invalid", f"{name}: expected 1 to {settings.max_k:,}, got {value:,}"
            )
        if parameter.kind in _LISTS and len(value) > settings.max_ids:
            raise ProblemError(
                "invalid",
                f"{name}: expected at most {settings.max_ids:,} (service.max_ids), got "
                f"{len(value):,}",
            )
        if parameter.most_characters and len(value) > parameter.most_characters:
            most = f"{name}: expected at most {parameter.most_characters} characters"
            raise ProblemError("invalid", f"{most}, got {len(value):,}")
        if parameter.choices and value not in parameter.choices:
            raise _misfit(name, f"one of {', '.join(parameter.choices)}", value)
        if settings.where_columns is not None:
            _require_allowed(parameter, value, settings.where_columns)
    return found


def _require_allowed(parameter: Parameter, value: Any, columns: Sequence[str]) -> None:
    """Check that an argument names no column of attributes but those that may be asked for."""
    for column in _columns_in(parameter.kind, value):
        if column not in columns:
            raise ProblemError(
                "invalid",
                f"{parameter.name}: expected columns of {', '.join(columns) or 'none'}, got "
                f"{briefly(column)}",
            )


def _columns_in(kind: Kind, value: Any) -> Iterable[str]:
    """Return the columns of attributes that an argument names."""
    if kind == "condition":
        from recsys.serving.conditions import columns_of, parse  # 28 ms, for conditions

        return columns_of(parse(value))
    if kind in ("boosts", "pins"):
        conditions = (one.get("where") for one in value if isinstance(one, dict))
        texts = [one for one in conditions if isinstance(one, str)]
        return {column for text in texts for column in _columns_in("condition", text)}
    if kind == "columns":
        listed = [value] if isinstance(value, str) else value
        return [one.rpartition(":")[0] for one in listed]
    return [value] if kind == "column" else ()


def _unknown(name: str, parameters: Mapping[str, Parameter]) -> ProblemError:
    known = ", ".join(parameters) or "none"
    meant = did_you_mean(name[:60], parameters)
    return ProblemError("invalid", f"expected arguments of {known}, got {briefly(name)}{meant}")


def _misfit(name: str, expected: str, value: object) -> ProblemError:
    return ProblemError("invalid", f"{name}: expected {expected}, got {_short(value)}")


def _short(value: object) -> str:
    text = repr(value) if not isinstance(value, int) or value.bit_length() < 200 else "a long one"
    return text if len(text) <= 60 else f"{text[:60]}..."


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice in one object")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name}, which is no number of JSON")

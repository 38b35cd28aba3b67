"""Finds the layout of a text file from its start: columns, delimiter, header or none."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import Any

from recsys.base.errors import DataError
from recsys.logs.layout import HOW_TO_READ_PYTHON, JSON_END, TextLayout, is_python, split_row
from recsys.logs.records import read_records, rows_in, text_blocks
from recsys.logs.sources import LogFile
from recsys.settings import TextSettings

DELIMITERS = (",", ";", "\t", "|")
SAMPLE_RECORDS = 10_000  # of a JSON lines file, to learn its columns
SAMPLE_ROWS = 100  # of a CSV file, to learn what it is without a header


def find_layout(
    file: LogFile, settings: TextSettings, known: Mapping[str, str], needed: Sequence[str]
) -> TextLayout | None:
    """Learn the layout of a text file from its start; None where it holds no row.

    `known` has our name to the file's name of the columns that are looked for, `needed` those of
    our names that every file has. A DataError where its start cannot be understood.
    """
    if file.path.stat().st_size == 0:
        return None
    if file.format == "jsonl":
        columns = _json_columns(file, settings, list(known.values()))
        _refuse_python(file, settings, columns)
        if columns == () and "user_id" in needed:
            raise DataError(
                f"{file.label}: none of its first lines is a JSON object with a key; expected "
                'one such object a line; where it is CSV: log.format = "csv"'
            )
        found = None if columns is None else TextLayout(columns, None)
    elif file.format == "lists":
        is_empty = next(first_records(file, settings), None) is None
        found = None if is_empty else _lists(known)
    else:
        found = _csv_layout(file, settings, known, needed)
    return found


def _refuse_python(file: LogFile, settings: TextSettings, columns: Sequence[str] | None) -> None:
    """Refuse dictionaries of Python, which are no JSON; a table of items says it by itself."""
    first = "" if columns or file.what != "log" else next(first_records(file, settings), "")
    if is_python(first):
        raise DataError(f"{file.label}: {HOW_TO_READ_PYTHON}")


def _csv_layout(
    file: LogFile, settings: TextSettings, known: Mapping[str, str], needed: Sequence[str]
) -> TextLayout | None:
    rows = list(islice(first_records(file, settings), SAMPLE_ROWS))
    _refuse_netflix(file, rows)
    stated = _STATED.fullmatch(rows[0]) if rows else None
    if stated is not None and settings.delimiter in ("auto", stated[1]):
        found = _layout_of_rows(file, rows[1:], stated[1], settings, known, needed)
        return found and replace(found, is_stated=True)
    return _layout_of_rows(file, rows, settings.delimiter, settings, known, needed)


def _refuse_netflix(file: LogFile, rows: Sequence[str]) -> None:
    """Refuse the form of the Netflix Prize: a line with a movie and a colon, then its ratings."""
    if len(rows) > 1 and _MOVIE.fullmatch(rows[0].strip()) and rows[1].count(",") == 2:
        raise DataError(
            f"{file.label}: it has the form of the Netflix Prize, a line {rows[0].strip()!r} and "
            "then user,rating,date of that movie; make one table of it: "
            '(echo user,movie,rating,date; awk -F, \'/:/ {m=$1; sub(/:.*/, "", m); next} '
            '{print $1","m","$2","$3}\' FILE) > ratings.csv'
        )


def _layout_of_rows(
    file: LogFile,
    rows: Sequence[str],
    delimiter: str,
    settings: TextSettings,
    known: Mapping[str, str],
    needed: Sequence[str],
) -> TextLayout | None:
    if not rows:
        return None
    if "\r" in rows[0]:
        raise DataError(
            f"{file.label}: its lines end in a carriage return alone; expected line feeds; "
            "convert the line ends"
        )
    wanted = {known[name] for name in needed}
    by_number = bool(wanted) and all(map(_PLACE.fullmatch, wanted))  # columns = { user_id = "1" }
    if by_number:
        wanted = set()
    if delimiter == "auto":
        delimiter = _find_delimiter(rows, wanted)
    first = split_row(rows[0], delimiter)
    places = tuple(map(str, range(1, len(first) + 1)))
    has_header = settings.header
    if by_number and has_header == "auto" and not settings.names:
        has_header = tuple(first) == places
    if has_header and not (settings.names or wanted & set(first)):
        _refuse_comment(file, rows[0])
    if has_header == "auto":
        if settings.names:
            has_header = tuple(settings.names) == tuple(first)
        else:
            has_header = bool(wanted & set(first)) or not (
                any(map(_is_data, first)) or _is_like_the_others(first, rows[1:], delimiter)
            )
    if has_header:
        columns = tuple(settings.names or first)
        return TextLayout(columns, delimiter, has_header=True) if len(rows) > 1 else None
    if settings.names:
        return TextLayout(tuple(settings.names), delimiter)
    if settings.header is False or by_number:
        return TextLayout(places, delimiter)
    return _assumed(file, rows, delimiter, known, needed)


def _refuse_comment(file: LogFile, first: str) -> None:
    mark = _COMMENT.match(first)
    if mark is not None:
        raise DataError(
            f"{file.label}: expected names of columns, got a first line that looks like a comment, "
            f"{first[:60]!r}; set {file.key('comment')} = {json.dumps(mark[1])}"
        )


def _find_delimiter(rows: Sequence[str], wanted: set[str]) -> str:
    """Choose the delimiter that finds the names that are wanted, else the most fields.

    Two colons go before it where every row has as many, and rows differ in the other.
    """
    row = rows[0]
    found = {mark: split_row(row, mark) for mark in DELIMITERS}
    best = max(DELIMITERS, key=lambda mark: (len(wanted & set(found[mark])), len(found[mark])))
    if wanted & set(found[best]):
        return best
    n_fields = len(found[best])
    colons, others = ({len(split_row(one, mark)) for one in rows} for mark in ("::", best))
    n_colons = len(split_row(row, "::"))
    if n_colons > 1 and (n_colons >= n_fields or (len(colons) == 1 and len(others) > 1)):
        return "::"
    return " " if n_fields == 1 and len(split_row(row, " ")) > 1 else best


_STATED = re.compile('"?sep=(.)"?', re.IGNORECASE)
_COMMENT = re.compile("(#|//|--|%)")
_MOVIE = re.compile("[0-9]+:")
_ID = re.compile(r"([A-Za-z_-]*?)\d+")  # such as u17
_CODE = re.compile("(?=.*[0-9])[0-9A-Fa-f-]{8,}|(?=.*[0-9])[0-9A-Z]{8,}")
_PLACE = re.compile("[1-9][0-9]*")
_NUMBER = re.compile(r"[-+]?\d+([.,]\d+)?([eE][-+]?\d+)?")
_DATE = re.compile(r"\d{4}[-/]\d\d?[-/]\d\d?(?!\d).*|\d\d?[./]\d\d?[./]\d{4}(?!\d).*")
_TIMES = (1e8, 4.2e9)  # seconds: 1973 to 2103
_LONGEST_EXAMPLE = 80  # characters of names of columns
_LARGEST_VALUE = 1_000  # of a rating or a count in a file that names nothing


def _is_data(field: str) -> bool:
    return bool(_NUMBER.fullmatch(field.strip()) or _DATE.fullmatch(field.strip()))


def _is_like_the_others(first: Sequence[str], rows: Sequence[str], delimiter: str) -> bool:
    """Whether the first row holds ids of the form that all others have in the same column."""
    others = [split_row(row, delimiter) for row in rows]
    columns = zip(*others, strict=False)  # as many as each row has
    return any(_are_alike([name, *own]) for name, own in zip(first, columns, strict=False))


def _are_alike(column: Sequence[str]) -> bool:
    prefixes = [found and found[1] for found in map(_ID.fullmatch, column)]
    if prefixes[0] and len(set(prefixes)) == 1:
        return True
    return all(map(_CODE.fullmatch, column)) and len(set(map(len, column))) == 1


def _assumed(
    file: LogFile,
    rows: Sequence[str],
    delimiter: str,
    known: Mapping[str, str],
    needed: Sequence[str],
) -> TextLayout:
    """Return the only layout that fits a file without a header, or raise a DataError."""
    split = [split_row(row, delimiter) for row in rows]
    lengths = {len(row) for row in split}
    ids_alone = all(_NUMBER.fullmatch(field) for row in split for field in row) or all(
        _ID.fullmatch(field) for row in split for field in row
    )
    is_log = set(needed) == {"user_id", "item_id"}
    if is_log and delimiter == " " and len(lengths) > 1 and ids_alone:
        meaning = 'each line is a user and then the items (log.format = "lists")'
        return _lists(known, assumed=meaning)
    ours = _names_that_fit(list(zip(*split, strict=True))) if len(lengths) == 1 else None
    if not is_log or ours is None:
        second = "title" if file.what == "items" else "item_id"
        first = "item_id" if file.what == "items" else "user_id"
        places = (f"c{n}" for n in range(3, len(split[0]) + 1))
        example = json.dumps([first, second, *places][: len(split[0])])
        names = f"--set '{file.key('names')}={_shortened(example)}'"
        raise DataError(
            f"{file.label}: its first row looks like data, not like names of columns: "
            f"{rows[0][:80]!r}; where the file has no header, set {file.key('names')} to the names "
            f"of its {len(split[0])} columns in their order, as {names} does; "
            f"where it has one, set {file.key('header')} = true"
        )
    names = ", ".join(ours)
    return TextLayout(
        tuple(known.get(name, name) for name in ours),
        delimiter,
        assumed=f"the first row is data, and the columns are {names} (log.names)",
    )


def _shortened(names: str) -> str:
    return names if len(names) <= _LONGEST_EXAMPLE else f"{names[:_LONGEST_EXAMPLE]}...]"


def _names_that_fit(columns: Sequence[Sequence[str]]) -> tuple[str, ...] | None:
    """Return our names of a user, an item, and perhaps a rating and a time, in this order."""
    match [_kind(column) for column in columns]:
        case [_, _]:
            return ("user_id", "item_id")
        case [_, _, "time"]:
            return ("user_id", "item_id", "timestamp")
        case [_, _, "value"]:
            return ("user_id", "item_id", "value")
        case [_, _, "value", "time"]:
            return ("user_id", "item_id", "value", "timestamp")
    return None


def _kind(column: Sequence[str]) -> str:
    if all(_DATE.fullmatch(field) for field in column):
        return "time"
    if not all(_NUMBER.fullmatch(field) for field in column):
        return "text"
    numbers = [float(field.replace(",", ".")) for field in column]
    if all(_TIMES[0] <= number <= _TIMES[1] for number in numbers):
        return "time"
    return "value" if all(abs(number) <= _LARGEST_VALUE for number in numbers) else "number"


def _lists(known: Mapping[str, str], assumed: str | None = None) -> TextLayout:
    columns = (known.get("user_id", "user_id"), known.get("item_id", "item_id"))
    return TextLayout(columns, " ", is_lists=True, assumed=assumed)


def first_records(file: LogFile, settings: TextSettings) -> Iterator[str]:
    """Yield the records that are rows, or the header; those that are not UTF-8 only later on."""
    for number, (batch, row, text) in enumerate(rows_in(read_records(file, settings))):
        if number == 0 and not batch.column(2)[row].as_py():
            raise DataError(
                f"{file.label}: its start is not UTF-8 text; set {file.key('encoding')} to "
                "what it is, such as cp1252"
            )
        yield text


def _json_columns(
    file: LogFile, settings: TextSettings, known: Sequence[str]
) -> tuple[str, ...] | None:
    columns: dict[str, None] = {}
    n_records = 0
    for record in islice(first_records(file, settings), SAMPLE_RECORDS):
        if n_records == 0:
            _refuse_one_document(file, record)
        n_records += 1
        columns.update(dict.fromkeys(_keys(record)))
    if n_records == SAMPLE_RECORDS:
        columns.update(dict.fromkeys(_late_keys(file, settings, set(known) - set(columns))))
    if n_records == 1 and file.what == "log" and not columns.keys() & set(known):
        _refuse_lists_of_objects(file, json.loads(record.rstrip(JSON_END)) if columns else {})
    return tuple(columns) if n_records else None


def _refuse_one_document(file: LogFile, first: str) -> None:
    start = first.strip()
    if start.startswith("[") or start == "{":
        kind = "a JSON array" if start.startswith("[") else "JSON over several lines"
        raise DataError(
            f"{file.label}: it is {kind}; expected one JSON object a line; convert it with "
            "jq -c '.[]' for an array, or jq -c ."
        )
    end = len(start)
    with suppress(ValueError, RecursionError):
        _, end = json.JSONDecoder().raw_decode(start)
    if start[end:].lstrip(JSON_END).startswith("{"):
        raise DataError(
            f"{file.label}: its first line holds several JSON objects; expected one a line; "
            "convert it with jq -c ."
        )


def _refuse_lists_of_objects(file: LogFile, value: Mapping[str, Any]) -> None:
    """Refuse an object with a list of objects that hold lists of objects, such as playlists."""
    for outer, rows in value.items():
        inner = rows[0] if isinstance(rows, list) and rows else None
        for name, own in inner.items() if isinstance(inner, dict) else ():
            if isinstance(own, list) and own and isinstance(own[0], dict):
                flat = f".{outer}[] | (del(.{name}) as $user | .{name}[] | $user + .)"
                raise DataError(
                    f"{file.label}: it is one document, in which {outer!r} is a list of objects, "
                    f"each with its {name!r}; expected one event a line; convert it with "
                    f"jq -c '{flat}' FILE > log.jsonl"
                )


def _keys(record: str) -> Iterable[str]:
    try:
        # Numbers of any length: only the keys are of interest.
        value: Any = json.loads(record.rstrip(JSON_END), parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return ()
    return value if isinstance(value, dict) else ()


def _late_keys(file: LogFile, settings: TextSettings, names: set[str]) -> list[str]:
    """Return those of some keys that a record after the sample has."""
    spelled = {name: json.dumps(name, ensure_ascii=False).encode() for name in names}
    found: list[str] = []
    carry = b""
    for block, is_last in text_blocks(file, settings.encoding):
        data = carry + block
        end = len(data) if is_last else data.rfind(b"\n") + 1
        found += [
            name
            for name in names - set(found)
            if spelled[name] in data and _has_key(data[:end], name, spelled[name])
        ]
        if len(found) == len(names):
            break
        carry = data[end:]
    return found


def _has_key(lines: bytes, name: str, spelled: bytes) -> bool:
    """Whether an object of some lines has a key, not only a value or an inner key."""
    at = lines.find(spelled)
    while at >= 0:
        start, end = lines.rfind(b"\n", 0, at) + 1, lines.find(b"\n", at)
        end = len(lines) if end < 0 else end
        if name in _keys(lines[start:end].decode(errors="replace")):
            return True
        at = lines.find(spelled, end)
    return False

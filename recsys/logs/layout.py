"""The layout of a text file: how its records are taken apart, which lines of it are no rows."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from recsys.base.errors import DataError
from recsys.logs.records import csv_field, csv_record, escaped, may_be_quoted, rows_in
from recsys.logs.row_counts import shortened
from recsys.logs.sources import Span
from recsys.logs.sql import literal, literals

# ruff: noqa: S608 (names and values of others are quoted by recsys.logs.sql)

JSON_END = ", \t\r\n"
"""What may follow an object of JSON lines: some tools leave a comma."""
_FOOTER = re.compile(
    r"\(?[\d,.]+ (rows?|records?|lines?)( affected| selected| returned)?\.?\)?|\x1a|"
    r"((grand|sub)[ -]?)?totals?:?|(total )?(sum|count|rows|records):?|eof|"
    r"(gesamt)?summe:?|gesamt:?|somme:?|totale:?|suma:?|end of (file|report|data)",
    re.IGNORECASE,
)
"""A last line that is no row, or its first field where no more than figures follow."""
_LONGEST_FOOTER = 1_000
_FIGURE = re.compile(r"[-+]?[\d.,' ]*%?")


@dataclass(frozen=True)
class TextLayout:
    """How the records of one text file are taken apart."""

    columns: tuple[str, ...]  # as in the header; of JSON lines the keys
    delimiter: str | None  # of CSV; None for JSON lines
    has_header: bool = False
    is_stated: bool = False  # a first line has the delimiter, as Excel reads it: sep=;
    is_lists: bool = False  # a record is a user and the items
    assumed: str | None = None  # what was assumed of a file that does not say it, as a sentence

    def repeats_a_key(self, names: Sequence[str]) -> str:
        """Return the condition of an object of JSON lines that has one of some keys twice."""
        if self.delimiter is not None:
            return "false"
        keys = (
            f"list_filter(json_keys(rtrim(record, {literal(JSON_END)})), lambda key: key IN ({{}}))"
        )
        known = keys.format(", ".join(map(literal, names)))
        spelled = (json.dumps(name, ensure_ascii=False) for name in names)
        may_be = " OR ".join(f"len(string_split(record, {literal(key)})) > 2" for key in spelled)
        return f"CASE WHEN {may_be} THEN list_unique({known}) < len({known}) ELSE false END"

    def repeats_in_another_order(self, name: str, field: str) -> str:
        """Return the condition of a record that holds the names of all columns in another order.

        `field` is SQL of the column with that name.
        """
        if self.delimiter is None or self.is_lists or not any(len(one) > 2 for one in self.columns):
            return "false"
        names = sorted(one.lower().replace('"', "") for one in self.columns)
        bare = """ltrim(replace(lower(record), '"', ''), chr(65279))"""
        split = f"string_split({bare}, {literal(self.delimiter)})"
        if self.delimiter == " ":
            split = rf"regexp_split_to_array(trim({bare}), '[ \t]+')"
        return (
            f"CASE WHEN lower({field}) IN ({', '.join(map(literal, names))}) "
            f"AND lower({field}) <> {literal(name.lower())} "
            f"THEN list_sort({split}) = {literals(names)} ELSE false END"
        )

    def parsed(self, records: str, names: Iterable[str]) -> str:
        """Return SQL for (record, line, is_utf8, fields, kinds) of the records in a relation.

        `fields` lists the named columns as text, in that order, and is null for a malformed
        record; `kinds` lists their JSON types, all null for CSV.
        """
        chosen, kinds = list(names), "NULL::VARCHAR[]"
        # No WHERE: DuckDB gathers the few rows that one lets pass, however long they are.
        relation = (
            "(SELECT rtrim(record, chr(10) || chr(13)) AS record, line, is_utf8, is_cut "
            f"FROM {records})"
        )
        if self.delimiter is None:
            fields, kinds = self._json_fields(chosen)
        elif self.is_lists:
            fields, relation = self._list_fields(chosen), _one_row_an_item(relation)
        else:
            fields = self._csv_fields(chosen, self.delimiter)
        return (
            f"SELECT record, line, is_utf8, CASE WHEN is_utf8 AND NOT is_cut THEN {fields} END "
            f"AS fields, CASE WHEN is_utf8 THEN {kinds} END AS kinds FROM {relation}"
        )

    def _json_fields(self, names: list[str]) -> tuple[str, str]:
        pointers = literals("/" + name.replace("~", "~0").replace("/", "~1") for name in names)
        value = f"rtrim(record, {literal(JSON_END)})"
        # Nested, not AND: only CASE promises that broken JSON is not parsed further.
        guard = (
            f"CASE WHEN json_valid({value}) THEN CASE WHEN json_type({value}) = 'OBJECT' "
            "THEN {} END END"
        )
        texts = f"json_extract_string({value}, {pointers})"
        return guard.format(texts), guard.format(f"json_type({value}, {pointers})")

    def _csv_fields(self, names: list[str], delimiter: str) -> str:
        mark, n = literal(delimiter), len(self.columns)
        split = f"string_split(record, {mark})"
        if delimiter == " ":
            split = r"regexp_split_to_array(trim(record, ' ' || chr(9)), '[ \t]+')"
        elif may_be_quoted(delimiter):
            field = literal(f"{escaped(delimiter)}({csv_field(delimiter)})")
            whole = literal(csv_record(delimiter))
            # A delimiter in front spares an empty match, which would swallow the next delimiter.
            quoted, escaping = (
                f"CASE WHEN regexp_full_match({text}, {whole}, 's') "
                f"THEN regexp_extract_all({mark} || {text}, {field}, 1) END"
                for text in ("record", _DOUBLED)
            )
            split = (
                f"CASE WHEN contains(record, '\\\"') THEN "
                f"CASE WHEN coalesce(len({quoted}), 0) = {n} THEN {quoted} ELSE {escaping} END "
                f"WHEN contains(record, '\"') THEN {quoted} ELSE {split} END"
            )
        parts = [f"parts[{self.columns.index(name) + 1}]" for name in names]
        if may_be_quoted(delimiter):
            parts = [_unquoted(part) for part in parts]
        fields = ", ".join(parts)
        return (
            f"list_transform([{split}], lambda parts: "
            f"CASE WHEN len(parts) = {n} THEN [{fields}] END)[1]"
        )

    def _list_fields(self, names: list[str]) -> str:
        return (
            "[" + ", ".join(("owner", "listed")[self.columns.index(name)] for name in names) + "]"
        )


_DOUBLED = """replace(record, '\\"', '""')"""
"""A record whose quotes MySQL and others wrote as a backslash and a quote."""


def _unquoted(field: str) -> str:
    inner = f"replace({field}[2:-2], '\"\"', '\"')"
    return f"CASE WHEN {field}[1] = '\"' THEN {inner} ELSE {field} END"


def _one_row_an_item(relation: str) -> str:
    parts = r"regexp_split_to_array(trim(record, ' ' || chr(9)), '[ \t]+')"
    items = "CASE WHEN len(parts) > 1 THEN parts[2:] ELSE [NULL] END"
    return (
        f"(SELECT record, line, is_utf8, is_cut, parts[1] AS owner, unnest({items}) AS listed "
        f"FROM (SELECT *, {parts} AS parts FROM {relation}))"
    )


def split_row(row: str, delimiter: str) -> list[str]:
    """Take one row apart, as `TextLayout.parsed` does."""
    if delimiter == " ":
        return row.split()
    if not may_be_quoted(delimiter):
        return row.split(delimiter)
    if '\\"' in row:
        row = _with_doubled_quotes(row, delimiter)
    fields = re.findall(f"{escaped(delimiter)}({csv_field(delimiter)})", delimiter + row)
    return [field[1:-1].replace('""', '"') if field.startswith('"') else field for field in fields]


def _with_doubled_quotes(row: str, delimiter: str) -> str:
    """Return a row with its quotes as CSV has them, where they make no sense as they are."""
    record, doubled = csv_record(delimiter), row.replace('\\"', '""')
    is_stray = re.search(rf'(^|{escaped(delimiter)})\\"', row)  # a field begins with \"
    if re.fullmatch(record, row, re.DOTALL) and not is_stray:
        return row
    return doubled if re.fullmatch(record, doubled, re.DOTALL) else row


def each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON, by the pairs of its text; a DataError where a key repeats."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise DataError(f"an object has the key {twice!r} twice; write each key once")
    return found


def is_python(text: str) -> bool:
    """Whether a line is a dictionary as Python prints it, with its quotes, and no JSON.

    Examples
    --------
    >>> is_python("{'asin': 'B00', 'price': None}"), is_python('{"asin": "B00"}')
    (True, False)
    """
    return re.match(r"\s*\{\s*u?'[^']*'\s*:", text) is not None


HOW_TO_READ_PYTHON = (
    "it is a dictionary of Python, not JSON; make JSON lines of the file: python3 -c 'import ast, "
    "json, sys; [print(json.dumps(ast.literal_eval(line))) for line in sys.stdin]' "
    "< FILE > FILE.jsonl (gunzip it first where it ends in .gz)"
)
"""What is said of a file whose lines are dictionaries as Python prints them."""


def without_margins(
    batches: Iterator[pa.RecordBatch],
    layout: TextLayout,
    say: Callable[[str], None],
    span: Span | None = None,
) -> Iterator[pa.RecordBatch]:
    """Leave out the lines of a header, and a last one that is a total or the number of rows.

    `say` is given a sentence on the last one. A span has them where it begins or ends the file.
    """
    if span is None or span.first == 0:
        for _ in range(layout.is_stated + layout.has_header):
            batches = _without_first(batches)
    is_end = span is None or span.is_last
    if is_end and layout.delimiter is not None and not layout.is_lists:
        batches = _without_footer(batches, layout.delimiter, say)
    return batches


def _without_first(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch, row, _ in rows_in(batches):
        yield batch.slice(row + 1)
        yield from batches
        return


def _without_footer(
    batches: Iterator[pa.RecordBatch], delimiter: str, say: Callable[[str], None]
) -> Iterator[pa.RecordBatch]:
    held: pa.RecordBatch | None = None
    n_before = 0
    for batch in batches:
        if held is not None:
            yield held
            n_before += held.num_rows
        held = batch if batch.num_rows else None
    if held is None:
        return
    text = held.column(0)[-1].as_py().strip()
    if n_before + held.num_rows > 1 and _is_footer(text, delimiter):
        say(f"line {held.column(1)[-1].as_py()} is a footer and no row, {shortened(text)!r}")
        held = held.slice(0, held.num_rows - 1)
    yield held


def _is_footer(text: str, delimiter: str) -> bool:
    if len(text) > _LONGEST_FOOTER:
        return False
    first, *others = [one.strip() for one in split_row(text, delimiter) if one.strip()] or [""]
    is_total = _FOOTER.fullmatch(first) and all(map(_FIGURE.fullmatch, others))
    return bool(is_total or _FOOTER.fullmatch(text))

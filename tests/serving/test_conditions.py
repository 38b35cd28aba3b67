"""Conditions against DuckDB as the oracle, and what the grammar refuses."""

import math
from contextlib import suppress
from datetime import UTC, date, datetime
from decimal import Decimal

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import DataError
from recsys.serving.conditions import MOST_CHARACTERS, MOST_COMPARISONS, MOST_DEPTH, parse
from recsys.serving.matching import matching_rows

TEXTS = ["", "a", "b", "A", "it's", "50%", "a_b", "été", "\\d", "a\\b", "\na"]
TABLE = pa.table(
    {
        "item_id": list(range(40)),
        "price": pa.array([None if n % 7 == 0 else n - 5 for n in range(40)], pa.int64()),
        "stock": pa.array([n % 5 for n in range(40)], pa.uint8()),
        "weight": pa.array([None if n % 6 == 0 else n / 4 - 2 for n in range(40)], pa.float64()),
        "brand": pa.array([None if n % 5 == 0 else TEXTS[n % len(TEXTS)] for n in range(40)]),
        "genres": pa.array([None if n % 8 == 0 else TEXTS[: n % 4] for n in range(40)]),
        "is_new": pa.array([None if n % 9 == 0 else n % 2 == 0 for n in range(40)]),
        "day": pa.array([None if n % 11 == 0 else date(2024, 1, 1 + n % 28) for n in range(40)]),
        "cost": pa.array([Decimal(n) / 4 for n in range(40)], pa.decimal128(9, 2)),
        "pair": pa.array(
            [None if n % 3 == 0 else [TEXTS[n % 4], TEXTS[n % 5]] for n in range(40)],
            pa.list_(pa.string(), 2),
        ),
    }
)
NUMBERS, COLUMNS = ("price", "stock", "weight", "cost"), TABLE.column_names[1:]


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


numbers = st.one_of(
    st.integers(-8, 40).map(str),
    st.integers(-80, 400).map(lambda n: f"{n / 10}"),
    st.sampled_from(["1e3", "-2.5e-1", "300", "99999999999"]),
)
texts = st.sampled_from(TEXTS).map(quoted)
days = st.integers(1, 28).map(lambda day: f"'2024-01-{day:02}'")
signs = st.sampled_from(["=", "==", "!=", "<>", "<", "<=", ">", ">="])
patterns = st.text(alphabet="ab%_Aé\\", max_size=4).map(quoted)


def joined(*parts) -> st.SearchStrategy[str]:
    as_strategies = [st.just(part) if isinstance(part, str) else part for part in parts]
    return st.tuples(*as_strategies).map(" ".join)


negation = st.sampled_from(["", "not"])
number_columns = st.sampled_from(NUMBERS)


def listed(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(values | st.just("null"), min_size=1, max_size=4).map(", ".join)


comparisons = st.one_of(
    joined(number_columns, signs, numbers),
    joined(numbers, signs, number_columns),
    joined(number_columns, signs, number_columns),
    joined(number_columns, negation, "between", numbers, "and", numbers),
    joined(st.sampled_from(["price", "stock"]), negation, "in (", listed(numbers), ")"),
    joined("brand", signs, texts),
    joined("brand", negation, "in (", listed(texts), ")"),
    joined("brand", negation, st.sampled_from(["like", "ilike"]), patterns),
    joined(texts, negation, "in genres"),
    joined(texts, "in pair"),
    joined(st.sampled_from(COLUMNS), "is", negation, "null"),
    joined("day", signs, days),
    joined("day between", days, "and", days),
    joined("is_new", negation, "in (", listed(st.sampled_from(["true", "false"])), ")"),
    st.sampled_from(["is_new", "is_new = true", "is_new != false", "true", "false", "null"]),
)
conditions = st.recursive(
    comparisons,
    lambda inner: st.one_of(
        joined("(", inner, "and", inner, ")"),
        joined("(", inner, "or", inner, ")"),
        joined("not (", inner, ")"),
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def database():
    connection = duckdb.connect(":memory:")
    connection.register("arrow", TABLE)
    connection.execute("create table items as select * from arrow")
    return connection


@given(condition=conditions)
@settings(max_examples=400, deadline=None)
def test_a_condition_means_what_it_means_in_sql(database, condition: str) -> None:
    expected = database.execute(f"select item_id from items where {condition}").fetchnumpy()
    found = np.flatnonzero(matching_rows(parse(condition), TABLE))
    assert found.tolist() == sorted(expected["item_id"].tolist())


def rows(condition: str, table: pa.Table) -> list[int]:
    return np.flatnonzero(matching_rows(parse(condition), table)).tolist()


def test_integers_are_compared_exactly() -> None:
    large = 2**63 - 1
    unsigned = pa.array([2**64 - 1, 0], pa.uint64())
    table = pa.table({"n": pa.array([large - 1, large], pa.int64()), "u": unsigned})
    assert rows(f"n = {large}", table) == [1]
    assert rows(f"n < {large}", table) == [0]
    assert rows("n < 1e300", table) == [0, 1]
    assert rows("n > -1e300 and n != 1e300", table) == [0, 1]
    assert rows(f"u = {2**64 - 1}", table) == [0]
    assert rows("u > n", table) == [0]


def test_what_is_not_known_fulfils_nothing() -> None:
    table = pa.table({"x": [1.0, math.nan, None], "y": pa.nulls(3)})
    assert rows("x < 5 or not x < 5", table) == [0]
    assert rows("x is null", table) == [1, 2]
    assert rows("y = 1 or y in (1) or y like 'a' or 1 in y or y", table) == []
    assert rows("y is null", table) == [0, 1, 2]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a", "b", None]).dictionary_encode(),
        pa.array(["a", "b", None], pa.string_view()),
        pa.array(["a", "b", None], pa.large_string()),
    ],
)
def test_texts_of_any_type_are_texts(column: pa.Array) -> None:
    assert rows("x = 'b' or x in ('a')", pa.table({"x": column})) == [0, 1]


def test_float_columns_know_their_own_decimals() -> None:
    for kind in (pa.float16(), pa.float32(), pa.float64()):
        column = pa.array(np.array([0.5, 2.0], np.float64).astype(kind.to_pandas_dtype()))
        assert rows("x = 0.5", pa.table({"x": column})) == [0]
    assert rows("x = 0.1", pa.table({"x": pa.array([0.1, 0.2], pa.float32())})) == [0]


def test_decimals_take_any_number() -> None:
    assert rows("cost < 2.555 and cost >= 2.5 and not cost in (2.5, 1e300)", TABLE) == []
    assert rows("cost < 2.755 and cost >= 2.5 and not cost in (2.5, 2.755)", TABLE) == [11]
    assert rows("cost < 1e300 and cost > -1e300", TABLE) == list(range(40))


def test_times_are_utc_unless_they_say_otherwise() -> None:
    moment = datetime(2024, 5, 31, 12, tzinfo=UTC)
    for kind in (pa.timestamp("s"), pa.timestamp("ns", "UTC"), pa.timestamp("ms", "Asia/Tokyo")):
        table = pa.table({"at": pa.array([moment], pa.timestamp("us", "UTC")).cast(kind)})
        assert rows("at = '2024-05-31T12:00:00'", table) == [0]
        assert rows("at = '2024-05-31T14:00:00+02:00'", table) == [0]
        assert rows("at > '2024-06-01'", table) == []


def test_a_moment_may_lie_outside_the_range_of_a_column() -> None:
    at = pa.array([datetime(2024, 1, 1)], pa.timestamp("ns"))
    table = pa.table({"at": at, "zoned": at.cast(pa.timestamp("s", "UTC"))})
    assert rows("at < '9999-12-31' and at > '0001-01-01' and at != '9999-12-31'", table) == [0]
    assert rows("at in ('9999-12-31') or zoned in ('2024-01-01T00:00:00.5')", table) == []
    assert rows("at = zoned and zoned in ('2024-01-01')", table) == [0]


def test_zeros_of_both_signs_are_equal() -> None:
    table = pa.table({"x": [0.0, -0.0, 1.0]})
    assert rows("x in (0)", table) == rows("x in (-0.0)", table) == rows("x = 0", table) == [0, 1]


def test_types_that_cannot_be_compared_are_a_sentence() -> None:
    values = {
        "struct": pa.array([{"x": 1}]),
        "map": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64())),
        "bytes": pa.array([b"a"]),
        "time": pa.array([1], pa.time32("s")),
        "small": pa.array([Decimal("1.5")], pa.decimal32(5, 2)),
    }
    table = pa.table(values)
    for name in ("struct", "map", "bytes", "time"):
        assert rows(f"{name} is null", table) == []
        for condition in (f"{name} = 1", f"{name} in (1)", f"1 in {name}", f"{name} = {name}"):
            with pytest.raises(DataError, match="where"):
                rows(condition, table)
    assert rows("small in (1.5) and small = 1.5", table) == [0]


def test_names_are_exact_before_they_are_alike() -> None:
    table = pa.table({"Price": [1.0], "price": [2.0], "Brand": ["a"], 'od"d name': [3]})
    assert rows("price = 2 and Price = 1 and brand = 'a'", table) == [0]
    assert rows('"od""d name" = 3', table) == [0]
    with pytest.raises(DataError, match="expected one column 'PRICE', got 2: Price, price"):
        rows("PRICE = 2", table)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("", "expected a column, a number or a text in single quotes, got the end"),
        ("price <", "got the end"),
        ("price < 5; drop table items", "got '; drop table items' at char"),
        ("price < (select 5 from items)", "expected a column, a number"),
        ("(select count(*) from range(1000000000000)) > 0", r"got '\*\) from range\(100000'"),
        ("error((select string_agg(brand, ',') from items))", r"got '\(' at character 6"),
        ("length(repeat('x', 2000000000)) > 0", r"got '\(' at character 7"),
        ("price < 5 -- comment", "got '-- comment'"),
        ("1 < price < 5", "expected the end, 'and' or 'or', got '<' at character 11"),
        ("price not 5", "expected 'in', 'between' or 'like'"),
        ("price in ()", "expected a column, a number"),
        ("1 = 1", "expected a column in every comparison"),
        ("prise < 5", r"got the column 'prise'; did you mean 'price'\?; describe"),
        ("price = 'dear'", "price holds int64, which does not fit here: got a text beside it"),
        ("brand = 5", "brand holds"),
        ("brand", "compare it with a value"),
        ("genres = 'a'", r"genres holds list<.*got a text beside it; write 'value' in genres"),
        ("'a' in brand", "brand holds"),
        ("price like 'a%'", "'like' is for columns of text"),
        ("day > 'yesterday'", "expected a date or time such as '2024-05-31' beside day"),
        ("price = brand", "expected columns of one kind"),
        ("price < 1e999999999", "expected a number that float64 can hold"),
        ("price < " + "9" * 5000, "expected a number that float64 can hold"),
        ("brand = '\ud800'", "UTF-8"),
        ("price < 1 or " * MOST_COMPARISONS + "price < 1", "at most 64 comparisons"),
        ("(" * (MOST_DEPTH + 1) + "true" + ")" * (MOST_DEPTH + 1), "at most 32 levels"),
        ("not " * 2000 + "true", "at most 32 levels"),
        (
            f"brand like '{'_' * 257}'",
            "at most 16 patterns of at most 256 characters, got 1 of 257",
        ),
        ("brand like 'a' or " * 17 + "true", "at most 16 patterns"),
        ("day < '9999-12-31T23:59:59-23:59'", "expected a date or time"),
        ("brand = '" + "x" * MOST_CHARACTERS + "'", "at most 16,384 characters"),
    ],
)
def test_what_is_not_of_the_grammar_is_refused(condition: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        rows(condition, TABLE)


@given(st.text(max_size=60) | st.text(alphabet="()'\"=<>,.andornti nul0123 ", max_size=60))
@settings(max_examples=500, deadline=None)
def test_any_text_is_a_condition_or_a_sentence(text: str) -> None:
    with suppress(DataError):
        assert len(matching_rows(parse(text), TABLE)) == len(TABLE)

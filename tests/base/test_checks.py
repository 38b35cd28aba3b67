"""A setting out of range is named, with what was expected and what was found."""

from collections.abc import Callable
from math import inf, nan
from typing import Any

import pyarrow as pa
import pytest

import recsys
from recsys.base.checks import require, size_of
from recsys.base.errors import ConfigError

RANGES: list[tuple[dict[str, Any], list[Any], list[Any], str]] = [
    ({"least": 1}, [1, 2, inf], [0, -inf, nan], "1 or more"),
    ({"least": 0, "below": inf}, [0, 1e300], [-1, inf, nan], "0 or more"),
    ({"above": 0}, [1e-300, inf], [0, -1, nan], "above 0"),
    ({"above": 0, "below": inf}, [1e-300, 1], [0, inf, nan], "a finite number above 0"),
    ({"above": -inf, "below": inf}, [-1e300, 0], [-inf, inf, nan], "a finite number"),
    ({"above": 0, "at_most": 1}, [0.1, 1], [0, 1.1, nan], "above 0 and at most 1"),
    ({"above": 0, "below": 1}, [0.1], [0, 1, nan], "above 0 and below 1"),
    ({"least": 0, "below": 1}, [0, 0.9], [-0.1, 1, nan], "at least 0 and below 1"),
    ({"least": 0, "at_most": 1}, [0, 1], [-0.1, 1.1, nan], "0 to 1"),
    ({"at_most": 0.5}, [-1, 0.5], [0.6, nan], "at most 0.5"),
    ({"above": 0, "below": 1, "expected": "a share"}, [0.5], [2, nan], "a share"),
]


@pytest.mark.parametrize(("bounds", "inside", "outside", "words"), RANGES)
def test_a_number_out_of_range_is_refused(
    bounds: dict[str, Any], inside: list[Any], outside: list[Any], words: str
) -> None:
    for value in inside:
        require("a.b", value, **bounds)
    for value in outside:
        with pytest.raises(ConfigError) as caught:
            require("a.b", value, **bounds)
        assert str(caught.value) == f"a.b: expected {words}, got {value}"


def test_a_name_is_one_of_those_there_are() -> None:
    require("log.format", "csv", one_of=("csv", "parquet"))
    with pytest.raises(ConfigError) as caught:
        require("log.format", "xml", one_of=("csv", "parquet"))
    assert str(caught.value) == "log.format: expected one of csv, parquet, got 'xml'"


api: Any = recsys  # called with types that it does not take


@pytest.mark.parametrize("act", [
    lambda log: api.open(5), lambda log: api.versions(5), lambda log: api.train(log, 5),
    lambda log: api.train(log, items=5),
    lambda log: api.train(log, settings=5),
    lambda log: api.read_log("x", cache="cache"), lambda log: api.write_batch("store", "out"),
    lambda log: api.LogSettings(events=["view"]), lambda log: api.read_config(5),
    lambda log: api.ALS().fit(log.user_items().toarray()),
])  # fmt: skip
def test_what_is_of_another_type_is_an_error_of_ours(act: Callable[[Any], object]) -> None:
    log = recsys.read_log(pa.table({"user_id": [1, 1, 2], "item_id": [1, 2, 2]}))

    with pytest.raises(recsys.DataError, match="expected .*, got (int|str|dict|list|ndarray)"):
        act(log)


@pytest.mark.parametrize(
    ("size", "expected"), [("2GB", 2 * 10**9), ("1.5 mb", 1_500_000), (" 7B ", 7), ("1TB", 10**12)]
)
def test_a_size_is_a_number_of_bytes(size: str, expected: int) -> None:
    assert size_of("log.max_memory", size) == expected


@pytest.mark.parametrize("size", ["2", "lots", "-1GB", "GB", "1XB"])
def test_what_is_no_size_is_refused(size: str) -> None:
    with pytest.raises(ConfigError, match=r"log\.max_memory: expected a size such as 2GB or 500MB"):
        recsys.LogSettings(max_memory=size)

"""A value of a file that does not fit is named by its path, with what was expected."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from recsys.base.annotations import misfit


@dataclass
class Part:
    kind: Literal["a", "b"]
    sizes: tuple[int, ...]
    pair: tuple[int, str] | None = None


@dataclass
class Whole:
    share: float
    parts: Mapping[str, Part]
    rest: Any = None


GOOD = Whole(0.5, {"x": Part("a", (1, 2), (1, "s"))}, object())


@pytest.mark.parametrize(
    ("value", "expected", "fault"),
    [
        (GOOD, Whole, None),
        (Whole(1, {}), Whole, None),
        (Whole(None, {"x": Part("b", [])}), Whole, None),  # JSON has lists, and null for no number
        (Whole(True, {}), Whole, "w.share: expected a number, got True"),
        (Whole("1", {}), Whole, "w.share: expected a number, got '1'"),
        (3, Whole, "w: expected Whole, got 3"),
        (Whole(1, [1]), Whole, "w.parts: expected an object, got [1]"),
        (Whole(1, {3: Part("a", ())}), Whole, "a key of w.parts: expected str, got 3"),
        (
            Whole(1, {"x": Part("c", ())}),
            Whole,
            "w.parts.x.kind: expected one of a, b, got 'c'",
        ),
        (
            Whole(1, {"x": Part("a", (1, 2.5))}),
            Whole,
            "w.parts.x.sizes: expected int, got 2.5",
        ),
        (
            Whole(1, {"x": Part("a", (), (1, "s", 2))}),
            Whole,
            "w.parts.x.pair: expected 2 values, got (1, 's', 2)",
        ),
        ({"a": {"b": "c"}}, Mapping[str, Mapping[str, int]], "w.a.b: expected int, got 'c'"),
        ({"a": {3: 4}}, Mapping[str, Mapping[str, int]], "a key of w.a: expected str, got 3"),
        (True, int, "w: expected int, got True"),
        (True, bool, None),
        (None, int | None, None),
        ("x" * 50, int | None, f"w: expected int, got {'x' * 50!r}"),
        ("x", tuple[int, ...], "w: expected a list, got 'x'"),
    ],
)
def test_what_does_not_fit_is_named(value: Any, expected: Any, fault: str | None) -> None:
    assert misfit(value, expected, "w") == fault

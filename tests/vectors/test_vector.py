"""Vector arithmetic, against plain numbers."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from recsys.errors import DataError
from recsys.vectors import Vector, space_id_of

NUMBERS = st.floats(-1e6, 1e6, width=32, allow_subnormal=False)
TRIPLES = hnp.arrays(np.float64, 3, elements=NUMBERS)


def vector(values, space_id: str = "s") -> Vector:
    return Vector(values, space_id)


@given(TRIPLES, TRIPLES, st.floats(-100, 100))
def test_arithmetic_is_that_of_the_numbers(a, b, factor: float) -> None:
    assert np.array_equal(vector(a) + vector(b), a + b)
    assert np.array_equal(vector(a) - vector(b), a - b)
    assert np.array_equal(-vector(a), -a)
    assert np.array_equal(vector(a) * factor, a * factor)
    assert np.array_equal(factor * vector(a), factor * a)
    assert np.array_equal(vector(a) / 4, a / 4)
    assert vector(a) @ vector(b) == pytest.approx(float(np.sum(a * b)), rel=1e-9, abs=1e-3)
    assert vector(a).norm == pytest.approx(np.sqrt(np.sum(a * a)))


@pytest.mark.parametrize("two", [2, 2.0, np.float32(2), np.int64(2), np.float64(2)])
def test_any_number_scales_from_either_side(two) -> None:
    assert two * vector([1, 2]) == vector([1, 2]) * two == vector([2, 4])
    assert vector([2, 4]) / two == vector([1, 2])


@given(TRIPLES, TRIPLES, st.floats(1e-3, 1e3))
def test_cosine_is_bounded_symmetric_and_blind_to_length(a, b, factor: float) -> None:
    assume(a.any() and b.any())
    cosine = vector(a).cosine(vector(b))
    assert -1 <= cosine <= 1
    assert cosine == vector(b).cosine(vector(a))
    assert (vector(a) * factor).cosine(vector(b)) == pytest.approx(cosine, abs=1e-9)
    assert (-vector(a)).cosine(vector(b)) == -cosine
    assert vector(a).cosine(vector(a)) == pytest.approx(1)


@given(TRIPLES)
def test_a_unit_has_length_1_and_the_same_direction(a) -> None:
    assume(a.any())
    unit = vector(a).unit()
    assert unit.norm == pytest.approx(1)
    np.testing.assert_allclose(unit.values * vector(a).norm, a, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("scale", [1e-40, 1e-30, 1, 1e30, 1e38])
def test_very_short_and_very_long_vectors_have_their_direction(scale: float) -> None:
    assert vector([3 * scale, 0]).cosine(vector([scale, scale])) == pytest.approx(0.5**0.5)


def test_known_angles() -> None:
    east, north_east, west = vector([2, 0]), vector([3, 3]), vector([-1, 0])
    assert east.cosine(north_east) == pytest.approx(np.cos(np.pi / 4))
    assert east.cosine(vector([0, 9])) == 0
    assert east.cosine(west) == -1


def test_the_zero_vector_has_no_direction() -> None:
    zero = vector([1, 2]) - vector([1, 2])
    assert zero.is_zero
    assert zero.norm == zero @ vector([1, 2]) == 0
    for ask in (
        zero.unit,
        lambda: zero.cosine(vector([1, 2])),
        lambda: vector([1, 2]).cosine(zero),
    ):
        with pytest.raises(DataError, match="expected one with a direction, got the zero vector"):
            ask()


OPERATIONS = [
    lambda a, b: a + b,
    lambda a, b: a - b,
    lambda a, b: a @ b,
    lambda a, b: a.cosine(b),
]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_two_spaces_are_not_mixed(operation) -> None:
    with pytest.raises(
        DataError, match="expected one of space 'monday', got one of space 'friday'"
    ):
        operation(vector([1, 2], "monday"), vector([1, 2], "friday"))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_two_dimensions_are_not_mixed(operation) -> None:
    with pytest.raises(DataError, match="expected 2 values, .* got 3"):
        operation(vector([1, 2]), vector([1, 2, 3]))


@pytest.mark.parametrize("operation", OPERATIONS[:3])
@pytest.mark.parametrize("other", [1, np.ones(2), "a"])
def test_a_vector_and_something_else_is_a_type_error(operation, other) -> None:
    """Plain numbers do not say which space they are of."""
    for a, b in ((vector([1, 2]), other), (other, vector([1, 2]))):
        with pytest.raises(TypeError, match="operand|concatenate"):
            operation(a, b)


def test_a_product_of_two_vectors_is_a_type_error() -> None:
    for operation in (lambda a, b: a * b, lambda a, b: a / b):
        with pytest.raises(TypeError, match="unsupported operand"):
            operation(vector([1, 2]), vector([1, 2]))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1, 2]], r"expected one dimension, got the shape \(1, 2\)"),
        (3, r"got the shape \(\)"),
        ([], r"got the shape \(0,\)"),
        ([1, np.nan], "expected finite numbers"),
        ([1, np.inf], "expected finite numbers"),
        ([1e39], "in the range of float32"),
        ([[1], [2, 3]], "expected a list of numbers"),
        (["far"], "expected a list of numbers"),
    ],
)
def test_values_that_are_no_vector(values, message: str) -> None:
    with pytest.raises(DataError, match=message):
        vector(values)


@pytest.mark.parametrize("factor", [np.inf, np.nan, 1e300])
def test_a_product_out_of_range_is_refused(factor: float) -> None:
    with pytest.raises(DataError, match="expected finite numbers"):
        vector([1e30, 0]) * factor
    with pytest.raises(DataError, match="expected finite numbers"):
        vector([1, 0]) / 0


def test_a_vector_keeps_its_own_read_only_numbers() -> None:
    numbers = np.array([1.0, 2.0])
    kept = vector(numbers)
    numbers[0] = 9
    assert kept == vector([1, 2])
    with pytest.raises(ValueError, match="read-only"):
        kept.values[0] = 9
    assert np.asarray(kept, dtype=np.float32).dtype == np.float32
    assert len(kept) == 2


def test_equal_means_equal_numbers_of_one_space() -> None:
    assert vector([1, 2]) == vector([1.0, 2.0])
    assert vector([1, 2]) != vector([1, 3])
    assert vector([1, 2]) != vector([1, 2], "other")
    assert vector([1, 2]) != [1, 2]


def test_a_space_is_named_by_its_items() -> None:
    items = np.arange(6, dtype=np.float32).reshape(3, 2)
    name = space_id_of(items)
    assert name == space_id_of(np.asfortranarray(items))
    assert len(name) == 16
    assert name != space_id_of(items + 1)

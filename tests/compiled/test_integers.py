"""Integers in registers, and heaps, against NumPy and sorting."""

import heapq
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from recsys.compiled.heap import (
    key_of,
    number_of,
    payload_of,
    push,
    replace_least,
    sort_descending,
)
from recsys.compiled.integers import (
    add_products,
    add_products_plainly,
    as_floats,
    bits_of,
    count_bits,
    float_of,
    load_ints,
    lowest_bit,
    same_int,
    which_reach,
)
from recsys.compiled.simd import load, store

finite = st.floats(width=32, allow_nan=False)


@njit
def sums_of_products(items: Any, four: int, start: int, out: Any, plain: Any) -> None:
    lanes = load_ints(items, 0)
    store(out, 0, as_floats(add_products(same_int(start), lanes, four)))
    store(plain, 0, as_floats(add_products_plainly(same_int(start), lanes, four)))


@given(st.integers(0, 2**32 - 1), st.integers(-(2**20), 2**20))
def test_products_of_bytes_are_summed(seed: int, start: int) -> None:
    """By the one instruction where there is one, and by those that every processor has."""
    rng = np.random.default_rng(seed)
    unsigned = rng.integers(0, 256, (16, 4)).astype(np.uint8)
    signed = rng.integers(-128, 128, 4).astype(np.int8)
    out, plain = np.empty(16, np.float32), np.empty(16, np.float32)
    sums_of_products(unsigned.view(np.int32).ravel(), signed.view(np.int32)[0], start, out, plain)
    expected = start + unsigned.astype(np.int64) @ signed.astype(np.int64)
    assert out.tolist() == plain.tolist() == expected.tolist()


@njit
def reached(a: Any, b: Any) -> int:
    return which_reach(load(a, 0), load(b, 0))


@given(st.lists(st.floats(width=32), min_size=32, max_size=32))
def test_bits_tell_which_numbers_reach_others(numbers: list[float]) -> None:
    a, b = np.array(numbers, np.float32).reshape(2, 16)
    assert reached(a, b) == sum(1 << lane for lane in range(16) if a[lane] >= b[lane])


@njit
def places_of_bits(bits: int) -> Any:
    return lowest_bit(bits), count_bits(bits)


@given(st.integers(0, 2**32 - 1))
def test_bits_are_found_and_counted(bits: int) -> None:
    lowest = (bits & -bits).bit_length() - 1 if bits else 32
    assert places_of_bits(np.uint32(bits)) == (lowest, bits.bit_count())


@njit
def there_and_back(number: float) -> Any:
    return bits_of(number), float_of(bits_of(number))


@given(finite)
def test_bits_of_a_number_make_it_again(number: float) -> None:
    bits, again = there_and_back(np.float32(number))
    assert bits == np.float32(number).view(np.int32)
    assert again == np.float32(number)


@njit
def key_and_back(number: float, payload: int) -> Any:
    key = key_of(number, payload)
    return key, number_of(key), payload_of(key)


@given(st.lists(st.tuples(finite, st.integers(0, 2**31 - 1)), min_size=2, max_size=2))
def test_keys_sort_by_number_and_then_by_lower_payload(pairs) -> None:
    keys = []
    for number, payload in pairs:
        key, same_number, same_payload = key_and_back(np.float32(number), payload)
        assert (same_number, same_payload) == (number, payload)
        keys.append(key)
    (a, i), (b, j) = pairs
    assert (keys[0] < keys[1]) == ((a, -i) < (b, -j))


@njit
def largest(values: Any, k: int) -> Any:
    heap = np.empty(k, np.int64)
    n = 0
    for value in values:
        if n < k:
            push(heap, n, value)
            n += 1
        elif value > heap[0]:
            replace_least(heap, n, value)
    sort_descending(heap, n)
    return heap[:n]


@given(st.lists(st.integers(-100, 100)), st.integers(1, 20))
def test_a_heap_keeps_the_largest(values: list[int], k: int) -> None:
    found = largest(np.array(values, np.int64), k)
    assert found.tolist() == heapq.nlargest(k, values)

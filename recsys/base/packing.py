"""Sparse matrices made, turned and looked at by counting, part by part, in memory or mapped.

A matrix is packed by a few ranges of its rows, one after the other: the events of a range are
placed by row in a buffer that memory holds, each row is sorted, and what results is appended to the
matrix. Both steps keep the order of equals, so the events of a pair meet in the order of the log.
Nothing is written at random but the buffer.

Row offsets are int64 where a matrix has 2^31 entries or more; columns stay int32. SciPy would widen
them, so `csr_of` sets the arrays of a matrix as they are.
"""

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.jit import compiled
from recsys.base.mapped import beside, folder_of
from recsys.base.stopping import check_stop
from recsys.base.threads import Threads, ranges_of_equal_work

Rows = NDArray[np.int32]
Offsets = NDArray[np.int64]
Numbers = NDArray[Any]
Merge = Literal["all", "sum", "last", "max", "strongest"]
"""What the entries of one pair become: stay apart, or one; the strongest is the largest in size."""

_MERGES = ("all", "sum", "last", "max", "strongest")
_ENTRIES = 1 << 24  # events of a part; which take 8 or 12 bytes each
_MOST_PARTS = 16
_REGION = 1 << 26  # entries of a mapped matrix that are written at random at a time
_RUN = 16  # entries of a row that are sorted by insertion
_LONG = 2**31  # entries, from which on offsets are int64


class PackedRows(NamedTuple):
    """Some rows of a matrix: entry j of row r is at ``indptr[r - first] + j``."""

    first: int
    indptr: Offsets  # (n + 1,), from 0
    columns: Rows  # ascending within a row; a view that the next part overwrites
    values: Numbers  # likewise


def csr_of(
    data: Numbers, indices: Rows, indptr: NDArray[np.integer], shape: tuple[int, int]
) -> sp.csr_array:
    """Return a matrix of arrays as they are: sorted rows without repeats, which nobody checks."""
    matrix = sp.csr_array(shape, dtype=data.dtype)
    offsets = np.int64 if len(indices) >= _LONG else np.int32
    matrix.data, matrix.indices = data, indices
    matrix.indptr = indptr.astype(offsets, copy=False)
    matrix.has_canonical_format = True
    return matrix


def packed(
    row: Rows, column: Rows, value: Numbers, shape: tuple[int, int], merge: Merge
) -> sp.csr_array:
    """Return the matrix of some entries, beside their values.

    Parameters
    ----------
    row, column : ndarray of int32, shape (n,)
    value : ndarray, shape (n,)
    merge : {"sum", "last", "max", "strongest"}
        What the entries of one pair become. They are added up in their order; of equal sizes the
        last one is the strongest.
    """
    data, indices = beside(value, len(value), value.dtype), beside(value, len(value), np.int32)
    indptr = np.zeros(shape[0] + 1, dtype=np.int64)
    n = 0
    for part in packed_rows(row, column, value, shape, merge):
        end = n + len(part.columns)
        data[n:end], indices[n:end] = part.values, part.columns
        indptr[part.first + 1 : part.first + len(part.indptr)] = n + part.indptr[1:]
        n = end
    if folder_of(data) is None and n < len(data):  # merged ones give their memory back
        data, indices = data[:n].copy(), indices[:n].copy()
    return csr_of(data[:n], indices[:n], indptr, shape)


def packed_rows(
    row: Rows, column: Rows, value: Numbers, shape: tuple[int, int], merge: Merge
) -> Iterator[PackedRows]:
    """Yield the rows of the matrix of some entries, range by range; see `packed`."""
    starts = np.zeros(shape[0] + 1, dtype=np.int64)
    np.cumsum(counts(row, shape[0]), out=starts[1:])
    edges = edges_of(starts, max(_ENTRIES, -(-len(row) // _MOST_PARTS)))
    for first, last in pairwise(edges):
        check_stop()
        indptr = starts[first : last + 1] - starts[first]
        yield _packed_range(row, column, value, (first, last), indptr, merge)


def edges_of(starts: Offsets, most: int) -> list[int]:
    """Return where to cut rows into ranges of so many entries at most, or of one row."""
    edges, n_rows = [0], len(starts) - 1
    while edges[-1] < n_rows:
        end = int(np.searchsorted(starts, starts[edges[-1]] + most, side="right")) - 1
        edges.append(max(end, edges[-1] + 1))
    return edges


def _packed_range(
    row: Rows, column: Rows, value: Numbers, rows: tuple[int, int], indptr: Offsets, merge: Merge
) -> PackedRows:
    n, longest = int(indptr[-1]), int(np.diff(indptr).max(initial=0))
    columns, values = np.empty(n, dtype=np.int32), np.empty(n, dtype=value.dtype)
    place_rows(row, column, value, *rows, indptr[:-1].copy(), columns, values)
    spare = np.empty(longest, dtype=np.int32), np.empty(longest, dtype=value.dtype)
    sort_rows(indptr, columns, values, *spare)
    if merge != "all":
        n = merge_pairs(indptr, columns, values, _MERGES.index(merge))
    return PackedRows(rows[0], indptr, columns[:n], values[:n])


def transposed(matrix: sp.csr_array, pool: Threads) -> sp.csr_array:
    """Return the transpose, rows sorted, beside the matrix.

    Each thread writes the entries of a range of rows, where those of the ranges before it end.
    """
    n_rows, n_columns = matrix.shape
    indptr, indices = offsets_of(matrix), matrix.indices
    ranges = ranges_of_equal_work(indptr, pool.n)
    of_ranges = pool.map(
        lambda rows: counts(indices[indptr[rows[0]] : indptr[rows[1]]], n_columns), ranges
    )
    starts = np.zeros(n_columns + 1, dtype=np.int64)
    np.cumsum(sum(of_ranges), out=starts[1:])
    places = [starts[:-1].copy()]
    for of_range in of_ranges[:-1]:
        places.append(places[-1] + of_range)
    rows = beside(indices, len(indices), np.int32)
    data = beside(indices, len(indices), matrix.data.dtype)
    region = len(indices) if folder_of(indices) is None else _REGION

    def write(part: int, columns: tuple[int, int]) -> None:
        place = places[part]
        turn_columns(indptr, indices, matrix.data, *ranges[part], *columns, place, rows, data)

    for columns in pairwise(edges_of(starts, region)):
        check_stop()
        pool.map(partial(write, columns=columns), range(len(ranges)))
    return csr_of(data, rows, starts, (n_columns, n_rows))


def offsets_of(matrix: sp.csr_array) -> Offsets:
    """Return the row offsets of a matrix as compiled code takes them."""
    offsets: Offsets = matrix.indptr.astype(np.int64, copy=False)
    return offsets


def columns_of(matrix: sp.csr_array) -> NDArray[np.int32]:
    """Return the columns of entries in the one type that loops are compiled for."""
    columns: NDArray[np.int32] = matrix.indices.astype(np.int32, copy=False)
    return columns


def counts(numbers: NDArray[np.integer], n: int) -> Offsets:
    """Return how often each of 0 to n - 1 occurs, without a copy of the numbers."""
    found = np.zeros(n, dtype=np.int64)
    count(numbers, found)
    return found


def row_sums(matrix: sp.csr_array, pool: Threads | None = None) -> NDArray[np.float64]:
    """Return the sum of the sizes of each row, added up in float64 from left to right."""
    sums, indptr = np.zeros(matrix.shape[0]), offsets_of(matrix)

    def add(rows: tuple[int, int]) -> None:
        add_rows(indptr[rows[0] : rows[1] + 1], matrix.data, sums[rows[0] : rows[1]])

    if pool is None:
        add((0, len(sums)))
    else:
        pool.map(add, ranges_of_equal_work(indptr, pool.n))
    return sums


def same_csr(matrix: sp.csr_array) -> sp.csr_array:
    """Return another matrix of the same arrays, whose data may be set."""
    return csr_of(matrix.data, matrix.indices, matrix.indptr, matrix.shape)


def has_pairs(matrix: sp.csr_array, row: Rows, column: Rows) -> NDArray[np.bool_]:
    """Mark the pairs of row and column that a matrix with sorted rows has."""
    found = np.empty(len(row), dtype=np.bool_)
    find_pairs(offsets_of(matrix), matrix.indices, row, column, found)
    return found


def n_common(a: sp.csr_array, b: sp.csr_array) -> tuple[int, int, int]:
    """Return how many entries two matrices with sorted rows share, and the first, or -1 and -1."""
    n, row, column = count_common(offsets_of(a), columns_of(a), offsets_of(b), columns_of(b))
    return int(n), int(row), int(column)


def n_repeats(rows: PackedRows) -> int:
    """Return how many entries repeat another's row, column and value; values of a pair ascend."""
    return int(count_repeats(rows.indptr, rows.columns, rows.values))


@compiled()
def count(numbers: Any, found: Any) -> None:
    """Add up how often each number occurs."""
    for at in range(len(numbers)):
        found[numbers[at]] += 1


@compiled()
def place_rows(
    row: Any, column: Any, value: Any, first: int, last: int, place: Any, columns: Any, values: Any
) -> None:
    """Write the entries of some rows where the matrix has the rows; `place` is where they start."""
    for at in range(len(row)):
        if first <= row[at] < last:
            to = place[row[at] - first]
            place[row[at] - first] = to + 1
            columns[to] = column[at]
            values[to] = value[at]


@compiled()
def sort_rows(indptr: Any, columns: Any, values: Any, left: Any, left_values: Any) -> None:
    """Sort each row by column; equals keep their order. `left` has room for the longest row."""
    for row in range(len(indptr) - 1):
        start, end = indptr[row], indptr[row + 1]
        for low in range(start, end, _RUN):
            insert(columns, values, low, min(low + _RUN, end))
        width = _RUN
        while width < end - start:
            for low in range(start, end - width, 2 * width):
                high = min(low + 2 * width, end)
                merge_runs(columns, values, low, low + width, high, left, left_values)
            width *= 2


@compiled()
def insert(columns: Any, values: Any, low: int, high: int) -> None:
    """Sort a short run by insertion."""
    for at in range(low + 1, high):
        column, value, to = columns[at], values[at], at
        while to > low and columns[to - 1] > column:
            columns[to], values[to] = columns[to - 1], values[to - 1]
            to -= 1
        columns[to], values[to] = column, value


@compiled()
def merge_runs(
    columns: Any, values: Any, low: int, middle: int, high: int, left: Any, left_values: Any
) -> None:
    """Merge two sorted runs that are next to each other."""
    n = middle - low
    for at in range(n):
        left[at], left_values[at] = columns[low + at], values[low + at]
    own, other, to = 0, middle, low
    while own < n:
        if other < high and columns[other] < left[own]:
            columns[to], values[to] = columns[other], values[other]
            other += 1
        else:
            columns[to], values[to] = left[own], left_values[own]
            own += 1
        to += 1


@compiled()
def merge_pairs(indptr: Any, columns: Any, values: Any, merge: int) -> int:
    """Make the entries of each pair one, in place; `merge` is a place in `_MERGES`."""
    n = 0
    start = indptr[0]
    for row in range(len(indptr) - 1):
        end, first = indptr[row + 1], n
        for at in range(start, end):
            column, value = columns[at], values[at]
            if n > first and columns[n - 1] == column:
                if merge == 1:
                    values[n - 1] += value
                elif merge == 4:
                    values[n - 1] = value if abs(value) >= abs(values[n - 1]) else values[n - 1]
                elif merge == 2 or value > values[n - 1]:
                    values[n - 1] = value
            else:
                columns[n], values[n] = column, value
                n += 1
        start = end
        indptr[row + 1] = n
    return n


@compiled()
def turn_columns(
    indptr: Any,
    indices: Any,
    data: Any,
    first_row: int,
    last_row: int,
    first: int,
    last: int,
    place: Any,
    rows: Any,
    turned: Any,
) -> None:
    """Write the entries of some rows and columns where the transpose has them, from `place` on."""
    for row in range(first_row, last_row):
        for at in range(indptr[row], indptr[row + 1]):
            column = indices[at]
            if first <= column < last:
                to = place[column]
                place[column] = to + 1
                rows[to] = row
                turned[to] = data[at]


@compiled()
def add_rows(indptr: Any, data: Any, sums: Any) -> None:
    """Add up each row, dislikes by their sizes."""
    for row in range(len(indptr) - 1):
        total = 0.0
        for at in range(indptr[row], indptr[row + 1]):
            total += abs(data[at])
        sums[row] = total


@compiled()
def find_pairs(indptr: Any, indices: Any, row: Any, column: Any, found: Any) -> None:
    """Mark the pairs that a matrix has, by halving its rows."""
    for at in range(len(row)):
        low, end = indptr[row[at]], indptr[row[at] + 1]
        high = end
        while low < high:
            middle = (low + high) // 2
            if indices[middle] < column[at]:
                low = middle + 1
            else:
                high = middle
        found[at] = low < end and indices[low] == column[at]


@compiled()
def count_common(a_ptr: Any, a: Any, b_ptr: Any, b: Any) -> tuple[int, int, int]:
    """Count the entries that two matrices share, and return the first."""
    n, first_row, first_column = 0, -1, -1
    for row in range(len(a_ptr) - 1):
        at, other = a_ptr[row], b_ptr[row]
        while at < a_ptr[row + 1] and other < b_ptr[row + 1]:
            if a[at] < b[other]:
                at += 1
            elif b[other] < a[at]:
                other += 1
            else:
                if n == 0:
                    first_row, first_column = row, a[at]
                n += 1
                at += 1
                other += 1
    return n, first_row, first_column


@compiled()
def count_repeats(indptr: Any, columns: Any, values: Any) -> int:
    """Count the entries that are the same as the one before in their row."""
    n = 0
    for row in range(len(indptr) - 1):
        for at in range(indptr[row] + 1, indptr[row + 1]):
            n += columns[at] == columns[at - 1] and values[at] == values[at - 1]
    return n

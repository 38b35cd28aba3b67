"""Sparse matrices on a card: brought there, transposed there, or taken in parts."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
import scipy.sparse as sp

from recsys.cuda.backend import Array, Backend

BYTES_PER_PAIR = 8  # of a column and a weight
_SORT_BYTES = 32  # of a pair that is transposed: its row, its place in order, and what sorts
_MOST_PAIRS = 2**30  # of a part, whose starts are int32


@dataclass(frozen=True, eq=False)
class Rows:
    """Some rows of a matrix, in the arrays of a backend."""

    first: int  # among the rows of the whole
    indptr: Array  # int32 (n + 1,), from 0
    columns: Array  # int32 (nnz,)
    weights: Array  # float32 (nnz,)

    def __len__(self) -> int:
        return len(self.indptr) - 1


class RowParts:
    """The rows of a matrix, in one part or several.

    A matrix that a backend holds is one part; the parts of another are brought there each time
    that the rows are gone through.
    """

    def __init__(self, parts: Callable[[], Iterable[Rows]], *, are_held: bool) -> None:
        self._parts, self.are_held = parts, are_held

    @classmethod
    def held(cls, rows: Rows) -> Self:
        """Return the whole of a matrix that a backend holds."""
        return cls(lambda: [rows], are_held=True)

    @classmethod
    def of(cls, backend: Backend, matrix: sp.csr_array, most_bytes: int) -> Self:
        """Return parts of at most so many bytes of pairs; a row is in one part."""
        edges = part_edges(matrix, min(most_bytes // BYTES_PER_PAIR, _MOST_PAIRS))
        return cls(
            lambda: (rows_of(backend, matrix, *ends) for ends in pairwise(edges)), are_held=False
        )

    def __iter__(self) -> Iterator[Rows]:
        return iter(self._parts())


def part_edges(matrix: sp.csr_array, most_pairs: int) -> list[int]:
    """Return where parts of at most so many pairs begin, and the end; a part has a row at least."""
    indptr = matrix.indptr
    edges = [0]
    while edges[-1] < matrix.shape[0]:
        first = edges[-1]
        last = int(np.searchsorted(indptr, indptr[first] + most_pairs, side="right")) - 1
        edges.append(min(max(last, first + 1), matrix.shape[0]))
    return edges


def rows_of(backend: Backend, matrix: sp.csr_array, first: int, last: int) -> Rows:
    """Bring rows first..last-1 to the arrays of a backend."""
    xp, own = backend.xp, slice(matrix.indptr[first], matrix.indptr[last])
    indptr = matrix.indptr[first : last + 1] - matrix.indptr[first]
    return Rows(
        first,
        xp.asarray(indptr.astype(np.int32, copy=False)),
        xp.asarray(matrix.indices[own].astype(np.int32, copy=False)),
        xp.asarray(matrix.data[own].astype(np.float32, copy=False)),
    )


def fits(backend: Backend, matrix: sp.csr_array, beside_bytes: int) -> bool:
    """Tell whether a backend has room for a matrix, its transpose, and some bytes more."""
    needed = matrix.nnz * (2 * BYTES_PER_PAIR + _SORT_BYTES)
    return bool(matrix.nnz <= _MOST_PAIRS and needed + beside_bytes <= backend.free_bytes)


def transposed(backend: Backend, rows: Rows, n_columns: int) -> Rows:
    """Return the transpose of a whole matrix, its columns ascending."""
    xp = backend.xp
    order = xp.argsort(rows.columns, kind="stable")
    pairs = xp.arange(len(rows.columns), dtype=np.int32)
    row_of = xp.searchsorted(rows.indptr[1:], pairs, side="right").astype(np.int32)
    starts = xp.zeros(n_columns + 1, dtype=np.int64)
    starts[1:] = xp.cumsum(xp.bincount(rows.columns, minlength=n_columns))
    return Rows(0, starts.astype(np.int32), row_of[order], rows.weights[order])


def row_sums(backend: Backend, rows: Rows) -> Array:
    """Return the sum of the weights of each row, float64 (n,)."""
    xp = backend.xp
    up_to = xp.zeros(len(rows.weights) + 1, dtype=np.float64)
    up_to[1:] = xp.cumsum(rows.weights, dtype=np.float64)
    return up_to[rows.indptr[1:]] - up_to[rows.indptr[:-1]]

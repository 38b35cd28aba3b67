"""Sparse matrices as callers hand them over: whether they are clean, or point beyond themselves."""

from copy import copy
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import DTypeLike

from recsys.base.errors import DataError
from recsys.base.jit import compiled
from recsys.base.packing import offsets_of


def is_clean(matrix: object, *, signed: bool = False) -> bool:
    """Return whether something is a csr_array of float32 and int32, as compiled loops take it.

    Rows are sorted and without repeats, and all data finite and above 0; `signed`, or below it.
    """
    return (
        isinstance(matrix, sp.csr_array)
        and (matrix.ndim, matrix.dtype, matrix.indices.dtype) == (2, np.float32, np.int32)
        and len(matrix.indptr) == matrix.shape[0] + 1
        and bool(
            rows_are_clean(offsets_of(matrix), matrix.indices, matrix.data, matrix.shape[1], signed)
        )
    )


def as_csr(
    matrix: Any, name: str, dtype: DTypeLike | None = None, *, copied: bool = False
) -> sp.csr_array:
    """Return a matrix as csr_array; a DataError if its arrays point beyond its shape.

    Compiled loops, SciPy's among them, follow such arrays into foreign memory.
    """
    try:
        if getattr(matrix, "format", None) == "coo":  # which SciPy checks as it makes one
            matrix = sp.coo_array((matrix.data, matrix.coords), shape=matrix.shape)
        _require_format(matrix)
        found = sp.csr_array(matrix, dtype=dtype, copy=copied)
        _require_format(found)
    except ValueError as error:
        raise DataError(
            f"{name}: expected a matrix whose entries lie within its shape {matrix.shape}, got one "
            f"of which SciPy says: {error}; make it anew"
        ) from None
    return found


def _require_format(matrix: Any) -> None:
    """Raise a ValueError if a matrix with offsets, or its offsets, are not well made."""
    if not hasattr(matrix, "check_format"):
        return
    if (np.diff(matrix.indptr) < 0).any():  # SciPy does not look where the last one is not above 0
        raise ValueError("indptr must be a non-decreasing sequence")
    copy(matrix).check_format()  # of a copy, as it may set the arrays


@compiled()
def rows_are_clean(indptr: Any, indices: Any, data: Any, n_columns: int, signed: bool) -> bool:
    """Return whether rows are sorted and without repeats, and all data finite and above 0.

    `signed`: or below 0. Nothing points beyond the matrix.
    """
    if indptr[0] != 0 or not indptr[-1] == len(indices) == len(data):
        return False
    for row in range(len(indptr) - 1):
        before, end = -1, indptr[row + 1]
        if end < indptr[row] or end > len(indices):
            return False
        for at in range(indptr[row], end):
            size = abs(data[at]) if signed else data[at]
            if indices[at] <= before or not 0 < size < np.inf:
                return False
            before = indices[at]
        if before >= n_columns:
            return False
    return True

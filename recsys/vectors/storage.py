"""Embeddings in fewer bytes: float32, float16 or int8, and back to float32.

A stored matrix is ``values * scale``. The scale is one number for the whole matrix (floats) or one
for each row (int8), so that dot products with a stored row can be computed from its values and
multiplied once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

from recsys.base.errors import ConfigError, DivergedError, briefly, did_you_mean
from recsys.vectors.embeddings import FloatMatrix

Storage = Literal["float32", "float16", "int8"]
STORAGES: tuple[Storage, ...] = get_args(Storage)

_LARGEST_INT8 = 127  # -128 stays unused: the values of a vector and of its negative are the same
_LARGEST_EXPONENT = 15  # float16 ends just below 2^16
_SMALLEST_SCALE = np.finfo(np.float32).tiny  # below, float32 loses digits of the scale itself


@dataclass(frozen=True, eq=False)
class StoredMatrix(NDArrayOperatorsMixin):
    """A matrix of vectors in its stored form.

    With a scale for each row it stands in for the matrix: rows are decoded when they are taken,
    and all of it by whatever else an array can do, such as ``matrix @ vector`` or ``matrix.T``.

    Parameters
    ----------
    values : ndarray of float32, float16 or int8, shape (n_rows, factors)
    scale : ndarray of float32, shape (n_rows, 1) for int8, (1, 1) for floats
        The factor of the values.
    """

    values: NDArray[np.float32] | NDArray[np.float16] | NDArray[np.int8]
    scale: FloatMatrix

    def __len__(self) -> int:
        return len(self.values)

    @property
    def shape(self) -> tuple[int, ...]:
        """Numbers of rows and of factors."""
        return self.values.shape

    def __getitem__(self, rows: Any) -> FloatMatrix:
        return StoredMatrix(self.values[rows], self.scale[rows]).decode()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self.decode().astype(dtype or np.float32, copy=False)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        decoded = [one.decode() if isinstance(one, StoredMatrix) else one for one in inputs]
        return getattr(ufunc, method)(*decoded, **options)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name in ("values", "scale"):  # while it is unpickled
            raise AttributeError(name)
        return getattr(self.decode(), name)

    def any(self, axis: int) -> NDArray[np.bool_]:
        """Return whether rows hold other numbers than zeros."""
        return np.asarray(self.values.any(axis=axis))

    @property
    def n_bytes(self) -> int:
        """Bytes of the values, and of the scales where each row has its own."""
        has_own_scales = self.values.dtype == np.int8
        return self.values.nbytes + (self.scale.nbytes if has_own_scales else 0)

    def decode(self) -> FloatMatrix:
        """Return the vectors in float32, shape (n_rows, factors): the values, if they are that."""
        if self.values.dtype == np.float32 and (self.scale == 1).all():
            return cast(FloatMatrix, self.values)
        decoded: FloatMatrix = self.values.astype(np.float32)
        decoded *= self.scale
        return decoded


def encode(matrix: FloatMatrix, storage: Storage) -> StoredMatrix:
    r"""Store a matrix of vectors in the named format.

    With m the largest magnitude of the whole matrix, and :math:`m_r` of row r, a number x comes
    back as :math:`\hat x` with

    - float32: :math:`\hat x = x`;
    - float16: :math:`|\hat x - x| \le 2^{-11} |x| + 2^{-25} s`, where the scale s is the smallest
      power of two, 1 or larger, with :math:`m / s < 2^{15}`;
    - int8: :math:`|\hat x - x| \le m_r / 254`, half of the scale :math:`m_r / 127`.

    One int8 scale for each row costs 4 bytes a vector. One for each column would cost nothing and
    loses more, as its steps are as wide as the longest vector needs: on Gowalla the error of a
    score was 3.2, 2.3 and 5.8 times as large (ALS of 32 and 128 factors, SVD of 128).

    Parameters
    ----------
    matrix : ndarray of float32, shape (n_rows, factors)
    storage : {"float32", "float16", "int8"}

    Raises
    ------
    ConfigError
        If there is no such storage.
    DivergedError
        If a number is not finite.

    Examples
    --------
    >>> stored = encode(np.array([[1.0, 0.4], [0.0, -4.0]], dtype=np.float32), "int8")
    >>> stored.values
    array([[ 127,   51],
           [   0, -127]], dtype=int8)
    >>> stored.n_bytes
    12
    >>> stored.decode().round(2)
    array([[ 1. ,  0.4],
           [ 0. , -4. ]], dtype=float32)
    """
    if storage not in _ENCODERS:
        raise ConfigError(
            f"storage: expected one of {', '.join(STORAGES)}, got {briefly(storage)}"
            f"{did_you_mean(str(storage), STORAGES)}"
        )
    if not np.isfinite(matrix).all():
        raise DivergedError("storage: expected finite vectors, got numbers that are not finite")
    return _ENCODERS[storage](matrix)


def _as_float32(matrix: FloatMatrix) -> StoredMatrix:
    return StoredMatrix(matrix, np.ones((1, 1), dtype=np.float32))


def _as_float16(matrix: FloatMatrix) -> StoredMatrix:
    _, exponent = np.frexp(np.abs(matrix).max(initial=0))  # a magnitude is below 2^exponent
    scale = np.float32(2.0 ** max(int(exponent) - _LARGEST_EXPONENT, 0))
    return StoredMatrix((matrix / scale).astype(np.float16), np.full((1, 1), scale))


def _as_int8(matrix: FloatMatrix) -> StoredMatrix:
    largest = np.abs(matrix).max(axis=1, keepdims=True, initial=0)
    scale = np.maximum(largest / np.float32(_LARGEST_INT8), _SMALLEST_SCALE)
    return StoredMatrix(np.rint(matrix / scale).astype(np.int8), scale)


_ENCODERS: Mapping[Storage, Callable[[FloatMatrix], StoredMatrix]] = {
    "float32": _as_float32,
    "float16": _as_float16,
    "int8": _as_int8,
}

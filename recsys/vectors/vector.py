"""One vector of a space, and the arithmetic that keeps spaces apart."""

import hashlib
from numbers import Real
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recsys.base.errors import DataError
from recsys.vectors.embeddings import FloatMatrix

Float = TypeVar("Float", bound=np.floating)

_LARGEST = float(np.finfo(np.float32).max)


def space_id_of(items: FloatMatrix) -> str:
    """Return the id of a new space: a hash of its item embeddings.

    Parameters
    ----------
    items : ndarray of float32, shape (n_items, factors)

    Returns
    -------
    str
        16 hexadecimal digits; the same for equal matrices.
    """
    return hashlib.sha256(np.ascontiguousarray(items).data).hexdigest()[:16]


def unit_rows(matrix: NDArray[Float]) -> NDArray[Float]:
    """Return every row of a finite matrix at length 1, and rows of zeros as they are.

    Parameters
    ----------
    matrix : ndarray of float, shape (n, factors)

    Returns
    -------
    ndarray of the same shape and dtype
    """
    # By the largest entry first, so that no square overflows float32 or rounds to 0.
    largest = np.abs(matrix).max(axis=1, keepdims=True, initial=0)  # (n, 1)
    largest[largest == 0] = 1
    units: NDArray[Float] = np.divide(matrix, largest)
    norms = np.sqrt(np.einsum("ij,ij->i", units, units))  # 1 or more, or 0
    norms[norms == 0] = 1
    units /= norms[:, None]
    return units


def norms_of(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the norm of each row, exact where its square leaves the range of float32."""
    norms: NDArray[np.float64] = np.sqrt(
        np.einsum("if,if->i", vectors, vectors, dtype=np.float64, casting="safe")
    )
    return norms


class Vector:
    """A point of a space of embeddings: of a user, of an item, or made of several.

    Vectors of one space can be added, subtracted and scaled; ``a @ b`` is their dot product. Two
    trainings have unrelated coordinates, so arithmetic on vectors of two spaces is an error.

    Parameters
    ----------
    values : array_like, shape (factors,)
        Finite and within the range of float32. Kept as float64, in which sums of embeddings
        round little, and read-only; ``numpy.asarray(vector)`` returns them.
    space_id : str
        Of the space of these coordinates.

    Raises
    ------
    DataError
        If the values are no such vector. Arithmetic raises it for vectors of two spaces or two
        dimensions, and for a result outside the range of float32.

    Examples
    --------
    >>> a, b = Vector([3, 4], "s"), Vector([0, 2], "s")
    >>> a - b / 2
    Vector([3.0, 3.0], space 's')
    >>> a @ b, a.norm, round(a.cosine(b), 6)
    (8.0, 5.0, 0.8)
    >>> a.unit()
    Vector([0.6, 0.8], space 's')
    """

    # So NumPy calls the methods below for `array * vector` and `np.float32(2) * vector`.
    __array_ufunc__ = None
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, values: ArrayLike, space_id: str) -> None:
        self.values = _checked_values(values)
        self.space_id = space_id

    def __repr__(self) -> str:
        shown = [float(f"{value:.4g}") for value in self.values[:4]]
        more = ", ..." if len(self) > len(shown) else ""
        return f"Vector([{', '.join(map(str, shown))}{more}], space {self.space_id!r})"

    def __len__(self) -> int:
        return len(self.values)

    def __array__(
        self, dtype: np.dtype[Any] | None = None, copy: bool | None = None
    ) -> NDArray[Any]:
        return np.array(self.values, dtype=dtype, copy=copy)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Vector)
            and self.space_id == other.space_id
            and np.array_equal(self.values, other.values)
        )

    def __add__(self, other: "Vector") -> "Vector":
        if not isinstance(other, Vector):
            return NotImplemented
        return Vector(self.values + self._values_of(other), self.space_id)

    def __sub__(self, other: "Vector") -> "Vector":
        if not isinstance(other, Vector):
            return NotImplemented
        return Vector(self.values - self._values_of(other), self.space_id)

    def __neg__(self) -> "Vector":
        return Vector(-self.values, self.space_id)

    def __mul__(self, factor: float) -> "Vector":
        if not isinstance(factor, Real):
            return NotImplemented
        with np.errstate(all="ignore"):  # the check of the result raises an error
            return Vector(self.values * float(factor), self.space_id)

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> "Vector":
        if not isinstance(divisor, Real):
            return NotImplemented
        with np.errstate(all="ignore"):
            return Vector(self.values / float(divisor), self.space_id)

    def __matmul__(self, other: "Vector") -> float:
        if not isinstance(other, Vector):
            return NotImplemented
        return float(self.values @ self._values_of(other))

    @property
    def is_zero(self) -> bool:
        """Whether all values are 0: such a vector has no direction."""
        return not self.values.any()

    @property
    def norm(self) -> float:
        """The length of the vector."""
        return float(np.linalg.norm(self.values))

    def unit(self) -> "Vector":
        """Return the vector of length 1 in the same direction.

        Raises
        ------
        DataError
            If the vector is zero, which has no direction.
        """
        if self.is_zero:
            raise DataError(
                "vector: expected one with a direction, got the zero vector; nothing is known "
                "of what it stands for, so leave it out"
            )
        # Not `unit_rows`: BLAS rounds the length of a single vector differently, and stored
        # directions keep their bits.
        scaled = self.values / np.abs(self.values).max()  # so that no square is rounded to 0
        return Vector(scaled / np.linalg.norm(scaled), self.space_id)

    def cosine(self, other: "Vector") -> float:
        """Return the cosine of the angle to another vector, from -1 to 1.

        Raises
        ------
        DataError
            If one of the two is zero, or they are not of one space.
        """
        return float(np.clip(self.unit() @ other.unit(), -1.0, 1.0))

    def _values_of(self, other: "Vector") -> NDArray[np.float64]:
        require_same_space(other, self.space_id, len(self))
        return other.values


def require_same_space(vector: Vector, space_id: str, factors: int) -> None:
    """Raise a DataError for a vector that is not of a space, or not of its dimension."""
    if vector.space_id != space_id:
        raise DataError(
            f"vector: expected one of space {space_id!r}, got one of space {vector.space_id!r}; "
            "two spaces share no coordinates, so take both vectors from one version"
        )
    if len(vector) != factors:
        raise DataError(
            f"vector: expected {factors} values, as the others of space {space_id!r} have, "
            f"got {len(vector)}"
        )


def _checked_values(values: ArrayLike) -> NDArray[np.float64]:
    try:
        checked = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"vector: expected a list of numbers, got {error}") from error
    if checked.ndim != 1 or len(checked) == 0:
        raise DataError(f"vector: expected one dimension, got the shape {checked.shape}")
    if not (np.abs(checked) <= _LARGEST).all():
        raise DataError("vector: expected finite numbers in the range of float32, got others")
    checked.flags.writeable = False
    return checked

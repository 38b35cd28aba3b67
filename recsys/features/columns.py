"""One column of a table of attributes as numbers: what all kinds share, numbers and vectors.

A row of a column has about length 1, whatever its kind, so that columns count alike: categories are
1, k entries of a list ``k ** -0.5`` each, words are scaled to length 1, quantiles lie between two
knots. Where a value is missing, the row has its own column.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, Self, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.errors import DataError

FeatureKind = Literal["category", "list", "text", "number", "quantiles", "vector"]
FEATURE_KINDS: tuple[FeatureKind, ...] = get_args(FeatureKind)

MISSING = "?"  # the name of the column of what is missing
_KNOTS = 9  # of quantiles: the ends, and what cuts the values into eighths
_FARTHEST = 4.0  # standard deviations from the mean


class ColumnEncoder(Protocol):
    """What was learned of a column, which encodes it in a later table in the same way."""

    kind: ClassVar[str]

    @property
    def names(self) -> tuple[str, ...]:
        """What each number stands for, within the column."""

    def encode(self, values: pa.Array) -> sp.csr_array:
        """Return float32 (n, n_names)."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain types that JSON can hold."""


@dataclass(frozen=True)
class Number:
    """A number in standard deviations from its mean, at most 4."""

    kind: ClassVar[str] = "number"

    mean: float
    deviation: float
    has_missing: bool = False

    @classmethod
    def learn(cls, values: pa.Array, min_count: int) -> Self:
        """Learn mean and deviation of a column."""
        found, is_there = _numbers(values)
        known = found[is_there]
        mean = float(known.mean()) if len(known) else 0.0
        deviation = float(known.std()) if len(known) else 0.0
        return cls(mean, deviation or 1.0, int((~is_there).sum()) >= min_count)

    @property
    def names(self) -> tuple[str, ...]:
        """The number, which has no name of its own, and what is missing."""
        return ("", *((MISSING,) if self.has_missing else ()))

    def encode(self, values: pa.Array) -> sp.csr_array:
        """Return the distance from the mean; 0 where there is no value."""
        found, is_there = _numbers(values)
        scaled = np.clip((found - self.mean) / self.deviation, -_FARTHEST, _FARTHEST)
        return _with_missing(np.where(is_there, scaled, 0)[:, None], is_there, self.has_missing)

    def to_dict(self) -> dict[str, Any]:
        """Return plain types that JSON can hold."""
        return {
            "kind": self.kind,
            "mean": self.mean,
            "deviation": self.deviation,
            "has_missing": self.has_missing,
        }


@dataclass(frozen=True)
class Quantiles:
    """A number between the two knots around it, as shares of them that add to 1.

    What is linear in the shares is piecewise linear in the number: any smooth effect, and the scale
    of the number does not count.

    Parameters
    ----------
    knots : tuple of float
        Ascending: quantiles of the values that were learned from.
    """

    kind: ClassVar[str] = "quantiles"

    knots: tuple[float, ...]
    has_missing: bool = False

    @classmethod
    def learn(cls, values: pa.Array, min_count: int) -> Self:
        """Learn the knots of a column."""
        found, is_there = _numbers(values)
        known = found[is_there] if is_there.any() else np.zeros(1)
        knots = np.unique(np.quantile(known, np.linspace(0, 1, _KNOTS)))
        return cls(tuple(knots.tolist()), int((~is_there).sum()) >= min_count)

    @property
    def names(self) -> tuple[str, ...]:
        """The knots, and what is missing."""
        return (*(f"{one:g}" for one in self.knots), *((MISSING,) if self.has_missing else ()))

    def encode(self, values: pa.Array) -> sp.csr_array:
        """Return the shares of two knots, beyond the ends 1 of the last; 0 without a value."""
        found, is_there = _numbers(values)
        place = np.interp(found, self.knots, np.arange(len(self.knots)))
        shares = np.maximum(1 - np.abs(place[:, None] - np.arange(len(self.knots))), 0)
        return _with_missing(shares * is_there[:, None], is_there, self.has_missing)

    def to_dict(self) -> dict[str, Any]:
        """Return plain types that JSON can hold."""
        return {"kind": self.kind, "knots": list(self.knots), "has_missing": self.has_missing}


@dataclass(frozen=True)
class Vector:
    """A vector of another model, as it is but for one scale, which makes its mean length 1."""

    kind: ClassVar[str] = "vector"

    width: int
    scale: float
    has_missing: bool = False

    @classmethod
    def learn(cls, values: pa.Array, min_count: int) -> Self:
        """Learn the width and the scale of a column."""
        rows, is_there = _vectors(values, None)
        lengths = np.linalg.norm(rows[is_there], axis=1)
        mean = float(lengths.mean()) if len(lengths) else 0.0
        return cls(rows.shape[1], 1 / (mean or 1.0), int((~is_there).sum()) >= min_count)

    @property
    def names(self) -> tuple[str, ...]:
        """The numbers of the entries, and what is missing."""
        return (*map(str, range(self.width)), *((MISSING,) if self.has_missing else ()))

    def encode(self, values: pa.Array) -> sp.csr_array:
        """Return the vectors at that scale; 0 where there is none."""
        rows, is_there = _vectors(values, self.width)
        return _with_missing(rows * self.scale, is_there, self.has_missing)

    def to_dict(self) -> dict[str, Any]:
        """Return plain types that JSON can hold."""
        return {
            "kind": self.kind,
            "width": self.width,
            "scale": self.scale,
            "has_missing": self.has_missing,
        }


def as_array(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """Return a column as one array, its dictionary unpacked."""
    found = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(found, pa.ChunkedArray):  # what has several chunks still
        found = pa.concat_arrays(found.chunks)
    if pa.types.is_dictionary(found.type):
        found = found.cast(found.type.value_type)
    return found


def is_list(type_: pa.DataType) -> bool:
    """Tell whether a column holds lists of any kind."""
    kinds = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(is_of(type_) for is_of in kinds)


def _numbers(values: pa.Array) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the numbers of a column, 0 where there is none, and whether there is one."""
    if pa.types.is_date32(values.type):
        values = values.cast(pa.int32())
    elif pa.types.is_temporal(values.type):
        values = values.cast(pa.timestamp("s"), safe=False).cast(pa.int64())
    found = pc.fill_null(values.cast(pa.float64(), safe=False), np.nan)
    numbers = found.to_numpy(zero_copy_only=False)
    is_there = np.isfinite(numbers)
    return np.where(is_there, numbers, 0.0), is_there


def _vectors(values: pa.Array, width: int | None) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the vectors of a column, 0 where there is none, and whether there is one."""
    is_there = values.is_valid().to_numpy(zero_copy_only=False)
    lengths = pc.list_value_length(values).filter(values.is_valid()).to_numpy()
    widths = {int(one) for one in np.unique(lengths)}
    if width is not None and not widths:
        widths = {width}
    if len(widths) != 1 or (width is not None and widths != {width}):
        wanted = "one length" if width is None else f"length {width}"
        raise DataError(
            f"features: expected vectors of {wanted}, got lengths "
            f"{', '.join(map(str, sorted(widths)[:5])) or 'of none'}"
        )
    (found_width,) = widths
    flat = pc.list_flatten(values.filter(values.is_valid())).cast(pa.float64(), safe=False)
    rows = np.zeros((len(values), found_width))
    rows[is_there] = pc.fill_null(flat, 0.0).to_numpy(zero_copy_only=False).reshape(-1, found_width)
    return rows, is_there


def _with_missing(
    rows: NDArray[np.float64], is_there: NDArray[np.bool_], has_missing: bool
) -> sp.csr_array:
    if has_missing:
        rows = np.column_stack([rows, ~is_there])
    return sp.csr_array(rows.astype(np.float32))

"""One column of a table of attributes as numbers: categories, lists, words, numbers, vectors.

A row of a column has about length 1, whatever its kind, so that columns count alike: categories are
1, k entries of a list ``k ** -0.5`` each, words are scaled to length 1, quantiles lie between two
knots. Where a value is missing, the row has its own column.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, Self, get_args
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.errors import DataError

FeatureKind = Literal["category", "list", "text", "number", "quantiles", "vector"]
FEATURE_KINDS: tuple[FeatureKind, ...] = get_args(FeatureKind)

MISSING = "?"  # the name of the column of what is missing
_SHARED = 1024  # columns of the words that have none of their own
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
class Terms:
    """Categories, entries of lists or words: a column for each that is frequent enough.

    Parameters
    ----------
    of : {"category", "list", "text"}
    terms : tuple of str
        The most frequent first.
    idf : tuple of float
        What each is multiplied by; of categories and lists 1.
    separator : str
        Between the entries of a list that is text.
    shared : tuple of float
        What the columns are multiplied by which words share by a hash; empty unless there were more
        frequent ones than may have a column of their own.
    has_missing : bool
        Whether a row without any value has a column.
    """

    kind: ClassVar[str] = "terms"

    of: FeatureKind
    terms: tuple[str, ...]
    idf: tuple[float, ...]
    separator: str = ""
    shared: tuple[float, ...] = ()
    has_missing: bool = False

    @classmethod
    def learn(cls, of: FeatureKind, values: pa.Array, min_count: int, most: int) -> Self:
        """Learn the terms of a column; those of fewer rows than `min_count` have no column."""
        separator = _separator(values) if of == "list" else ""
        row, term, n = _entries(of, values, separator)
        pairs = pa.table({"row": row, "term": term}).group_by(["row", "term"]).aggregate([])
        found = pairs.group_by("term").aggregate([("row", "count")])
        found = found.filter(pc.greater_equal(found["row_count"], min_count))
        found = found.sort_by([("row_count", "descending"), ("term", "ascending")])
        terms, counts = found["term"].to_pylist(), found["row_count"].to_numpy()
        is_text = of == "text"
        idf = np.log((1 + n) / (1 + counts)) + 1 if is_text else np.ones(len(counts))
        shared: tuple[float, ...] = ()
        if is_text and len(terms) > most:
            in_bucket = np.bincount(
                [crc32(one.encode()) % _SHARED for one in terms[most:]],
                weights=counts[most:],
                minlength=_SHARED,
            )
            shared = tuple((np.log((1 + n) / (1 + np.minimum(in_bucket, n))) + 1).tolist())
        n_missing = n - len(np.unique(row))
        return cls(
            of,
            tuple(terms[:most]),
            tuple(idf[:most].tolist()),
            separator,
            shared,
            n_missing >= min_count,
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The terms, the columns that others share, and what is missing."""
        shared = tuple(f"#{n}" for n in range(len(self.shared)))
        return (*self.terms, *shared, *((MISSING,) if self.has_missing else ()))

    def encode(self, values: pa.Array) -> sp.csr_array:
        """Return rows of length 1, or 0 where no term is known."""
        row, term, n = _entries(self.of, values, self.separator)
        code, scale = self._codes(term), np.array([*self.idf, *self.shared, 1.0])
        is_known = code >= 0
        ones = np.ones(int(is_known.sum()))
        shape = (n, len(self.terms) + len(self.shared))
        found = sp.csr_array((ones, (row[is_known], code[is_known])), shape=shape)
        found.sum_duplicates()
        frequency = 1 + np.log(found.data) if self.of == "text" else np.ones(found.nnz)
        found.data = frequency * scale[found.indices]
        lengths = np.sqrt(np.asarray(found.multiply(found).sum(axis=1)).ravel())
        found = sp.diags_array(1 / np.maximum(lengths, np.finfo(np.float32).tiny)) @ found
        if self.has_missing:
            is_missing = np.bincount(row, minlength=n) == 0
            found = sp.hstack([found, sp.csr_array(is_missing[:, None].astype(np.float64))])
        return sp.csr_array(found, dtype=np.float32)

    def _codes(self, term: pa.Array) -> NDArray[np.int64]:
        codes = pc.index_in(term, value_set=pa.array(self.terms, pa.large_string()))
        found = np.asarray(pc.fill_null(codes, -1).to_numpy(zero_copy_only=False), dtype=np.int64)
        if self.shared:
            others = np.flatnonzero(found < 0)
            words = term.take(pa.array(others)).dictionary_encode()
            bucket = np.array(
                [crc32(one.encode()) % len(self.shared) for one in words.dictionary.to_pylist()],
                dtype=np.int64,
            )
            found[others] = len(self.terms) + bucket[words.indices.to_numpy()]
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return plain types that JSON can hold."""
        return {
            "kind": self.of,
            "terms": list(self.terms),
            "idf": list(self.idf),
            "separator": self.separator,
            "shared": list(self.shared),
            "has_missing": self.has_missing,
        }


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


def encoder_from(content: Mapping[str, Any]) -> ColumnEncoder:
    """Return the encoder of a column as its `to_dict` wrote it."""
    rest = dict(content)
    kind = rest.pop("kind")
    made: Any = {"number": Number, "quantiles": Quantiles, "vector": Vector}.get(kind)
    found = {key: tuple(one) if isinstance(one, list) else one for key, one in rest.items()}
    terms: Any = Terms
    encoder: ColumnEncoder = terms(of=kind, **found) if made is None else made(**found)
    return encoder


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


def words_of(values: pa.Array) -> pa.Array:
    """Return the words of each text, in lower case: runs of letters and digits in any script."""
    lower = pc.utf8_lower(values.cast(pa.large_string()))
    plain = pc.replace_substring_regex(lower, "['\u2019]", "")
    return pc.split_pattern_regex(
        pc.utf8_trim_whitespace(pc.replace_substring_regex(plain, r"[^\pL\pN]+", " ")), " "
    )


def separator_of(values: pa.Array) -> str | None:
    """Return what separates entries within texts, "|" or ";"; None where neither does."""
    for separator in ("|", ";"):
        share = pc.mean(pc.match_substring(values, separator).cast(pa.float64())).as_py()
        if share is not None and share >= _SEPARATED:
            return separator
    return None


_SEPARATED = 0.05  # of the texts, from which a bar or a semicolon separates


def _separator(values: pa.Array) -> str:
    if is_list(values.type):
        return ""
    return separator_of(values.cast(pa.large_string())) or ","


def _entries(
    of: FeatureKind, values: pa.Array, separator: str
) -> tuple[NDArray[np.int64], pa.Array, int]:
    """Return the row and the term of each entry of a column, and the number of rows."""
    n = len(values)
    if of == "category":
        lists = None
        terms = values.cast(pa.large_string())
    elif of == "text":
        lists = words_of(values)
    elif is_list(values.type):
        lists = values
    else:
        lists = pc.split_pattern(values.cast(pa.large_string()), separator)
    if lists is None:
        row = np.arange(n)
    else:
        row = pc.list_parent_indices(lists).to_numpy().astype(np.int64)
        terms = as_array(pc.list_flatten(lists)).cast(pa.large_string())
    terms = pc.utf8_trim_whitespace(terms)
    is_there = pc.fill_null(pc.not_equal(terms, ""), False)
    return row[is_there.to_numpy(zero_copy_only=False)], terms.filter(is_there), n


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

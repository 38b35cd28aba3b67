"""One column of a table of attributes as numbers: categories, entries of lists, words of texts.

A text has its words, and the parts of its words. Parts find what words do not: other forms of a
word, words written together, and words of too few rows for a column of their own.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Self
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.errors import DataError
from recsys.features.columns import MISSING, FeatureKind, as_array, is_list
from recsys.features.factored import FeatureRows
from recsys.features.parts import Merged, hashed_parts, scaled_parts

_SHARED = 1024  # columns of the words that have none of their own


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
    parts : tuple of float
        Of texts: what the columns of parts of words are multiplied by. A part is found by its hash.
    """

    kind: ClassVar[str] = "terms"

    of: FeatureKind
    terms: tuple[str, ...]
    idf: tuple[float, ...]
    separator: str = ""
    shared: tuple[float, ...] = ()
    has_missing: bool = False
    parts: tuple[float, ...] = ()

    @classmethod
    def learn(cls, of: FeatureKind, values: pa.Array, min_count: int, most: int) -> Self:
        """Learn the terms of a column; categories and entries of too few rows have no column."""
        separator = _separator(values) if of == "list" else ""
        counts, distinct = _counted_terms(of, values, separator)
        n = counts.shape[0]
        is_text = of == "text"
        parts = _idf_of_parts(counts, distinct, most // 2) if is_text else ()
        most -= len(parts)
        n_rows = np.bincount(counts.indices, minlength=len(distinct))
        found = pa.table({"term": distinct, "n_rows": n_rows})
        if not is_text:  # a new item may have the word of one row, and none but that row says more
            found = found.filter(pc.greater_equal(found["n_rows"], min_count))
        found = found.sort_by([("n_rows", "descending"), ("term", "ascending")])
        terms, n_rows = found["term"].to_pylist(), found["n_rows"].to_numpy()
        idf = _idf(n_rows, n) if is_text else np.ones(len(n_rows))
        shared: tuple[float, ...] = ()
        if is_text and len(terms) > most:
            in_bucket = np.bincount(
                [crc32(one.encode()) % _SHARED for one in terms[most:]],
                weights=n_rows[most:],
                minlength=_SHARED,
            )
            shared = tuple(_idf(np.minimum(in_bucket, n), n).tolist())
        n_missing = int((np.diff(counts.indptr) == 0).sum())
        return cls(
            of,
            tuple(terms[:most]),
            tuple(idf[:most].tolist()),
            separator,
            shared,
            n_missing >= min_count,
            parts,
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The terms, the columns that others share, those of parts, and what is missing."""
        shared = (f"#{n}" for n in range(len(self.shared)))
        parts = (f"~{n}" for n in range(len(self.parts)))
        return (*self.terms, *shared, *parts, *((MISSING,) if self.has_missing else ()))

    def encode(self, values: pa.Array) -> FeatureRows:
        """Return terms at length 1, or 0 where none is known, and parts likewise."""
        counts, distinct = _counted_terms(self.of, values, self.separator)
        code, n = self._codes(distinct), counts.shape[0]
        row, of_entry = _rows_of(counts), code[counts.indices]
        is_known = of_entry >= 0
        known = _summed(
            counts.data[is_known],
            row[is_known],
            of_entry[is_known],
            (n, len(self.terms) + len(self.shared)),
        )
        blocks = [FeatureRows(self._scaled(known))]
        if self.parts:
            of_words = _of_words(hashed_parts(distinct), (len(distinct), len(self.parts)))
            blocks.append(scaled_parts(counts, of_words, np.array(self.parts)))
        if self.has_missing:
            is_missing = np.diff(counts.indptr) == 0
            blocks.append(FeatureRows(sp.csr_array(is_missing[:, None].astype(np.float32))))
        return FeatureRows.beside(blocks)

    def _scaled(self, counts: sp.csr_array) -> sp.csr_array:
        """Return rows of length 1, or 0: columns times their scales, by the logarithm of counts."""
        scale = np.array([*self.idf, *self.shared])
        frequency = 1 + np.log(counts.data) if self.of == "text" else np.ones(counts.nnz)
        counts.data = frequency * scale[counts.indices]
        lengths = np.sqrt(np.asarray(counts.multiply(counts).sum(axis=1)).ravel())
        least = np.finfo(np.float32).tiny
        return sp.csr_array(sp.diags_array(1 / np.maximum(lengths, least)) @ counts)

    def _codes(self, distinct: pa.Array) -> NDArray[np.int64]:
        codes = pc.index_in(distinct, value_set=pa.array(self.terms, pa.large_string()))
        found = np.array(pc.fill_null(codes, -1).to_numpy(zero_copy_only=False), dtype=np.int64)
        if self.shared:
            others = np.flatnonzero(found < 0)
            bucket = [
                crc32(one.encode()) % len(self.shared)
                for one in distinct.take(pa.array(others)).to_pylist()
            ]
            found[others] = len(self.terms) + np.array(bucket, dtype=np.int64)
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
            "parts": list(self.parts),
        }


def words_of(values: pa.Array) -> pa.Array:
    """Return the words of each text, in lower case: runs of letters and digits in any script."""
    lower = pc.utf8_lower(values.cast(pa.large_string()))
    plain = pc.replace_substring(pc.replace_substring(lower, "'", ""), "\u2019", "")
    spaced = pc.replace_substring_regex(plain, r"[^\pL\pN]+", " ")
    return pc.split_pattern(pc.utf8_trim_whitespace(spaced), " ")


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


def _counted_terms(
    of: FeatureKind, values: pa.Array, separator: str
) -> tuple[sp.csr_array, pa.Array]:
    """Return how often each row of a column has each of its terms, and these, each once."""
    n = len(values)
    if pa.types.is_null(values.type):  # nothing is known, of whatever type it would be
        return sp.csr_array((n, 0)), pa.array([], pa.large_string())
    if of == "category":
        lists = None
        terms = values.cast(pa.large_string())
    elif of == "text":
        lists = words_of(values)
    elif is_list(values.type):
        lists = values
    elif not separator:
        raise DataError("expected lists, as the model was trained with")
    else:
        lists = pc.split_pattern(values.cast(pa.large_string()), separator)
    if lists is None:
        row = np.arange(n)
    else:
        row = pc.list_parent_indices(lists).to_numpy().astype(np.int64)
        terms = as_array(pc.list_flatten(lists)).cast(pa.large_string())
    terms = pc.utf8_trim_whitespace(terms)
    is_there = pc.fill_null(pc.not_equal(terms, ""), False)
    row = row[is_there.to_numpy(zero_copy_only=False)]
    coded = terms.filter(is_there).dictionary_encode()
    shape = (n, len(coded.dictionary))
    return _summed(np.ones(len(row)), row, coded.indices.to_numpy(), shape), coded.dictionary


def _summed(
    numbers: NDArray[np.float64],
    row: NDArray[np.integer],
    column: NDArray[np.integer],
    shape: tuple[int, int],
) -> sp.csr_array:
    """Return a matrix of numbers, those of one place added."""
    found = sp.csr_array((numbers, (row, column)), shape=shape)
    found.sum_duplicates()
    return found


def _rows_of(matrix: sp.csr_array) -> NDArray[np.int64]:
    """Return the row of each entry."""
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))


def _idf(counts: NDArray[np.floating] | NDArray[np.integer], n: int) -> NDArray[np.float64]:
    """Return what a term is multiplied by that so many of n rows have."""
    return np.asarray(np.log((1 + n) / (1 + counts)) + 1)


def _of_words(
    found: tuple[NDArray[np.int64], NDArray[np.uint32]], shape: tuple[int, int]
) -> sp.csr_array:
    """Return how often words have the parts of each column, of `hashed_parts`."""
    word, hashes = found
    return _summed(np.ones(len(word)), word, hashes % shape[1], shape)


def _idf_of_parts(counts: sp.csr_array, words: pa.Array, most: int) -> tuple[float, ...]:
    """Return what the columns of parts are multiplied by: as many as there are parts, or `most`."""
    found = hashed_parts(words)
    n_columns = min(int(np.count_nonzero(np.diff(np.sort(found[1]), prepend=-1))), most)
    if not n_columns:
        return ()
    of_words = _of_words(found, (len(words), n_columns))
    merged = Merged.of(counts, of_words, np.ones(n_columns))
    return tuple(_idf(merged.n_rows, counts.shape[0]).tolist())

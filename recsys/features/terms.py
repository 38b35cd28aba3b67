"""One column of a table of attributes as numbers: categories, entries of lists, words of texts.

A text has its words, and the parts of its words. Parts find what words do not: other forms of a
word, words written together, and words of too few rows for a column of their own.
"""

from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar, Self
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.features.columns import MISSING, FeatureKind, as_array, is_list

_SHARED = 1024  # columns of the words that have none of their own
_PART_LENGTHS = (3, 4, 5)


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
        row, term, n = _entries(of, values, separator)
        is_text = of == "text"
        parts = _idf_of_parts(row, term, n, most // 2) if is_text else ()
        most -= len(parts)
        pairs = pa.table({"row": row, "term": term}).group_by(["row", "term"]).aggregate([])
        found = pairs.group_by("term").aggregate([("row", "count")])
        if not is_text:  # a new item may have the word of one row, and none but that row says more
            found = found.filter(pc.greater_equal(found["row_count"], min_count))
        found = found.sort_by([("row_count", "descending"), ("term", "ascending")])
        terms, counts = found["term"].to_pylist(), found["row_count"].to_numpy()
        idf = _idf(counts, n) if is_text else np.ones(len(counts))
        shared: tuple[float, ...] = ()
        if is_text and len(terms) > most:
            in_bucket = np.bincount(
                [crc32(one.encode()) % _SHARED for one in terms[most:]],
                weights=counts[most:],
                minlength=_SHARED,
            )
            shared = tuple(_idf(np.minimum(in_bucket, n), n).tolist())
        n_missing = n - len(np.unique(row))
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

    def encode(self, values: pa.Array) -> sp.csr_array:
        """Return terms at length 1, or 0 where none is known, and parts likewise."""
        row, term, n = _entries(self.of, values, self.separator)
        code, scale = self._codes(term), np.array([*self.idf, *self.shared, 1.0])
        is_known = code >= 0
        shape = (n, len(self.terms) + len(self.shared))
        blocks = [self._scaled(_counted(row[is_known], code[is_known], shape), scale)]
        if self.parts:
            parts = _parts(row, term, n, len(self.parts))
            blocks.append(self._scaled(parts, np.array(self.parts)))
        if self.has_missing:
            is_missing = np.bincount(row, minlength=n) == 0
            blocks.append(sp.csr_array(is_missing[:, None].astype(np.float64)))
        return sp.csr_array(sp.hstack(blocks), dtype=np.float32)

    def _scaled(self, counts: sp.csr_array, scale: NDArray[np.float64]) -> sp.csr_array:
        """Return rows of length 1, or 0: columns times their scales, by the logarithm of counts."""
        frequency = 1 + np.log(counts.data) if self.of == "text" else np.ones(counts.nnz)
        counts.data = frequency * scale[counts.indices]
        lengths = np.sqrt(np.asarray(counts.multiply(counts).sum(axis=1)).ravel())
        least = np.finfo(np.float32).tiny
        return sp.csr_array(sp.diags_array(1 / np.maximum(lengths, least)) @ counts)

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
            "parts": list(self.parts),
        }


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


def _counted(
    row: NDArray[np.integer], column: NDArray[np.integer], shape: tuple[int, int]
) -> sp.csr_array:
    """Return how often each pair is there."""
    found = sp.csr_array((np.ones(len(row)), (row, column)), shape=shape)
    found.sum_duplicates()
    return found


def _idf(counts: NDArray[np.floating] | NDArray[np.integer], n: int) -> NDArray[np.float64]:
    """Return what a term is multiplied by that so many of n rows have."""
    return np.asarray(np.log((1 + n) / (1 + counts)) + 1)


def parts_of(word: str) -> set[str]:
    """Return the runs of 3 to 5 characters of a word with its two ends, and the whole.

    Examples
    --------
    >>> sorted(parts_of("fox"))
    [' fo', ' fox', ' fox ', 'fox', 'fox ', 'ox ']
    """
    ends = f" {word} "
    runs = (ends[at : at + n] for n in _PART_LENGTHS for at in range(len(ends) - n + 1))
    return {*runs, ends}


def _parts(row: NDArray[np.int64], term: pa.Array, n: int, n_columns: int) -> sp.csr_array:
    """Return how often each row has the parts of each column, (n, n_columns)."""
    coded = term.dictionary_encode()
    columns = [
        [crc32(part.encode()) % n_columns for part in parts_of(word)]
        for word in coded.dictionary.to_pylist()
    ]
    word = np.repeat(np.arange(len(columns)), list(map(len, columns)))
    column = np.fromiter(chain.from_iterable(columns), dtype=np.int64, count=len(word))
    of_words = _counted(word, column, (len(columns), n_columns))
    of_rows = _counted(row, coded.indices.to_numpy(), (n, len(columns)))
    return sp.csr_array(of_rows @ of_words)


def _idf_of_parts(row: NDArray[np.int64], term: pa.Array, n: int, most: int) -> tuple[float, ...]:
    """Return what the columns of parts are multiplied by: as many as there are parts, or `most`."""
    distinct = {part for word in pc.unique(term).to_pylist() for part in parts_of(word)}
    n_columns = min(len(distinct), most)
    if not n_columns:
        return ()
    found = _parts(row, term, n, n_columns)
    return tuple(_idf(np.bincount(found.indices, minlength=n_columns), n).tolist())

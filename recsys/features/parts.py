"""Parts of words: runs of 3 to 5 characters and the whole, each found by a hash.

Parts find what words do not: other forms of a word, words written together, and words that no known
row has. A word is cut once, however many rows have it.
"""

from dataclasses import dataclass
from itertools import pairwise
from zlib import crc32

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.features.factored import FeatureRows

LENGTHS = (3, 4, 5)
_MANY = 2_000_000  # entries of a product, from which it is not made
_CHUNK = 4096  # rows that are merged at a time
_ALL, _BYTE = 0xFFFFFFFF, 0xFF
_CONTINUED, _BITS_OF_ITS_KIND = 0x80, 0xC0  # of the bytes of UTF-8


def hashed_parts(words: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Return the word and the CRC-32 of each part of some words, a part of a word once.

    The parts are those of the word with a space at each end; see `tests.features.test_factored` for
    the same, said plainly.
    """
    nothing, space = (pa.scalar(one, pa.large_string()) for one in ("", " "))
    ends = pc.binary_join_element_wise(nothing, words.cast(pa.large_string()), nothing, space)
    text, bounds = _bytes_of(ends)
    at = np.flatnonzero((text & _BITS_OF_ITS_KIND) != _CONTINUED)  # where characters begin
    first = np.searchsorted(at, bounds)  # of each word, in characters
    n_characters = np.diff(first)
    word = np.repeat(np.arange(len(words)), n_characters)
    at = np.append(at, len(text))
    found = [_whole(ends, n_characters)]
    for n in LENGTHS:
        begins = np.flatnonzero(np.arange(len(word)) + n <= first[word + 1])
        found.append((word[begins], _crc32(text, at[begins], at[begins + n])))
    words_of, hashes = (np.concatenate(one) for one in zip(*found, strict=True))
    keys = np.sort(words_of.astype(np.uint64) << np.uint64(32) | hashes)  # `np.unique` takes longer
    keys = keys[np.diff(keys, prepend=~keys[:1]) != 0]
    return (keys >> np.uint64(32)).astype(np.int64), keys.astype(np.uint32)


@dataclass(frozen=True, eq=False)
class Merged:
    """What rows have of parts, by column.

    Parameters
    ----------
    n_rows : ndarray of int, shape (n_columns,)
        That have a part of each column.
    lengths : ndarray, shape (n,)
        Of rows of ``(1 + log(count)) * scale``; next to 0 of one of zeros.
    repeated : csr_array, shape (n, n_columns)
        ``(1 + log(count) - count) * scale``, where a row has more than one part of a column.
    """

    n_rows: NDArray[np.int64]
    lengths: NDArray[np.float64]
    repeated: sp.csr_array

    @classmethod
    def of(
        cls, counts: sp.csr_array, of_words: sp.csr_array, scale: NDArray[np.float64]
    ) -> "Merged":
        """Merge the parts of the words of each row.

        Parameters
        ----------
        counts : csr_array, shape (n, n_words)
            How often a row has a word.
        of_words : csr_array, shape (n_words, n_columns)
            How often a word has the parts of a column.
        scale : ndarray, shape (n_columns,)
        """
        n_parts = np.diff(of_words.indptr)
        of_rows = np.append(0, np.cumsum(n_parts[counts.indices]))[counts.indptr]
        merge = _merged if of_rows[-1] < _MANY else _merged_in_chunks
        n_rows, squares, repeated = merge(counts, of_words, scale, of_rows)
        lengths = np.maximum(np.sqrt(squares), np.finfo(np.float32).tiny)
        return cls(n_rows, lengths, repeated)


def scaled_parts(
    counts: sp.csr_array, of_words: sp.csr_array, scale: NDArray[np.float64]
) -> FeatureRows:
    """Return rows of length 1, or 0: columns times their scales, by the logarithm of counts.

    The product of the two has counts themselves, and what is repeated has the difference.
    """
    merged = Merged.of(counts, of_words, scale)
    right = sp.csr_array(of_words @ sp.diags_array(scale), dtype=np.float32)
    rows = FeatureRows(merged.repeated, counts.astype(np.float32), right)
    return rows.scaled(1 / merged.lengths)


_Counts = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]
_Sums = tuple[NDArray[np.int64], NDArray[np.float64], sp.csr_array]


def _merged(
    counts: sp.csr_array, of_words: sp.csr_array, scale: NDArray[np.float64], _: NDArray[np.int64]
) -> _Sums:
    """Return number of rows, squares of lengths, and what is repeated, by the whole product."""
    found = sp.csr_array(counts @ of_words)
    often = found.data
    n_rows = np.bincount(found.indices, minlength=len(scale))
    found.data = (1 + np.log(often)) * scale[found.indices]
    squares = np.asarray(found.multiply(found).sum(axis=1)).ravel()
    found.data = np.where(often > 1, found.data - often * scale[found.indices], 0)
    found.eliminate_zeros()
    return n_rows, squares, found


def _merged_in_chunks(
    counts: sp.csr_array,
    of_words: sp.csr_array,
    scale: NDArray[np.float64],
    of_rows: NDArray[np.int64],
) -> _Sums:
    """Return the same without the product, which has as many entries as all rows have parts."""
    from recsys.features.merging import merge_parts  # compiled; what serves needs it not

    (n, _), n_columns = counts.shape, len(scale)
    words, parts = _integers(counts), _integers(of_words)
    room = np.zeros(n_columns, dtype=np.int32), np.zeros(n_columns, dtype=np.int32)
    n_rows = np.zeros(n_columns, dtype=np.int64)
    squares, n_repeated = np.zeros(n), np.zeros(n, dtype=np.int64)
    bounds = [*range(0, n, _CHUNK), n]
    most = int(np.diff(of_rows[bounds]).max(initial=0))
    found = np.zeros(most, dtype=np.int32), np.zeros(most)
    columns, more = [], []
    for first, last in pairwise(bounds):
        n_found = merge_parts(
            first, last, *words, *parts, scale, *room, n_rows, squares, n_repeated, *found
        )
        columns.append(found[0][:n_found].copy())
        more.append(found[1][:n_found].copy())
    indptr = np.append(0, np.cumsum(n_repeated))
    repeated = (np.concatenate(more), np.concatenate(columns), indptr)
    return n_rows, squares, sp.csr_array(repeated, shape=(n, n_columns))


def _integers(matrix: sp.csr_array) -> _Counts:
    """Return indptr, indices and data of counts."""
    indptr, indices, data = (
        one.astype(np.int32, copy=False) for one in (matrix.indptr, matrix.indices, matrix.data)
    )
    return indptr, indices, data


def _bytes_of(texts: pa.Array) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the bytes of all texts, and where each begins, and the last one ends."""
    _, offsets, data = texts.buffers()
    if not len(texts) or data is None:
        return np.zeros(0, dtype=np.uint8), np.zeros(len(texts) + 1, dtype=np.int64)
    bounds = np.frombuffer(offsets, dtype=np.int64)[texts.offset :][: len(texts) + 1]
    return np.frombuffer(data, dtype=np.uint8)[bounds[0] : bounds[-1]], bounds - bounds[0]


def _whole(
    ends: pa.Array, n_characters: NDArray[np.integer]
) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """Return the words that are longer than their runs, and the hash of each."""
    longer = np.flatnonzero(n_characters > max(LENGTHS))
    hashes = [crc32(one.encode()) for one in ends.take(pa.array(longer)).to_pylist()]
    return longer, np.array(hashes, dtype=np.uint32)


def _crc32(
    text: NDArray[np.uint8], begins: NDArray[np.int64], ends: NDArray[np.int64]
) -> NDArray[np.uint32]:
    """Return the CRC-32 of runs of bytes, as `zlib.crc32` of each."""
    found = np.full(len(begins), _ALL, dtype=np.uint32)
    lengths = ends - begins
    live = np.arange(len(begins))
    for step in range(int(lengths.max(initial=0))):
        if step >= int(lengths[live].min(initial=0)):
            live = live[lengths[live] > step]
        before = found[live]
        of_byte = (before ^ text[begins[live] + step]) & np.uint32(_BYTE)
        found[live] = _TABLE[of_byte] ^ (before >> np.uint32(8))
    return ~found


def _table() -> NDArray[np.uint32]:
    """Return what the polynomial of CRC-32 makes of each byte."""
    found = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        odd = found & np.uint32(1)
        found = (found >> np.uint32(1)) ^ odd * np.uint32(0xEDB88320)
    return found


_TABLE = _table()

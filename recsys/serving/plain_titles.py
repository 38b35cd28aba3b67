"""Titles in plain words: compared as a person would, looked up whole, and searched by words.

Case, accents and punctuation do not count, nor where an article stands ("Matrix, The"). A year in
brackets at the end ("Hamlet (1990)") and an English article may be left out.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import filterfalse
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recsys.index import ItemRows
from recsys.vectors.id_table import IdTable

_TITLES_PER_BLOCK = 1 << 16  # that are Python strings at a time
_TEXT = pa.large_string()
_NONE = np.empty(0, dtype=np.int32)

_YEAR = re.compile(r"[(\[](\d{4})[)\]]$")
_ARTICLE = re.compile(r"^(.+), (the|an?|les?|la|das|der|die|el|il)$", re.IGNORECASE | re.DOTALL)
# A run of letters and digits; where a script does not part its words, each of its characters.
_WORD = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W_\u3040-\u30ff\u3400-\u9fff]+")
_PLAIN = str.maketrans(
    {"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "\u0131": "i"}
    | dict.fromkeys("\u2018\u2019\u00b4`", "'")
)


class PlainTitle(NamedTuple):
    """A title as it is compared."""

    words: str  # with one space between them
    year: str  # in brackets at the end; empty without one

    @property
    def key(self) -> str:
        """The words without an article before them."""
        article, _, others = self.words.partition(" ")
        return others if others and article in ("the", "a", "an") else self.words

    @classmethod
    def of(cls, title: str) -> Self:
        """Bring a title into plain words.

        Examples
        --------
        >>> PlainTitle.of("Matrix, The (1999)"), PlainTitle.of("Amélie: l'été")
        (PlainTitle(words='the matrix', year='1999'), PlainTitle(words='amelie lete', year=''))
        """
        title, year = title.strip(), ""
        if title.endswith((")", "]")):
            found = _YEAR.search(title)
            if found and found.start():  # a year alone is the title
                title, year = title[: found.start()].rstrip(), found[1]
        if ", " in title:
            title = _ARTICLE.sub(r"\2 \1", title)
        return cls(" ".join(words_of(title)), year)


def _padded(title: PlainTitle) -> str:
    return f" {title.words} {title.year} "


def words_of(text: str) -> list[str]:
    """Return the words of a text, in lower case and without accents."""
    if not text.isascii():
        spread = unicodedata.normalize("NFKD", text.casefold())
        text = "".join(filterfalse(unicodedata.combining, spread)).translate(_PLAIN)
    return _WORD.findall(text.replace("'", "").lower())


@dataclass(frozen=True, eq=False)
class PlainTitles:
    """Titles in plain words, to be looked up and searched."""

    text: pa.Array  # (n,): words and year between spaces
    year: NDArray[np.int16]  # (n,): 0 for none
    number: NDArray[np.int32]  # (n,): of the key, among the distinct ones
    table: IdTable  # from keys to their number
    n_distinct: int

    @classmethod
    def of(cls, titles: pa.ChunkedArray) -> Self:
        """Bring titles into plain words, a block of them at a time."""
        texts, keys, years = [], [], [np.empty(0, dtype=np.int16)]
        for first in range(0, len(titles), _TITLES_PER_BLOCK):
            block = titles.slice(first, _TITLES_PER_BLOCK).to_pylist()
            plain = [PlainTitle.of(title or "") for title in block]
            texts.append(pa.array(map(_padded, plain), _TEXT))
            keys.append(pa.array((one.key for one in plain), _TEXT))
            years.append(np.array([int(one.year or 0) for one in plain], dtype=np.int16))
        coded = pa.chunked_array(keys, _TEXT).combine_chunks().dictionary_encode()
        return cls(
            pa.chunked_array(texts, _TEXT).combine_chunks(),
            np.concatenate(years),
            np.asarray(coded.indices, dtype=np.int32),
            IdTable.of(coded.dictionary),
            len(coded.dictionary),
        )

    def rows(self, text: str) -> ItemRows:
        """Return the rows with a title, or else those that differ in a year or article it lacks."""
        title = PlainTitle.of(text)
        number = self.table.find(title.key, self.n_distinct) if title.key else None
        if number is None:
            return _NONE
        rows = np.flatnonzero(self.number == number).astype(np.int32)
        are_same = pc.equal(self.text.take(pa.array(rows)), _padded(title))
        same = rows[np.asarray(are_same, dtype=np.bool_)]
        if len(same):
            return same
        return rows[self.year[rows] == int(title.year)] if title.year else rows

    def are_titles(self, texts: Iterable[str]) -> NDArray[np.bool_]:
        """Return whether `rows` may find any for each text."""
        keys = [PlainTitle.of(text).key for text in texts]
        is_known = self.table.find_many(keys, self.n_distinct) >= 0
        return is_known & np.array([bool(key) for key in keys], dtype=np.bool_)

    def search(self, text: str) -> tuple[ItemRows, NDArray[np.bool_]]:
        """Return the rows in which each word begins a word, and whether all are whole words."""
        words = sorted(set(words_of(text)), key=len, reverse=True)
        if not words:
            return _NONE, _NONE.astype(np.bool_)
        rows, left = np.arange(len(self.text), dtype=np.int32), self.text
        for word in words:
            is_there = pc.match_substring(left, f" {word}")
            rows, left = rows[np.asarray(is_there, dtype=np.bool_)], left.filter(is_there)
        are_whole = np.ones(len(rows), dtype=np.bool_)
        for word in words:
            are_whole &= np.asarray(pc.match_substring(left, f" {word} "), dtype=np.bool_)
        return rows, are_whole

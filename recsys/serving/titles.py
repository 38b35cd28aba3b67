"""Items by their titles: a search by words, and a whole title in place of an id.

Titles are compared as a person would: without regard to case, accents and punctuation, to a year in
brackets at the end ("Hamlet (1990)"), and to where an article stands ("Matrix, The"). Both take
bounded time and memory: a whole title is looked up in a hash table, and a search is a pass over the
titles for each of its words, of which the longest leaves the fewest for the others.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import filterfalse
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.base.errors import DataError, UnknownItemError
from recsys.base.lazy import lazy_property
from recsys.index import ItemRows
from recsys.store import Content
from recsys.vectors import Id, Ids
from recsys.vectors.ids import IdTable, canonical

MOST_CHARACTERS = 256  # of what is looked for
_TITLES_PER_BLOCK = 1 << 16  # that are Python strings at a time
_SHOWN = 5  # items that have one title, in an error
_TEXT = pa.large_string()
_NONE = np.empty(0, dtype=np.int32)

_TITLES = [
    re.compile(spelled, re.IGNORECASE)
    for spelled in (
        *("^title$", "^name$", r"(\b|_)title$"),
        "^(item|product|article|movie|film|book|artist|album|song|track|game|app|show)[ _-]?name$",
        "^description$",
    )
]
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


def words_of(text: str) -> list[str]:
    """Return the words of a text, in lower case and without accents."""
    if not text.isascii():
        spread = unicodedata.normalize("NFKD", text.casefold())
        text = "".join(filterfalse(unicodedata.combining, spread)).translate(_PLAIN)
    return _WORD.findall(text.replace("'", "").lower())


def title_column(table: pa.Table) -> str | None:
    """Return the column of a table of items that holds titles, or None.

    It is the column of texts named title, else name, else one whose name ends with title, such as
    "Book-Title", else the name of a thing, such as product_name, else description.
    """
    names = [one.name for one in table.schema if one.name != "item_id" and _are_texts(one.type)]
    return next((name for spelled in _TITLES for name in names if spelled.search(name)), None)


def _are_texts(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


@dataclass(frozen=True, eq=False)
class PlainTitles:
    """Titles in plain words, to be looked up and searched."""

    text: pa.Array  # (n,): words and year between spaces
    year: NDArray[np.int16]  # (n,): 0 for none
    number: NDArray[np.int32]  # (n,): of the words, among the distinct ones
    table: IdTable  # from words to their number
    n_distinct: int

    @classmethod
    def of(cls, titles: pa.ChunkedArray) -> Self:
        """Bring titles into plain words, a block of them at a time."""
        texts, words, years = [], [], [np.empty(0, dtype=np.int16)]
        for first in range(0, len(titles), _TITLES_PER_BLOCK):
            block = titles.slice(first, _TITLES_PER_BLOCK).to_pylist()
            plain = [PlainTitle.of(title or "") for title in block]
            texts.append(pa.array((f" {one.words} {one.year} " for one in plain), _TEXT))
            words.append(pa.array((one.words for one in plain), _TEXT))
            years.append(np.array([int(one.year or 0) for one in plain], dtype=np.int16))
        coded = pa.chunked_array(words, _TEXT).combine_chunks().dictionary_encode()
        return cls(
            pa.chunked_array(texts, _TEXT).combine_chunks(),
            np.concatenate(years),
            np.asarray(coded.indices, dtype=np.int32),
            IdTable.of(coded.dictionary),
            len(coded.dictionary),
        )

    def rows(self, title: PlainTitle) -> ItemRows:
        """Return the rows with a title: of its year, or of any where it has none."""
        number = self.table.find(title.words, self.n_distinct) if title.words else None
        if number is None:
            return _NONE
        rows = np.flatnonzero(self.number == number).astype(np.int32)
        of_year = rows[self.year[rows] == int(title.year or 0)]
        return rows if len(of_year) == 0 and not title.year else of_year

    def search(self, words: Sequence[str]) -> tuple[ItemRows, NDArray[np.bool_]]:
        """Return the rows in which each word begins a word, and whether all are whole words."""
        import pyarrow.compute as pc

        rows, left = np.arange(len(self.text), dtype=np.int32), self.text
        for word in words:
            is_there = pc.match_substring(left, f" {word}")
            rows, left = rows[np.asarray(is_there, dtype=np.bool_)], left.filter(is_there)
        are_whole = np.ones(len(rows), dtype=np.bool_)
        for word in words:
            are_whole &= np.asarray(pc.match_substring(left, f" {word} "), dtype=np.bool_)
        return rows, are_whole


class Titles:
    """The titles of the items of a version; where it has none, ids that are texts are searched."""

    def __init__(self, content: Content) -> None:
        self._content = content

    @lazy_property
    def _written(self) -> pa.ChunkedArray | None:
        """The title of each item, (n_items,); None where the version has none."""
        table = self._content.attributes
        column = None if table is None else title_column(table)
        return None if table is None or column is None else table[column]

    @lazy_property
    def _plain(self) -> PlainTitles:
        return PlainTitles.of(self._searched)

    @property
    def _searched(self) -> pa.ChunkedArray:
        """What a search looks through."""
        if self._written is not None:
            return self._written
        content = self._content
        if not content.items.ids.are_integers:
            return pa.chunked_array([content.items.ids.values])
        table = content.attributes
        columns = "none" if table is None else ", ".join(table.column_names)
        raise DataError(
            f"find: expected a column of titles among the attributes of the items of version "
            f"{content.version.name}, got {columns}; train with a table of items that has a column "
            "title (data.items, or --items)"
        )

    def row(self, title: str) -> int | None:
        """Return the row of the item that alone has a title; an UnknownItemError where several do.

        The first call takes time for each item; the next ones a look-up and one comparison each.
        """
        if self._written is None or len(title) > MOST_CHARACTERS:
            return None
        rows = self._plain.rows(PlainTitle.of(title))
        if len(rows) <= 1:
            return int(rows[0]) if len(rows) else None
        raise UnknownItemError(
            f"item {title!r}: expected an id, or a title that one item has, got that of "
            f"{len(rows):,} items: {self._listed(rows, self._written)}; take the id of one"
        )

    def _listed(self, rows: ItemRows, titles: pa.ChunkedArray) -> str:
        ids = self._content.items.ids
        shown = [f"{ids[row]} ({titles[row].as_py()})" for row in rows[:_SHOWN].tolist()]
        return ", ".join([*shown, "..."] if len(rows) > _SHOWN else shown)

    def best(self, text: str, k: int, is_allowed: NDArray[np.bool_] | None) -> ItemRows:
        """Return the k best of the allowed items for a text, best first; see `Recommender.find`."""
        rows, closeness = self._found(text) if text else self._all()
        if is_allowed is not None:
            rows, closeness = rows[is_allowed[rows]], closeness[is_allowed[rows]]
        users = self._content.items.popularity[rows]
        rank = closeness * (users.max(initial=0) + 1) + users
        if len(rows) > k:
            reach = np.flatnonzero(rank >= np.partition(rank, -k)[-k])
            rows, rank = rows[reach], rank[reach]
        return rows[np.lexsort((rows, -rank))[:k]]

    def _all(self) -> tuple[ItemRows, NDArray[np.int64]]:
        n = len(self._content.items.ids)
        return np.arange(n, dtype=np.int32), np.zeros(n, dtype=np.int64)

    def _found(self, text: str) -> tuple[ItemRows, NDArray[np.int64]]:
        """Return the items of whose titles each word of a text begins a word, and how close.

        Returns
        -------
        rows : ndarray of int32, shape (n_found,)
        closeness : ndarray of int64, shape (n_found,)
            3 for the item of this id, 2 where the text is the whole title, 1 where its words are
            whole ones, 0 elsewhere.
        """
        if len(text) > MOST_CHARACTERS:
            raise DataError(
                f"find: expected at most {MOST_CHARACTERS} characters, got {len(text):,}"
            )
        of_id = self._content.items.ids.find(text)
        words = sorted(set(words_of(text)), key=len, reverse=True)
        rows, are_whole = self._plain.search(words) if words else (_NONE, _NONE)
        closeness = are_whole.astype(np.int64)
        closeness[np.isin(rows, self._plain.rows(PlainTitle.of(text)))] = 2
        if of_id is not None:
            is_other = rows != of_id
            rows = np.append(rows[is_other], np.int32(of_id))
            closeness = np.append(closeness[is_other], 3)
        return rows, closeness


class TitledIds(Ids):
    """Ids of items that are found by a title as well, where no id is spelled like it."""

    _titles: Titles

    @classmethod
    def of(cls, ids: Ids, titles: Titles) -> Self:
        """Return the same ids, found by titles as well."""
        titled = cls.mapped(ids._values, ids.table(), ids._path)
        titled._titles = titles
        return titled

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the ids alone."""
        return Ids, (self.values,)

    def find(self, id_: Id) -> int | None:
        """Return the row of an id, in either of its forms, or of a title that one item has."""
        row = super().find(id_)
        if row is not None or not isinstance(id_, str) or self._is_id(id_):
            return row
        return self._titles.row(id_)

    def _is_id(self, text: str) -> bool:
        """Whether a text can only be an id: a number, where ids are numbers."""
        return self.are_integers and canonical(text, integers=True) is not None

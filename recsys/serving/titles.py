"""Items by their titles: a search by words, and a whole title in place of an id.

Both take bounded time and memory: a whole title is looked up in a hash table, and a search is a
pass over the titles for each of its words, of which the longest leaves the fewest for the others.
What compares titles is imported with the first one: who only asks by ids does without.
"""

from collections.abc import Iterable, Mapping
from itertools import compress
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.base.errors import DataError
from recsys.base.lazy import lazy_property
from recsys.index import ItemRows
from recsys.store import Content
from recsys.vectors import Id, Ids
from recsys.vectors.ids import canonical

if TYPE_CHECKING:
    from recsys.serving.plain_titles import PlainTitles

MOST_CHARACTERS = 256  # of what is looked for
_SHOWN = 5  # items that have one title, in an error


class Titles:
    """The titles of the items of a version; where it has none, ids that are texts are searched."""

    def __init__(self, content: Content) -> None:
        self._content = content

    @lazy_property
    def _written(self) -> pa.ChunkedArray | None:
        """The title of each item, (n_items,); None where the version has none."""
        from recsys.store.title_column import title_column

        table = self._content.attributes
        column = None if table is None else title_column(table)
        return None if table is None or column is None else table[column]

    @lazy_property
    def _plain(self) -> "PlainTitles":
        from recsys.serving.plain_titles import PlainTitles

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
        """Return the row of the item that alone has a title; a DataError where several do.

        The first call takes time for each item; the next ones a look-up and one comparison each.
        """
        if self._written is None or len(title) > MOST_CHARACTERS:
            return None
        rows = self._plain.rows(title)
        if len(rows) <= 1:
            return int(rows[0]) if len(rows) else None
        raise DataError(
            f"item {title!r}: expected an id, or a title that one item has, got that of "
            f"{len(rows):,} items: {self._listed(rows, self._written)}; take the id of one"
        )

    def among(self, texts: Mapping[int, str]) -> list[int]:
        """Return the keys of the texts that may be titles, all looked up at once."""
        short = {key: one for key, one in texts.items() if len(one) <= MOST_CHARACTERS}
        if self._written is None or not short:
            return []
        return list(compress(short, self._plain.are_titles(short.values())))

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
        rows, are_whole = self._plain.search(text)
        closeness = are_whole.astype(np.int64)
        closeness[np.isin(rows, self._plain.rows(text))] = 2
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

    def rows(self, ids: Iterable[Id]) -> NDArray[np.int32]:
        """Return the row of each id, or of a title that one item has; -1 for an unknown one."""
        listed = list(ids)
        rows = super().rows(listed)
        if (rows >= 0).all():
            return rows
        unknown = np.flatnonzero(rows < 0).tolist()
        texts = {place: one for place in unknown if isinstance(one := listed[place], str)}
        of_titles = {place: one for place, one in texts.items() if not self._is_id(one)}
        for place in self._titles.among(of_titles):
            row = self._titles.row(of_titles[place])
            rows[place] = -1 if row is None else row
        return rows

    def _is_id(self, text: str) -> bool:
        """Whether a text can only be an id: a number, where ids are numbers."""
        return self.are_integers and canonical(text, integers=True) is not None

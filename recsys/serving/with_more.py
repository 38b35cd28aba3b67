"""An open version with some more items, which are known to this process alone."""

from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.base.lazy import lazy_property
from recsys.index import Index, IndexWithMore
from recsys.store import Content, ItemTable, ItemTimes
from recsys.store.item_json import ItemJson
from recsys.vectors import FloatMatrix, Ids
from recsys.vectors.ids import Kind


@dataclass(frozen=True, eq=False)
class More:
    """Items that a version does not hold.

    Parameters
    ----------
    attributes : pyarrow.Table
        One row for each, with a column item_id.
    vectors : ndarray of float32, shape (n, factors)
    n_users, dislikes : ndarray of int64, shape (n,)
        How many users have, and dislike, each.
    summands : ndarray of float32, shape (n, factors), optional
        What each adds to a user, of a model that has them.
    """

    attributes: pa.Table
    vectors: FloatMatrix
    n_users: NDArray[np.int64]
    dislikes: NDArray[np.int64]
    summands: FloatMatrix | None = None

    @property
    def ids(self) -> Ids:
        """The ids of the items."""
        return Ids(self.attributes["item_id"])

    def with_those_of(self, other: "More") -> "More":
        """Return these items, but for those that another one has, and then all of the other."""
        kept = np.flatnonzero(other.ids.rows_of(self.ids) < 0)
        tables = [self.attributes.take(pa.array(kept)), other.attributes]
        if tables[0]["item_id"].type != tables[1]["item_id"].type:  # numbers and texts
            tables = [_with_text_ids(one) for one in tables]
        summands = None
        if self.summands is not None and other.summands is not None:
            summands = np.vstack([self.summands[kept], other.summands])
        return More(
            pa.concat_tables(tables, promote_options="permissive"),
            np.vstack([self.vectors[kept], other.vectors]),
            np.concatenate([self.n_users[kept], other.n_users]),
            np.concatenate([self.dislikes[kept], other.dislikes]),
            summands,
        )


@dataclass(frozen=True, eq=False)
class ContentWithMore(Content):
    """A version whose last items are not in its files."""

    base: Content
    more: More

    @classmethod
    def after(cls, base: Content, more: More) -> Self:
        """Return a version with items after its own."""
        items = _items_with(base.items, more)
        shared = {one.name: getattr(base, one.name) for one in fields(Content)}
        index = IndexWithMore(base.index, items.embeddings)
        return cls(**{**shared, "items": items, "index": index}, base=base, more=more)

    @lazy_property
    def attributes(self) -> pa.Table | None:
        """Row i describes item i."""
        from recsys.logs.attribute_rows import with_more_rows  # which opening does without

        return with_more_rows(self.base.attributes, self.more.attributes, self.items.ids)

    @lazy_property
    def times(self) -> ItemTimes | None:
        """What the time of events says of items; of those that are not in the files, nothing."""
        before = self.base.times
        if before is None:
            return None
        return before.with_others(before.take(np.full(len(self.more.n_users), -1)))

    @lazy_property
    def item_json(self) -> ItemJson | None:
        """None: lists are written item by item."""
        return None

    @lazy_property
    def popular(self) -> NDArray[np.int32]:
        """The rows of the items, the most popular first."""
        recent = self.items.recent
        popularity = self.items.popularity if recent is None else recent
        before = self.base.popular
        rows = np.append(before, np.arange(len(before), len(popularity), dtype=np.int32))
        return rows[np.argsort(-popularity.astype(np.float64)[rows], kind="stable")]

    def similar(self, kind: Kind) -> Index | None:
        """Return the index by cosine of users or of items; None where there is none."""
        found = self.base.similar(kind)
        if found is None or kind == "user":
            return found
        return IndexWithMore(found, self.items.embeddings, cosine=True)


def _with_text_ids(table: pa.Table) -> pa.Table:
    place = table.column_names.index("item_id")
    return table.set_column(place, "item_id", table["item_id"].cast(pa.large_string()))


def _items_with(items: ItemTable, more: More) -> ItemTable:
    ids, _ = items.ids.joined(more.ids)
    recent, summands, dislikes = items.recent, items.summands, items.dislikes
    if recent is not None:
        recent = np.concatenate([recent, more.n_users.astype(np.float32)])
    if summands is not None:
        of_more = np.zeros_like(more.vectors) if more.summands is None else more.summands
        summands = np.vstack([np.asarray(summands), of_more])
    if dislikes is None:
        dislikes = np.zeros_like(items.popularity)
    return replace(
        items,
        ids=ids,
        embeddings=np.vstack([np.asarray(items.embeddings), more.vectors]),
        popularity=np.concatenate([items.popularity, more.n_users]),
        recent=recent,
        summands=summands,
        dislikes=np.concatenate([dislikes, more.dislikes]),
    )

"""Vectors for items that a version does not hold: of attributes, of first users, or of both."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp

from recsys.base.checks import require_a
from recsys.base.errors import DataError
from recsys.base.signed import liked
from recsys.features import FeatureEncoder
from recsys.logs import Interactions, attributes_of, read_items
from recsys.logs.attribute_rows import in_types_of, rows_of_others
from recsys.logs.sources import ItemSource
from recsys.models import model_from
from recsys.models.mapped import summands_of
from recsys.models.new_items import NewItems, fold_in_items
from recsys.models.protocol import popularity_of, recency_of
from recsys.serving.with_more import ContentWithMore, More
from recsys.store import Content
from recsys.vectors import Embeddings, Id, Ids


def with_items(
    content: Content, items: ItemSource, events: Interactions | None = None
) -> tuple[Content, list[Id]]:
    """Return a version with more items, and the ids of those; see `Recommender.add_items`."""
    require_a("add_items: events", events, Interactions | None, "Interactions, as read_log returns")
    base = content.base if isinstance(content, ContentWithMore) else content
    table = read_items(items)
    table = in_types_of(base.attributes, table.filter(pc.is_valid(table["item_id"])))
    new = Ids(rows_of_others(table, base.items.ids)["item_id"])
    if not len(new):
        return content, []
    rows, seen = _rows(base, attributes_of(table, new), new, events)
    n_users = popularity_of(liked(seen))
    dislikes = popularity_of(seen) - n_users
    found = np.flatnonzero(rows.items.any(axis=1))
    if not len(found):
        raise DataError(
            f"add_items: expected attributes that the model of version {base.version.name} has "
            f"learned from, or events of its users, got neither for {len(new):,} items; train with "
            "model.item_features, or pass events"
        )
    added = new.take(found)
    summands = None if rows.summands is None else rows.summands[found]
    counts = n_users[found], dislikes[found]
    more = More(attributes_of(table, added), rows.items[found], *counts, summands)
    if isinstance(content, ContentWithMore):
        more = content.more.with_those_of(more)
    return ContentWithMore.after(base, more), added.tolist()


def _rows(
    content: Content, more: pa.Table, new: Ids, events: Interactions | None
) -> tuple[NewItems, sp.csr_array]:
    """Return the embeddings of new items, and what users did with them, (n_users, n_new)."""
    known = content.map_of_new_items
    priors = None if known is None else known.vectors(_with_missing(more, known.encoder))
    popularity = content.items.popularity
    before = Embeddings(
        np.asarray(content.users.embeddings),
        np.asarray(content.items.embeddings),
        content.items.summands,
    )
    if events is None or not len(events):
        if priors is None:
            priors = np.zeros((len(new), before.factors), np.float32)
        summands = None
        if before.summands is not None:
            summands = summands_of(priors, before, popularity)
        return NewItems(priors, summands), sp.csr_array((len(before.users), len(new)))
    spec = content.version.manifest.model
    model = model_from(spec.name, spec.parameters)
    user_items = _with_events(content, new, events, recency_of(model))
    found = fold_in_items(model, before, popularity, user_items, spec.unit, priors)
    return found, user_items[:, len(content.items.ids) :]


def _with_missing(table: pa.Table, encoder: FeatureEncoder) -> pa.Table:
    """Return a table with the columns that a model knows: what is not said is missing."""
    for name, column in encoder.columns.items():
        if name not in table.column_names:
            kind = pa.list_(pa.float32()) if column.kind == "vector" else pa.null()
            table = table.append_column(name, pa.nulls(len(table), kind))
    return table


def _with_events(
    content: Content, new: Ids, events: Interactions, recency: float
) -> sp.csr_array:  # (n_users, n_known + n_new)
    """Return what the users of a version have seen, with their events of new items."""
    seen, n_known = content.users.seen, len(content.items.ids)
    weight = seen.weight if seen.weight is not None else np.ones(len(seen.item_idx), np.float32)
    shape = len(seen), n_known + len(new)
    before = sp.csr_array((weight, seen.item_idx, seen.starts), shape=(len(seen), n_known))
    before.resize(shape)
    pairs = events.user_items(recency, signed=True).tocoo()
    rows = content.users.ids.rows_of(events.users)[pairs.row]
    columns = new.rows_of(events.items)[pairs.col]
    is_ours = (rows >= 0) & (columns >= 0)
    more = (pairs.data[is_ours], (rows[is_ours], columns[is_ours] + n_known))
    return sp.csr_array(before + sp.csr_array(more, shape=shape, dtype=np.float32))

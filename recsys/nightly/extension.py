"""What a log adds to a version: new users and items are folded in, and every other row stays."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.lazy import lazy_property
from recsys.base.signed import liked
from recsys.features import FeatureMap, users_by_attributes
from recsys.logs import Interactions, attributes_of, summarize
from recsys.logs.attribute_rows import in_types_of, rows_of_others, with_more_rows
from recsys.logs.visits import LAST_DAY, Visits, visits_of
from recsys.models import model_from
from recsys.models.new_items import fold_in_items
from recsys.models.protocol import popularity_of, recency_of
from recsys.models.requirements import as_taken
from recsys.store import Content, ItemTable, ItemTimes, Release, UserTable, Version
from recsys.store.parquet_files import read_item_table, read_user_table
from recsys.vectors import Embeddings, FloatMatrix, Id, Ids
from recsys.vectors.ids import Kind


@dataclass(frozen=True)
class Added:
    """How many users, items and pairs of both a refresh adds, and users it leaves out."""

    users: int
    items: int
    pairs: int
    users_left_out: int = 0
    described: int = 0  # users without events of whom something else is known now

    @property
    def is_nothing(self) -> bool:
        """Whether the version would be the same again."""
        return not any(asdict(self).values())


class Extension:
    """A version with what a log knows beyond it.

    The users and items of the version come first, in their order, and keep their bits: embeddings,
    popularity, the weights of what was seen. To what its users have seen is added what they have
    since, so that no list holds it. New users and items follow in the order of the log.

    Parameters
    ----------
    parent : Content
        The version.
    log : Interactions
        Read with the settings that the version was made with. What it no longer holds stays.
    items, user_attributes : pyarrow.Table, optional
        Attributes of items and of users; those of new ones are taken from it.
    half_life_days : float
        Of the popularity of new items; see `Interactions.recent_popularity`.
    left_out : iterable of str or int
        Users of the version that the new one does not hold.
    trending_days : float
        See `recsys.logs.visits.visits_of`.
    """

    def __init__(
        self,
        parent: Content,
        log: Interactions,
        items: pa.Table | None = None,
        user_attributes: pa.Table | None = None,
        half_life_days: float = 30.0,
        left_out: Iterable[Id] = (),
        trending_days: float = 7.0,
    ) -> None:
        left_out = list(left_out)
        self.parent, self._log, self._half_life_days = parent, log, half_life_days
        self._trending_days = trending_days
        self._spec = parent.version.manifest.model
        self._model = model_from(self._spec.name, self._spec.parameters)
        users, self._known_items = _tables_of(parent.version)
        self._kept = _others(users.ids, left_out)
        self._known_users, n_before = users, len(users.ids)
        known = users.ids if len(self._kept) == n_before else users.ids.take(self._kept)
        self.users, self._user_of_log = known.joined(log.users)
        found, self._item_of_log = self._known_items.ids.joined(log.items)
        self.items, self._priors = self._with_described(found, items)
        self._n_known = len(known), len(self._known_items.ids)
        self.seen, n_pairs = self._with_new_pairs()
        n_users, n_items = self._n_known
        self._attributes_of_new, self._user_attributes_of_new = items, user_attributes
        self._described = self._described_users(left_out)
        self.added = Added(
            len(self.users) - n_users,
            len(self.items) - n_items,
            n_pairs,
            n_before - n_users,
            _n_changed(parent.described_users, self._described, self.users),
        )

    def _described_users(self, left_out: Sequence[Id]) -> pa.Table | None:
        """Return the attributes of users without events: of the table, else of the version."""
        before, known = self.parent.described_users, self._known.get("user")
        table = self._user_attributes_of_new
        if known is None:
            return None
        typed = self.parent.user_attributes
        table = before if table is None else in_types_of(typed, table, "user")
        gone, _ = self.users.joined(Ids(dict.fromkeys(left_out)))
        return users_by_attributes(known.encoder, table, gone)

    def _with_described(self, items: Ids, table: pa.Table | None) -> tuple[Ids, FloatMatrix | None]:
        """Return the items with those of the table that attributes alone speak for.

        And what attributes say of all new items, (n_new, factors); None where the model knows none.
        """
        known = self.parent.map_of_new_items
        if known is None or table is None:
            return items, None
        table = table.filter(pc.is_valid(table["item_id"]))
        joined, _ = items.joined(Ids(pc.unique(table["item_id"])))
        new = np.arange(len(self._known_items.ids), len(joined))
        said = known.vectors(attributes_of(table, joined.take(new)))
        is_kept = said.any(axis=1) | (new < len(items))
        kept = np.concatenate([np.arange(len(self._known_items.ids)), new[is_kept]])
        return joined.take(kept), said[is_kept]

    def _with_new_pairs(self) -> tuple[sp.csr_array, int]:
        """Return what all users have seen, and how many pairs of it the version does not hold.

        A pair that it holds weighs what it did, unless what was liked is disliked now, or is again.
        """
        shape = len(self.users), len(self.items)
        before = self._seen_before(shape)
        of_log = self._log.user_items(recency_of(self._model), signed=True).tocoo()
        rows = self._user_of_log[of_log.row].astype(np.int64)
        columns = self._item_of_log[of_log.col]
        keys, known = rows * shape[1] + columns, _pair_keys(before)
        is_new = ~np.isin(keys, known, assume_unique=True)
        place, now = np.searchsorted(known, keys[~is_new]), of_log.data[~is_new]
        before.data = np.array(before.data)  # a file can be behind it
        before.data[place] = np.where(before.data[place] * now < 0, now, before.data[place])
        n_new = int(np.count_nonzero(is_new))
        new = (of_log.data[is_new], (rows[is_new], columns[is_new]))
        seen = sp.csr_array(before + sp.csr_array(new, shape=shape, dtype=np.float32))
        seen.sort_indices()
        return seen, n_new

    def _seen_before(
        self, shape: tuple[int, int], values: NDArray[np.float32] | None = None
    ) -> sp.csr_array:
        """Return the weights, or values, of what the version's users have seen, over all rows."""
        lists = self._known_users.seen
        weight = lists.weight if values is None else values
        if weight is None:
            weight = np.ones(len(lists.item_idx), dtype=np.float32)
        n_known = len(lists), self._n_known[1]
        seen = sp.csr_array((weight, lists.item_idx, lists.starts), shape=n_known)
        seen = sp.csr_array(seen[self._kept]) if len(self._kept) < len(lists) else seen
        seen.resize(shape)
        return seen

    @lazy_property
    def popularity(self) -> NDArray[np.int64]:
        """Of the items of the version as it was: fold-ins go by it; then that of the new items."""
        of_new = popularity_of(liked(self.seen))[self._n_known[1] :]
        return np.concatenate([self._known_items.popularity, of_new])

    def embeddings(self) -> Embeddings:
        """Fold in what is new.

        New users are folded in to the items of the version, new items to all users, and then the
        new users once more, to all items: so their rows are what a fold-in of what they have seen,
        with what their attributes say, gives in the new version.
        """
        model, items, unit = self._model, self._known_items, self._spec.unit
        n_users, n_items = self._n_known
        of_new = as_taken(model, sp.csr_array(self.seen[n_users:]))
        users = self._known_users.embeddings[self._kept]
        rows, summands = items.embeddings, items.summands
        if self.added.items:
            first = users
            if self.added.users:
                fold_in = model.fold_in(rows, items.popularity, unit, summands)
                of_known = sp.csr_array(of_new[:, :n_items])
                first = np.vstack([users, fold_in(of_known, self._user_priors)])
            known = Embeddings(first, rows, summands)
            new = fold_in_items(model, known, items.popularity, self.seen, unit, self._priors)
            rows = np.vstack([rows, new.items])
            if summands is not None and new.summands is not None:
                summands = np.vstack([summands, new.summands])
        if self.added.users:
            fold_in = model.fold_in(rows, self.popularity, unit, summands)
            users = np.vstack([users, fold_in(of_new, self._user_priors)])
        maps = {f"{side}_map": one.map for side, one in self._known.items()}
        facts = self.parent.version.manifest.features
        ridges = {side: facts[f"{side}s"].get("ridge") for side in self._known}
        known_ridges = {side: one for side, one in ridges.items() if one is not None}
        return Embeddings(users, rows, summands, **maps, ridges=known_ridges)

    @lazy_property
    def _known(self) -> dict[str, FeatureMap]:
        """How attributes become embeddings, by "item" and "user": as in the version."""
        sides: tuple[Kind, ...] = ("item", "user")
        found = {side: self.parent.feature_map(side) for side in sides}
        return {side: one for side, one in found.items() if one is not None}

    @lazy_property
    def _user_priors(self) -> FloatMatrix | None:
        """What attributes say of new users, (n_new, factors); None where the model knows none."""
        known, table = self._known.get("user"), self._user_attributes_of_new
        if known is None or table is None:
            return None
        new = self.users.take(np.arange(self._n_known[0], len(self.users)))
        return known.vectors(attributes_of(table, new, "user"))

    def release(self, embeddings: Embeddings) -> Release:
        """Return what is published, with the embeddings of `embeddings`.

        The metrics, the settings and the model are those of the version: nothing was trained.
        """
        manifest = self.parent.version.manifest
        origin = manifest.refreshed_from or manifest.version
        facts = {"refresh": {"of": origin, **asdict(self.added)}}
        return Release(
            embeddings=embeddings,
            users=self.users,
            items=self.items,
            seen=self.seen,
            popularity=self.popularity,
            model=self._spec,
            recent=self._recent(),
            times=self._times(),
            seen_day=self._seen_day(),
            attributes=self._attributes(),
            user_attributes=self._user_attributes(),
            described_users=self._described,
            data={**summarize(self._log).to_dict(), **facts},
            metrics=manifest.metrics,
            config=manifest.config,
            space_id=manifest.space_id,
            encoders={side: one.encoder for side, one in self._known.items()},
            alignment={
                "parent": manifest.version,
                "space": "kept",
                "reason": "a refresh leaves the rows of the version before as they are",
            },
        )

    def _recent(self) -> NDArray[np.float32] | None:
        """Return the popularity of late: of the items of the version as it was."""
        before, n_items = self._known_items.recent, self._n_known[1]
        if before is None:
            return None
        recent = self.popularity.astype(np.float32)
        of_log = self._log.recent_popularity(self._half_life_days)
        if of_log is not None:
            recent[self._item_of_log] = of_log
        recent[:n_items] = before
        return recent

    @lazy_property
    def _visits(self) -> Visits | None:
        """What the log says of its pairs and items, where the version has such."""
        return None if self.parent.times is None else visits_of(self._log, self._trending_days)

    def _times(self) -> ItemTimes | None:
        """Return what the time of events says: of the items of the version as it was."""
        before = self.parent.times
        if before is None or not self.added.items:
            return before
        of_log = np.full(len(self.items), -1)
        of_log[self._item_of_log] = np.arange(len(self._log.items))
        rows, of_visits = of_log[self._n_known[1] :], ItemTimes.of(self._visits)
        if of_visits is None:  # a log without time
            return before.with_others(before.take(np.full(len(rows), -1)))
        return before.with_others(of_visits.take(rows))

    def _seen_day(self) -> NDArray[np.uint16] | None:
        """Return the day of the last event of each pair, of the version or later.

        What has none, as a dislike, never returns to a list.
        """
        before, visits = self._known_users.seen.day, self._visits
        if before is None:
            return None
        days = self._seen_before(self.seen.shape, before.astype(np.float32) + 1)
        if visits is not None and visits.last_day is not None:
            pairs = replace(self._log, dislikes=None).user_items().tocoo()
            rows, columns = self._user_of_log[pairs.row], self._item_of_log[pairs.col]
            of_log = visits.last_day.astype(np.float32) + 1
            days = days.maximum(sp.csr_array((of_log, (rows, columns)), shape=self.seen.shape))
        every = sp.csr_array(
            days + abs(abs(self.seen.sign())) * np.float32(0.5)
        )  # also unknown ones
        every.sort_indices()
        known = np.floor(every.data) - 1
        found: NDArray[np.uint16] = np.where(known < 0, LAST_DAY, known).astype(np.uint16)
        return found

    def _attributes(self) -> pa.Table | None:
        """Return the attributes of the items of the version, with rows for the new ones."""
        table = self._attributes_of_new
        return _extended("item", self.parent.attributes, table, self.items, self._n_known[1])

    def _user_attributes(self) -> pa.Table | None:
        """Return those of its users, but for who is left out, with rows for the new ones."""
        before, table = self.parent.user_attributes, self._user_attributes_of_new
        if before is not None and len(self._kept) < len(before):
            before = before.take(pa.array(self._kept))
        return _extended("user", before, table, self.users, self._n_known[0])


def _extended(
    side: Kind, before: pa.Table | None, table: pa.Table | None, ids: Ids, n_known: int
) -> pa.Table | None:
    """Return the attributes of a version with rows for what is new, which a table describes."""
    if before is None:
        return None if table is None else attributes_of(table, ids, side)
    if len(ids) == n_known:
        return before
    of_new = ids.take(np.arange(n_known, len(ids)))
    new = pa.table({f"{side}_id": of_new.values})
    if table is not None:
        new = attributes_of(table, of_new, side)
    return with_more_rows(before, new, ids, side)


def _n_changed(before: pa.Table | None, now: pa.Table | None, users: Ids) -> int:
    """Return of how many users without events something else is known, or nothing any more.

    Who has events now is another's count.
    """
    kept = None if before is None else rows_of_others(before, users, "user")
    if kept is not None and now is not None and kept.equals(now):  # mostly, and without a loop
        return 0
    of_before, of_now = (
        {} if table is None else {str(row.pop("user_id")): row for row in table.to_pylist()}
        for table in (kept, now)
    )
    return sum(of_before.get(one) != of_now.get(one) for one in of_before.keys() | of_now.keys())


def _tables_of(version: Version) -> tuple[UserTable, ItemTable]:
    """Read the tables of a version as they were published, before any coding to int8."""
    return read_user_table(version.folder), read_item_table(version.folder)


def _others(ids: Ids, left_out: Iterable[Id]) -> NDArray[np.intp]:
    """Return the rows of all ids but some."""
    gone = ids.rows(left_out)
    return np.setdiff1d(np.arange(len(ids)), gone[gone >= 0])


def _pair_keys(matrix: sp.csr_array) -> NDArray[np.int64]:
    rows = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
    keys: NDArray[np.int64] = rows * matrix.shape[1] + matrix.indices
    return keys

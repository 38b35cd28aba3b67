"""What is published: embeddings, the tables that belong to them, metrics and settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.base.errors import DataError
from recsys.base.lazy import lazy_property
from recsys.store.evaluation_summary import EvaluationSummary
from recsys.store.item_times import ItemTimes
from recsys.store.manifest import ModelSpec
from recsys.store.seen_lists import SeenLists
from recsys.vectors import Embeddings, Ids, space_id_of
from recsys.vectors.ids import Kind

if TYPE_CHECKING:
    import scipy.sparse as sp

    from recsys.features import FeatureEncoder, FeatureMap


@dataclass(frozen=True, eq=False)
class Release:
    """The content of a version before it is published.

    Parameters
    ----------
    users, items : Ids
        Of the rows of the embeddings.
    seen : csr_array, shape (n_users, n_items)
        An entry for every item that a user has seen: its weight in training, below 0 of a dislike.
    popularity : ndarray of int64, shape (n_items,)
        Number of users of each item.
    recent : ndarray of float32, shape (n_items,), optional
        The same with old interactions counting less; ranks the popular list.
    times : ItemTimes, optional
        What the time of events says of the items.
    seen_day : ndarray of uint16, shape (n_seen,), optional
        The day of the last event of each entry of `seen`, which is then in canonical form.
    attributes : pyarrow.Table, optional
        Row i describes item i: item_id, and any columns such as title and category.
    user_attributes : pyarrow.Table, optional
        Row i describes user i: user_id, and any columns such as country.
    described_users : pyarrow.Table, optional
        The attributes of users without a row, whom the map of the embeddings alone speaks for.
    data, metrics, config : mapping
        For the manifest: the summary of the log, the evaluations by model, the settings.
    space_id : str, optional
        Of the version whose coordinates the embeddings share. Default: a space of their own.
    encoders : mapping of {"item", "user"} to FeatureEncoder
        Of the features that the maps of the embeddings are of.
    alignment : mapping
        For the manifest: why the space is kept or new; `align_with_current` fills it in.

    Raises
    ------
    DataError
        If the tables do not fit together.
    """

    embeddings: Embeddings
    users: Ids
    items: Ids
    seen: "sp.csr_array"
    popularity: NDArray[np.int64]
    model: ModelSpec
    recent: NDArray[np.float32] | None = None
    attributes: pa.Table | None = None
    user_attributes: pa.Table | None = None
    described_users: pa.Table | None = None
    times: ItemTimes | None = None
    seen_day: NDArray[np.uint16] | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, EvaluationSummary] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    space_id: str | None = None
    alignment: Mapping[str, Any] = field(default_factory=dict)
    encoders: Mapping[str, "FeatureEncoder"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n_users, n_items = len(self.embeddings.users), len(self.embeddings.items)
        for name, found, expected in (
            ("user ids", len(self.users), n_users),
            ("item ids", len(self.items), n_items),
            ("popularity", len(self.popularity), n_items),
            ("recent", n_items if self.recent is None else len(self.recent), n_items),
            ("times", n_items if self.times is None else len(self.times), n_items),
            ("seen", tuple(self.seen.shape), (n_users, n_items)),
        ):
            if found != expected:
                raise DataError(f"release: expected {name} of {expected} rows, got {found}")
        n_days = self.seen.nnz if self.seen_day is None else len(self.seen_day)
        if n_days != self.seen.nnz:
            raise DataError(f"release: expected a day of {self.seen.nnz} pairs, got {n_days}")
        _require_described("item", self.attributes, self.items)
        _require_described("user", self.user_attributes, self.users)

    @lazy_property
    def seen_lists(self) -> SeenLists:
        """The seen items of every user, ascending and unique, with their weights."""
        seen = self.seen
        if not seen.has_canonical_format:
            seen = seen.copy()
            seen.sum_duplicates()
        weight = seen.data.astype(np.float32, copy=False)
        are_ones = len(weight) == 0 or weight.min() == weight.max() == 1
        return SeenLists(
            seen.indptr.astype(np.int64, copy=False),
            seen.indices.astype(np.int32, copy=False),
            None if are_ones else weight,
            day=self.seen_day,
        )

    @property
    def feature_maps(self) -> "dict[str, FeatureMap]":
        """The maps from features to embeddings by side, with what encodes the features."""
        from recsys.features import FeatureMap  # not needed to serve

        maps = {"item": self.embeddings.item_map, "user": self.embeddings.user_map}
        return {
            side: FeatureMap(self.encoders[side], one)
            for side, one in maps.items()
            if one is not None and side in self.encoders
        }

    @lazy_property
    def space(self) -> str:
        """The given space, or an id of its own, a hash of the item embeddings."""
        if self.space_id is not None:
            return self.space_id
        return space_id_of(self.embeddings.items)


def _require_described(side: Kind, attributes: pa.Table | None, ids: Ids) -> None:
    if attributes is None:
        return
    key = f"{side}_id"
    if key not in attributes.column_names:
        raise DataError(
            f"release: expected a column {key} in the attributes of {side}s, got "
            f"{', '.join(attributes.column_names)}"
        )
    if Ids(attributes[key]) != ids:
        raise DataError(f"release: expected row i of the attributes to describe {side} i")

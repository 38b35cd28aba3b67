"""Fold in a history: the embedding of a user whom training did not see, and explanations."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from recsys.base.checks import require_a
from recsys.base.errors import CorruptVersionError, DataError, briefly
from recsys.base.lazy import lazy_property
from recsys.index import ItemRows
from recsys.serving.fresh import latest_first, merged
from recsys.serving.known import ScoredItem
from recsys.serving.many import FoldedIn
from recsys.serving.results import ATTRIBUTES, FOLD_IN, Explanation, Source
from recsys.serving.rules import NO_ITEMS
from recsys.store import Content, ItemTable
from recsys.vectors import FloatMatrix, FloatVector, Id
from recsys.vectors.ids import checked_ids, unknown_id

if TYPE_CHECKING:
    import scipy.sparse as sp

    from recsys.features import FeatureMap
    from recsys.models import Contributions, FoldIn


_LEAST_WEIGHT, _LARGEST_WEIGHT = 1e-6, 1e6  # times the mean in training


class Histories:
    """Histories of items of one version: folded in, and as contributions to scores."""

    def __init__(self, content: Content, items: ItemTable) -> None:
        self._content, self._items = content, items
        self._manifest = content.version.manifest
        self._spec = self._manifest.model
        self.version = content.version.name

    @property
    def unit(self) -> float:
        """What an interaction weighs whose weight nobody knows."""
        return self._spec.unit

    def of(
        self,
        item_ids: Iterable[Id],
        weights: Iterable[float] | None,
        name: str,
        *,
        known: Literal["all", "one", "any"] = "any",
        dislikes: Iterable[Id] = (),
        may_be_empty: bool = False,
    ) -> "sp.csr_array":
        """Return a history as one row of user_items, (1, n_items), below 0 of dislikes.

        What is in both was disliked.
        """
        listed, disliked = checked_ids(item_ids, name), checked_ids(dislikes, "dislikes")
        if not listed and not disliked and not may_be_empty:
            raise DataError(f"{name}: expected a history of at least one item, got none")
        rows, others = (self._items.ids.rows(ids) for ids in (listed, disliked))
        all_ids, all_rows = [*listed, *disliked], np.append(rows, others)
        unknown = np.flatnonzero(all_rows < 0)
        if (known == "all" and len(unknown)) or (known == "one" and len(unknown) == len(all_rows)):
            raise unknown_id(
                "item", all_ids[unknown[0]], self._items.ids, f"of version {self.version}"
            )
        values = (
            np.full(len(rows), self._spec.unit)
            if weights is None
            else _checked_weights(weights, len(rows))
        )
        is_liked = (rows >= 0) & ~np.isin(rows, others)
        history = self.as_row(rows[is_liked], values[is_liked])
        _require_in_range(history.data, self._spec.unit)
        history = self._in_order(history, np.zeros(1, dtype=np.int64), rows[is_liked])
        return self._with_dislikes(history, np.unique(others[others >= 0]))

    @property
    def dislike_unit(self) -> float:
        """What a dislike weighs whose confidence nobody knows: what those of the log do in mean."""
        return -(self._manifest.log.mean_dislike or self._spec.unit)

    def _with_dislikes(self, history: "sp.csr_array", disliked: ItemRows) -> "sp.csr_array":
        """Add dislikes to a history."""
        if not len(disliked):
            return history
        weights = np.append(history.data, np.full(len(disliked), self.dislike_unit))
        return self.as_row(np.append(history.indices, disliked), weights)

    def of_events(self, events: Iterable[tuple[Id, float]]) -> tuple[ItemRows, NDArray[np.float64]]:
        """Return the rows and weights of what the version holds of some events, in their order.

        Those of weight 0 are left out.
        """
        listed = list(events)
        rows = self._items.ids.rows([item_id for item_id, _ in listed])
        weights = np.array([weight for _, weight in listed], np.float64)
        is_known = (rows >= 0) & (weights != 0)
        return rows[is_known], weights[is_known]

    def with_events(
        self,
        stored: tuple[ItemRows, NDArray[np.floating]],
        fresh: tuple[ItemRows, NDArray[np.floating]],
        duplicates: str,
    ) -> "sp.csr_array":
        """Return a stored history and fresh events as one row of user_items, (1, n_items)."""
        from recsys.models.protocol import recency_of

        rows, weights = merged(stored, fresh, duplicates, recency_of(self._model) or 0.0)
        unit = self._spec.unit  # beyond these, float32 would solve wrongly
        within = np.clip(np.abs(weights), _LEAST_WEIGHT * unit, _LARGEST_WEIGHT * unit)
        return self.as_row(rows, np.copysign(within, weights))

    def latest_first(
        self, rows: ItemRows, weights: NDArray[np.floating]
    ) -> tuple[ItemRows, NDArray[np.float64]]:
        """Return items as `of` takes them reversed: the last one first, and what each weighs.

        What was disliked is none of them.
        """
        from recsys.models.protocol import recency_of

        likes = weights > 0
        return latest_first(rows[likes], weights[likes], recency_of(self._model) or 0.0)

    def of_unknown(
        self,
        user_idx: NDArray[np.int32],
        histories: Iterable[Iterable[Id] | None] | None,
        dislikes: Iterable[Iterable[Id] | None] | None = None,
        described: "tuple[NDArray[np.integer], FloatMatrix] | None" = None,
    ) -> FoldedIn:
        """Fold in what unknown users have and dislike, those whose row is -1, all at once.

        `described` are the places of those whom a table describes, and what it says of each.
        """
        factors = self._items.embeddings.shape[1]
        nobody = FoldedIn.nobody(len(user_idx), factors)
        if histories is None and dislikes is None and described is None:
            return nobody
        of_each = self._rows_of_each(histories, len(user_idx), "histories")
        disliked = self._rows_of_each(dislikes, len(user_idx), "dislikes")
        unknown = np.flatnonzero(user_idx < 0)
        rows = self._of_many(*([one[place] for place in unknown] for one in (of_each, disliked)))
        places, said = described or (NO_ITEMS, np.empty((0, factors), np.float32))
        known = np.flatnonzero((np.diff(rows.indptr) > 0) | np.isin(unknown, places))
        kept = None if dislikes is None else disliked
        if len(known) == 0:
            return replace(nobody, disliked=kept)
        position = np.full(len(user_idx), -1)
        position[unknown[known]] = np.arange(len(known))
        rows, source = rows[known], np.full(len(known), FOLD_IN, np.int8)
        priors = None if described is None else np.zeros((len(known), factors), np.float32)
        if priors is not None:
            priors[position[places]] = said
            has_liked = np.bincount(rows.nonzero()[0], rows.data > 0, len(known)) > 0
            alone = position[places]
            source[alone[~has_liked[alone]]] = ATTRIBUTES
        return FoldedIn(position, rows, self.fold_in(rows, priors), source, kept)

    def without_history(self, priors: FloatMatrix) -> FloatMatrix:
        """Return the embeddings of users of whom attributes alone are known, (n, factors)."""
        import scipy.sparse as sp

        shape = len(priors), len(self._items.ids)
        return self.fold_in(sp.csr_array(shape, dtype=np.float32), priors)

    def _rows_of_each(
        self, listed: Iterable[Iterable[Id] | None] | None, n: int, name: str
    ) -> list[ItemRows]:
        """Return the rows of what each of n users has, in order; those of unknown ids are not."""
        if listed is None:
            return [NO_ITEMS] * n
        if not isinstance(listed, Iterable):
            raise DataError(f"{name}: expected a list for each of {n} users, got {briefly(listed)}")
        of_each = [listed] if isinstance(listed, str) else list(listed)
        if len(of_each) != n:
            raise DataError(f"{name}: expected one for each of {n} users, got {len(of_each)}")
        ids = [[] if one is None else checked_ids(one, name) for one in of_each]
        rows = self._items.ids.rows([id_ for one in ids for id_ in one])
        ends = np.cumsum([len(one) for one in ids])[:-1]
        return [one[one >= 0] for one in np.split(rows, ends)] if n else []

    def _of_many(
        self, histories: Sequence[ItemRows], dislikes: Sequence[ItemRows]
    ) -> "sp.csr_array":
        """Return histories as rows of user_items, (n_histories, n_items), below 0 of dislikes."""
        import scipy.sparse as sp

        liked = [
            rows[~np.isin(rows, others)] if len(others) else rows
            for rows, others in zip(histories, dislikes, strict=True)
        ]
        shape = (len(liked), len(self._items.ids))

        def matrix(listed: Sequence[ItemRows], weight: float) -> "sp.csr_array":
            of = np.repeat(np.arange(len(listed)), [len(one) for one in listed])
            rows = np.concatenate([NO_ITEMS, *listed])
            weights = np.full(len(of), weight, dtype=np.float32)
            found = sp.csr_array((weights, (of, rows)), shape=shape)
            return self._in_order(found, of, rows) if weight > 0 else found

        found = matrix(liked, self._spec.unit)
        if not any(map(len, dislikes)):
            return found
        return sp.csr_array(found + matrix([np.unique(one) for one in dislikes], self.dislike_unit))

    def _in_order(
        self, histories: "sp.csr_array", of: NDArray[np.int64], rows: ItemRows
    ) -> "sp.csr_array":
        """Weigh items, the last of each history last, by the recency of the model."""
        from recsys.logs.order import fall_with_steps
        from recsys.models.protocol import recency_of

        recency = recency_of(self._model)
        if recency:
            pair = of * histories.shape[1] + rows
            fall_with_steps(histories, pair, np.arange(len(rows)), recency)
        return histories

    def as_row(self, rows: ItemRows, weights: NDArray[np.floating]) -> "sp.csr_array":
        """Return items as one row of user_items; the weights of a repeated item add up."""
        import scipy.sparse as sp

        columns, column = np.unique(rows, return_inverse=True)
        data = np.bincount(column, weights=weights, minlength=len(columns)).astype(np.float32)
        return sp.csr_array(
            (data, columns.astype(np.int32), np.array([0, len(columns)], dtype=np.int32)),
            shape=(1, len(self._items.ids)),
        )

    @lazy_property
    def _model(self) -> Any:
        from recsys.models import model_from  # the solvers are not needed to answer a user

        return model_from(self._spec.name, self._spec.parameters)

    @lazy_property
    def _vectors(self) -> FloatMatrix:
        return np.asarray(self._items.embeddings)  # decoded, where they are int8

    @lazy_property
    def _fold_in(self) -> "FoldIn":
        items = self._items
        with self._solvable():
            found: FoldIn = self._model.fold_in(
                self._vectors, items.popularity, self._spec.unit, items.summands
            )
        return found

    @contextmanager
    def _solvable(self) -> Iterator[None]:
        """Turn a system without a solution into an error of ours: sound items always have one."""
        try:
            yield
        except np.linalg.LinAlgError as error:
            raise CorruptVersionError(
                f"version {self.version}: expected items that a history can be folded into, got "
                f"others ({error}); run recsys verify, or activate another version"
            ) from error

    def folded(
        self,
        item_ids: Iterable[Id],
        weights: Iterable[float] | None,
        known: Literal["all", "one"],
        dislikes: Iterable[Id],
        user_attributes: Mapping[str, Any] | None,
    ) -> "tuple[sp.csr_array, FloatVector]":
        """Return a history, which may be empty where attributes are given, and its embedding."""
        prior = self.prior_of(user_attributes)
        is_enough = known == "one" and prior is not None
        history = self.of(
            item_ids,
            weights,
            "item_ids",
            known="any" if is_enough else known,
            dislikes=dislikes,
            may_be_empty=prior is not None,
        )
        return history, self.fold_in(history, prior)[0]

    def prior_of(self, attributes: Mapping[str, Any] | None) -> FloatMatrix | None:
        """Return what a user's attributes say, (1, factors); None where none are given."""
        if attributes is None:
            return None
        require_a("user_attributes", attributes, Mapping, "a mapping of columns to values")
        known = self.user_map
        if known is None:
            raise DataError(
                f"user_attributes: expected a version whose model knows attributes of users, and "
                f"that of version {self.version} knows none; train with model.user_features"
            )
        return known.vector_of(attributes, "user_attributes")

    @lazy_property
    def user_map(self) -> "FeatureMap | None":
        """How attributes of users become embeddings; None where the model knows none."""
        return self._content.feature_map("user")

    def fold_in(
        self, histories: "sp.csr_array", priors: FloatMatrix | None = None
    ) -> FloatMatrix:  # (n_histories, factors)
        """Embed histories as training embeds users; a model without dislikes takes the rest.

        `priors` are what attributes say of each, see `prior_of`.
        """
        from recsys.models.requirements import as_taken

        fold_in = self._fold_in
        with self._solvable():
            users = fold_in(as_taken(self._model, histories), priors)
        if not np.isfinite(users).all():
            raise DataError(
                "history: expected one with a finite embedding, got weights that the model of "
                f"version {self.version} cannot hold; divide them by their mean"
            )
        return users

    @lazy_property
    def _contributions(self) -> "Contributions":
        prepare = self._model.contributions
        items = self._items
        with self._solvable():
            found: Contributions = prepare(
                self._vectors, items.popularity, self._spec.unit, items.summands
            )
        return found

    def explain(
        self, history: "sp.csr_array", user: FloatVector, item_idx: int, source: Source
    ) -> Explanation:
        """Explain the score of an item for a user with this history and this embedding."""
        from recsys.base.signed import counted
        from recsys.models.requirements import as_taken

        history = counted(as_taken(self._model, history))
        score = float(user.astype(np.float64) @ self._items.embeddings[item_idx])
        contributions = self._contributions
        with self._solvable():
            added = contributions(history, item_idx) if history.nnz else np.zeros(0)
        order = np.argsort(-added, kind="stable")
        items = self._items.ids.tolist(history.indices[order])
        return Explanation(
            self._items.ids[item_idx],
            score,
            tuple(map(ScoredItem, items, added[order].tolist())),
            score - float(added.sum()),
            source,
            self.version,
            is_new_item=int(self._items.n_with_events[item_idx]) == 0,
        )


def _checked_weights(
    weights: Iterable[float], n: int
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    try:
        values = np.fromiter(weights, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"weights: expected a list of numbers, got {error}") from error
    if len(values) != n:
        raise DataError(f"weights: expected one for each of {n} items, got {len(values)}")
    if not (np.isfinite(values) & (values > 0)).all():
        raise DataError("weights: expected finite numbers above 0, got others")
    return values


def _require_in_range(weights: NDArray[np.float32], unit: float) -> None:
    """Refuse weights, those of a repeated item added up, that float32 would solve wrongly."""
    least, largest = _LEAST_WEIGHT * unit, _LARGEST_WEIGHT * unit
    if ((weights < np.float32(least)) | (weights > np.float32(largest))).any():
        raise DataError(
            f"weights: expected numbers from {least:g} to {largest:g}, as {unit:g} is the mean in "
            f"training, got {weights.min():g} to {weights.max():g}; use the unit of the log"
        )

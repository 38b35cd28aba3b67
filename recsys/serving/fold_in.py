"""Fold in a history: the embedding of a user whom training did not see, and explanations."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from recsys.base.errors import DataError
from recsys.index import ItemRows
from recsys.serving.results import ScoredItem, Source
from recsys.store import Content
from recsys.vectors import FloatVector, Id
from recsys.vectors.ids import checked_ids, unknown_id

if TYPE_CHECKING:
    import scipy.sparse as sp

    from recsys.models import Contributions, FoldIn


@dataclass(frozen=True)
class Explanation:
    """The parts of a score; see `Recommender.explain`.

    Parameters
    ----------
    item_id : str or int
        The item that is explained.
    score : float
        Its score.
    parts : tuple of ScoredItem
        An item of the history and its part, the largest first; negative ones speak against it.
    rest : float
        What no item of the history has a part in, so that parts and rest sum to the score: the
        mean of a centered model or the popularity of the item, and rounding.
    source : {"personal", "fold_in"}
    version : str

    Examples
    --------
    >>> why = Explanation("i9", 0.5, (ScoredItem("i7", 0.4),), 0.1, "personal", "v")
    >>> why.score == sum(part for _, part in why.parts) + why.rest
    True
    """

    item_id: Id
    score: float
    parts: tuple[ScoredItem, ...]
    rest: float
    source: Source
    version: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain types that JSON can hold."""
        return {
            "item_id": self.item_id,
            "score": self.score,
            "parts": [part._asdict() for part in self.parts],
            "rest": self.rest,
            "source": self.source,
            "version": self.version,
        }


def explanation(
    item_id: Id,
    score: float,
    history: list[Id],
    parts: NDArray[np.float64],
    source: Source,
    version: str,
) -> Explanation:
    """Put the parts in order; what they do not sum to is the rest."""
    order = np.argsort(-parts, kind="stable").tolist()
    listed = tuple(ScoredItem(history[place], float(parts[place])) for place in order)
    return Explanation(item_id, score, listed, score - float(parts.sum()), source, version)


class Histories:
    """Histories against the items of one version: folded in, and as parts of scores.

    Parameters
    ----------
    content : Content
    """

    def __init__(self, content: Content) -> None:
        self._items = content.items
        self._named = content.version.manifest.model
        self.version = content.version.name

    def of(
        self,
        item_ids: Iterable[Id],
        weights: Iterable[float] | None,
        name: str,
        *,
        known: Literal["all", "one", "any"] = "any",
    ) -> "sp.csr_array":
        """Return a history as one row of user_items, (1, n_items).

        Parameters
        ----------
        item_ids : iterable of str or int
            Those that are not known are left out.
        weights : iterable of float, optional
            One for each of them, finite and above 0; default 1. Those of a repeated item add up.
        name : str
            Of the argument, for error messages.
        known : {"all", "one", "any"}
            How many of the items must be known.

        Raises
        ------
        DataError
            If there is no item or the weights do not fit.
        UnknownItemError
            If too few items are known.
        """
        listed = checked_ids(item_ids, name)
        if not listed:
            raise DataError(f"{name}: expected a history of at least one item, got none")
        rows = self._items.ids.rows(listed)
        unknown = np.flatnonzero(rows < 0)
        if (known == "all" and len(unknown)) or (known == "one" and len(unknown) == len(rows)):
            raise unknown_id(
                "item", listed[unknown[0]], self._items.ids, f"of version {self.version}"
            )
        values = np.ones(len(rows)) if weights is None else _checked_weights(weights, len(rows))
        return self.as_row(rows[rows >= 0], values[rows >= 0])

    def as_row(self, rows: ItemRows, weights: NDArray[np.floating]) -> "sp.csr_array":
        """Return items, of which some may be there twice, as one row of user_items."""
        import scipy.sparse as sp

        columns, place = np.unique(rows, return_inverse=True)
        data = np.bincount(place, weights=weights, minlength=len(columns)).astype(np.float32)
        return sp.csr_array(
            (data, columns.astype(np.int32), np.array([0, len(columns)], dtype=np.int32)),
            shape=(1, len(self._items.ids)),
        )

    @cached_property
    def _model(self) -> Any:
        from recsys.models import model_from  # the solvers are not needed to answer a user

        return model_from(self._named["name"], self._named["parameters"])

    @cached_property
    def fold_in(self) -> "FoldIn":
        """Embeds histories as training embeds users."""
        found: FoldIn = self._model.fold_in(self._items.embeddings, self._items.popularity)
        return found

    @cached_property
    def _contributions(self) -> "Contributions":
        prepare = self._model.contributions
        found: Contributions = prepare(self._items.embeddings, self._items.popularity)
        return found

    def explain(
        self, history: "sp.csr_array", user: FloatVector, item_idx: int, source: Source
    ) -> Explanation:
        """Return the parts of the score of an item that come from each item of a history."""
        score = float(user.astype(np.float64) @ self._items.embeddings[item_idx])
        parts = self._contributions(history, item_idx) if history.nnz else np.zeros(0)
        ids = self._items.ids
        listed = ids.tolist(history.indices)
        return explanation(ids[item_idx], score, listed, parts, source, self.version)


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

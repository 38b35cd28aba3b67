"""The recommender: one open version, and its answers."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any, Literal

import numpy as np

from recsys.errors import DataError, UnknownItemError, UnknownUserError, did_you_mean
from recsys.index import ItemRows
from recsys.serving.cosine import ItemCosines
from recsys.serving.history import history_of
from recsys.serving.popular import PopularItems
from recsys.serving.recommendations import Recommendations, ScoredItem, Source
from recsys.store import Content
from recsys.vectors import FloatVector, Id

_NOTHING = np.empty(0, dtype=np.int32)
_MOST_IDS_TO_SUGGEST_FROM = 100_000


class Recommender:
    """Answers from one version, which never changes; `recsys.open` makes one.

    Parameters
    ----------
    content : Content
        An open version.

    Examples
    --------
    ::

        recommender = recsys.open("store")
        for item_id, score in recommender.recommend("u42", k=10):
            ...
    """

    def __init__(self, content: Content) -> None:
        self._content = content
        self._users, self._items = content.users, content.items
        self._index = content.index
        self.version = content.version.name

    def __repr__(self) -> str:
        n_users, n_items = len(self._users.ids), len(self._items.ids)
        return f"Recommender({n_users} users, {n_items} items, version {self.version})"

    def recommend(
        self,
        user_id: Id,
        k: int = 10,
        *,
        include_seen: bool = False,
        on_unknown: Literal["popular", "raise"] = "popular",
    ) -> Recommendations:
        """Recommend items to a user.

        Parameters
        ----------
        user_id : str or int
            In either form: ``42`` and ``"42"`` are the same user.
        k : int
            Length of the list. It is shorter only where the catalogue has no more to offer.
        include_seen : bool
            Keep items that the user has seen.
        on_unknown : {"popular", "raise"}
            What an unknown user gets. A known one whose embedding is zero gets the popular list
            in either case.

        Returns
        -------
        Recommendations
            The source is "personal" or "popular".

        Raises
        ------
        DataError
            If an argument is none of these.
        UnknownUserError
            If the user is not known and `on_unknown` is "raise".
        """
        k = _checked_k(k)
        if on_unknown not in ("popular", "raise"):
            raise DataError(f'on_unknown: expected "popular" or "raise", got {on_unknown!r}')
        user_idx = self._users.ids.find(_checked_id(user_id, "user_id"))
        if user_idx is None:
            if on_unknown == "raise":
                raise self._unknown_user(user_id)
            return self._popular_list(k, _NOTHING)
        exclude = _NOTHING if include_seen else self._users.seen[user_idx]
        return self._list_for(self._users.embeddings[user_idx], k, exclude, "personal")

    def recommend_for_history(
        self,
        item_ids: Iterable[Id],
        k: int = 10,
        *,
        weights: Iterable[float] | None = None,
        include_seen: bool = False,
        on_unknown: Literal["ignore", "raise"] = "ignore",
    ) -> Recommendations:
        """Recommend items to somebody of whom only a history is known.

        The history is folded in by the model that trained the version, as training itself
        embeds a user.

        Parameters
        ----------
        item_ids : iterable of str or int
        k : int
        weights : iterable of float, optional
            Strength of each interaction, above 0; default 1. Those of a repeated item add up.
        include_seen : bool
            Keep the items of the history.
        on_unknown : {"ignore", "raise"}
            What happens to items that the version does not hold.

        Returns
        -------
        Recommendations
            The source is "fold_in", or "popular" where the history says nothing.

        Raises
        ------
        DataError
            If an argument is none of these, or the history is empty.
        UnknownItemError
            If none of the items is known, or one is not and `on_unknown` is "raise".
        """
        k = _checked_k(k)
        if on_unknown not in ("ignore", "raise"):
            raise DataError(f'on_unknown: expected "ignore" or "raise", got {on_unknown!r}')
        if isinstance(item_ids, str):
            raise DataError(f"item_ids: expected a list of ids, got the string {item_ids[:40]!r}")
        listed = [_checked_id(item_id, "item_ids") for item_id in item_ids]
        rows = self._items.ids.rows(listed)
        unknown = np.flatnonzero(rows < 0)
        if len(unknown) and (on_unknown == "raise" or len(unknown) == len(rows)):
            raise self._unknown_item(listed[unknown[0]])
        history = history_of(rows, weights, n_items=len(self._items.ids))
        user = self._fold_in(history)[0]
        return self._list_for(user, k, _NOTHING if include_seen else history.indices, "fold_in")

    def similar_items(self, item_id: Id, k: int = 10) -> Recommendations:
        """Return the items most similar to one, by the cosine of their embeddings.

        Parameters
        ----------
        item_id : str or int
        k : int

        Returns
        -------
        Recommendations
            The source is "similar", scores are cosines. The item itself and items with a zero
            embedding are not in it.

        Raises
        ------
        DataError
            If k is less than 1.
        UnknownItemError
            If the item is not known.
        """
        k = _checked_k(k)
        rows, cosines = self._cosines.nearest(self._row_of_item(item_id), k)
        return self._as_list(rows, cosines, "similar")

    def closest_seen(self, user_id: Id, item_id: Id) -> ScoredItem | None:
        """Return the item seen by a user that is most similar to another: a reason to give.

        Parameters
        ----------
        user_id, item_id : str or int

        Returns
        -------
        ScoredItem or None
            Its score is the cosine. None where the user has seen no other item with a direction.

        Raises
        ------
        UnknownUserError
            If the user is not known.
        UnknownItemError
            If the item is not known.
        """
        user_idx = self._users.ids.find(_checked_id(user_id, "user_id"))
        if user_idx is None:
            raise self._unknown_user(user_id)
        item_idx = self._row_of_item(item_id)
        closest = self._cosines.nearest_among(self._users.seen[user_idx], item_idx)
        return None if closest is None else ScoredItem(self._items.ids[closest[0]], closest[1])

    def describe(self, item_id: Id) -> dict[str, Any]:
        """Return what the version knows of an item, such as its title, by column.

        Parameters
        ----------
        item_id : str or int

        Returns
        -------
        dict
            Without item_id; empty where the version has no attributes.

        Raises
        ------
        UnknownItemError
            If the item is not known.
        """
        item_idx = self._row_of_item(item_id)
        attributes = self._content.attributes
        if attributes is None:
            return {}
        return {
            name: attributes[name][item_idx].as_py()
            for name in attributes.column_names
            if name != "item_id"
        }

    def _list_for(
        self, user: FloatVector, k: int, exclude: ItemRows, source: Source
    ) -> Recommendations:
        if not user.any():  # no signal: every item would score the same
            return self._popular_list(k, exclude)
        return self._as_list(*self._index.search(user, k, exclude), source)

    def _popular_list(self, k: int, exclude: ItemRows) -> Recommendations:
        return self._as_list(*self._popular.best(k, exclude), "popular")

    def _as_list(self, rows: ItemRows, scores: FloatVector, source: Source) -> Recommendations:
        item_ids = map(self._items.ids.__getitem__, rows.tolist())
        items = tuple(map(ScoredItem, item_ids, scores.tolist()))
        return Recommendations(items, source, self.version)

    def _row_of_item(self, item_id: Id) -> int:
        item_idx = self._items.ids.find(_checked_id(item_id, "item_id"))
        if item_idx is None:
            raise self._unknown_item(item_id)
        return item_idx

    @cached_property
    def _popular(self) -> PopularItems:
        return PopularItems(self._items.popularity)

    @cached_property
    def _cosines(self) -> ItemCosines:
        return ItemCosines(self._items.embeddings)

    @cached_property
    def _fold_in(self) -> Any:
        from recsys.models import model_from  # the solvers are not needed to answer a user

        named = self._content.version.manifest.model
        model = model_from(named["name"], named["parameters"])
        # A copy, because solvers in C take no memory that is read-only, as that of a file is.
        return model.fold_in(self._items.embeddings.copy(), self._items.popularity)

    def _unknown_user(self, user_id: Id) -> UnknownUserError:
        return UnknownUserError(
            f"user {_short(user_id)}: not among the {len(self._users.ids):,} users of version "
            f'{self.version}; ask with on_unknown="popular", or by recommend_for_history'
        )

    def _unknown_item(self, item_id: Id) -> UnknownItemError:
        ids = self._items.ids
        hint = ""
        if len(ids) <= _MOST_IDS_TO_SUGGEST_FROM and len(str(item_id)) <= 100:
            hint = did_you_mean(str(item_id), map(str, ids.tolist()))
        return UnknownItemError(
            f"item {_short(item_id)}: not among the {len(ids):,} items of version "
            f"{self.version}{hint}"
        )


def _checked_k(k: int) -> int:
    if isinstance(k, bool) or not isinstance(k, int | np.integer):
        raise DataError(f"k: expected a whole number, got {k!r}")
    if k < 1:
        raise DataError(f"k: expected at least 1, got {k}")
    return int(k)


def _checked_id(id_: Id, name: str) -> Id:
    if isinstance(id_, bool) or not isinstance(id_, str | int | np.integer):
        raise DataError(f"{name}: expected a string or an integer, got {id_!r}")
    return id_


def _short(id_: Id) -> str:
    text = str(id_)
    return repr(text if len(text) <= 60 else text[:60] + "...")

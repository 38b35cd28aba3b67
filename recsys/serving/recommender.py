"""The recommender: one open version, and its answers."""

from collections.abc import Iterable
from functools import cached_property
from typing import Any, Literal

import numpy as np

from recsys.errors import DataError, UnknownItemError, UnknownUserError
from recsys.index import ItemRows
from recsys.serving.history import history_of
from recsys.serving.popular import PopularItems
from recsys.serving.recommendations import Recommendations, ScoredItem, Source
from recsys.store import Content
from recsys.vectors import FloatVector, Id, NamedVectors
from recsys.vectors.arguments import Kind, checked_id, checked_k, unknown_id

_NOTHING = np.empty(0, dtype=np.int32)


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
        k = checked_k(k)
        if on_unknown not in ("popular", "raise"):
            raise DataError(f'on_unknown: expected "popular" or "raise", got {on_unknown!r}')
        user_idx = self._users.ids.find(checked_id(user_id, "user_id"))
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
        k = checked_k(k)
        if on_unknown not in ("ignore", "raise"):
            raise DataError(f'on_unknown: expected "ignore" or "raise", got {on_unknown!r}')
        if isinstance(item_ids, str):
            raise DataError(f"item_ids: expected a list of ids, got the string {item_ids[:40]!r}")
        listed = [checked_id(item_id, "item_ids") for item_id in item_ids]
        rows = self._items.ids.rows(listed)
        unknown = np.flatnonzero(rows < 0)
        if len(unknown) and (on_unknown == "raise" or len(unknown) == len(rows)):
            raise self.item_vectors.unknown_id(listed[unknown[0]])
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
        found = self.item_vectors.nearest(checked_id(item_id, "item_id"), k)
        return Recommendations(tuple(map(ScoredItem._make, found)), "similar", self.version)

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
        user_idx = self._users.ids.find(checked_id(user_id, "user_id"))
        if user_idx is None:
            raise self._unknown_user(user_id)
        seen = self._items.ids.tolist(self._users.seen[user_idx])
        closest = self.item_vectors.nearest(checked_id(item_id, "item_id"), 1, among=seen)
        return ScoredItem._make(closest[0]) if closest else None

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
        item_idx = self.item_vectors.row(item_id)
        attributes = self._content.attributes
        if attributes is None:
            return {}
        return {
            name: attributes[name][item_idx].as_py()
            for name in attributes.column_names
            if name != "item_id"
        }

    @cached_property
    def user_vectors(self) -> NamedVectors:
        """The embeddings of the users by their ids; similarity and arithmetic."""
        return self._named_vectors("user")

    @cached_property
    def item_vectors(self) -> NamedVectors:
        """The embeddings of the items by their ids, in the same space as those of the users."""
        return self._named_vectors("item")

    def _named_vectors(self, kind: Kind) -> NamedVectors:
        table = self._users if kind == "user" else self._items
        where = f"of version {self.version}"
        return NamedVectors(table.ids, table.embeddings, kind, table.space_id, where)

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

    @cached_property
    def _popular(self) -> PopularItems:
        return PopularItems(self._items.popularity)

    @cached_property
    def _fold_in(self) -> Any:
        from recsys.models import model_from  # the solvers are not needed to answer a user

        named = self._content.version.manifest.model
        model = model_from(named["name"], named["parameters"])
        # A copy, because solvers in C take no memory that is read-only, as that of a file is.
        return model.fold_in(self._items.embeddings.copy(), self._items.popularity)

    def _unknown_user(self, user_id: Id) -> UnknownUserError | UnknownItemError:
        hint = '; ask with on_unknown="popular", or by recommend_for_history'
        return unknown_id("user", user_id, self._users.ids, f"of version {self.version}", hint)

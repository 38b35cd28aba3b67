"""The space of one version: embeddings by their ids, and what is near in it."""

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys.base.errors import DataError
from recsys.base.lazy import lazy_property
from recsys.index import ItemRows
from recsys.serving.answers import Answers
from recsys.serving.assignment import DEEPER
from recsys.serving.audience import Audience, Audiences
from recsys.serving.described_users import DescribedUsers
from recsys.serving.request import Request
from recsys.serving.results import Recommendations
from recsys.serving.similar import Similar
from recsys.store import Content, ItemTable, UserTable
from recsys.vectors import Id, Ids, NamedVectors
from recsys.vectors.ids import Kind, checked_ids

if TYPE_CHECKING:
    from recsys.vectors import Vector


class Space:
    """The embeddings of a version, and the items and users near to a point of it."""

    def __init__(
        self, content: Content, items: ItemTable, answers: Answers, described: DescribedUsers
    ) -> None:
        self._users, self._items, self._answers = content.users, items, answers
        self._similar = Similar(content, answers)
        self.audience_rows = Audience(content, items, described)
        self.version = content.version.name

    def similar_items(
        self,
        item_id: Id,
        k: int = 10,
        *,
        exclude: Iterable[Id] = (),
        candidates: Iterable[Id] | None = None,
        where: str | None = None,
    ) -> Recommendations:
        """Return the items most similar to one, by the cosine of their embeddings.

        Parameters
        ----------
        exclude, candidates, where
            As in `recommend`.

        Returns
        -------
        Recommendations
            The source is "similar", scores are cosines. The item itself and items with a zero
            embedding are not in it.
        """
        request = Request.of(
            k, self._answers.attributes, exclude=exclude, candidates=candidates, where=where
        )
        return self._similar.to(self.item_vectors, item_id, request)

    def nearest_items(
        self,
        plus: Iterable[Id],
        minus: Iterable[Id] = (),
        k: int = 10,
        *,
        exclude: Iterable[Id] = (),
        candidates: Iterable[Id] | None = None,
        where: str | None = None,
    ) -> Recommendations:
        """Return the items nearest to the sum of some embeddings less that of others, by cosine.

        Parameters
        ----------
        plus, minus : iterable of str or int
            Ids or titles. What is to `c` as `b` is to `a`, is near to ``plus=[c, b], minus=[a]``.
            At least one; a repeated one counts each time.
        exclude, candidates, where
            As in `recommend`.

        Returns
        -------
        Recommendations
            The source is "similar", scores are cosines. None of `plus` and `minus` is in it; it is
            empty where the sum is zero.
        """
        request = Request.of(
            k, self._answers.attributes, exclude=exclude, candidates=candidates, where=where
        )
        added, taken = checked_ids(plus, "plus"), checked_ids(minus, "minus")
        vectors = self.item_vectors
        parts = [vectors[id_] for id_ in added] + [-vectors[id_] for id_ in taken]
        if not parts:
            raise DataError("plus, minus: expected at least one item, got none")
        point: Vector = sum(parts[1:], start=parts[0])
        rows = np.array([vectors.row(id_) for id_ in (*added, *taken)], np.int32)
        left_out = replace(request, exclude=np.append(request.exclude, rows))
        return self._similar.near(vectors, point, left_out)

    def similar_users(
        self,
        user_id: Id,
        k: int = 10,
        *,
        exclude: Iterable[Id] = (),
        candidates: Iterable[Id] | None = None,
        where: str | None = None,
    ) -> Recommendations:
        """Return the users most similar to one, by the cosine of their embeddings.

        Parameters
        ----------
        exclude : iterable of str or int
            Users who must not be in the list; unknown ids are ignored.
        candidates : iterable of str or int, optional
            The only users who may be in the list; unknown ids are ignored.
        where : str, optional
            Only users who have seen an item that fulfils this condition, as in `recommend`.

        Returns
        -------
        Recommendations
            Of users: `item_id` is the id of a user. The source is "similar", scores are cosines.
            The user asked for and users with a zero embedding are not in it.
        """
        request = Request.among(k, self._users.ids, exclude=exclude, candidates=candidates)
        matching = Request.of(k, self._answers.attributes, where=where).matching
        if matching is not None:
            users = self._users.seen.users_with(matching.is_matching)
            among = (
                users if request.candidates is None else np.intersect1d(users, request.candidates)
            )
            request = replace(request, candidates=among)
        return self._similar.to(self.user_vectors, user_id, request)

    def audience(
        self,
        item_id: Id,
        k: int = 10,
        *,
        exclude: Iterable[Id] = (),
        candidates: Iterable[Id] | None = None,
        where: str | None = None,
    ) -> Recommendations:
        """List the users who should hear of an item, exact over all users.

        Parameters
        ----------
        exclude, candidates : iterable of str or int
            Of users, as in `similar_users`.
        where : str, optional
            A condition on users, such as ``"n_items >= 5 and country = 'DE'"``: how many items a
            user has had, `last_day`, the day of the last event, where the version knows it, and
            the attributes of the table of users that the version was trained with.

        Returns
        -------
        Recommendations
            Of users who have not had the item: `item_id` is the id of a user. The source is
            "audience". A score is that of the pair by the root of the norm of the user, by which
            different users can be compared. Users with a zero embedding are not in it; those whom
            the table of users describes are, also without events.
        """
        return self.audiences([item_id], k, exclude=exclude, candidates=candidates, where=where)[0]

    def audiences(
        self,
        item_ids: Iterable[Id],
        k: int = 10,
        *,
        per_user: int | None = None,
        exclude: Iterable[Id] = (),
        candidates: Iterable[Id] | None = None,
        where: str | None = None,
    ) -> Audiences:
        """List the users who should hear of each of some items; see `audience`.

        Parameters
        ----------
        per_user : int, optional
            In so many audiences a user is at most: all pairs are gone through by score, the best
            first (equal ones in the order of the items, then of users), and a pair is taken if
            neither is full.

        Returns
        -------
        Audiences
            Iterates over `Recommendations`; ``to_arrow()`` has all in one table.
        """
        rows = self.item_rows(item_ids)
        users = self.all_users
        request = Request.among(k, users, exclude=exclude, candidates=candidates)
        is_allowed = self.audience_rows.allowed(request, where)
        n = request.k if per_user is None else DEEPER * request.k
        found = self.audience_rows.of(rows, n, is_allowed)
        if per_user is not None:
            found = self.audience_rows.assigned(rows, found, request.k, per_user, is_allowed)
        return Audiences(rows, found, self._items.ids, users, self.version)

    def describe(self, item_id: Id) -> dict[str, Any]:
        """Return what the version knows of an item, such as its title, by column.

        Returns
        -------
        dict
            Without item_id; empty where the version has no attributes.
        """
        return self._answers.attributes.of(self.item_vectors.row(item_id))

    def item_rows(self, item_ids: Iterable[Id]) -> ItemRows:
        """Return the rows of items, each of which is known and there once."""
        listed = checked_ids(item_ids, "item_ids")
        rows = np.array([self.item_vectors.row(one) for one in listed], np.int32)
        if len(np.unique(rows)) < len(rows):
            raise DataError("item_ids: expected each item once, got one twice")
        return rows

    def available_rows(self) -> ItemRows:
        """Return the rows of all items but those that are sold out now."""
        every = np.arange(len(self._items.ids), dtype=np.int32)
        return np.delete(every, self._answers.attributes.sold_out)

    @property
    def all_users(self) -> Ids:
        """The users of the version, then those of whom attributes alone are known."""
        return self.audience_rows.users

    @lazy_property
    def user_vectors(self) -> NamedVectors:
        """The embeddings of the users by their ids; similarity and arithmetic."""
        return self._named_vectors(self._users, "user")

    @lazy_property
    def item_vectors(self) -> NamedVectors:
        """The embeddings of the items by their ids, in the same space as those of the users."""
        return self._named_vectors(self._items, "item")

    def _named_vectors(self, table: UserTable | ItemTable, kind: Kind) -> NamedVectors:
        where = f"of version {self.version}"
        return NamedVectors(table.ids, table.embeddings, kind, table.space_id, where)

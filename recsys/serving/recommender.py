"""The recommender: one open version, and its answers."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Unpack

from recsys.base.devices import Device
from recsys.base.rule_settings import NO_RULES, RuleSettings
from recsys.serving.answers import Answers
from recsys.serving.item_order import TopKind
from recsys.serving.known import ScoredItem
from recsys.serving.repeats import rules_for
from recsys.serving.request import Conditions, Request
from recsys.serving.results import Batch, Explanation, Recommendations, RowList, Source
from recsys.serving.row_lists import RowLists, source_of
from recsys.serving.space import Space
from recsys.serving.titles import TitledIds, Titles
from recsys.store import Content
from recsys.vectors import FloatVector, Id
from recsys.vectors.ids import checked_id, checked_ids, checked_k

if TYPE_CHECKING:
    import scipy.sparse as sp

    from recsys.logs import Interactions
    from recsys.logs.sources import ItemSource


class Recommender(Space):
    """Answers from one version, which never changes; `recsys.open` makes one.

    Parameters
    ----------
    content : Content
        An open version.
    rules : RuleSettings, optional
        What holds for every list.

    Raises
    ------
    DataError
        By every method for an argument that is not what it should be; it is named.
    UnknownUserError, UnknownItemError
        By every method for an id that the version does not hold, unless it says otherwise.

    Notes
    -----
    The title of an item, in any case, is taken in place of its id; an id always wins, and a title
    that several items have is a DataError. `find` lists items by words of their titles.

    Threads may share one. A fork goes on with it; pickled, it is the place of the version, which
    the other process opens for itself.

    Examples
    --------
    ::

        recommender = recsys.open("store")
        for item_id, score in recommender.recommend("u42", k=10):
            ...
    """

    def __init__(self, content: Content, rules: RuleSettings | None = None) -> None:
        self.rules = rules = rules_for(content, rules or NO_RULES)
        self._titles = Titles(content)
        items = replace(content.items, ids=TitledIds.of(content.items.ids, self._titles))
        answers = Answers(content, items, rules)
        self.rows = RowLists(content, items, answers, rules)
        super().__init__(content, items, answers, self.rows.described)
        if rules:
            self._answers.attributes.require_kept(rules)
        self._content, self._user_lookup = content, content.user_lookup
        self._histories, self._folder = self.rows.histories, content.version.folder.absolute()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the place of the version: another process opens it for itself."""
        from recsys.serving.open import reopened

        return reopened, (self._folder, self.rules, getattr(self._content, "more", None))

    def __repr__(self) -> str:
        n_users, n_items = len(self._users.ids), len(self._items.ids)
        return f"Recommender({n_users} users, {n_items} items, version {self.version})"

    def recommend(
        self,
        user_id: Id,
        k: int = 10,
        *,
        history: Iterable[Id] | None = None,
        dislikes: Iterable[Id] = (),
        on_unknown: Literal["popular", "raise"] = "popular",
        **conditions: Unpack[Conditions],
    ) -> Recommendations:
        """Recommend items to a user.

        Parameters
        ----------
        user_id : str or int
            In either form: ``42`` and ``"42"`` are the same user.
        k : int
            Length of the list. It is shorter only where no more items may be in it.
        history : iterable of str or int, optional
            The items of a user who may be unknown: an unknown one is folded in, as by
            `recommend_for_history`.
        dislikes : iterable of str or int, optional
            What the user does not want: in no list. They count where an unknown user is folded in.
        on_unknown : {"popular", "raise"}
            What an unknown user without either gets. A known one whose embedding is zero gets
            the popular list in either case.
        exclude : iterable of str or int
            Items that must not be in the list; unknown ids are ignored.
        include_seen : bool
            Keep items that the user has seen, but for what the user disliked.
        candidates : iterable of str or int, optional
            The only items that may be in the list; unknown ids are ignored.
        where : str, optional
            A condition on the attributes of items, in SQL, such as
            ``"category in ('a', 'b') and price < 20"``.
        diversity : float
            From 0, by score alone, to 1: how much an item loses by its similarity to items further
            up the list (maximal marginal relevance).
        max_per : str or sequence of str, optional
            A column of attributes and a number, such as ``"brand:2"``: at most two items of one
            brand; several hold together. Items without a brand have no limit. An item with a list,
            such as of genres, counts towards each of them, and is left out where one is full.
        boost : iterable of Boost or mapping
            Raise or lower the scores of items by conditions; see `recsys.serving.Boost`. The
            `boosts` of the list are what that has added.
        pin : iterable of Pin or mapping
            Give positions to items; see `recsys.serving.Pin`. They count towards `max_per`, which
            does not limit them.
        new_items : float, NewItems or mapping, optional
            The share of the list, at most, that items have which nobody has yet: those with the
            best scores, and some others, drawn for each user and day; see
            `recsys.serving.NewItems`. 0 is none. Default: they compete by their scores.
        repeat : float, optional
            Seen items may return that people buy again: those of which at least this share of the
            users came back, above 0 to 1, once the usual gap since the user's last event is over.

        Returns
        -------
        Recommendations
            The source is "personal", "fold_in", "attributes" (of who is in the table of users and
            has no events) or "popular". Best first; with diversity, in the order of choice.
        """
        request = self.rows.request(k, **conditions)
        found = self.rows.recommend(user_id, request, history, on_unknown, dislikes)
        return self.rows.named(found)

    def recommend_for_history(
        self,
        item_ids: Iterable[Id],
        k: int = 10,
        *,
        weights: Iterable[float] | None = None,
        dislikes: Iterable[Id] = (),
        user_attributes: Mapping[str, Any] | None = None,
        on_unknown: Literal["ignore", "raise"] = "ignore",
        **conditions: Unpack[Conditions],
    ) -> Recommendations:
        """Recommend items to a user of whom only a history is known.

        The history is folded in by the model that trained the version, as training itself
        embeds a user.

        Parameters
        ----------
        item_ids : iterable of str or int
            The last one last: the order counts where the model has a `recency`.
        weights : iterable of float, optional
            Strength of each interaction, above 0, as the log has it; default: the mean weight of
            the log's pairs. Those of a repeated item add up, to a millionth to a million times the
            mean.
        dislikes : iterable of str or int, optional
            What the user does not want, also of the history: in no list, not even with
            `include_seen`. Each has the mean confidence of the log's dislikes, where the model
            learns from them.
        user_attributes : mapping, optional
            What is known of the user, by columns of `model.user_features`: ALS pulls the embedding
            towards what it says, and it speaks alone where the history is empty.
        on_unknown : {"ignore", "raise"}
            What happens to items that the version does not hold. A history without any that it
            holds is an error in either case, where no attributes are given.
        exclude, include_seen, candidates, where, diversity, max_per, boost, pin, new_items
            As in `recommend`; the seen items are those of the history. When they were met is not
            known, so `repeat` lets none of them return.

        Returns
        -------
        Recommendations
            The source is "fold_in", "attributes", or "popular" where the embedding is zero.
        """
        request = self.rows.request(k, **conditions)
        given = weights, on_unknown, dislikes, user_attributes
        return self.rows.named(self.rows.for_history(item_ids, request, *given))

    def top_items(
        self,
        by: TopKind = "popular",
        k: int = 10,
        *,
        column: str | None = None,
        **conditions: Unpack[Conditions],
    ) -> Recommendations:
        """List items that are the same for everybody.

        Parameters
        ----------
        by : {"popular", "trending", "latest"}
            By the number of users; by how much more often an item is met of late than its own past
            lets expect (`recsys.logs.visits.velocity_of`), if the log has time; or by a date or
            number among the attributes, the largest first.
        column : str, optional
            Of "latest"; default: the only one of dates, or where there is none the day on which
            the log has an item first. Items without a value are left out.
        exclude, candidates, where, diversity, max_per, boost, pin
            As in `recommend`.

        Returns
        -------
        Recommendations
            The source is `by`; scores are numbers of users, the ratio (1 is as expected), or
            seconds since 1970.
        """
        return self.rows.named(self.rows.top(by, self.rows.request(k, **conditions), column))

    def recommend_many(
        self,
        user_ids: Iterable[Id],
        k: int = 10,
        *,
        histories: Iterable[Iterable[Id] | None] | None = None,
        dislikes: Iterable[Iterable[Id] | None] | None = None,
        device: Device | None = None,
        **conditions: Unpack[Conditions],
    ) -> Batch:
        """Recommend items to many users, on all cores.

        Parameters
        ----------
        user_ids : iterable of str or int
            Unknown ones without a history get the popular list.
        histories : iterable of iterable of str or int, optional
            One for each user, None for none: the items of users who may be unknown. Those are
            folded in, all at once, as `recommend_for_history` does; items that the version does not
            hold are ignored.
        dislikes : iterable of iterable of str or int, optional
            Likewise: what each user does not want, as in `recommend`.
        device : {"auto", "cpu", "cuda"}, optional
            Where lists among all items are made, those of a card exactly; all others on the CPU.
            Default: as a block of `on_device` says, else the CPU.
        exclude, include_seen, candidates, where, repeat, diversity, max_per, boost, pin, new_items
            As in `recommend`, the same for all users. With one of the last five, lists are made one
            by one, in some ten times the time.

        Returns
        -------
        Batch
            Iterates over the `Recommendations` that `recommend` gives to each;
            ``to_table()`` has all in one Arrow table.
        """
        listed = checked_ids(user_ids, "user_ids")
        request = self.rows.request(k, **conditions)
        return self.rows.of_many(listed, request, histories, dislikes, device)

    def add_items(self, items: "ItemSource", events: "Interactions | None" = None) -> list[Id]:
        """Take up items that the version does not hold: they are in the next list of this process.

        A new item has the embedding that its attributes say, by the map that the model has learned
        (`model.item_features`), or the one that its first users say, or both: ALS solves its row
        as training does. All other embeddings stay, and nothing is written: `recsys refresh` does
        the same for a store. Searches score every new item exactly.

        Parameters
        ----------
        items : table or path
            Attributes, as `recsys.read_items` takes or returns them; columns that are not there are
            not known. Items that the version holds stay as they are, one that was added before is
            taken anew.
        events : Interactions, optional
            The first events of new items, as `recsys.read_log` returns them. Those of users whom
            the version does not hold do not count, and a user's list may still hold the item.

        Returns
        -------
        list of str or int
            The ids of the items that were added, spelled as the version spells its own, which are
            texts from then on if one of these is no integer. Items without a known attribute or a
            user are not added.

        Raises
        ------
        DataError
            Also if none of the items gets an embedding.
        """
        from recsys.serving.new_items import with_items  # the solvers are not needed to answer

        content, added = with_items(self._content, items, events)
        if added:
            self.__dict__ = Recommender(content, self.rules).__dict__
        return added

    def find(self, title: Id = "", k: int = 10, *, where: str | None = None) -> Recommendations:
        """Find items by their titles.

        Parameters
        ----------
        title : str or int
            Words of a title or their beginnings, in any order, at most 256 characters; case,
            accents and punctuation do not count. An id finds its item. Default: all items.
        k : int
            Length of the list.
        where : str, optional
            As in `recommend`.

        Returns
        -------
        Recommendations
            The source is "title", and scores are numbers of users. First the item with this id,
            then those with this title, then those with all of the words, then those with words
            that begin so; of each, those with most users first.
        """
        request = Request.of(k, self._answers.attributes, where=where)
        text = str(checked_id(title, "title")).strip()
        matching = request.matching  # what is sold out is found
        rows = self._titles.best(
            text, request.k, None if matching is None else matching.is_matching
        )
        return self._answers.named(RowList(rows, self._items.popularity[rows], "title"))

    def history(self, user_id: Id, k: int = 10) -> Recommendations:
        """List what a user has seen, the last item first where the model has a `recency`.

        What the user disliked is not in it.

        Returns
        -------
        Recommendations
            The source is "history", and scores are weights: reversed, `recommend_for_history` takes
            both. Else those with the largest weights come first.
        """
        return self.rows.named(self.rows.history(user_id, checked_k(k)))

    def explain(self, user_id: Id, item_id: Id) -> Explanation:
        """Return what each item of a user's history adds to the score of an item.

        Contributions sum to the score (Hu, Koren and Volinsky 2008, section 5, for ALS). Of
        dislikes, where the model learns from them, they are below 0 as a rule. All that attributes
        of a user without events say is the `rest`.
        """
        said = None if self.rows.has_user(user_id) else self.rows.described.as_history(user_id)
        if said is not None:
            return self._explained(*said, self.item_vectors.row(item_id), "attributes")
        user_idx, users = self._known_user(user_id), self._user_lookup
        item_idx = self.item_vectors.row(item_id)
        history = self._histories.as_row(users.seen(user_idx), users.seen_weights(user_idx))
        user = users.embedding(user_idx)
        return self._explained(history, user, item_idx, "personal")

    def explain_for_history(
        self,
        item_ids: Iterable[Id],
        item_id: Id,
        *,
        weights: Iterable[float] | None = None,
        dislikes: Iterable[Id] = (),
        user_attributes: Mapping[str, Any] | None = None,
    ) -> Explanation:
        """Return what each item of a folded-in history adds to the score of an item.

        What attributes of the user add is in the `rest`.
        """
        history, user = self._histories.folded(item_ids, weights, "all", dislikes, user_attributes)
        source = source_of(history, user_attributes)
        return self._explained(history, user, self.item_vectors.row(item_id), source)

    def _explained(
        self, history: "sp.csr_array", user: FloatVector, item_idx: int, source: Source
    ) -> Explanation:
        found = self._histories.explain(history, user, item_idx, source)
        return replace(found, about=(self._answers, None))

    def closest_seen(self, user_id: Id, item_id: Id) -> ScoredItem | None:
        """Return the item liked by a user that is most similar to another: a reason to give.

        Its score is the cosine. None where the user has seen no other item with a direction.
        """
        user_idx = self._known_user(user_id)
        seen = self._items.ids.tolist(self._user_lookup.liked(user_idx))
        closest = self.item_vectors.nearest(checked_id(item_id, "item_id"), 1, among=seen)
        return ScoredItem._make(closest[0]) if closest else None

    def _known_user(self, user_id: Id) -> int:
        user_idx = self._user_lookup.find(checked_id(user_id, "user_id"))
        if user_idx is None:
            raise self.rows.unknown_user(user_id)
        return user_idx

"""The lists of a version as rows: what `Recommender` names, and what a server writes as it is."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Literal, Unpack

import numpy as np
import pyarrow as pa

from recsys.base.devices import Device
from recsys.base.errors import DataError, UnknownItemError, UnknownUserError, briefly, did_you_mean
from recsys.base.rule_settings import NO_RULES, RuleSettings
from recsys.serving.answers import Answers
from recsys.serving.described_users import DescribedUsers
from recsys.serving.fold_in import Histories
from recsys.serving.fresh import Since
from recsys.serving.item_order import FIRST_DAY, OrderOf, TopKind, is_ordered
from recsys.serving.repeats import NEVER_AGAIN, Days
from recsys.serving.request import Conditions, Request
from recsys.serving.results import Batch, Explanation, Recommendations, RowList, Source
from recsys.serving.rules import NO_ITEMS
from recsys.store import Content, ItemTable
from recsys.vectors import FloatMatrix, FloatVector, Id
from recsys.vectors.ids import checked_id, checked_ids, unknown_id

if TYPE_CHECKING:
    import scipy.sparse as sp

OnUnknown = Literal["popular", "raise"]

_MOST_ORDERS = 4  # kept: 4 bytes an item, and 8 for those by a column


class RowLists:
    """Makes the lists of one version, each from a checked request."""

    def __init__(
        self, content: Content, items: ItemTable, answers: Answers, rules: RuleSettings = NO_RULES
    ) -> None:
        self._content, self._items, self._answers = content, items, answers
        self._rules = rules
        self._users = content.user_lookup
        self.histories = Histories(content, items)
        self.described = DescribedUsers(content, self.histories)
        self._by_column = lru_cache(_MOST_ORDERS)(OrderOf(content))

    @property
    def caches(self) -> dict[str, Any]:
        """What is kept of the attributes: how often it was found, and was not."""
        return self._answers.attributes.caches

    def request(self, k: int, **conditions: Unpack[Conditions]) -> Request:
        """Check what a caller asks for; a DataError names what cannot be understood.

        The rules of the shop hold with those of the caller.
        """
        if self._rules:
            conditions = self._rules.with_those_of(conditions)
        return Request.of(k, self._answers.attributes, **conditions)

    def recommend(
        self,
        user_id: Id,
        request: Request,
        history: Iterable[Id] | None = None,
        on_unknown: OnUnknown = "popular",
        dislikes: Iterable[Id] = (),
    ) -> RowList:
        """Return the list of a user; see `Recommender.recommend`."""
        if not isinstance(on_unknown, str) or on_unknown not in ("popular", "raise"):
            raise DataError(f'on_unknown: expected "popular" or "raise", got {briefly(on_unknown)}')
        disliked = checked_ids(dislikes, "dislikes")
        request = self._without(request, disliked)
        user_idx = self._users.find(checked_id(user_id, "user_id"))
        if user_idx is not None:
            return self._of_known(user_id, user_idx, request)
        return self._of_unknown(user_id, request, history, on_unknown, disliked)

    def _without(self, request: Request, disliked: Sequence[Id]) -> Request:
        """Return a request for what is none of some items."""
        rows = self._items.ids.rows(disliked)
        if not (rows >= 0).any():
            return request
        return replace(request, exclude=np.append(request.exclude, rows[rows >= 0]))

    def _of_known(self, user_id: Id, user_idx: int, request: Request) -> RowList:
        days = None if request.repeats is None else self._users.seen_days(user_idx)
        seen = request.left_out(self._users.seen(user_idx), days)
        user, has_dislikes = self._users.embedding(user_idx), self._answers.has_dislikes
        if not has_dislikes:
            return self._answers.answer(user, request, seen, "personal")
        left_out = np.union1d(seen, self._users.disliked(user_idx)).astype(np.int32)
        found = self._answers.answer(user, request, left_out, "personal")
        if request.include_seen:
            return found._replace(seen=NO_ITEMS)
        return found._replace(seen=partial(self._answers.seen_by, user_id))

    def _of_unknown(
        self,
        user_id: Id,
        request: Request,
        history: Iterable[Id] | None,
        on_unknown: OnUnknown,
        disliked: Sequence[Id] = (),
        is_forgotten: bool = False,
    ) -> RowList:
        prior = None if is_forgotten else self.described.prior_of(user_id)
        if prior is not None:
            given = () if history is None else history, None, "history"
            known = self.histories.of(*given, dislikes=disliked, may_be_empty=True)
            return self._of_described(known, request, prior)
        if history is not None or disliked:
            folded = self.histories.of(
                () if history is None else history, None, "history", dislikes=disliked
            )
            if folded.nnz:
                return self._of_history(folded, request)
        if on_unknown == "raise":
            raise self.unknown_user(user_id)
        return self.popular(request)

    def _of_described(
        self,
        history: "sp.csr_array",
        request: Request,
        prior: FloatMatrix,
        days: Days | None = None,
    ) -> RowList:
        """Return the list of a user of whom attributes are known, and perhaps a history."""
        user, source = self.histories.fold_in(history, prior)[0], source_of(history, prior)
        return self._of_history(history, request, days, user, source)

    def has_user(self, user_id: Id) -> bool:
        """Whether the version holds a user."""
        return self._users.find(checked_id(user_id, "user_id")) is not None

    def with_events(
        self,
        user_id: Id,
        request: Request,
        since: Since,
        history: Iterable[Id] | None = None,
        on_unknown: OnUnknown = "popular",
        dislikes: Iterable[Id] = (),
    ) -> RowList:
        """Return the list of a user who has done something since the version was made.

        Parameters
        ----------
        history, on_unknown, dislikes
            As in `recommend`. What is said of an unknown user comes before the events.
        """
        disliked = checked_ids(dislikes, "dislikes")
        request = self._without(request, disliked)
        merged = self._history_since(user_id, since, history, disliked)
        if merged is None:
            return self.recommend(user_id, request)
        if merged.nnz:
            days = None
            if request.repeats is not None:
                days = self._days_since(user_id, since, merged, request.repeats.day)
            prior = self._prior_since(user_id, since)
            if prior is not None:
                return self._of_described(merged, request, prior, days)
            return self._of_history(merged, request, days)
        return self._of_unknown(user_id, request, None, on_unknown, (), since.is_forgotten)

    def _prior_since(self, user_id: Id, since: Since) -> FloatMatrix | None:
        """Return what attributes say of a user without a row; None where all is forgotten."""
        if since.is_forgotten or self.has_user(user_id):
            return None
        return self.described.prior_of(user_id)

    def _days_since(self, user_id: Id, since: Since, history: "sp.csr_array", day: int) -> Days:
        """Return the last day of each item of a history; `day` where it is not known."""
        found: dict[int, int] = {}
        user_idx = self._users.find(checked_id(user_id, "user_id"))
        if user_idx is not None and not since.is_forgotten:
            of_version = self._users.seen_days(user_idx)
            if of_version is not None:
                found = dict(
                    zip(self._users.seen(user_idx).tolist(), of_version.tolist(), strict=True)
                )
        rows = self._items.ids.rows([item_id for item_id, _ in since.events])
        for row, last, (_, weight) in zip(rows.tolist(), since.days, since.events, strict=True):
            found[row] = max(found.get(row, 0), last if weight > 0 else NEVER_AGAIN)
        return np.array([found.get(row, day) for row in history.indices.tolist()])

    def explain_with_events(self, user_id: Id, item_id: Id, since: Since) -> Explanation | None:
        """Explain the score in such a list; None where that of the version stands."""
        merged = self._history_since(user_id, since)
        if merged is None:
            return None
        item_idx = self._items.ids.find(item_id)
        if item_idx is None:
            where = f"of version {self._content.version.name}"
            raise unknown_id("item", item_id, self._items.ids, where)
        if not merged.nnz:
            raise self.unknown_user(user_id)
        prior = self._prior_since(user_id, since)
        user = self.histories.fold_in(merged, prior)[0]
        found = self.histories.explain(merged, user, item_idx, source_of(merged, prior))
        return replace(found, about=(self._answers, None))

    def _history_since(
        self,
        user_id: Id,
        since: Since,
        history: Iterable[Id] | None = None,
        disliked: Sequence[Id] = (),
    ) -> "sp.csr_array | None":
        """Return what is known of a user, (1, n_items); None for the embedding of the version."""
        user_idx = None
        if not since.is_forgotten:
            user_idx = self._users.find(checked_id(user_id, "user_id"))
        before: list[tuple[Id, float]] = []
        if user_idx is None:
            done = {str(item_id) for item_id, _ in since.events}
            said = {str(one): (one, self.histories.dislike_unit) for one in disliked}
            listed = () if history is None else checked_ids(history, "history")
            before = [(one, self.histories.unit) for one in listed if str(one) not in said]
            before = [one for one in [*before, *said.values()] if str(one[0]) not in done]
        fresh = self.histories.of_events([*before, *since.events])
        if user_idx is None:
            stored = NO_ITEMS, np.empty(0, np.float32)
        elif len(fresh[0]) or since.is_outdated:
            stored = self._users.seen(user_idx), self._users.seen_weights(user_idx)
        else:
            return None
        return self.histories.with_events(stored, fresh, since.duplicates)

    def history(self, user_id: Id, k: int, since: Since | None = None) -> RowList:
        """Return what a user has seen, and since; see `Recommender.history`."""
        user_idx = self._users.find(checked_id(user_id, "user_id"))
        merged = None if since is None else self._history_since(user_id, since)
        if merged is not None and merged.nnz:
            rows, weights = merged.indices, merged.data
        elif merged is None and user_idx is not None:
            rows, weights = self._users.seen(user_idx), self._users.seen_weights(user_idx)
        else:
            raise self.unknown_user(user_id)
        latest, weights = self.histories.latest_first(rows, weights)
        return RowList(latest[:k], weights[:k], "history")

    def popular(self, request: Request) -> RowList:
        """Return the list of a user of whom nothing is known."""
        return self._answers.answer(None, request, NO_ITEMS, "popular")

    def for_history(
        self,
        item_ids: Iterable[Id],
        request: Request,
        weights: Iterable[float] | None = None,
        on_unknown: Literal["ignore", "raise"] = "ignore",
        dislikes: Iterable[Id] = (),
        user_attributes: Mapping[str, Any] | None = None,
    ) -> RowList:
        """Return the list of a history; see `Recommender.recommend_for_history`."""
        if not isinstance(on_unknown, str) or on_unknown not in ("ignore", "raise"):
            raise DataError(f'on_unknown: expected "ignore" or "raise", got {briefly(on_unknown)}')
        history, user = self.histories.folded(
            item_ids, weights, "all" if on_unknown == "raise" else "one", dislikes, user_attributes
        )
        source = source_of(history, user_attributes)
        return self._of_history(history, request, user=user, source=source)

    def _of_history(
        self,
        history: "sp.csr_array",
        request: Request,
        days: Days | None = None,
        user: FloatVector | None = None,
        source: Source = "fold_in",  # or popular: its embedding is zero
    ) -> RowList:
        is_liked = history.data > 0
        liked = NO_ITEMS if request.include_seen else history.indices[is_liked]
        left_out = request.left_out(history.indices, days)
        seen = np.union1d(left_out, history.indices[~is_liked]).astype(np.int32)
        user = self.histories.fold_in(history)[0] if user is None else user
        return self._answers.answer(user, request, seen, source)._replace(seen=liked)

    def of_many(
        self,
        user_ids: Iterable[Id],
        request: Request,
        histories: Iterable[Iterable[Id] | None] | None = None,
        dislikes: Iterable[Iterable[Id] | None] | None = None,
        device: Device | None = None,
    ) -> Batch:
        """Return the lists of many users; see `Recommender.recommend_many`."""
        listed, ids = checked_ids(user_ids, "user_ids"), self._content.users.ids
        user_idx = ids.rows(listed)
        described = self.described.priors_of(listed, user_idx)
        folded = self.histories.of_unknown(user_idx, histories, dislikes, described)
        lists = self._answers.lists(user_idx, request, folded, device)
        reasons = None if request.include_seen else folded.liked()
        version = self._content.version.name
        return Batch(listed, lists, self._items.ids, version, self._answers, reasons)

    def top(self, by: TopKind, request: Request, column: str | None = None) -> RowList:
        """Return a list that is the same for everybody; see `Recommender.top_items`."""
        if not isinstance(by, str) or by not in ("popular", "trending", "latest"):
            raise DataError(f'by: expected "popular", "trending" or "latest", got {briefly(by)}')
        if column is not None and by != "latest":
            raise DataError(f'column: expected it with by="latest" alone, got it with {by!r}')
        name = self._newest_by(column) if by == "latest" else by
        return self._answers.top(self._by_column((by, name)), request, by)

    def _newest_by(self, column: str | None) -> str:
        """Return the column of attributes that says how new an item is."""
        table, where = self._content.attributes, f"of version {self._content.version.name}"
        fields = [] if table is None else [one for one in table.schema if one.name != "item_id"]
        if column is not None:
            names = [one.name for one in fields if is_ordered(one.type)]
            if not isinstance(column, str) or column not in names:
                raise DataError(
                    f"column: expected a column of dates or numbers among the attributes {where}, "
                    f"got {briefly(column)}{did_you_mean(str(column), names)}"
                )
            return column
        dates = [one.name for one in fields if pa.types.is_temporal(one.type)]
        if not dates and self._content.times is not None:
            return FIRST_DAY
        if len(dates) != 1:
            raise DataError(
                f"latest: expected one column of dates among the attributes {where}, got "
                f"{', '.join(dates) or 'none, nor events with times'}; name a column of dates or "
                "numbers by column"
            )
        return str(dates[0])

    def named(self, found: RowList) -> Recommendations:
        """Return a list of rows as one of ids."""
        return self._answers.named(found)

    def unknown_user(self, user_id: Id) -> UnknownUserError | UnknownItemError:
        """Return the error for a user that the version does not hold."""
        hint = '; ask with on_unknown="popular", or by recommend_for_history'
        where = f"of version {self._content.version.name}"
        return unknown_id("user", user_id, self._content.users.ids, where, hint)


def source_of(history: "sp.csr_array", attributes: object | None) -> Source:
    """Return whether what is liked speaks for somebody, or attributes alone."""
    is_alone = attributes is not None and not (history.data > 0).any()
    return "attributes" if is_alone else "fold_in"

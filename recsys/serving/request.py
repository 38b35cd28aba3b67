"""The request for a list: its length and conditions, checked once and turned into rows."""

from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray

from recsys.base.checks import require_a
from recsys.base.errors import ConfigError, DataError, briefly
from recsys.base.rule_settings import (
    NO_RULES,
    Boost,
    NewItems,
    Pin,
    RuleSettings,
    column_and_number,
    holds,
    limits_of,
    new_items_of,
    rules_of,
)
from recsys.index import ItemRows
from recsys.serving.attributes import ItemAttributes, Limit, Matching
from recsys.serving.exposure import Exposure
from recsys.serving.repeats import Days, Repeats
from recsys.serving.rules import NO_ITEMS, BoostedItems, PinnedRows
from recsys.vectors import Id, Ids
from recsys.vectors.ids import checked_ids, checked_k

_NUMBER = (int, float, np.number)


class Conditions(TypedDict, total=False):
    """The conditions of a list as a caller gives them; `Recommender.recommend` explains each."""

    exclude: Iterable[Id]
    include_seen: bool
    candidates: Iterable[Id] | None
    where: str | None
    diversity: float
    max_per: str | Sequence[str] | None
    boost: Iterable[Boost | Mapping[str, Any]]
    pin: Iterable[Pin | Mapping[str, Any]]
    new_items: NewItems | Mapping[str, Any] | float | None
    repeat: float | None


@dataclass(frozen=True, eq=False)
class Request:
    """The length and the conditions of a list, in rows of one version.

    Parameters
    ----------
    k : int
        Length of the list, at most that of the catalogue.
    exclude : ndarray of int32
        Rows that must not be in it, in addition to those that the user has seen.
    include_seen : bool
        Whether items that the user has seen may be in it; what the user disliked may not.
    candidates : ndarray of int32, optional
        The only rows that may be in it, ascending and unique.
    matching : Matching, optional
        The only items that may be in it.
    diversity : float
        From 0, by score alone, to 1.
    limits : tuple of Limit
        Of how many items of a group may be in it.
    boosts : tuple of Boosted, optional
        All items that match, parted by how their scores are boosted.
    pins : tuple of PinnedRows
        Items at positions, the first one first.
    pinned : ndarray of int32
        Rows that have their positions, and count towards the limits.
    exposure : Exposure, optional
        Of new items, which `matching` and `boosts` then leave out.
    repeats : Repeats, optional
        What lets seen items back into the list.
    """

    k: int
    exclude: ItemRows = field(default_factory=lambda: NO_ITEMS)
    include_seen: bool = False
    candidates: ItemRows | None = None
    matching: Matching | None = None
    diversity: float = 0.0
    limits: tuple[Limit, ...] = ()
    boosts: BoostedItems | None = None
    pins: tuple[PinnedRows, ...] = ()
    pinned: ItemRows = field(default_factory=lambda: NO_ITEMS)
    exposure: Exposure | None = None
    repeats: Repeats | None = None

    @classmethod
    def of(
        cls,
        k: int,
        items: ItemAttributes,
        *,
        exclude: Iterable[Id] = (),
        include_seen: bool = False,
        candidates: Iterable[Id] | None = None,
        where: str | None = None,
        diversity: float = 0.0,
        max_per: str | Sequence[str] | None = None,
        boost: Iterable[Boost | Mapping[str, Any]] = (),
        pin: Iterable[Pin | Mapping[str, Any]] = (),
        new_items: NewItems | Mapping[str, Any] | float | None = None,
        repeat: float | None = None,
    ) -> "Request":
        """Check what a caller asks for; ids that `items` does not hold are left out.

        Raises
        ------
        DataError
            If an argument cannot be understood; it is named.
        """
        if where is not None and not isinstance(where, str):
            raise DataError(f"where: expected a condition as text, got {briefly(where)}")
        require_a("include_seen", include_seen, bool | np.bool_, "True or False")
        request = cls(
            min(checked_k(k), len(items.ids)),
            _together(_known_rows(exclude, "exclude", items.ids), items.sold_out),
            include_seen,
            _rows_or_none(candidates, items.ids),
            None if where is None else items.matching(where),
            _checked_diversity(diversity),
            repeats=None if repeat is None else items.repeats(repeat),
        )
        if not _are_given(boost, pin, max_per, new_items):
            return request
        return request._under(rules_given(boost, pin, max_per, new_items), items, where)

    def _under(self, rules: RuleSettings, items: ItemAttributes, where: str | None) -> "Request":
        """Return the request under the rules that hold now."""
        now = datetime.now(UTC)
        boosts = tuple(one for one in rules.boost if holds(one, now))
        pins = sorted((one for one in rules.pin if holds(one, now)), key=lambda one: one.position)
        limits = map(column_and_number, rules.max_per)
        found = replace(
            self,
            limits=tuple(Limit(items.groups(column), most) for column, most in limits),
            boosts=items.boosted(boosts, where) if boosts else None,
            pins=tuple(_pinned(one, items) for one in pins),
        )
        new = rules.new_items
        if new is None or not items.is_new(new.users).any():
            return found
        apart, by_users = items.apart(where, new.users), (where, new.users)
        return replace(
            found,
            matching=apart.others,
            boosts=items.boosted(boosts, *by_users) if boosts else None,
            exposure=Exposure(
                new,
                f"{now:%Y-%m-%d}",
                apart,
                items.boosted(boosts, *by_users, new=True) if boosts else None,
            ),
        )

    @classmethod
    def among(
        cls, k: int, ids: Ids, *, exclude: Iterable[Id] = (), candidates: Iterable[Id] | None = None
    ) -> "Request":
        """Check a request for some of other ids, such as those of users."""
        excluded = _known_rows(exclude, "exclude", ids)
        return cls(min(checked_k(k), len(ids)), excluded, candidates=_rows_or_none(candidates, ids))

    @property
    def is_by_score(self) -> bool:
        """Whether the list is the best items in order, without diversity or limits per group."""
        return self.diversity == 0 and not self.limits

    @property
    def is_of_conditions(self) -> bool:
        """Whether the list is the best items by their own scores among those that may be in it."""
        is_by_own_score = self.is_by_score and self.boosts is None and not self.pins
        return is_by_own_score and (self.exposure is None or not self.exposure.rule.share)

    @property
    def all_boosts(self) -> BoostedItems | None:
        """The boosts of new items as well."""
        if self.exposure is None or self.boosts is None:
            return self.boosts
        return self.boosts + (self.exposure.boosts or ())

    @property
    def unexposed(self) -> "Request":
        """The request in which new items are items like all others."""
        if self.exposure is None:
            return self
        matching = self.exposure.apart.whole
        return replace(self, matching=matching, boosts=self.all_boosts, exposure=None)

    @property
    def of_new_items(self) -> "Request":
        """The request for new items alone."""
        if self.exposure is None:
            return replace(self, candidates=NO_ITEMS)
        matching, boosts = self.exposure.apart.new, self.exposure.boosts
        return replace(self, matching=matching, boosts=boosts, exposure=None)

    def left_out(self, seen: ItemRows, days: Days | None) -> ItemRows:
        """Return those of a user's seen items, beside their last days, that are left out."""
        if self.include_seen:
            return NO_ITEMS
        return seen if self.repeats is None else self.repeats.left_out(seen, days)

    def of_pin(self, pin: PinnedRows) -> "Request":
        """Return the request for the item that a pin puts at its position.

        Of a condition it is none that is new, where a share of the list is for those.
        """
        rows = pin.rows
        if self.exposure is not None and not pin.is_named:
            rows = rows[~self.exposure.apart.new.is_matching[rows]]
        if self.candidates is not None:
            rows = np.intersect1d(rows, self.candidates)
        return replace(self.unexposed, k=1, candidates=rows, pins=())

    def is_allowed(self, n_items: int) -> NDArray[np.bool_] | None:
        """Return which items may be in the lists of any user; None where all may."""
        if self.candidates is None and self.matching is None and len(self.exclude) == 0:
            return None
        is_allowed = np.ones(n_items, dtype=np.bool_)
        if self.candidates is not None:
            is_allowed[:] = False
            is_allowed[self.candidates] = True
        if self.matching is not None:
            is_allowed &= self.matching.is_matching
        is_allowed[self.exclude] = False
        return is_allowed

    def allowed_rows(self, n_items: int) -> ItemRows | None:
        """Return the rows of `is_allowed`; None where all may be in the lists."""
        is_allowed = self.is_allowed(n_items)
        return None if is_allowed is None else np.flatnonzero(is_allowed).astype(np.int32)

    def allowed_candidates(self, exclude: ItemRows) -> ItemRows:
        """Return the candidates that match and are not excluded."""
        rows = NO_ITEMS if self.candidates is None else self.candidates
        if self.matching is not None:
            rows = rows[self.matching.is_matching[rows]]
        kept: ItemRows = rows[~np.isin(rows, exclude)]
        return kept


def _known_rows(listed: Iterable[Id], name: str, ids: Ids) -> ItemRows:
    if isinstance(listed, tuple) and not listed:
        return NO_ITEMS
    rows = ids.rows(checked_ids(listed, name))
    known: ItemRows = rows[rows >= 0]
    return known


def _together(rows: ItemRows, others: ItemRows) -> ItemRows:
    return np.append(rows, others) if len(others) else rows


def _rows_or_none(candidates: Iterable[Id] | None, ids: Ids) -> ItemRows | None:
    return None if candidates is None else np.unique(_known_rows(candidates, "candidates", ids))


def rules_given(
    boost: Iterable[Boost | Mapping[str, Any]],
    pin: Iterable[Pin | Mapping[str, Any]],
    max_per: str | Sequence[str] | None,
    new_items: NewItems | Mapping[str, Any] | float | None = None,
) -> RuleSettings:
    """Check rules that are given as arguments, not as settings."""
    if not _are_given(boost, pin, max_per, new_items):
        return NO_RULES
    try:
        return RuleSettings(
            rules_of(Boost, boost, "rules.boost"),
            rules_of(Pin, pin, "rules.pin"),
            limits_of(max_per),
            new_items=new_items_of(new_items),
        )
    except ConfigError as error:
        raise DataError(str(error).removeprefix("rules.")) from error


def _are_given(*rules: object) -> bool:
    """Tell whether one is neither None nor empty; what is no rule is, to be refused."""
    return any(len(one) > 0 if isinstance(one, Sized) else one is not None for one in rules)


def _pinned(pin: Pin, items: ItemAttributes) -> PinnedRows:
    if pin.where is not None:
        rows = np.flatnonzero(items.matching(pin.where).is_matching).astype(np.int32)
        return PinnedRows(pin.position, rows, is_named=False)
    named = [] if pin.item_id is None else [pin.item_id]
    return PinnedRows(pin.position, _known_rows(named, "pin.item_id", items.ids))


def _checked_diversity(diversity: float) -> float:
    is_number = isinstance(diversity, _NUMBER) and not isinstance(diversity, bool)
    if not is_number or not 0 <= diversity <= 1:
        raise DataError(f"diversity: expected a number from 0 to 1, got {briefly(diversity)}")
    return float(diversity)

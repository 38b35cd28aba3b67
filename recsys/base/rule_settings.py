"""What a shop wants of every list, on top of what a caller asks for."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime
from math import ceil, floor
from typing import Any, TypeVar

from recsys.base.checks import require, require_types
from recsys.base.errors import ConfigError, briefly, did_you_mean

Moment = str | date | datetime
T = TypeVar("T", "Boost", "Pin")

MOST_BOOSTS = 8  # of one list: their combinations are searched one by one
MOST_TIMES, MOST_PLUS = 1e3, 1e9  # of one: what all of them make of a score, float32 holds
MOST_PINS = 64
_ROUNDING = 1e-9  # of a product of a share
_MOST_DIGITS = 9  # of the number in max_per


@dataclass(frozen=True, kw_only=True)
class Boost:
    """Raises or lowers the scores of the items that fulfil a condition.

    A score of 0 or more becomes ``score * times + plus``, one below 0 ``score / times + plus``: so
    `times` above 1 raises every score, and the order of the boosted items among each other stays.

    Parameters
    ----------
    where : str
        As in `Recommender.recommend`.
    times : float
        From 0.001 to 1,000; below 1 it lowers.
    plus : float
        At most 1e9, up or down.
    since, until : date, datetime or str in ISO 8601, optional
        From when to when it holds, without the end; without a zone in UTC. Default: always.

    Examples
    --------
    >>> Boost(where="category = 'tea'", times=1.5).plus
    0.0
    """

    where: str
    times: float = 1.0
    plus: float = 0.0
    since: Moment | None = None
    until: Moment | None = None

    def __post_init__(self) -> None:
        require_types("rules.boost", self)
        require("rules.boost.times", self.times, least=1 / MOST_TIMES, at_most=MOST_TIMES)
        require("rules.boost.plus", self.plus, least=-MOST_PLUS, at_most=MOST_PLUS)
        _require_period("rules.boost", self.since, self.until)


@dataclass(frozen=True, kw_only=True)
class Pin:
    """Gives a position of every list to an item, or to the best one that fulfils a condition.

    It goes to no item that may not be in the list, as one that the user has seen.

    Parameters
    ----------
    position : int
        From 1, the top.
    item_id : str or int, optional
    where : str, optional
        In place of an item.
    since, until
        As those of `Boost`.

    Examples
    --------
    >>> Pin(position=1, item_id="i7", until="2026-12-24").item_id
    'i7'
    """

    position: int
    item_id: str | int | None = None
    where: str | None = None
    since: Moment | None = None
    until: Moment | None = None

    def __post_init__(self) -> None:
        require_types("rules.pin", self)
        require("rules.pin.position", self.position, least=1)
        if (self.item_id is None) == (self.where is None):
            got = "neither" if self.item_id is None else "both"
            raise ConfigError(f"rules.pin: expected an item_id or a where, got {got}")
        _require_period("rules.pin", self.since, self.until)


@dataclass(frozen=True, kw_only=True)
class NewItems:
    """How much of every list new items have: those that fewer than so many users know.

    Parameters
    ----------
    share : float
        From 0, none, to 1. Of the first m items of a list, at most ``share * m`` are new, and of
        k items as many as that allows, where there are so many: one in ten, at the tenth place.
    users : int
        At least 1: an item is new to the version while fewer users than this have it.
    exploration : float
        0 takes the new items with the best scores; more of it others as well, drawn for each user
        and day in proportion to ``exp(score / (exploration * spread))``, the spread that of the
        scores of the new items.

    Examples
    --------
    >>> NewItems(share=0.1).places(25)
    [10, 20]
    """

    share: float
    users: int = 1
    exploration: float = 0.5

    def __post_init__(self) -> None:
        require_types("rules.new_items", self)
        words = "a share from 0 to 1"
        require("rules.new_items.share", self.share, least=0, at_most=1, expected=words)
        require("rules.new_items.users", self.users, least=1)
        require("rules.new_items.exploration", self.exploration, least=0, at_most=MOST_TIMES)

    def places(self, k: int) -> list[int]:
        """Return the places of a list, from 1, that new items have."""
        n = floor(self.share * k + _ROUNDING)
        return [ceil(number / self.share - _ROUNDING) for number in range(1, n + 1)]


@dataclass(frozen=True)
class RuleSettings:
    """What holds for every list that is answered; the ``[rules]`` table."""

    boost: Sequence[Boost] = field(default_factory=tuple)
    """Conditions whose items score higher or lower, such as [[rules.boost]] with
    where = "category = 'tea'" and times = 1.5."""
    pin: Sequence[Pin] = field(default_factory=tuple)
    """Items at a position, such as [[rules.pin]] with position = 1 and item_id = "i7"."""
    max_per: Sequence[str] = field(default_factory=tuple)
    """Columns and numbers, such as ["brand:2", "category:5"]: most items of one in a list."""
    repeat: float | None = None
    """What people buy again may return to the lists of those who have seen it: items of which at
    least this share of their users came back, above 0 to 1, once their usual gap is over."""
    sold_out: str | None = None
    """A text file of the ids of items that are in no list, one a line. A changed file holds at
    once, without a new version."""
    new_items: NewItems | None = None
    """The share of every list that new items have, at most, and from how many users on an item is
    not new: {share = 0.1, users = 5}. Default: they compete by their scores."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "boost", rules_of(Boost, self.boost, "rules.boost"))
        object.__setattr__(self, "pin", rules_of(Pin, self.pin, "rules.pin"))
        object.__setattr__(self, "max_per", limits_of(self.max_per))
        object.__setattr__(self, "new_items", new_items_of(self.new_items))
        require("rules.boost", len(self.boost), at_most=MOST_BOOSTS)
        require("rules.pin", len(self.pin), at_most=MOST_PINS)
        require_types("rules", self)
        if self.repeat is not None:
            require("rules.repeat", self.repeat, above=0, at_most=1)
        for one in self.max_per:
            column_and_number(one)

    def with_those_of(self, conditions: Any) -> Any:
        """Return conditions of a list with these rules before their own."""
        limits = conditions.get("max_per") or ()
        repeat = conditions.get("repeat")
        return conditions | {
            "new_items": _least(self.new_items, conditions.get("new_items")),
            "repeat": self.repeat if repeat is None else repeat,
            "boost": _after(self.boost, conditions.get("boost", ())),
            "pin": _after(self.pin, conditions.get("pin", ())),
            "max_per": _after(self.max_per, (limits,) if isinstance(limits, str) else limits),
        }

    def __bool__(self) -> bool:
        return any(getattr(self, one.name) for one in fields(self))


def rule_settings_of(given: "RuleSettings | Mapping[str, Any] | None") -> RuleSettings | None:
    """Return rules that are given as such, or as a mapping of their fields."""
    if given is None or isinstance(given, RuleSettings):
        return given
    if not isinstance(given, Mapping):
        raise ConfigError(
            f"rules: expected RuleSettings or a mapping of its fields, got {type(given).__name__}"
        )
    _require_keys(RuleSettings, given, "rules")
    return RuleSettings(**given)


def limits_of(max_per: str | Iterable[str] | None) -> tuple[str, ...]:
    """Return limits that are given as one text, as several, or not at all."""
    if max_per is None or isinstance(max_per, str):
        return () if max_per is None else (max_per,)
    if isinstance(max_per, Mapping) or not isinstance(max_per, Iterable):
        raise ConfigError(
            'rules.max_per: expected columns and numbers of items, such as ["brand:2"], got '
            f"{briefly(max_per)}"
        )
    return tuple(max_per)


def new_items_of(given: "NewItems | Mapping[str, Any] | float | None") -> NewItems | None:
    """Return the share of new items, given as such, as its fields, or as the share alone."""
    if given is None or isinstance(given, NewItems):
        return given
    fields_of = dict(given) if isinstance(given, Mapping) else {"share": given}
    _require_keys(NewItems, fields_of, "rules.new_items", needed="share")
    return NewItems(**fields_of)


def _least(rule: NewItems | None, asked: Any) -> Any:
    """Return what is asked for, but no larger share than the rule has."""
    if rule is None or asked is None:
        return asked if rule is None else rule
    try:
        own = new_items_of(asked)
    except ConfigError:
        return asked  # whoever reads it says what is wrong
    return rule if own is None or own.share > rule.share else own


def rules_of(kind: type[T], listed: Iterable[T | Mapping[str, Any]], name: str) -> tuple[T, ...]:
    """Return rules that are given as such, or as mappings of their fields."""
    if isinstance(listed, str | Mapping) or not isinstance(listed, Iterable):
        raise ConfigError(f"{name}: expected a list of rules, got {briefly(listed)}")
    return tuple(_rule_of(kind, one, name) for one in listed)


def _rule_of(kind: type[T], one: T | Mapping[str, Any], name: str) -> T:
    if isinstance(one, kind):
        return one
    if not isinstance(one, Mapping):
        raise ConfigError(f"{name}: expected a {kind.__name__} or its fields, got {briefly(one)}")
    _require_keys(kind, one, name, needed="where" if kind is Boost else "position")
    return kind(**one)


def _require_keys(
    kind: type[Any], given: Mapping[str, Any], name: str, needed: str | None = None
) -> None:
    known = [each.name for each in fields(kind)]
    for key in given:
        if key not in known:
            raise ConfigError(
                f"{name}.{key}: unknown key, expected one of {', '.join(known)}"
                f"{did_you_mean(key, known)}"
            )
    if needed is not None and needed not in given:
        raise ConfigError(f"{name}.{needed}: expected it, got none")


def _after(own: Sequence[Any], given: Any) -> Any:
    """Return rules with those of a caller after them; what is no list, as it is, to be refused."""
    is_list = isinstance(given, Iterable) and not isinstance(given, str | Mapping)
    return (*own, *given) if is_list else given


def plain_rule(rule: Boost | Pin | NewItems) -> dict[str, Any]:
    """Return what of a rule is not its default."""
    found = {one.name: (getattr(rule, one.name), one.default) for one in fields(rule)}
    return {name: value for name, (value, default) in found.items() if value != default}


def plain_rules(rules: RuleSettings) -> dict[str, Any] | None:
    """Return rules as the table of a config; None where there are none."""
    if not rules:
        return None
    lists = {name: [plain_rule(one) for one in getattr(rules, name)] for name in ("boost", "pin")}
    share = None if rules.new_items is None else plain_rule(rules.new_items)
    others = {"max_per": list(rules.max_per), "sold_out": rules.sold_out, "new_items": share}
    found = {**lists, **others}
    return found if rules.repeat is None else found | {"repeat": rules.repeat}


def column_and_number(max_per: str) -> tuple[str, int]:
    """Read ``"brand:2"``; a ConfigError of anything else."""
    column, _, number = str(max_per).rpartition(":")
    is_number = number.isdecimal() and len(number) <= _MOST_DIGITS
    if not column or not is_number or int(number) < 1:
        raise ConfigError(
            'rules.max_per: expected a column and a number of items, such as "brand:2", got '
            f"{briefly(max_per)}"
        )
    return column, int(number)


def holds(rule: Boost | Pin, now: datetime) -> bool:
    """Whether a rule holds at a time."""
    since, until = _moment(rule.since), _moment(rule.until)
    return (since is None or since <= now) and (until is None or now < until)


def _require_period(name: str, since: Moment | None, until: Moment | None) -> None:
    ends = []
    for key, value in (("since", since), ("until", until)):
        try:
            ends.append(_moment(value))
        except (AttributeError, TypeError, ValueError):
            raise ConfigError(
                f"{name}.{key}: expected a date or time, such as 2026-12-24, got {briefly(value)}"
            ) from None
    if ends[0] is not None and ends[1] is not None and ends[0] >= ends[1]:
        raise ConfigError(f"{name}.until: expected it after since, {since}, got {until}")


def _moment(value: Moment | None) -> datetime | None:
    """Return the moment that a date begins with, or a time, in UTC where it has no zone."""
    if value is None:
        return None
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    return value if value.tzinfo else value.replace(tzinfo=UTC)


NO_RULES = RuleSettings()

"""What a shop wants of every list, on top of what a caller asks for."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime
from typing import Any, TypeVar

from recsys.base.checks import require, require_types
from recsys.base.errors import ConfigError, did_you_mean

Moment = str | date | datetime
T = TypeVar("T", "Boost", "Pin")

MOST_BOOSTS = 8  # of one list: their combinations are searched one by one
MOST_TIMES, MOST_PLUS = 1e3, 1e9  # of one: what all of them make of a score, float32 holds
MOST_PINS = 64
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
    sold_out: str | None = None
    """A text file of the ids of items that are in no list, one a line. A changed file holds at
    once, without a new version."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "boost", rules_of(Boost, self.boost, "rules.boost"))
        object.__setattr__(self, "pin", rules_of(Pin, self.pin, "rules.pin"))
        require("rules.boost", len(self.boost), at_most=MOST_BOOSTS)
        require("rules.pin", len(self.pin), at_most=MOST_PINS)
        require_types("rules", self)
        for one in self.max_per:
            column_and_number(one)

    def with_those_of(self, conditions: Any) -> Any:
        """Return conditions of a list with these rules before their own."""
        own = conditions.get("max_per")
        limits = (own,) if isinstance(own, str) else tuple(own or ())
        return conditions | {
            "boost": (*self.boost, *conditions.get("boost", ())),
            "pin": (*self.pin, *conditions.get("pin", ())),
            "max_per": (*self.max_per, *limits),
        }

    def __bool__(self) -> bool:
        return bool(self.boost or self.pin or self.max_per or self.sold_out)


def rules_of(kind: type[T], listed: Iterable[T | Mapping[str, Any]], name: str) -> tuple[T, ...]:
    """Return rules that are given as such, or as mappings of their fields."""
    if isinstance(listed, str | Mapping) or not isinstance(listed, Iterable):
        raise ConfigError(f"{name}: expected a list of rules, got {listed!r}")
    return tuple(_rule_of(kind, one, name) for one in listed)


def _rule_of(kind: type[T], one: T | Mapping[str, Any], name: str) -> T:
    if isinstance(one, kind):
        return one
    if not isinstance(one, Mapping):
        raise ConfigError(f"{name}: expected a {kind.__name__} or its fields, got {one!r}")
    known = [each.name for each in fields(kind)]
    for key in one:
        if key not in known:
            raise ConfigError(
                f"{name}.{key}: unknown key, expected one of {', '.join(known)}"
                f"{did_you_mean(key, known)}"
            )
    needed = "where" if kind is Boost else "position"
    if needed not in one:
        raise ConfigError(f"{name}.{needed}: expected it, got none")
    return kind(**one)


def plain_rule(rule: Boost | Pin) -> dict[str, Any]:
    """Return what of a rule is not its default."""
    found = {one.name: (getattr(rule, one.name), one.default) for one in fields(rule)}
    return {name: value for name, (value, default) in found.items() if value != default}


def plain_rules(rules: RuleSettings) -> dict[str, Any] | None:
    """Return rules as the table of a config; None where there are none."""
    if not rules:
        return None
    lists = {name: [plain_rule(one) for one in getattr(rules, name)] for name in ("boost", "pin")}
    return {**lists, "max_per": list(rules.max_per), "sold_out": rules.sold_out}


def column_and_number(max_per: str) -> tuple[str, int]:
    """Read ``"brand:2"``; a ConfigError of anything else."""
    column, _, number = str(max_per).rpartition(":")
    is_number = number.isdecimal() and len(number) <= _MOST_DIGITS
    if not column or not is_number or int(number) < 1:
        raise ConfigError(
            'rules.max_per: expected a column and a number of items, such as "brand:2", got '
            f"{str(max_per)[:60]!r}"
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
                f"{name}.{key}: expected a date or time, such as 2026-12-24, got {value!r}"
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

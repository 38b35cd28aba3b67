"""What becomes of each row: used, rejected for one reason, or left out for one reason."""

from collections.abc import Mapping
from dataclasses import dataclass

from recsys.logs.reading.fields import Column, event_field, id_field, number_field, seconds_field
from recsys.logs.reading.sql import case, literal
from recsys.logs.settings import LogSettings, unix_seconds

MAX_SECONDS = 253_402_300_799  # the end of the year 9999
ONE_DAY = 86_400
LARGEST_WEIGHT = 3.4028234e38  # of float32
SMALLEST_WEIGHT = 1e-38
FUTURE = "timestamp in the future"


@dataclass(frozen=True)
class Outcome:
    """One way in which a row is not used; `code` is its place in `OutcomeList`, from 1."""

    reason: str
    is_rejected: bool
    condition: str


@dataclass(frozen=True)
class Judgement:
    """SQL that judges the rows of one part of a log, and reads what is used of them.

    Attributes
    ----------
    user_id, item_id, weight, seconds, event : str
        Expressions, valid where the outcome is 0; `seconds` is None in a log without time, `event`
        where no event types are read.
    ids_are_integers : tuple of bool
        Whether the log types its user ids, and its item ids, as numbers.
    outcomes : tuple of Outcome
        The first whose condition holds is the row's; the same reasons, in the same order, for
        every part read with the same settings and columns.
    """

    user_id: str
    item_id: str
    weight: str
    seconds: str | None
    event: str | None
    ids_are_integers: tuple[bool, bool]
    outcomes: tuple[Outcome, ...]


def judge(
    columns: Mapping[str, Column], settings: LogSettings, now: int, is_malformed: str = "false"
) -> Judgement:
    """Return how rows with these columns are judged.

    Parameters
    ----------
    columns : mapping of str to Column
        By our name; event, value and timestamp may be missing.
    settings : LogSettings
    now : int
        Unix time in seconds, which tells what is in the future.
    is_malformed : str
        SQL condition of a record that has no fields.
    """
    user, item = id_field(columns["user_id"]), id_field(columns["item_id"])
    outcomes = [
        Outcome("malformed line", True, is_malformed),
        Outcome("empty user_id", True, user.is_empty),
        Outcome("empty item_id", True, item.is_empty),
        Outcome("unreadable user_id", True, user.is_unreadable),
        Outcome("unreadable item_id", True, item.is_unreadable),
    ]
    weight, event = "1.0", None
    if "event" in columns and settings.events:
        event = event_field(columns["event"])
        weight = case(
            (f"{event} = {literal(name)}", repr(float(settings.events[name])))
            for name in settings.events
        )
        outcomes += _event_outcomes(event, settings.events)
    if "value" in columns:
        value = number_field(columns["value"])
        weight = _scaled(weight, value, settings)
        outcomes += _value_outcomes(value, weight, settings)
    seconds = None
    if "timestamp" in columns:
        seconds = seconds_field(columns["timestamp"], settings.timestamp_unit)
        outcomes += _time_outcomes(seconds, settings, now)
    are_integers = (user.is_integer, item.is_integer)
    return Judgement(user.sql, item.sql, weight, seconds, event, are_integers, tuple(outcomes))


def _event_outcomes(event: str, events: Mapping[str, float]) -> list[Outcome]:
    known = ", ".join(literal(name) for name in events)
    outcomes = [Outcome("unknown event", True, f"{event} IS NULL OR {event} NOT IN ({known})")]
    for name, weight in events.items():
        if weight == 0:
            outcomes.append(Outcome(f"event excluded: {name}", False, f"{event} = {literal(name)}"))
    return outcomes


def _scaled(weight: str, value: str, settings: LogSettings) -> str:
    if settings.value_scale == "none":
        return weight
    if settings.value_scale == "log":
        # ln() of a negative number would stop the query; such a row is rejected anyway.
        return f"{weight} * CASE WHEN {value} > 0 THEN ln(1 + {value}) ELSE 0 END"
    return f"{weight} * {value}"


def _value_outcomes(value: str, weight: str, settings: LogSettings) -> list[Outcome]:
    outcomes = [
        Outcome("unreadable value", True, f"{value} IS NULL"),
        Outcome("non-finite value", True, f"NOT isfinite({value})"),
    ]
    if settings.min_value is not None:
        below = f"{value} < {float(settings.min_value)!r}"
        outcomes.append(Outcome("value below min_value", False, below))
    outcomes += [
        Outcome("non-finite value", True, f"{weight} > {LARGEST_WEIGHT}"),
        Outcome("non-positive weight", True, f"{weight} < {SMALLEST_WEIGHT}"),
    ]
    return outcomes


def _time_outcomes(seconds: str, settings: LogSettings, now: int) -> list[Outcome]:
    outcomes = [
        Outcome("unreadable timestamp", True, f"{seconds} IS NULL"),
        Outcome("timestamp out of range", True, f"{seconds} < 0 OR {seconds} > {MAX_SECONDS}"),
        Outcome(FUTURE, True, f"{seconds} > {now + ONE_DAY}"),
    ]
    if settings.since is not None:
        since = repr(unix_seconds(settings.since, "since"))
        outcomes.append(Outcome("before since", False, f"{seconds} < {since}"))
    if settings.until is not None:
        until = repr(unix_seconds(settings.until, "until"))
        outcomes.append(Outcome("at or after until", False, f"{seconds} >= {until}"))
    return outcomes

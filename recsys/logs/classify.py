"""How a row of a log is classified: its ids, weight and time, or why it is not used.

Every file or table gets one query, which `RowRules.query` puts together::

    SELECT
        <id>                                    AS user_id,   -- id_field
        <id>                                    AS item_id,
        TRY_CAST(<event's> * <value> AS FLOAT)  AS weight,    -- rules_for, number_field
        TRY_CAST(floor(<time>) AS BIGINT)       AS seconds,   -- seconds_field
        <event>                                 AS event,     -- event_field
        recsys_outcome                          AS outcome,   -- 0: used; n: the n-th reason
        <line>                                  AS line,
        CASE WHEN recsys_outcome IN (<those that reject>) THEN <text> END AS text,
        <file index>                            AS recsys_file_index
    FROM (
        SELECT *, CASE WHEN <condition 1> THEN 1 WHEN <condition 2> THEN 2 ... ELSE 0 END
            AS recsys_outcome
        FROM <relation>
    )

The relation has the log's own columns (Parquet, tables) or the fields of a record as text (CSV,
JSON lines); `recsys.logs.staging` names it and runs the query.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from recsys.base.checks import unix_seconds
from recsys.logs.columns import Column, event_field, id_field, number_field, seconds_field
from recsys.logs.session import case, literal
from recsys.settings import LogSettings

# ruff: noqa: S608 (names and values of others are quoted by recsys.logs.session)


OUTCOME, FILE_INDEX = "recsys_outcome", "recsys_file_index"
"""Columns next to the log's own, so their names must not be among those."""
MAX_SECONDS = 253_402_300_799  # the end of the year 9999
ONE_DAY = 86_400
LARGEST_WEIGHT = 3.4028234e38  # of float32
SMALLEST_WEIGHT = 1e-38
FUTURE = "timestamp in the future"


@dataclass(frozen=True)
class Outcome:
    """A reason why a row is not used, and the SQL condition under which it holds."""

    reason: str
    is_rejected: bool  # False: left out on request
    condition: str


@dataclass(frozen=True)
class RowRules:
    """How the rows of one file or table are classified, in SQL.

    Attributes
    ----------
    user_id, item_id, weight, seconds, event : str
        Expressions, valid where the outcome is 0; `seconds` is None in a log without time, `event`
        where no event types are read.
    ids_are_integers : tuple of bool
        Whether the log types its user ids, and its item ids, as numbers.
    outcomes : tuple of Outcome
        Outcome n of a row is the n-th of these, from 1: the first whose condition holds. The same
        reasons in the same order for all that is read with the same settings and columns.
    """

    user_id: str
    item_id: str
    weight: str
    seconds: str | None
    event: str | None
    ids_are_integers: tuple[bool, bool]
    outcomes: tuple[Outcome, ...]

    def query(self, relation: str, line: str, text: str, file_index: str = "0") -> str:
        """Return the query that classifies the rows of a relation; see the top of this module.

        `line` and `text` are expressions: the number of a row, and what a rejects file shows of it.
        """
        outcome = case(
            ((one.condition, str(number)) for number, one in enumerate(self.outcomes, start=1)),
            otherwise="0",
        )
        rejected = [str(n) for n, one in enumerate(self.outcomes, start=1) if one.is_rejected]
        return f"""
            SELECT
                {self.user_id} AS user_id,
                {self.item_id} AS item_id,
                TRY_CAST({self.weight} AS FLOAT) AS weight,
                TRY_CAST(floor({self.seconds or "NULL"}) AS BIGINT) AS seconds,
                {self.event or "NULL"} AS event,
                {OUTCOME} AS outcome,
                {line} AS line,
                CASE WHEN {OUTCOME} IN ({", ".join(rejected)}) THEN {text} END AS text,
                {file_index} AS {FILE_INDEX}
            FROM (SELECT *, CAST({outcome} AS UTINYINT) AS {OUTCOME} FROM {relation})
        """


def rules_for(
    columns: Mapping[str, Column], settings: LogSettings, now: int, is_malformed: str = "false"
) -> RowRules:
    """Return how rows with these columns are classified.

    `columns` are by our name, event, value and timestamp optional. A day after `now`, seconds since
    1970, the future begins. `is_malformed` is the SQL condition of a record without fields.
    """
    user, item = id_field(columns["user_id"]), id_field(columns["item_id"])
    outcomes = [
        Outcome("malformed line", True, is_malformed),
        Outcome("empty user_id", True, user.is_empty),
        Outcome("empty item_id", True, item.is_empty),
        Outcome("unreadable user_id", True, user.is_unreadable),
        Outcome("unreadable item_id", True, item.is_unreadable),
    ]
    weight, event, seconds = "1.0", None, None
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
    if "timestamp" in columns:
        seconds = seconds_field(columns["timestamp"], settings.timestamp_unit)
        outcomes += _time_outcomes(seconds, settings, now)
    are_integers = (user.is_integer, item.is_integer)
    return RowRules(user.sql, item.sql, weight, seconds, event, are_integers, tuple(outcomes))


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
        since = repr(unix_seconds("log.since", settings.since))
        outcomes.append(Outcome("before since", False, f"{seconds} < {since}"))
    if settings.until is not None:
        until = repr(unix_seconds("log.until", settings.until))
        outcomes.append(Outcome("at or after until", False, f"{seconds} >= {until}"))
    return outcomes

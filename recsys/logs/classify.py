"""How a row of a log is classified: its ids, weight and time, or why it is not used.

Every file or table gets one query, which `RowRules.query` puts together::

    SELECT
        <id>                                    AS user_id,   -- id_field
        <id>                                    AS item_id,
        TRY_CAST(<event's> * <value> AS FLOAT)  AS weight,    -- rules_for; below 0 of a dislike
        TRY_CAST(floor(<time>) AS BIGINT)       AS seconds,   -- time_field
        <what is left of that second>           AS nanos,
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
from recsys.logs.sql import (
    IdKind,
    LogColumn,
    NumberField,
    TimeField,
    case,
    event_field,
    id_field,
    literal,
    number_field,
    time_field,
)
from recsys.settings import LogSettings

# ruff: noqa: S608 (names and values of others are quoted by recsys.logs.sql)


OUTCOME, FILE_INDEX = "recsys_outcome", "recsys_file_index"
"""Columns next to the log's own, so their names must not be among those."""
_MAX_SECONDS = 253_402_300_799  # the end of the year 9999
BELOW_MIN_VALUE = "value below min_value"
SECONDS_PER_DAY = 86_400
_LARGEST_WEIGHT = 3.4028234e38  # of float32
_SMALLEST_WEIGHT = 1e-38
FUTURE = "timestamp in the future"
OTHERS = "*"
"""The key of ``log.events`` for every type that it does not list."""
OTHER_ORDER = "header in another order"


@dataclass(frozen=True)
class RowOutcome:
    """A reason why a row is not used, and the SQL condition under which it holds."""

    reason: str
    is_rejected: bool  # False: left out on request
    condition: str


@dataclass(frozen=True)
class RowRules:
    """How the rows of one file or table are classified: SQL that is valid where the outcome is 0.

    Outcome n of a row is the n-th of `outcomes`, from 1: the first whose condition holds. They are
    the same reasons in the same order for all that is read with the same settings and columns.
    """

    user_id: str
    item_id: str
    weight: str  # below 0 of a dislike
    seconds: str | None  # None in a log without time
    nanos: str  # of the second, where the outcome is 0
    event: str | None  # None where no event types are read
    id_kinds: tuple[IdKind, IdKind]  # of users and items
    times_are_numbers: bool  # whether times may have been read as a number that counts from 1970
    columns: Mapping[str, str]  # our name to the file's, of those that are read
    outcomes: tuple[RowOutcome, ...]

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
                CAST(CASE WHEN {OUTCOME} = 0 THEN {self.nanos} END AS INTEGER) AS nanos,
                {self.event or "NULL"} AS event,
                {OUTCOME} AS outcome,
                {line} AS line,
                CASE WHEN {OUTCOME} IN ({", ".join(rejected)}) THEN {text} END AS text,
                {file_index} AS {FILE_INDEX}
            FROM (SELECT *, CAST({outcome} AS UTINYINT) AS {OUTCOME} FROM {relation})
        """


@dataclass(frozen=True)
class TextConditions:
    """SQL conditions of a record of a text file that is no row."""

    is_foreign: str = "false"  # its bytes are no UTF-8
    is_malformed: str = "false"  # it has no fields
    repeats_a_key: str = "false"  # a JSON object has a key that is read twice
    is_header: str = "false"  # it repeats the names of the columns
    is_another_header: str = "false"  # in another order, which is that of the rows that follow


def rules_for(
    columns: Mapping[str, LogColumn],
    settings: LogSettings,
    now: int,
    text: TextConditions | None = None,
) -> RowRules:
    """Return how rows with these columns are classified.

    `columns` are by our name, event, value and timestamp optional. A day after `now`, seconds since
    1970, the future begins. `text` is how a record of a text file may be none.
    """
    user, item = id_field(columns["user_id"]), id_field(columns["item_id"])
    text = text or TextConditions()
    outcomes = [
        RowOutcome("not UTF-8", True, text.is_foreign),
        RowOutcome("malformed line", True, text.is_malformed),
        RowOutcome("repeated key", True, text.repeats_a_key),
        RowOutcome("repeated header", False, text.is_header),
        RowOutcome(OTHER_ORDER, True, text.is_another_header),
        RowOutcome("empty user_id", settings.anonymous == "reject", user.is_empty),
        RowOutcome("empty item_id", True, item.is_empty),
        RowOutcome("inexact user_id", True, user.is_inexact),
        RowOutcome("inexact item_id", True, item.is_inexact),
        RowOutcome("unreadable user_id", True, user.is_unreadable),
        RowOutcome("unreadable item_id", True, item.is_unreadable),
    ]
    weight, event, seconds, nanos, is_dislike = "1.0", None, None, "0", "false"
    if "event" in columns and settings.events:
        event = event_field(columns["event"])
        weight = _by_type(event, {name: abs(one) for name, one in settings.events.items()}, "NULL")
        if any(one < 0 for one in settings.events.values()):
            signs = {name: float(one < 0) for name, one in settings.events.items()}
            is_dislike = f"{_by_type(event, signs, '0.0')} = 1.0"
        outcomes += _event_outcomes(event, settings.events)
    if "value" in columns or settings.missing_value is not None:
        value = NumberField("NULL::DOUBLE", "true")
        if "value" in columns:
            value = number_field(columns["value"])
        outcomes += _value_outcomes(value, settings)
        weight = _scaled(weight, value, settings)
        outcomes += [
            RowOutcome("non-finite value", True, f"{weight} > {_LARGEST_WEIGHT}"),
            RowOutcome("non-positive weight", True, f"{weight} < {_SMALLEST_WEIGHT}"),
        ]
        if settings.max_disliked_value is not None:
            is_dislike = f"({is_dislike}) OR ({_is_disliked(value, settings)})"
    if is_dislike != "false":
        weight = case([(is_dislike, f"-({weight})")], otherwise=weight)
    times_are_numbers = False
    if "timestamp" in columns:
        time = time_field(columns["timestamp"], settings.timestamp_unit, settings.timestamp_format)
        seconds, nanos = time.sql, time.nanos
        times_are_numbers = not columns["timestamp"].is_time
        outcomes += _time_outcomes(time, settings, now)
    return RowRules(
        user.sql,
        item.sql,
        weight,
        seconds,
        nanos,
        event,
        (user.kind, item.kind),
        times_are_numbers,
        {ours: column.name for ours, column in columns.items()},
        tuple(outcomes),
    )


def _by_type(event: str, weights: Mapping[str, float], otherwise: str) -> str:
    """Return what stands for the type of an event, or "*" for the types that are not listed."""
    listed = {name: one for name, one in weights.items() if name != OTHERS}
    return case(
        ((f"{event} = {literal(name)}", repr(float(one))) for name, one in listed.items()),
        otherwise=repr(float(weights[OTHERS])) if OTHERS in weights else otherwise,
    )


def _is_disliked(value: NumberField, settings: LogSettings) -> str:
    """Return the condition that a value says a dislike."""
    most = settings.max_disliked_value
    if most is None:
        return "false"
    return f"NOT ({value.is_absent}) AND {value.sql} <= {float(most)!r}"


def _event_outcomes(event: str, events: Mapping[str, float]) -> list[RowOutcome]:
    known = ", ".join(literal(name) for name in events if name != OTHERS)
    is_other = f"{event} NOT IN ({known})" if known else "true"
    outcomes = [RowOutcome("no event", True, f"{event} IS NULL OR trim({event}) = ''")]
    if OTHERS not in events:
        outcomes.append(RowOutcome("unknown event", True, is_other))
    return outcomes + [
        RowOutcome(
            f"event excluded: {name}",
            False,
            is_other if name == OTHERS else f"{event} = {literal(name)}",
        )
        for name, weight in events.items()
        if weight == 0
    ]


def _scaled(weight: str, value: NumberField, settings: LogSettings) -> str:
    scaled = {
        "none": "1.0",
        # ln() of a negative number would stop the query; such a row is rejected anyway.
        "log": f"CASE WHEN {value.sql} > 0 THEN ln(1 + {value.sql}) ELSE 0 END",
        "root": f"CASE WHEN {value.sql} > 0 THEN sqrt(sqrt({value.sql})) ELSE 0 END",
        "linear": value.sql,
    }[settings.scale]
    special = []
    if settings.missing_value is not None:
        special.append((value.is_absent, repr(float(settings.missing_value))))
    if settings.max_disliked_value is not None:
        weight_of_dislike = repr(float(settings.disliked_value_weight))
        special.append((_is_disliked(value, settings), weight_of_dislike))
    if special:
        scaled = case(special, otherwise=scaled)
    return weight if scaled == "1.0" else f"{weight} * {scaled}"


def _value_outcomes(value: NumberField, settings: LogSettings) -> list[RowOutcome]:
    is_there = f"NOT ({value.is_absent})"
    outcomes = []
    if settings.missing_value is None:
        outcomes.append(RowOutcome("no value", True, value.is_absent))
    elif settings.missing_value == 0:
        outcomes.append(RowOutcome("no value", False, value.is_absent))
    outcomes += [
        RowOutcome("unreadable value", True, f"{value.sql} IS NULL AND {is_there}"),
        RowOutcome("non-finite value", True, f"NOT isfinite({value.sql})"),
    ]
    if settings.min_value is not None:
        below = f"{value.sql} < {float(settings.min_value)!r}"
        if settings.max_disliked_value is not None:
            below = f"{below} AND NOT ({_is_disliked(value, settings)})"
        outcomes.append(RowOutcome(BELOW_MIN_VALUE, False, below))
    return outcomes


def _time_outcomes(time: TimeField, settings: LogSettings, now: int) -> list[RowOutcome]:
    seconds = time.sql
    outcomes = [
        RowOutcome("no timestamp", True, time.is_absent),
        RowOutcome("unreadable timestamp", True, f"{seconds} IS NULL"),
        RowOutcome("timestamp out of range", True, f"{seconds} < 0 OR {seconds} > {_MAX_SECONDS}"),
        RowOutcome(FUTURE, True, f"{seconds} > {now + SECONDS_PER_DAY}"),
    ]
    if settings.since is not None:
        is_before = time.is_before(unix_seconds("log.since", settings.since))
        outcomes.append(RowOutcome("before since", False, is_before))
    if settings.until is not None:
        is_before = time.is_before(unix_seconds("log.until", settings.until))
        outcomes.append(RowOutcome("at or after until", False, f"NOT ({is_before})"))
    return outcomes

"""Settings of ingest: how a log is read and what of it is used."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal, get_args

from recsys.base.errors import ConfigError
from recsys.logs.interactions import DuplicatePolicy

LogFormat = Literal["auto", "parquet", "csv", "jsonl"]
TimestampUnit = Literal["s", "ms", "us", "ns"]
ValueScale = Literal["linear", "log", "none"]

COLUMN_NAMES = ("user_id", "item_id", "timestamp", "event", "value")


@dataclass(frozen=True)
class LogSettings:
    """How a log is read and what of it is used; the ``[log]`` table of the config.

    Parameters
    ----------
    format : {"auto", "parquet", "csv", "jsonl"}
        "auto" goes by the file name, with or without .gz or .zst behind it.
    columns : mapping of str to str
        Our name to the log's name, for those of user_id, item_id, timestamp, event and value that
        the log spells differently. The last three are optional, unless named here.
    events : mapping of str to float
        Weight of each event type. An event type with weight 0 is left out; one that is not
        listed is rejected. Empty: every event weighs 1.
    value_scale : {"linear", "log", "none"}
        How the value column multiplies the event's weight: by ``value``, by ``log(1 + value)``,
        or not at all.
    min_value : float or None
        Rows whose value is below are left out (for ratings, the least that counts as a like).
    timestamp_unit : {"s", "ms", "us", "ns"}
        Unit of timestamps that are numbers, counted from 1970.
    since, until : str or None
        Time window, ISO 8601 in UTC: events at or after since and before until are used.
    half_life_days : float or None
        An event this much older than the latest one weighs half as much.
    popular_half_life_days : float
        In the popular list, a user whose latest event with an item is this much older than the
        latest of the log counts half as much.
    duplicates : {"sum", "last", "max", "count"}
        How several events of one user and item become one weight.
    min_user_items, min_item_users : int
        Least number of distinct items a user, and users an item, must have.
    k_core : bool
        Repeat the two minimum counts until both hold for all that is left.
    max_rejected_share : float
        Above this share of rejected rows the run stops, 0 to 1.
    memory_limit : str
        What DuckDB may use before it spills to disk.
    """

    format: LogFormat = "auto"
    columns: Mapping[str, str] = field(default_factory=dict)
    events: Mapping[str, float] = field(default_factory=dict)
    value_scale: ValueScale = "linear"
    min_value: float | None = None
    timestamp_unit: TimestampUnit = "s"
    since: str | None = None
    until: str | None = None
    half_life_days: float | None = None
    popular_half_life_days: float = 30.0
    duplicates: DuplicatePolicy = "sum"
    min_user_items: int = 1
    min_item_users: int = 1
    k_core: bool = False
    max_rejected_share: float = 0.01
    memory_limit: str = "1GB"

    def __post_init__(self) -> None:
        """Check each setting; ConfigError names the one that is wrong."""
        for name, options in (
            ("format", LogFormat),
            ("value_scale", ValueScale),
            ("timestamp_unit", TimestampUnit),
            ("duplicates", DuplicatePolicy),
        ):
            if getattr(self, name) not in get_args(options):
                expected = ", ".join(get_args(options))
                raise ConfigError(
                    f"log.{name}: expected one of {expected}, got {getattr(self, name)!r}"
                )
        for name in self.columns:
            if name not in COLUMN_NAMES:
                raise ConfigError(
                    f"log.columns: expected our name on the left, one of "
                    f"{', '.join(COLUMN_NAMES)}; got {name!r}"
                )
        for event, weight in self.events.items():
            if not 0 <= weight < float("inf"):
                raise ConfigError(
                    f"log.events.{event}: expected a weight of 0 or more, got {weight}"
                )
        for name in ("min_user_items", "min_item_users"):
            if getattr(self, name) < 1:
                raise ConfigError(f"log.{name}: expected 1 or more, got {getattr(self, name)}")
        if self.half_life_days is not None and not self.half_life_days > 0:
            raise ConfigError(f"log.half_life_days: expected above 0, got {self.half_life_days}")
        if not self.popular_half_life_days > 0:
            raise ConfigError(
                f"log.popular_half_life_days: expected above 0, got {self.popular_half_life_days}"
            )
        for name in ("since", "until"):
            moment = getattr(self, name)
            if moment is not None:
                unix_seconds(moment, name)
        if not 0 <= self.max_rejected_share <= 1:
            raise ConfigError(
                f"log.max_rejected_share: expected a share from 0 to 1, "
                f"got {self.max_rejected_share}"
            )


def unix_seconds(moment: str, name: str) -> float:
    """Return an ISO 8601 date or time, UTC unless it names a zone, in seconds since 1970.

    Raises
    ------
    ConfigError
        If it is not ISO 8601; `name` is the setting's.
    """
    try:
        parsed = datetime.fromisoformat(moment)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"log.{name}: expected an ISO 8601 date or time such as 2024-05-31 or "
            f"2024-05-31T12:00:00Z, got {moment!r}"
        ) from error
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()

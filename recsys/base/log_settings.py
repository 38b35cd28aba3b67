"""The settings of how a log, and a table of items, are read; `recsys.settings` has them all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Literal, get_args

from recsys.base.checks import (
    ShowsChanges,
    require,
    require_a,
    require_encoding,
    require_time_format,
    require_types,
    size_of,
    unix_seconds,
)
from recsys.base.errors import ConfigError, briefly
from recsys.base.query_settings import QuerySettings

LogFormat = Literal["auto", "parquet", "csv", "jsonl", "lists"]
ValueScale = Literal["auto", "linear", "log", "root", "none"]
TimestampUnit = Literal["s", "ms", "us", "ns", "date", "excel"]
DecimalMark = Literal[".", ","]
DuplicatePolicy = Literal["sum", "last", "max", "count"]
"""What the events of a user with one item weigh together."""

HistoryOrder = Literal["time", "rows"]
Anonymous = Literal["reject", "leave_out"]
COLUMN_NAMES = ("user_id", "item_id", "timestamp", "event", "value")

NULL_VALUES = (
    *("NULL", "null", "Null", "(null)", "\\N", "NaN", "nan", "NAN", "<NA>", "NA", "N/A", "n/a"),
    *("#N/A", "None", "none", "nil", "undefined", "NaT", "-nan", "-NaN", "#NA", "[NULL]", "<null>"),
    *("#N/A N/A", "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN"),
)
"""How text files spell that there is no value; a field that is empty or blank needs no name."""


@dataclass(frozen=True, repr=False)
class TextSettings(ShowsChanges):
    """How the lines of a text file become fields."""

    header: bool | Literal["auto"] = "auto"
    """Whether the first row of CSV names the columns. "auto": unless it looks like data. Without
    a header and without `names` the columns are called "1", "2" and so on."""
    names: Sequence[str] = ()
    """Names of the columns in their order, for files without a header."""
    delimiter: str = "auto"
    """What stands between two fields, one character or more; one blank stands for any number of
    blanks and tabs. "auto" finds comma, semicolon, tab, bar, two colons and blanks."""
    decimal: DecimalMark = "."
    """The decimal mark of numbers."""
    comment: str = ""
    """Lines that begin with it are no rows. Empty: every line is."""
    encoding: str = "auto"
    """A name that Python knows, such as cp1252. "auto": UTF-8, what a byte order mark says, or with
    a warning cp1252, if the start of a file is that and no UTF-8."""
    null_values: Sequence[str] = NULL_VALUES
    """Fields that stand for no value, in CSV and JSON lines."""

    def __post_init__(self) -> None:
        require("log.decimal", self.decimal, one_of=get_args(DecimalMark))
        if not self.delimiter or any(mark in self.delimiter for mark in '"\r\n'):
            raise ConfigError(
                "log.delimiter: expected one character or more, no quote and no line break, "
                f"got {briefly(self.delimiter)}"
            )
        if isinstance(self.names, str) or len(set(self.names)) < len(self.names):
            raise ConfigError(
                f"log.names: expected a list of distinct names, got {briefly(self.names)}"
            )
        if self.encoding != "auto":
            require_encoding("log.encoding", self.encoding)


@dataclass(frozen=True, repr=False)
class ItemSettings(ShowsChanges):
    """How a table of items is read."""

    columns: Mapping[str, str] = field(default_factory=dict)
    """Our name to the table's name. Must map item_id where the table spells it differently;
    where anything else is mapped, only mapped columns are kept."""
    text: TextSettings = field(default_factory=TextSettings)
    """How a text file is taken apart."""


@dataclass(frozen=True, repr=False)
class LogSettings(QuerySettings, TextSettings):
    """How a log is read and what of it is used; the ``[log]`` table.

    With all of `TextSettings`, and of `QuerySettings` where a database has the log.
    """

    format: LogFormat = "auto"
    """"auto" goes by the file name, with or without .gz, .bz2, .zst or .zip at its end. "lists":
    each line is a user and then the items, with blanks between them."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """Our name to the log's name, for those of user_id, item_id, timestamp, event and value that
    the log spells differently. The last three are optional, unless named here; one that is named
    "" is not read, also where the log has a column of our name."""
    events: Mapping[str, float] = field(default_factory=dict)
    """Weight of each event type. Below 0 it is a dislike, of that confidence: the item is never
    recommended, and models that can learn that it should not be. An event type with weight 0 is
    left out; one that is not listed weighs what "*" does, and is rejected where that is not listed.
    Empty: every event weighs 1."""
    value_scale: ValueScale = "auto"
    """How the value column multiplies the event's weight: by ``value`` ("linear"), by ``log(1 +
    value)``, by its fourth root ("root"), which does not depend on the unit, or not at all
    ("none"). "auto" is none where `min_value` or `max_disliked_value` is set; else linear, unless
    values have a long tail (of 1,000 events or more, the 99th percentile of weights is ten times
    the median or more): then the fourth root of the weight is taken."""
    min_value: float | None = None
    """Rows whose value is below are left out (for ratings, the least that counts as a like)."""
    max_disliked_value: float | None = None
    """Rows whose value is this or less are dislikes, whatever the scale (for ratings, 2)."""
    disliked_value_weight: float = 1.0
    """What such a row weighs in place of its scaled value: the confidence of the dislike."""
    missing_value: float | None = None
    """What a row without a value weighs, in place of its scaled value; `min_value` does not concern
    it. 0: it is left out. Default: it is rejected."""
    anonymous: Anonymous = "reject"
    """What becomes of rows without a user: rejected, or left out, as for shops that also log
    visitors whom they do not know."""
    timestamp_unit: TimestampUnit = "s"
    """Unit of timestamps that are numbers: counted from 1970, calendar dates written as numbers
    ("date": 2014, 201411, 20141118 or 20141118093000), or days as Excel counts them ("excel")."""
    timestamp_format: str = ""
    """How times in words are written that are not ISO 8601, such as "%m/%d/%Y %H:%M", with the
    letters of Python's strptime."""
    since: str | None = None
    until: str | None = None
    """Time window, ISO 8601 in UTC: events at or after since and before until are used."""
    half_life_days: float | None = None
    """An event this much older than the end of the log weighs half as much. The end is the latest
    event, unless that is more than a half-life later than 99.9 % of them: a late clock."""
    popular_half_life_days: float = 30.0
    """In the popular list, a user whose latest event with an item is this much older than the
    end of the log counts half as much."""
    trending_days: float = 7.0
    """What is of late in the list of what is trending: so many days before the end of the log, at
    most half of all its days."""
    duplicates: DuplicatePolicy = "sum"
    """How several events of one user and item become one weight: their sum, the latest, the
    largest, or their number, which ignores their weights."""
    order: HistoryOrder = "time"
    """What tells which of a user's events came later, where a model asks (`recency`, `window`):
    their time, or their place in the log ("rows"), which only you know to be one of time."""
    session_gap_minutes: float | None = None
    """Take sessions for users: one ends where the next event of its user is more than so many
    minutes later. For lists by what an unknown visitor did just now; "last" then tests the next
    item of each session."""
    min_user_items: int = 1
    min_item_users: int = 1
    """Least number of distinct items a user, and users an item, must have."""
    k_core: bool = False
    """Repeat the two minimum counts until both hold for all that is left."""
    max_rejected_share: float = 0.01
    """Above this share of rejected rows, 0 to 1, the run stops: of the log, of one of its files, or
    of one of its last two days, if that has 100 rows."""
    memory_limit: str = "1GB"
    """What DuckDB may use before it spills to disk."""
    max_memory: str = "auto"
    """What a log may take in memory, at 60 bytes an event. The events of a larger one, and the
    matrices made of them, lie in the temporary folder, mapped; the result is the same. "auto": a
    quarter of the memory that the process may use."""

    @property
    def scale(self) -> Literal["linear", "log", "root", "none"]:
        """`value_scale`, with "auto" decided as far as it can be without the values."""
        if self.value_scale == "auto":
            limits = (self.min_value, self.max_disliked_value)
            return "linear" if limits == (None, None) else "none"
        return self.value_scale

    @property
    def may_dislike(self) -> bool:
        """Whether a row can be a dislike."""
        has_kind = any(weight < 0 for weight in self.events.values())
        return has_kind or self.max_disliked_value is not None

    def __post_init__(self) -> None:
        require_types("log", self)
        TextSettings.__post_init__(self)
        QuerySettings.__post_init__(self)
        require("log.format", self.format, one_of=get_args(LogFormat))
        require("log.value_scale", self.value_scale, one_of=get_args(ValueScale))
        require("log.timestamp_unit", self.timestamp_unit, one_of=get_args(TimestampUnit))
        if self.timestamp_format:
            require_time_format("log.timestamp_format", self.timestamp_format)
        require("log.anonymous", self.anonymous, one_of=get_args(Anonymous))
        require("log.duplicates", self.duplicates, one_of=get_args(DuplicatePolicy))
        require("log.order", self.order, one_of=get_args(HistoryOrder))
        for name in ("columns", "events"):
            words = "a mapping" if name == "columns" else 'a weight for each type, {"view": 1.0}'
            require_a(f"log.{name}", getattr(self, name), Mapping, words)
        for name in self.columns:
            words = f"our name on the left, one of {', '.join(COLUMN_NAMES)}"
            require("log.columns", name, one_of=COLUMN_NAMES, expected=words)
            require_a(f"log.columns.{name}", self.columns[name], str, "the name of a column")
        for event, weight in self.events.items():
            words = "a finite weight, below 0 for a dislike"
            require(f"log.events.{event}", weight, above=-inf, below=inf, expected=words)
        self._check_disliked_values()
        if self.missing_value is not None:
            words = "a weight of 0 or more"
            require("log.missing_value", self.missing_value, least=0, below=inf, expected=words)
        if self.session_gap_minutes is not None:
            require("log.session_gap_minutes", self.session_gap_minutes, above=0, below=inf)
        require("log.min_user_items", self.min_user_items, least=1)
        require("log.min_item_users", self.min_item_users, least=1)
        if self.half_life_days is not None:
            require("log.half_life_days", self.half_life_days, above=0)
        require("log.popular_half_life_days", self.popular_half_life_days, above=0)
        require("log.trending_days", self.trending_days, least=1, below=inf)
        for name in ("since", "until"):
            if getattr(self, name) is not None:
                unix_seconds(f"log.{name}", getattr(self, name))
        if self.max_memory != "auto":
            size_of("log.max_memory", self.max_memory)
        share, words = self.max_rejected_share, "a share from 0 to 1"
        require("log.max_rejected_share", share, least=0, at_most=1, expected=words)

    def _check_disliked_values(self) -> None:
        words = "a weight above 0"
        weight = self.disliked_value_weight
        require("log.disliked_value_weight", weight, above=0, below=inf, expected=words)
        most, least = self.max_disliked_value, self.min_value
        if most is not None:
            words = "a finite number" if least is None else f"less than log.min_value = {least:g}"
            below = inf if least is None else least
            require("log.max_disliked_value", most, above=-inf, below=below, expected=words)

"""What the columns of a log are, guessed from their names and first values.

Names that others use for users, items, times, types of events and values are known
(`recsys.logs.columns`); a file without names is guessed by its values. A guess is what ``[log]`` of
a config would say, in sentences for a person and as a table for a program.
"""

import re
from collections.abc import Callable, Collection
from math import ceil
from typing import Any

from recsys.logs.column_kinds import Column, described, require_one_item, the_only
from recsys.logs.columns import NAMES, plain_name
from recsys.logs.event_words import are_actions, strength, undoes, verdicts
from recsys.logs.log_guess import LogGuess, Proposal
from recsys.logs.sample import LogSample, sample_of_log
from recsys.logs.sources import LogSource
from recsys.settings import COLUMN_NAMES, LogSettings

_FEW = 0.002  # of the rows, that may be rejected without a word
_FEW_EMPTY = 0.05  # of the rows, without an item
_CLEARLY = 2  # times as many ids in a table
_MOST_EMPTY = 0.9  # of the rows have no user; if more, it is another column
_ROWS_OF_TYPES = 50
_MOST_UNUSED = 8  # columns that are named
_RATING = re.compile("rating|stars|score|overall|grade|vote")
_OF_ALL_USERS = re.compile("average|avg|mean|count|number|num")
_NO_ITEM = re.compile(
    "category|cat$|catid|brand|session|order|transaction|review|country|region|city|device"
    "|channel|store|seller|gender|age$|row|index|event|user|customer|timestamp|date|time|price"
    "|parent|class|department|aisle|unnamed|lat$|lon$|lng$|zip|postal|phone|fold"
)
_ITEM_END = re.compile("(id|idx|key|code|no|number|name|title|sku)$")
_ID_END = "(id|idx|uri|url|urn|key|code|no|number|uuid|guid|mbid|mbz?id|sku|hash)"
_OF_PEOPLE = re.compile("birth|born|signup|regist|join|release|publish|expir|launch|index")
_ONE_BASKET = re.compile("order|invoice|basket|cart|transaction|receipt")
_ASIN = re.compile("[B0-9][A-Z0-9]{9}")
_AMAZON_USER = re.compile("A[A-Z0-9]{9,}")


def guess_log(
    source: LogSource,
    settings: LogSettings | None = None,
    item_ids: Collection[str] = (),
) -> LogGuess:
    """Guess the columns of a log from their names and rows from all over it.

    Parameters
    ----------
    source : path, glob, folder, table, or a list of these
        As for `read_log`.
    settings : LogSettings, optional
        What is known: columns that it maps are not guessed.
    item_ids : collection of str, optional
        Ids of a table of items: of a file without names they tell the items from the users.

    Raises
    ------
    DataError
        If the column of items holds several of them in a cell.

    Returns
    -------
    LogGuess
        With an empty table where nothing differs from the defaults, or nothing can be guessed.

    Examples
    --------
    >>> import pyarrow as pa
    >>> log = pa.table({"userId": [1, 2], "movieId": [7, 7], "rating": [4.5, 3.0]})
    >>> guess_log(log).table
    {'columns': {'user_id': 'userId', 'item_id': 'movieId', 'value': 'rating'}}
    """
    settings = settings or LogSettings()
    sample = sample_of_log(source, settings)
    return LogGuess() if sample is None else _Guess(sample, settings, item_ids).made()


class _Guess:
    """A guess in the making."""

    def __init__(
        self, sample: LogSample, settings: LogSettings, item_ids: Collection[str] = ()
    ) -> None:
        self._sample, self._settings, self._item_ids = sample, settings, frozenset(item_ids)
        self._columns = {name: Column(name, one) for name, one in sample.columns.items()}
        self._taken = dict(settings.columns)  # our name to the column
        self._table: dict[str, Any] = {}
        self._said: list[str] = []
        self._proposals: list[Proposal] = []

    def made(self) -> LogGuess:
        """Guess column after column."""
        for ours in COLUMN_NAMES:  # what is called by our name is that
            if ours in self._columns:
                self._taken.setdefault(ours, ours)
        if self._sample.has_names:
            self._take_by_name()
        else:
            self._take_by_place()
        ids = {self._taken.get("user_id"), self._taken.get("item_id")}
        if not ids <= set(self._columns):  # who reads it says which column is not there
            missing = [
                f"no column {self._settings.columns.get(ours, '')}".rstrip()
                + f" is known to be {_WORDS[ours]}: log.columns.{ours} names it"
                for ours in ("user_id", "item_id")
                if self._taken.get(ours) not in self._columns
            ]
            return LogGuess({}, tuple(missing), (), tuple(self._columns))
        require_one_item(self._columns[self._taken["item_id"]])
        self._look_at_time()
        self._look_at_events()
        self._look_at_values()
        self._look_at_empty_ids()
        columns = {
            ours: self._taken[ours]
            for ours in COLUMN_NAMES
            if ours in self._taken and self._taken[ours] != self._settings.columns.get(ours, ours)
        }
        if columns:
            number = "" if self._sample.has_names else "column "  # of a file without a header
            words = (
                f"{number}{self._taken[ours]} is {_WORDS[ours]}"
                for ours in COLUMN_NAMES
                if self._taken.get(ours) in self._columns
            )
            self._said.insert(0, ", ".join(words))
            self._name_unused()
            self._table = {"columns": {**self._settings.columns, **columns}, **self._table}
        return LogGuess(
            self._table, tuple(self._said), tuple(self._proposals), tuple(self._columns)
        )

    def _name_unused(self) -> None:
        """Say which columns nothing else was said of; of one without a name, what it holds."""
        named = " ".join(self._said)
        named += " ".join(str(one.table.get("columns")) for one in self._proposals)
        words = set(re.findall(r"[^\s,;:'()]+", named)) if self._sample.has_names else set()
        others = [one for one in self._free if one.name not in words]
        if not others:
            return
        shown = [one.name if self._sample.has_names else described(one) for one in others]
        more = f" and {len(shown) - _MOST_UNUSED} more" if len(shown) > _MOST_UNUSED else ""
        self._said.append(f"not used: {', '.join(shown[:_MOST_UNUSED])}{more}")

    @property
    def _free(self) -> list[Column]:
        taken = set(self._taken.values())
        return [one for name, one in self._columns.items() if name not in taken]

    def _take(self, ours: str, column: Column | None) -> None:
        if column is not None and ours not in self._taken:
            self._taken[ours] = column.name

    def _take_by_name(self) -> None:
        known = self._sample.n_rows > 0
        for ours in ("user_id", "item_id"):
            self._take(ours, self._named(ours))
        for ours, fits in _FITS.items():
            fitting = (one for one in self._alike(ours) if not known or fits(one))
            self._take(ours, next(fitting, None))
        if "user_id" not in self._taken:
            words = "user|customer|visitor|member|reviewer|client|buyer|candidate|guest|subscriber"
            self._take("user_id", the_only(self._free, words))
        if "item_id" not in self._taken:
            items = [one for one in self._free if _ITEM_END.search(plain_name(one.name))]
            items = [one for one in items if not _NO_ITEM.search(plain_name(one.name))]
            self._take("item_id", next(iter(items), None))
        self._rather_ids_than_names()
        for column in self._free:
            name = plain_name(column.name)
            if _RATING.search(name) and not _OF_ALL_USERS.search(name) and column.best_rating:
                self._take("value", column)
            fits = _FITS["timestamp"]
            if name.endswith(("date", "time", "timestamp", "at", "on")) and fits(column):
                self._take("timestamp", column)

        moments = [one for one in self._free if one.is_moment and one.time_unit != "date"]
        moments = [one for one in moments if not _OF_PEOPLE.search(plain_name(one.name))]
        if known and len(moments) == 1:
            self._take("timestamp", moments[0])

    def _rather_ids_than_names(self) -> None:
        """Take the column of ids of items where one of their names was taken: names are shared."""
        taken = self._taken.get("item_id", "")
        stem = re.sub("(name|title)$", "", plain_name(taken))
        if taken in self._settings.columns.values() or stem in ("", plain_name(taken)):
            return
        ids = (one for one in self._free if re.fullmatch(stem + _ID_END, plain_name(one.name)))
        found = next((one for one in ids if one.empty_share <= _FEW), None)
        if found is not None:
            self._taken["item_id"] = found.name

    def _named(self, ours: str) -> Column | None:
        """Return the column with the likeliest name; rather one that most rows have."""
        found = self._alike(ours)
        filled = (one for one in found if one.empty_share <= 0.5)
        return next(filled, next(iter(found), None))

    def _alike(self, ours: str) -> list[Column]:
        """Return the columns that others call so, the likeliest name first."""
        names = NAMES[ours]
        free = [one for one in self._free if plain_name(one.name) in names]
        return sorted(free, key=lambda one: names.index(plain_name(one.name)))

    def _take_by_place(self) -> None:
        """Guess the columns of a file without names: the first ids are the user and the item."""
        others = list(self._columns.values())[1:]
        self._take("timestamp", next((one for one in others if one.is_moment), None))
        if self._sample.n_rows >= _ROWS_OF_TYPES:
            types = (one for one in others if one.are_types and are_actions(one))
            self._take("event", next(types, None))
        varied = [one for one in self._free if len(one.counts) > 1 or self._sample.n_rows == 1]
        ids = [one for one in varied if one.numbers is None or not one.has_fractions]
        ids = [one for one in ids if not one.is_row_number]
        users = [one for one in ids if one.empty_share <= _FEW][:1]
        ids = users + [one for one in ids if one.empty_share <= _FEW_EMPTY and one not in users][:1]
        if len(ids) == 2:
            if self._item_ids:
                first, second = (sum(map(one.counts.__contains__, self._item_ids)) for one in ids)
                if first > _CLEARLY * second:
                    ids.reverse()
            elif all(map(_ASIN.fullmatch, ids[0].texts)) and all(
                map(_AMAZON_USER.fullmatch, ids[1].texts)
            ):
                ids.reverse()
            self._take("user_id", ids[0])
            self._take("item_id", ids[1])
            after = varied[max(map(varied.index, ids)) + 1 :]
            values = [one for one in after if one.is_value]
            if "event" in self._taken:  # next to it, whole numbers may be of a category
                values = [one for one in values if one.has_fractions]
            self._take("value", next(iter(values), None))
            if not self._item_ids and not self._settings.columns:
                swapped = {"columns": {"user_id": ids[1].name, "item_id": ids[0].name}}
                sentence = f"column {ids[1].name} as the user and {ids[0].name} as the item"
                self._proposals.append(Proposal(sentence, swapped))
            self._propose_a_value()

    def _propose_a_value(self) -> None:
        """Name a column of numbers, such as counts, of a file that names nothing."""
        numbers = (one for one in self._free if one.numbers and len(one.counts) > 1)
        found = next((one for one in numbers if not one.is_row_number), None)
        if found is not None and "value" not in self._taken:
            low, high = min(found.numbers or ()), max(found.numbers or ())
            sentence = f"column {found.name} as the value ({low:g} to {high:g})"
            self._proposals.append(Proposal(sentence, {"columns": {"value": found.name}}))

    def _look_at_time(self) -> None:
        column = self._column("timestamp")
        if column is None:
            self._name_unread_times()
            return
        unit = column.time_unit
        if column.empty_share > _FEW:
            self._leave("timestamp", column, f"{column.empty_share:.0%} of its rows have none")
        elif unit is not None and unit != self._settings.timestamp_unit == "s":
            self._table["timestamp_unit"] = unit
        elif column.time_format and not self._settings.timestamp_format:
            self._table["timestamp_format"] = column.time_format
            self._said.append(f"times are written as {column.time_format}")

    def _name_unread_times(self) -> None:
        for column in self._alike("timestamp")[:1]:
            if column.texts:
                self._said.append(
                    f"{column.name} is not used as time: {column.texts[0]!r} is no form that is "
                    "read, write 2024-05-31T23:59:00Z or seconds since 1970"
                )

    def _look_at_events(self) -> None:
        column = self._column("event")
        if column is None:
            self._look_at_verdicts()
            return
        if self._settings.events not in ({}, _ALIKE):
            return
        undone = [name for name in column.counts if undoes(name)]
        if undone and len(undone) < len(column.counts) and column.empty_share <= _FEW:
            self._table["events"] = {"*": 1.0, **dict.fromkeys(undone, 0.0)}
            named = ", ".join(undone)
            self._said.append(f"{named} in {column.name} left out; every other type weighs 1")
        weights = {name: strength(name) for name in column.counts if name not in undone}
        if len(set(weights.values())) > 1 and column.empty_share <= _FEW:
            events = {**{name: one or 1.0 for name, one in weights.items()}, "*": 1.0}
            events |= dict.fromkeys(undone, 0.0)
            named = ", ".join(f"{name} {one:g}" for name, one in events.items() if name != "*")
            table = {"columns": {"event": column.name}, "events": events}
            self._proposals.append(Proposal(f"weights by {column.name} ({named})", table))
        if "events" not in self._table and not self._settings.events:
            del self._taken["event"]
        elif "events" not in self._table and len(column.counts) > 1:
            self._said.append(f"every type in {column.name} weighs 1 (log.events has weights)")

    def _look_at_verdicts(self) -> None:
        """Leave out the rows in which a column says that an item was not liked."""
        for column in self._free if self._sample.has_names else ():
            weights = verdicts(column)
            if weights is not None and column.empty_share <= _FEW:
                self._taken["event"], self._table["events"] = column.name, weights
                no = next(name for name, one in weights.items() if not one)
                self._said.append(f"rows with {column.name} {no} are left out")
                return

    def _look_at_values(self) -> None:
        column = self._column("value")
        if column is None or self._settings.min_value is not None or not column.values:
            return
        if column.has_decimal_commas and self._settings.decimal == ".":
            self._table["decimal"] = ","
            self._said.append("numbers have a decimal comma")
        numbers = column.numbers
        if numbers is None or len(set(numbers)) == 1:
            if column.name != "value":
                self._leave("value", column, "its values are all alike")
            return
        is_rating = column.best_rating is not None and (
            _RATING.search(plain_name(column.name)) is not None or not self._sample.has_names
        )
        n_below = sum(one <= 0 for one in numbers) / len(column.values)
        if is_rating:
            self._look_at_ratings(column, n_below + column.empty_share)
            return
        if n_below > _FEW:
            least = min(one for one in numbers if one > 0)
            self._table["min_value"] = least
            self._said.append(f"rows with {column.name} below {least:g} are left out")
        if column.empty_share > _FEW:
            self._table["missing_value"] = 1.0
            self._said.append(f"rows without {column.name} weigh 1")

    def _look_at_ratings(self, column: Column, without: float) -> None:
        """Take ratings as graded; where some rows have none, no row by its rating."""
        above = sorted({one for one in column.numbers or () if one > 0})
        below = {one for one in column.numbers or () if one < 0}
        liked = column.least_liked or above[-1]
        if without > _FEW and len(above) == 1:
            self._table["min_value"] = above[0]
            self._said.append(f"rows with {column.name} below {above[0]:g} are left out")
            return
        if len(below) > 1:
            self._table["min_value"] = above[0]
            self._said.append(f"rows with a {column.name} of 0 and less are left out")
        elif without > _FEW:
            why = f"{without:.0%} of the rows have none ({min(column.numbers or [0]):g} or empty)"
            self._leave("value", column, f"{why}, and every row counts alike")
        else:
            self._said.append(f"ratings count by their size, {above[0]:g} to {above[-1]:g}")
        share = column.share_from(liked)
        if 0 < share < 1:
            table = {"columns": {"value": column.name}, "min_value": liked}
            sentence = f"only ratings of {liked:g} and more as likes ({share:.0%} of the rows)"
            self._proposals.append(Proposal(sentence, table))

    def _look_at_empty_ids(self) -> None:
        if self._sample.n_rows < _ROWS_OF_TYPES:
            return
        users, items = (self._columns[self._taken[ours]] for ours in ("user_id", "item_id"))
        if _ONE_BASKET.search(plain_name(users.name)):
            self._said.append(
                f"each {users.name} is a user; to have its user, join the table of it"
            )
        least, most = self._settings.max_rejected_share / 2, _MOST_EMPTY
        if least < users.empty_share < most:
            self._table["anonymous"] = "leave_out"
            self._said.append(f"rows without a user, {users.empty_share:.0%}, are left out")
        if least < items.empty_share < most:
            self._table["max_rejected_share"] = min(1.0, ceil(200 * items.empty_share) / 100)
            self._said.append(f"rows without an item, {items.empty_share:.0%}, are rejected")

    def _column(self, ours: str) -> Column | None:
        name = self._taken.get(ours)
        return self._columns.get(name) if name else None

    def _leave(self, ours: str, column: Column, why: str) -> None:
        """Do not use a column, unless it was asked for."""
        if self._settings.columns.get(ours) == column.name:
            return
        self._said.append(f"{column.name} is not used: {why}")
        if column.name == ours:
            self._taken[ours] = ""
        else:
            del self._taken[ours]


_FITS: dict[str, Callable[[Column], bool]] = {
    "timestamp": lambda column: bool(column.time_unit or column.time_format),
    "event": lambda column: column.are_types,
    "value": lambda column: column.numbers is not None and plain_name(column.name) != "amount",
}
"""What the values of a column have to be; an amount may be one of money."""
_ALIKE = {"*": 1.0}  # what --event alone asks for
_WORDS = dict(
    zip(
        COLUMN_NAMES,
        ("the user", "the item", "the time", "the type of event", "the value"),
        strict=True,
    )
)

"""What the values of a column look like: numbers, times, ratings, types of events."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice, pairwise
from math import ceil, isfinite
from typing import Any

from recsys.base.errors import DataError
from recsys.base.lazy import lazy_property
from recsys.logs.columns import plain_name
from recsys.settings import TimestampUnit

_READABLE = re.compile(r"\d{4}[-/]\d\d?[-/]\d\d?(?!\d).*")
_SECONDS = (6.0e8, 2.3e9)  # of 1989 to 2042
_UNITS: tuple[tuple[TimestampUnit, float], ...] = (("s", 1), ("ms", 1e3), ("us", 1e6), ("ns", 1e9))
_DATES = (19000101, 21001231)
_DAYS = (
    *(
        "%m/%d/%Y",
        "%d/%m/%Y",
        "%d.%m.%Y",
        "%m-%d-%Y",
        "%d-%m-%Y",
        "%m/%d/%y",
        "%d/%m/%y",
        "%d.%m.%y",
    ),
    *("%d %b %Y", "%d-%b-%Y", "%b %d, %Y", "%B %d, %Y", "%m %d, %Y", "%Y.%m.%d", "%a %b %d %Y"),
)
_HOURS = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")
_FORMS = (*(day + hour for day in _DAYS for hour in _HOURS), "%a %b %d %H:%M:%S %z %Y")
_LEAST_DIGITS = 4  # of a day and a year; to try each form on a word takes milliseconds
_MOST_READ = 2_000  # times, to know how they are written
_FEW_TYPES = 20
_WITH_COMMA = re.compile(r"[-+]?\d+(,\d\d?)?")
_LARGEST_VALUE = 1_000  # of a rating or a count in a file that names nothing
_ENOUGH_ROWS = 50  # to see that they are numbered
_MOST_STEPS = 0.8  # from a row to the next that are one; the rows looked at come in runs
_MOST_IDS = 0.98  # of the words in cells have a digit
_SCALES = (1, 2, 3, 4, 5, 6, 7, 8, 10, 20, 100)
_LIKED = 0.7  # of the best rating: 4 of 5, 7 of 10


@dataclass(frozen=True, eq=False)
class Column:
    """A column of a sample."""

    name: str
    values: Sequence[Any]

    @lazy_property
    def present(self) -> list[Any]:
        """The values that there are."""
        return [one for one in self.values if one is not None and str(one).strip()]

    @lazy_property
    def texts(self) -> list[str]:
        """These as text."""
        return [str(one).strip() for one in self.present]

    @lazy_property
    def counts(self) -> Counter[str]:
        """How often each of them occurs."""
        return Counter(self.texts)

    @lazy_property
    def numbers(self) -> list[float] | None:
        """These as numbers; None where one is none, or there are none."""
        numbers = list(_numbers(self.present))
        return numbers if numbers and len(numbers) == len(self.present) else None

    @property
    def empty_share(self) -> float:
        """Share of the rows without a value."""
        return 1 - len(self.present) / max(len(self.values), 1)

    @property
    def has_fractions(self) -> bool:
        """Whether a number is written with decimals."""
        return any("." in one for one in self.texts)

    @property
    def time_unit(self) -> TimestampUnit | None:
        """The unit of times that can be read, "s" also of dates in words; None of what is none."""
        if all(isinstance(one, date) for one in self.present):
            return "s" if self.present else None
        if self.numbers is None:
            are_times = self.texts and all(map(_READABLE.fullmatch, self.texts))
            return "s" if are_times else None
        low, high = min(self.numbers), max(self.numbers)
        for unit, per_second in _UNITS:
            if _SECONDS[0] * per_second <= low and high <= _SECONDS[1] * per_second:
                return unit
        return "date" if all(map(_is_date, self.numbers)) else None

    @lazy_property
    def time_format(self) -> str | None:
        """How times in words that are not ISO 8601 are written; None where they are no times.

        Where the day and the month cannot be told apart, the month is first between strokes.
        """
        if self.numbers is not None or not self.texts or self.time_unit is not None:
            return None
        few = list(islice(self.counts, _MOST_READ))
        if any(sum(map(str.isdigit, one)) < _LEAST_DIGITS for one in few):
            return None
        return next((form for form in _FORMS if all(_is_written(one, form) for one in few)), None)

    @property
    def are_types(self) -> bool:
        """Whether the values look like types of events: few words."""
        words = [one for one in self.counts if re.search("[^\\W\\d_]", one)]
        return 1 <= len(words) == len(self.counts) <= _FEW_TYPES < len(self.values)

    @property
    def has_decimal_commas(self) -> bool:
        """Whether the numbers are written as 20,99."""
        are_written_so = all(map(_WITH_COMMA.fullmatch, self.texts))
        return are_written_so and any("," in one for one in self.texts)

    @property
    def is_moment(self) -> bool:
        """Whether each row has a time."""
        return bool(self.time_unit or self.time_format) and self.empty_share == 0

    @property
    def is_value(self) -> bool:
        """Whether the numbers may be ratings or counts in a file that names nothing."""
        is_place = any(re.search(r"\.\d{3}", one) for one in self.texts)  # a degree
        numbers = self.numbers
        return numbers is not None and max(map(abs, numbers)) <= _LARGEST_VALUE and not is_place

    @property
    def is_row_number(self) -> bool:
        """Whether the values count the rows."""
        numbers = self.numbers or ()
        n_steps = sum(after == one + 1 for one, after in pairwise(numbers))
        return len(numbers) >= _ENOUGH_ROWS and n_steps > _MOST_STEPS * len(numbers)

    @property
    def are_lists(self) -> bool:
        """Whether most cells hold several ids, as in ``N12 N7 N90``."""
        few = self.present[:_MOST_READ]
        if few and isinstance(few[0], list | tuple):
            return True
        cells = [re.split(r"[\s,;|]+", one.strip("[]()")) for one in self.texts[:_MOST_READ]]
        have_digits = [any(map(str.isdigit, word)) for cell in cells for word in cell]
        n_lists = sum(len(cell) > 1 for cell in cells)
        return 2 * n_lists > len(cells) and sum(have_digits) > _MOST_IDS * len(have_digits)

    @property
    def best_rating(self) -> float | None:
        """The end of the scale that the numbers are on; None of no numbers, or of other ones."""
        if self.numbers is None or max(self.numbers) <= 0:
            return None
        return next((float(one) for one in _SCALES if max(self.numbers) <= one), None)

    @property
    def least_liked(self) -> float | None:
        """The least rating that says that an item was liked."""
        best = self.best_rating
        return None if best is None else float(ceil(_LIKED * best))

    def share_from(self, least: float) -> float:
        """Share of the rows whose number is at least this."""
        return sum(one >= least for one in self.numbers or ()) / max(len(self.values), 1)


def described(column: Column) -> str:
    """Return the place of a column of a file without names, and what it holds."""
    example = f" ({column.texts[0][:20]})" if column.texts else " (empty)"
    return f"column {column.name}{example}"


def require_one_item(column: Column) -> None:
    """Raise a DataError if the column of items holds lists of them."""
    if column.are_lists:
        shown = column.texts[0] if len(column.texts[0]) <= 40 else f"{column.texts[0][:40]}..."
        how = "" if isinstance(column.present[0], list | tuple) else ".str.split()"
        raise DataError(
            f"log: column {column.name!r} holds several items in a cell, such as {shown!r}; "
            f'expected one item a row; in Python: df["item_id"] = df[COLUMN]{how}; '
            'df.explode("item_id").to_parquet("log.parquet")'
        )


def _numbers(values: Sequence[Any]) -> Iterator[float]:
    for one in values:
        if isinstance(one, bool | date | datetime | list | dict):
            continue
        try:
            number = float(str(one).replace(",", "."))
        except ValueError:
            continue
        if isfinite(number):
            yield number


def _is_written(text: str, form: str) -> bool:
    try:
        datetime.strptime(text, form)
    except ValueError:
        return False
    return True


def _is_date(number: float) -> bool:
    month, day = int(number) // 100 % 100, int(number) % 100
    return (
        number == int(number)
        and _DATES[0] <= number <= _DATES[1]
        and 1 <= month <= 12
        and 1 <= day <= 31
    )


def the_only(columns: Sequence[Column], words: str) -> Column | None:
    """Return the one column whose name has one of some words, if it is one."""
    found = [one for one in columns if re.search(words, plain_name(one.name))]
    return found[0] if len(found) == 1 else None

"""What the values of a column look like: numbers, times, ratings, types of events."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice
from math import ceil, isfinite
from typing import Any

from recsys.base.lazy import lazy_property
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
_MOST_READ = 2_000  # times, to know how they are written
_FEW_TYPES = 20
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
        return next((form for form in _FORMS if all(_is_written(one, form) for one in few)), None)

    @property
    def are_types(self) -> bool:
        """Whether the values look like types of events: few words."""
        words = [one for one in self.counts if re.search("[^\\W\\d_]", one)]
        return 1 <= len(words) == len(self.counts) <= _FEW_TYPES < len(self.values)

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

"""Times that are numbers, and perhaps of something else than seconds since 1970."""

from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from recsys.base.errors import DataError
from recsys.logs.session import Session
from recsys.settings import TimestampUnit

_EARLY = 100_000_000
"""Seconds since 1970, in March 1973: no log of events on a computer ends before."""
_YEARS = (1900, 2100)


def check_times(session: Session, seconds: NDArray[np.int64] | None, unit: TimestampUnit) -> None:
    """Refuse calendar dates that are written as numbers, and warn of a log that ends too early.

    Raises
    ------
    DataError
        If the numbers, which were read as seconds, are all years, months or days.
    """
    if seconds is None or unit in ("date", "excel") or int(seconds.max()) >= _EARLY:
        return
    if unit == "s" and (form := _form_of_dates(np.unique(seconds))):
        raise DataError(
            f"log: its times look like {form} written as numbers, such as {int(seconds[-1])}, and "
            'would be seconds of 1970; set log.timestamp_unit = "date" (in [log], or read_log('
            'timestamp_unit="date"))'
        )
    end = datetime.fromtimestamp(int(seconds.max()), UTC)
    session.warn(
        f"by its times it ends on {end:%Y-%m-%d}, as numbers count from 1970 in "
        f'log.timestamp_unit = "{unit}"; others are s, ms, us, ns, date (20141118) and excel '
        "(41961.5); positions in a session are an order, but no times",
        "log",
    )


def _form_of_dates(numbers: NDArray[np.int64]) -> str | None:
    """Return what calendar dates some distinct numbers are, if all of them are one."""
    first, last = _YEARS
    if first <= numbers[0] and numbers[-1] <= last:
        return "years"
    if _are_months(numbers):
        return "months"
    years_and_months, days = np.divmod(numbers, 100)
    if _are_months(years_and_months) and ((days >= 1) & (days <= 31)).all():
        return "dates"
    return None


def _are_months(numbers: NDArray[np.int64]) -> bool:
    years, months = np.divmod(numbers, 100)
    in_range = (years >= _YEARS[0]) & (years <= _YEARS[1]) & (months >= 1) & (months <= 12)
    return bool(in_range.all())

"""Seen items that may be in a list again: what people buy again, once the usual gap is over."""

import time
import warnings
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.base.errors import DataError, briefly
from recsys.base.rule_settings import RuleSettings
from recsys.index import ItemRows
from recsys.store import Content, ItemTimes

_SECONDS_PER_DAY = 86_400
NEVER_AGAIN = int(np.iinfo(np.uint16).max)
"""The day of what was disliked: no gap after it is ever over."""
Days = NDArray[np.integer]


def today() -> int:
    """Return the day in UTC, since 1970."""
    return int(time.time()) // _SECONDS_PER_DAY


class Repeats(NamedTuple):
    """Lets a seen item back into a list.

    It is one of which at least `share` of the users came back to it, and since the user had it last
    its usual gap has passed; see `ItemTimes`.
    """

    share: float
    times: ItemTimes
    day: int

    @classmethod
    def of(cls, share: float, times: ItemTimes | None, where: str) -> "Repeats":
        """Check a share; a DataError where the version does not know when anything happened."""
        is_number = isinstance(share, int | float | np.number) and not isinstance(share, bool)
        if not is_number or not 0 < share <= 1:
            raise DataError(f"repeat: expected a share above 0 and at most 1, got {briefly(share)}")
        if times is None:
            raise DataError(
                f"repeat: expected items whose events have times, got none {where}; train on a log "
                "with timestamps, with this release"
            )
        return cls(float(share), times, today())

    def left_out(self, seen: ItemRows, days: Days | None) -> ItemRows:
        """Return the seen items that stay out of a list; all of them where no days are known."""
        if days is None:
            return seen
        passed = self.day - days.astype(np.int64)
        is_usual = self.times.repeat_share[seen] >= self.share
        kept: ItemRows = seen[~(is_usual & (passed >= self.times.repeat_gap[seen]))]
        return kept


def rules_for(content: Content, rules: RuleSettings) -> RuleSettings:
    """Return the rules that a version can keep: lists without one of them are better than none."""
    if rules.repeat is None or content.times is not None:
        return rules
    warnings.warn(
        f"rules.repeat: version {content.version.name} does not know when items were met, as its "
        "log had no timestamps or an older release made it; what was seen stays out of lists",
        RuntimeWarning,
        stacklevel=3,
    )
    return replace(rules, repeat=None)

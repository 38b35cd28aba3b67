"""times.parquet: what the time of the events says of each item of a version."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.store.parquet_files import column_of, errors_of_parquet, id_column, read, write
from recsys.vectors import Ids

if TYPE_CHECKING:
    from recsys.logs.visits import Visits

TIMES = "times.parquet"


@dataclass(frozen=True, eq=False)
class ItemTimes:
    """What a log with time says of items, row by row; `recsys.logs.visits` has the formulas.

    Parameters
    ----------
    first_day : ndarray of float32, shape (n_items,)
        Days since 1970 of the first event; NaN without one.
    velocity : ndarray of float32, shape (n_items,)
        How much more often the item is met of late than its own past lets expect; NaN where the log
        is too short to say.
    repeat_share : ndarray of float32, shape (n_items,)
        Of its users, those who come back to it on a later day.
    repeat_gap : ndarray of float32, shape (n_items,)
        Days after which they do.
    """

    first_day: NDArray[np.float32]
    velocity: NDArray[np.float32]
    repeat_share: NDArray[np.float32]
    repeat_gap: NDArray[np.float32]

    @classmethod
    def of(cls, visits: "Visits | None") -> Self | None:
        """Return what a version keeps of the visits of items."""
        from recsys.logs.visits import NO_DAY  # a server reads no log

        if visits is None:
            return None
        is_never = visits.first_day == NO_DAY
        first_day = np.where(is_never, np.nan, visits.first_day).astype(np.float32)
        velocity = np.full_like(first_day, np.nan) if visits.velocity is None else visits.velocity
        return cls(first_day, velocity, visits.repeat_share, visits.repeat_gap)

    def __len__(self) -> int:
        return len(self.first_day)

    @property
    def has_velocity(self) -> bool:
        """Whether the log was long enough for a trend."""
        return len(self) > 0 and not bool(np.isnan(self.velocity).all())

    def with_others(self, others: "ItemTimes") -> "ItemTimes":
        """Return those of more items after these."""
        pairs = zip(self._columns, others._columns, strict=True)
        return ItemTimes(*(np.concatenate(pair) for pair in pairs))

    def take(self, rows: NDArray[np.integer]) -> "ItemTimes":
        """Return those of some items; of row -1, what is said of an item without an event."""
        nothing = (np.nan, np.nan, 0.0, np.inf)
        found = (
            np.where(rows >= 0, column[rows], np.float32(none))
            for column, none in zip(self._columns, nothing, strict=True)
        )
        return ItemTimes(*found)

    @property
    def _columns(self) -> tuple[NDArray[np.float32], ...]:
        return self.first_day, self.velocity, self.repeat_share, self.repeat_gap


def write_item_times(folder: Path, times: ItemTimes, items: Ids, space_id: str) -> None:
    """Write times.parquet: item_id, first_day, velocity, repeat_share, repeat_gap."""
    columns = {
        "first_day": pa.array(times.first_day, from_pandas=True).cast(pa.int32()).cast(pa.date32()),
        "velocity": pa.array(times.velocity, from_pandas=True),
        "repeat_share": pa.array(times.repeat_share),
        "repeat_gap": pa.array(times.repeat_gap),
    }
    write(folder / TIMES, pa.table({"item_id": id_column(items), **columns}), space_id)


def read_item_times(folder: Path) -> ItemTimes:
    """Read times.parquet; a CorruptVersionError names it if it is damaged."""
    with errors_of_parquet(folder / TIMES):
        table, _ = read(folder / TIMES)
        known = [
            table["first_day"].cast(pa.int32()).cast(pa.float32()),
            *(table[name] for name in ("velocity", "repeat_share", "repeat_gap")),
        ]
        return ItemTimes(*(column_of(_with_nan(column), np.float32) for column in known))


def _with_nan(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.fill_null(np.nan) if column.null_count else column

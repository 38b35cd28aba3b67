"""Interactions: the events of a log by row, and their matrix."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, TypeAlias, get_args

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.checks import require
from recsys.base.errors import DataError
from recsys.base.lazy import lazy_property
from recsys.base.mapped import folder_of, made_of, parts, taken
from recsys.base.tables import Tabular
from recsys.logs.decay import decayed, end_of, freshness
from recsys.logs.merging import joined, merged, merged_with_dislikes
from recsys.logs.order import fall_with_steps
from recsys.logs.row_counts import RowCounts
from recsys.settings import DuplicatePolicy, HistoryOrder
from recsys.vectors import Ids

Role = Literal["train", "history", "validation", "test"]
ProtocolName = Literal["time", "last", "random", "folds", "users", "items", "given"]
Events: TypeAlias = NDArray[np.bool_] | NDArray[np.integer] | slice
UsedRows: TypeAlias = tuple[NDArray[np.intp], NDArray[np.int32]]


def require_interactions(what: str, *logs: object) -> None:
    """Raise a DataError if something is no log: a table, a matrix or a path would pass for one."""
    for log in logs:
        if not isinstance(log, Interactions):
            raise DataError(
                f"{what}: expected Interactions, got {type(log).__name__}; read a log or a table "
                "with recsys.read_log"
            )


@dataclass(frozen=True, eq=False)
class SplitInfo:
    """What a part of a log is for, which split made it, and which of its users are new.

    Parameters
    ----------
    role : {"train", "history", "validation", "test"}
        "history" is what is known of users whom train does not hold (strong generalization). What
        is held out of a train part is a validation part; a test part remains one, however it is
        divided.
    protocol : {"time", "last", "random", "folds", "users", "items", "given"}
        The split that made it. "time" and "last" promise an order of train and test, which
        `recsys.splits.leaks` holds them to.
    new_users : Interactions or None
        The held-out events of users whom train does not know with items that it does know, over
        those users and the items of train; None where there are none.
    new_items : Interactions or None
        The held-out events of users whom train does know with items that it does not, over the
        users of train and those items; None where there are none.
    n_new_users, n_new_items : int
        Users and items of the held-out events that train does not know.
    """

    role: Role
    protocol: ProtocolName
    new_users: "Interactions | None" = None
    new_items: "Interactions | None" = None
    n_new_users: int = 0
    n_new_items: int = 0


@dataclass(frozen=True, eq=False)
class Interactions(Tabular):
    """The usable events of a log, one entry per event, in time order where time is known.

    The columns of a log that is larger than ``log.max_memory`` are mapped from files without a
    name, and so is all that is made of them, see `recsys.base.mapped`.

    Events stay apart until `user_items` merges them, so that a split by time never mixes what
    a user did before the split with what they did after it.

    Parameters
    ----------
    user_idx, item_idx : ndarray of int32, shape (n,)
        Rows of `users` and `items`.
    weight : ndarray of float32, shape (n,)
        Strength of each event before decay, finite and above 0.
    timestamp : ndarray of int64, shape (n,), or None
        Unix time in seconds; None where the log has no time.
    users, items : Ids
        External ids.
    duplicates : {"sum", "last", "max", "count"}
        How several events of one pair become one weight: their sum, the latest one, the largest
        one, or their number (which ignores their weights).
    half_life_days : float or None
        An event this much older than the latest one weighs half as much.
    order : {"time", "rows"}
        What tells which of a user's events came later, where that is asked: their time, or their
        place in the log.
    session_gap_minutes : float or None
        Where users are sessions, the pause that ends one.
    row_counts : RowCounts
        What was rejected and left out on the way here.
    split_info : SplitInfo or None
        What this part of a log is for, where a split made it.
    dislikes : Interactions or None
        What users disliked, over the same users and items: events of their own kind, which none of
        the columns above holds. Their weight is the confidence of a zero. Only `user_items` brings
        both together.

    Raises
    ------
    DataError
        If the columns differ in length or time is needed and not there.
    ConfigError
        If a setting is out of range.
    """

    user_idx: NDArray[np.int32]
    item_idx: NDArray[np.int32]
    weight: NDArray[np.float32]
    timestamp: NDArray[np.int64] | None
    users: Ids
    items: Ids
    duplicates: DuplicatePolicy = "sum"
    half_life_days: float | None = None
    order: HistoryOrder = "time"
    session_gap_minutes: float | None = None
    row_counts: RowCounts = field(default_factory=RowCounts)
    split_info: SplitInfo | None = None
    dislikes: "Interactions | None" = None

    def __post_init__(self) -> None:
        columns = (self.user_idx, self.item_idx, self.weight, self.timestamp)
        lengths = [len(column) for column in columns if column is not None]
        if len(set(lengths)) != 1:
            raise DataError(f"interactions: columns differ in length: {lengths}")
        require("duplicates", self.duplicates, one_of=get_args(DuplicatePolicy))
        require("order", self.order, one_of=get_args(HistoryOrder))
        if self.half_life_days is not None:
            require("half_life_days", self.half_life_days, above=0)
            self.require_timestamp("half_life_days")
        if self.dislikes is not None:
            self._check_dislikes(self.dislikes)

    def _check_dislikes(self, dislikes: "Interactions") -> None:
        has_times = self.timestamp is not None
        if not len(dislikes):
            object.__setattr__(self, "dislikes", None)
        elif dislikes.shape != self.shape or (dislikes.timestamp is not None) != has_times:
            raise DataError(
                f"interactions: expected dislikes over the same {self.shape} users and items, with "
                f"times where the others have them, got others of {dislikes.shape}"
            )
        elif self.duplicates == "last" and not has_times:
            raise DataError(
                'log.duplicates: "last" needs timestamps to tell whether a like or a dislike came '
                "last, and this log has none; map log.columns.timestamp, or choose another"
            )

    def __len__(self) -> int:
        return len(self.user_idx)

    @property
    def n_rows(self) -> int:
        """Events and dislikes."""
        return len(self) + (0 if self.dislikes is None else len(self.dislikes))

    def __repr__(self) -> str:
        n_users, n_items = len(self.users), len(self.items)
        also = "" if self.dislikes is None else f", {len(self.dislikes)} dislikes"
        return f"Interactions({len(self)} events, {n_users} users, {n_items} items{also})"

    def to_arrow(self) -> pa.Table:
        """Return one row per event: user_id, item_id, weight, timestamp if known; dislikes last."""
        table = self.first_rows(len(self))
        if self.dislikes is None:
            return table
        part = replace(self.dislikes, weight=-self.dislikes.weight)
        return pa.concat_tables([table, part.first_rows(len(part))])

    def first_rows(self, n: int) -> pa.Table:
        """Return the first rows of the table."""
        columns = {
            "user_id": self.users.values.take(pa.array(self.user_idx[:n])),
            "item_id": self.items.values.take(pa.array(self.item_idx[:n])),
            "weight": pa.array(self.weight[:n]),
        }
        if self.timestamp is not None:
            columns["timestamp"] = pa.array(self.timestamp[:n]).cast(pa.timestamp("s", "UTC"))
        return pa.table(columns)

    def caption(self) -> str:
        """Return how many events, users and items there are."""
        n_users, n_items = len(self.users), len(self.items)
        also = "" if self.dislikes is None else f", and {len(self.dislikes):,} dislikes"
        return f"{len(self):,} events of {n_users:,} users with {n_items:,} items{also}"

    @property
    def account(self) -> RowCounts:
        """Another name of `row_counts`."""
        return self.row_counts

    def require_timestamp(self, what_for: str) -> NDArray[np.int64]:
        """Return the timestamps, or raise a DataError that names what needs them."""
        if self.timestamp is None:
            raise DataError(
                f"{what_for} needs a timestamp on every event, and this log has none; map one with "
                "log.columns.timestamp, or go without: --split random, which is "
                'evaluation.split = "random", needs none'
            )
        return self.timestamp

    @property
    def when(self) -> NDArray[np.int64]:
        """What sorts the events of a user by `order`; a DataError where the log has no time."""
        if self.order == "rows":
            return np.arange(len(self))
        if self.timestamp is None:
            raise DataError(
                "the order of histories needs a timestamp on every event, and this log has none; "
                "map one with log.columns.timestamp, or, where its rows are in order, set "
                'log.order to "rows"'
            )
        return self.timestamp

    def select(self, events: Events, dislikes: Events = slice(None)) -> "Interactions":
        """Return some of the events, and of the dislikes, with the same users and items."""
        part = self.dislikes
        return replace(
            self,
            user_idx=taken(self.user_idx, events),
            item_idx=taken(self.item_idx, events),
            weight=taken(self.weight, events),
            timestamp=None if self.timestamp is None else taken(self.timestamp, events),
            dislikes=None if part is None else part.select(dislikes),
        )

    def select_pairs(self, users: NDArray[np.bool_], items: NDArray[np.bool_]) -> "Interactions":
        """Return the events and dislikes of some users with some items, which are marked."""
        part = self.dislikes
        kept = slice(None) if part is None else users[part.user_idx] & items[part.item_idx]
        return self.select(users[self.user_idx] & items[self.item_idx], kept)

    def pair_keys(self) -> NDArray[np.int64]:
        """Return a number per event that names its (user, item) pair and sorts like it."""
        return self.user_idx.astype(np.int64) * len(self.items) + self.item_idx

    def liked(self) -> "Interactions":
        """Return the log without dislikes, and without events of pairs that count as disliked."""
        if self.dislikes is None:
            return self
        from recsys.base.packing import has_pairs  # compiled, which not every command needs

        alone = replace(self, dislikes=None)
        return alone.select(has_pairs(self.user_items(), self.user_idx, self.item_idx))

    def compact(self) -> "Interactions":
        """Return the same events over only those users and items that have any."""
        (user_rows, user_row_of), (item_rows, item_row_of) = self.used_rows()
        users, items = self.users.take(user_rows), self.items.take(item_rows)
        return self.in_rows(user_row_of, item_row_of, users, items)

    def used_rows(self) -> tuple[UsedRows, UsedRows]:
        """Return which users and which items have an event, dislikes among them."""
        both = [self] if self.dislikes is None else [self, self.dislikes]
        users = used_rows([one.user_idx for one in both], len(self.users))
        return users, used_rows([one.item_idx for one in both], len(self.items))

    def in_rows(
        self,
        user_row_of: NDArray[np.int32],  # (n_users,): the new row of each
        item_row_of: NDArray[np.int32],  # (n_items,)
        users: Ids,
        items: Ids,
    ) -> "Interactions":
        """Return the events over other users and items; dislikes in no row (-1) are left out."""
        part = self.dislikes
        if part is not None:
            part = part.select_pairs(user_row_of >= 0, item_row_of >= 0)
            part = part.in_rows(user_row_of, item_row_of, users, items)
        return replace(
            self,
            user_idx=taken(user_row_of, self.user_idx),
            item_idx=taken(item_row_of, self.item_idx),
            users=users,
            items=items,
            dislikes=part,
        )

    def decayed_weight(self) -> NDArray[np.float32]:
        """Return ``weight * 2 ** -(age / half_life)``, age counted back from the `end`."""
        return self._decayed(self)

    def _decayed(self, part: "Interactions") -> NDArray[np.float32]:
        """Return the weights of this log, or of its dislikes, as this log lets them fall."""
        weight = part.weight
        if self.duplicates == "count":
            weight = made_of(weight, np.ones_like, dtype=np.float32)
        if self.half_life_days is None or len(self) == 0:
            return weight
        end, timestamp = self.end(self.half_life_days), part.require_timestamp("half_life_days")
        fall = partial(decayed, end=end, half_life_days=self.half_life_days)
        return made_of(weight, fall, timestamp, dtype=np.float32)

    def end(self, half_life_days: float) -> int:
        """Return the time from which age is counted back: of the latest event, strays left out.

        A stray is more than a half-life later than all but a thousandth of the events (than all but
        one, of twenty to a thousand), or of the users by their latest events: with a late clock, it
        would make all others old.
        """
        timestamp = self.require_timestamp("half_life_days")
        return end_of(timestamp, self.user_idx, len(self.users), half_life_days)

    def recent_popularity(self, half_life_days: float) -> NDArray[np.float32] | None:  # (n_items,)
        """Return the users of each item, those of long ago counting less.

        A user counts ``2 ** -(age / half_life)``, by the latest event with the item, age counted
        back from the `end` of the log. None where the log has no time.
        """
        if self.timestamp is None or len(self) == 0:
            return None
        from recsys.base.packing import packed_rows  # compiled, which not every command needs

        end, found = self.end(half_life_days), np.zeros(len(self.items))
        likes = self.liked()
        time = likes.require_timestamp("half_life_days")
        for rows in packed_rows(likes.user_idx, likes.item_idx, time, self.shape, "max"):
            np.add.at(found, rows.columns, freshness(rows.values, end, half_life_days))
        return found.astype(np.float32)

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of users and items."""
        return len(self.users), len(self.items)

    def user_items(self, recency: float = 0.0, *, signed: bool = False) -> sp.csr_array:
        """Return the weights as a matrix with one entry per pair.

        Parameters
        ----------
        recency : float
            Above 0, an item weighs ``steps ** -recency`` of its weight, where its steps are 1 and
            the number of items that the same user met later, by `order`. Dislikes are no steps, and
            do not fall.
        signed : bool
            With what users disliked, as weights below 0: all that they have seen.

        Returns
        -------
        scipy.sparse.csr_array of float32, shape (n_users, n_items)
            Rows are users; column indices ascend and are unique within a row; without dislikes all
            data are above 0. Several events of one pair are merged by `duplicates`: "sum" and
            "count" take dislikes from likes, "last" takes the latest event, "max" the one of the
            largest weight, and of equals the dislike. Of a log that is mapped it is made once, and
            its arrays are not to be written to.
        """
        from recsys.base.packing import same_csr  # compiled, which not every command needs
        from recsys.base.signed import liked, with_data_of

        is_mapped = folder_of(self.weight) is not None
        matrix = same_csr(self._kept_matrix) if is_mapped else self._merged()
        likes = matrix if self.dislikes is None else liked(matrix)
        if recency:
            events = self.liked()
            fall_with_steps(likes, events.pair_keys(), events.when, recency)
        if not signed or likes is matrix:
            return likes
        return with_data_of(matrix, likes)

    @lazy_property
    def _kept_matrix(self) -> sp.csr_array:
        return self._merged()

    def _merged(self) -> sp.csr_array:
        weight, policy, part = self.decayed_weight(), self.duplicates, self.dislikes
        if part is None:
            return merged(self.user_idx, self.item_idx, weight, self.timestamp, policy, self.shape)
        time = None
        if self.timestamp is not None and part.timestamp is not None:
            time = joined(self.timestamp, part.timestamp)
        return merged_with_dislikes(
            joined(self.user_idx, part.user_idx),
            joined(self.item_idx, part.item_idx),
            joined(weight, -self._decayed(part)),
            time,
            policy,
            self.shape,
        )


def used_rows(columns: Sequence[NDArray[np.int32]], n_rows: int) -> UsedRows:
    """Return the rows that occur, ascending, and the new number of each old row, or -1."""
    is_used = np.zeros(n_rows, dtype=np.bool_)
    for some in (idx[part] for idx in columns for part in parts(len(idx))):
        is_used[some] = True
    new_row_of = np.where(is_used, np.cumsum(is_used) - 1, -1).astype(np.int32)
    return np.flatnonzero(is_used), new_row_of

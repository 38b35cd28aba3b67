"""Interactions: the events of a log by row, and their matrix."""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.checks import require
from recsys.base.errors import DataError
from recsys.base.lazy import lazy_property
from recsys.base.mapped import ascends, folder_of, made_of, parts, taken
from recsys.base.tables import Tabular
from recsys.logs.classify import SECONDS_PER_DAY
from recsys.logs.order import fall_with_steps, last_of_each
from recsys.logs.row_counts import RowCounts
from recsys.settings import DuplicatePolicy, HistoryOrder
from recsys.vectors import Ids

Role = Literal["train", "history", "validation", "test"]
ProtocolName = Literal["time", "last", "random", "folds", "users", "items", "given"]

MOST_STRAYS = 0.001  # of the events, with a clock that is late
FEW_EVENTS = 20  # too few to know which is one
_FAR = 10**15  # seconds


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

    def __len__(self) -> int:
        return len(self.user_idx)

    def __repr__(self) -> str:
        return f"Interactions({len(self)} events, {len(self.users)} users, {len(self.items)} items)"

    def to_arrow(self) -> pa.Table:
        """Return one row per event: user_id, item_id, weight and, where it is known, timestamp."""
        return self.first_rows(len(self))

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
        return f"{len(self):,} events of {n_users:,} users with {n_items:,} items"

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

    def select(self, events: NDArray[np.bool_] | NDArray[np.integer] | slice) -> "Interactions":
        """Return some of the events, with the same users and items."""
        return replace(
            self,
            user_idx=taken(self.user_idx, events),
            item_idx=taken(self.item_idx, events),
            weight=taken(self.weight, events),
            timestamp=None if self.timestamp is None else taken(self.timestamp, events),
        )

    def pair_keys(self) -> NDArray[np.int64]:
        """Return a number per event that names its (user, item) pair and sorts like it."""
        return self.user_idx.astype(np.int64) * len(self.items) + self.item_idx

    def compact(self) -> "Interactions":
        """Return the same events over only those users and items that have any."""
        user_rows, user_row_of = used_rows(self.user_idx, len(self.users))
        item_rows, item_row_of = used_rows(self.item_idx, len(self.items))
        return replace(
            self,
            user_idx=taken(user_row_of, self.user_idx),
            item_idx=taken(item_row_of, self.item_idx),
            users=self.users.take(user_rows),
            items=self.items.take(item_rows),
        )

    def decayed_weight(self) -> NDArray[np.float32]:
        """Return ``weight * 2 ** -(age / half_life)``, age counted back from the `end`."""
        weight = self.weight
        if self.duplicates == "count":
            weight = made_of(weight, np.ones_like, dtype=np.float32)
        if self.half_life_days is None or len(self) == 0:
            return weight
        end, timestamp = self.end(self.half_life_days), self.require_timestamp("half_life_days")
        fall = partial(decayed, end=end, half_life_days=self.half_life_days)
        return made_of(weight, fall, timestamp, dtype=np.float32)

    def end(self, half_life_days: float) -> int:
        """Return the time from which age is counted back: of the latest event, strays left out.

        A stray is more than a half-life later than all but a thousandth of the events (than all but
        one, of twenty to a thousand), or of the users by their latest events: with a late clock, it
        would make all others old.
        """
        timestamp = self.require_timestamp("half_life_days")
        latest = int(timestamp.max())
        if len(timestamp) < FEW_EVENTS:
            return latest
        usual = _late(timestamp)
        if len(self.users) >= FEW_EVENTS:  # a late clock has all the events of its user
            of_user = np.full(len(self.users), timestamp.min())
            for part in parts(len(self)):
                np.maximum.at(of_user, self.user_idx[part], timestamp[part])
            usual = min(usual, _late(of_user))
        last = last_usual(usual, half_life_days)
        if latest <= last:
            return latest
        cut = (timestamp[part] for part in parts(len(self)))
        return int(max(one[one <= last].max(initial=usual) for one in cut))

    def recent_popularity(self, half_life_days: float) -> NDArray[np.float32] | None:  # (n_items,)
        """Return the users of each item, those of long ago counting less.

        A user counts ``2 ** -(age / half_life)``, by the latest event with the item, age counted
        back from the `end` of the log. None where the log has no time.
        """
        if self.timestamp is None or len(self) == 0:
            return None
        from recsys.base.packing import packed_rows  # compiled, which not every command needs

        end, found = self.end(half_life_days), np.zeros(len(self.items))
        for rows in packed_rows(self.user_idx, self.item_idx, self.timestamp, self.shape, "max"):
            np.add.at(found, rows.columns, freshness(rows.values, end, half_life_days))
        return found.astype(np.float32)

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of users and items."""
        return len(self.users), len(self.items)

    def user_items(self, recency: float = 0.0) -> sp.csr_array:
        """Return the weights as a matrix with one entry per pair.

        Parameters
        ----------
        recency : float
            Above 0, an item weighs ``steps ** -recency`` of its weight, where its steps are 1 and
            the number of items that the same user met later, by `order`.

        Returns
        -------
        scipy.sparse.csr_array of float32, shape (n_users, n_items)
            Rows are users; column indices ascend and are unique within a row; all data are
            above 0. Several events of one pair are merged by `duplicates`. Of a log that is mapped
            it is made once, and its arrays are not to be written to.
        """
        from recsys.base.packing import same_csr  # compiled, which not every command needs

        is_mapped = folder_of(self.weight) is not None
        matrix = same_csr(self._kept_matrix) if is_mapped else self._merged()
        if recency:
            fall_with_steps(matrix, self.pair_keys(), self.when, recency)
        return matrix

    @lazy_property
    def _kept_matrix(self) -> sp.csr_array:
        return self._merged()

    def _merged(self) -> sp.csr_array:
        weight, policy = self.decayed_weight(), self.duplicates
        return merged(self.user_idx, self.item_idx, weight, self.timestamp, policy, self.shape)


def merged(
    user_idx: NDArray[np.int32],
    item_idx: NDArray[np.int32],
    weight: NDArray[np.float32],
    timestamp: NDArray[np.int64] | None,
    duplicates: DuplicatePolicy,
    shape: tuple[int, int],
) -> sp.csr_array:
    """Return the weights of events as a matrix with one entry per pair, see `user_items`."""
    from recsys.base.packing import packed  # compiled, which not every command needs

    if duplicates == "last" and timestamp is not None and not ascends(timestamp):
        kept = last_of_each(user_idx.astype(np.int64) * shape[1] + item_idx, timestamp)
        user_idx, item_idx, weight = user_idx[kept], item_idx[kept], weight[kept]
    return packed(user_idx, item_idx, weight, shape, "sum" if duplicates == "count" else duplicates)


def _late(timestamp: NDArray[np.int64]) -> int:
    """Return the time that all but a thousandth are not later than."""
    if ascends(timestamp):
        return int(timestamp[int((len(timestamp) - 1) * (1 - MOST_STRAYS))])
    return int(np.quantile(timestamp, 1 - MOST_STRAYS, method="lower"))


def last_usual(usual: int, half_life_days: float) -> int:
    """Return the last second that is no stray, see `Interactions.end`."""
    return usual + int(min(half_life_days * SECONDS_PER_DAY, _FAR))


def decayed(
    weight: NDArray[np.float32], timestamp: NDArray[np.int64], end: int, half_life_days: float
) -> NDArray[np.float32]:
    """Return weights that halve with each half-life before the end of a log."""
    # A weight must stay above zero, or an old event would vanish from the seen items.
    decay = np.maximum(freshness(timestamp, end, half_life_days), 1e-6)
    fallen: NDArray[np.float32] = (weight * decay).astype(np.float32)
    return fallen


def freshness(timestamp: NDArray[np.int64], end: int, half_life_days: float) -> NDArray[np.float64]:
    """Return ``2 ** -(age / half_life)`` of events; a stray after the end has no age."""
    age_days = np.maximum(end - timestamp, 0) / SECONDS_PER_DAY
    fresh: NDArray[np.float64] = np.exp2(-age_days / half_life_days)
    return fresh


def used_rows(idx: NDArray[np.int32], n_rows: int) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
    """Return the rows that occur, ascending, and the new number of each old row, or -1."""
    is_used = np.zeros(n_rows, dtype=np.bool_)
    for part in parts(len(idx)):
        is_used[idx[part]] = True
    new_row_of = np.where(is_used, np.cumsum(is_used) - 1, -1).astype(np.int32)
    return np.flatnonzero(is_used), new_row_of


Mask = NDArray[np.bool_]


def keep_minimum_counts(
    log: Interactions, *, min_user_items: int = 1, min_item_users: int = 1, k_core: bool = False
) -> Interactions:
    """Leave out users with too few distinct items and items with too few distinct users.

    Both are counted once, on the whole log; with `k_core` again until both hold for all that is
    left: the core of the bipartite graph, which does not depend on the order of removal.
    """
    if min_user_items <= 1 and min_item_users <= 1:
        return log
    pairs = replace(log, duplicates="count", half_life_days=None).user_items()
    users, items = _enough(pairs, min_user_items, min_item_users)
    while k_core:
        pairs = sp.csr_array(sp.diags_array(users * 1.0) @ pairs @ sp.diags_array(items * 1.0))
        pairs.eliminate_zeros()
        before = int(users.sum()) + int(items.sum())
        users, items = _enough(pairs, min_user_items, min_item_users)
        if int(users.sum()) + int(items.sum()) == before:
            break
    kept = users[log.user_idx] & items[log.item_idx]
    reason = "k-core" if k_core else "minimum counts"
    row_counts = log.row_counts.leaving_out(reason, len(log) - int(kept.sum()))
    return replace(log.select(kept), row_counts=row_counts).compact()


def _enough(pairs: sp.csr_array, min_user_items: int, min_item_users: int) -> tuple[Mask, Mask]:
    items_of_user = np.diff(pairs.indptr)
    users_of_item = np.bincount(pairs.indices, minlength=pairs.shape[1])
    return items_of_user >= min_user_items, users_of_item >= min_item_users

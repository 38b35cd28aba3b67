"""Published tests against sampled negatives, as files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.errors import DataError
from recsys.logs import Interactions
from recsys.vectors import Id, Ids

MAX_UNKNOWN = 0.01  # beyond, these are the ids of something else


@dataclass(frozen=True, eq=False)
class SampledTest:
    """One held-out item of each user, and the negatives it is ranked among.

    Parameters
    ----------
    user_idx, item_idx : ndarray of int32, shape (n,)
        Rows of train. A negative number is an item that train does not know, the same number
        wherever it is: no model can score it, so it ranks behind all others.
    negatives : ndarray of int32, shape (n, n_negatives)
        Rows of items likewise, in the order of the file.

    Raises
    ------
    DataError
        If the shapes differ.
    """

    user_idx: NDArray[np.int32]
    item_idx: NDArray[np.int32]
    negatives: NDArray[np.int32]

    def __post_init__(self) -> None:
        if self.negatives.ndim != 2 or not (
            len(self.user_idx) == len(self.item_idx) == len(self.negatives)
        ):
            raise DataError(
                f"sampled test: expected a user, an item and a row of negatives each, got shapes "
                f"{self.user_idx.shape}, {self.item_idx.shape} and {self.negatives.shape}"
            )


def read_sampled_test(
    path: str | Path,
    train: Interactions,
    *,
    user: str = "user_idx",
    item: str = "item_idx",
    negatives: str = "negatives",
) -> SampledTest:
    """Read a published test against sampled negatives.

    Parameters
    ----------
    path : str or Path
        A Parquet file, one row per user: the id of the user, that of the held-out item, and a list
        of ids of negatives, as many in each row.
    train : Interactions
        Whose users and items the ids of the file are looked up in.
    user, item, negatives : str
        Names of the columns.

    Returns
    -------
    SampledTest

    Raises
    ------
    DataError
        If the file or a column is missing, rows have different numbers of negatives, train does
        not know a user or item, or train holds a test pair or a negative as an event.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, columns=[user, item, negatives])
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"sampled test: expected a Parquet file with columns {user}, {item} and {negatives} "
            f"at {path}, got {error}"
        ) from error
    lists = table[negatives].combine_chunks()
    lengths = np.unique(lists.value_lengths().to_numpy(zero_copy_only=False))
    if len(lengths) != 1 or not lengths[0] > 0:
        raise DataError(
            f"sampled test {path}: expected as many negatives in every row of {negatives}, got "
            f"{lengths.min() if len(lengths) else 0} to {lengths.max() if len(lengths) else 0}"
        )
    users, n = table[user].to_pylist(), len(table)
    candidates = [*table[item].to_pylist(), *lists.flatten().to_pylist()]
    item_idx = _rows_of(train.items, candidates, f"{path}, {item} and {negatives}", MAX_UNKNOWN)
    test = SampledTest(
        user_idx=_rows_of(train.users, users, f"{path}, {user}", 0),
        item_idx=item_idx[:n],
        negatives=item_idx[n:].reshape(n, -1),
    )
    _require_unseen(train, test, path)
    return test


def _rows_of(ids: Ids, asked: Sequence[Id], where: str, max_unknown: float) -> NDArray[np.int32]:
    """Return the row of each id; one that is unknown has a negative number of its own."""
    rows = ids.rows(asked)
    unknown = [asked[place] for place in np.flatnonzero(rows < 0).tolist()]
    if len(unknown) > max_unknown * len(asked):
        raise DataError(
            f"sampled test {where}: expected ids that train has, got {len(unknown):,} others of "
            f"{len(asked):,}, such as {unknown[0]!r}; a published test goes with its own train "
            "part, so read that, under the ids of this file"
        )
    number_of = {id_: -1 - number for number, id_ in enumerate(dict.fromkeys(unknown))}
    rows[rows < 0] = [number_of[id_] for id_ in unknown]
    return rows


def _require_unseen(train: Interactions, test: SampledTest, path: str | Path) -> None:
    asked = test.user_idx.astype(np.int64) * len(train.items) + test.item_idx
    n_seen = int(np.isin(asked, train.pair_keys()).sum())
    if n_seen:
        raise DataError(
            f"sampled test {path}: expected no test pair in train, got {n_seen:,}; leave the pairs "
            "of the test out of train"
        )

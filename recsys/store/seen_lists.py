"""What users have seen: for each the rows of items, their weights in training, and their days."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.base.reading import damaged


@dataclass(frozen=True, eq=False)
class SeenLists:
    """The items that each user has seen.

    Parameters
    ----------
    starts : ndarray of int64, shape (n_users + 1,)
    item_idx : ndarray of int32, shape (n_seen,)
        Ascending and unique within a user.
    weight : ndarray of float32, shape (n_seen,), optional
        In training; below 0 of what the user disliked. Default: 1.
    day : ndarray of uint16, shape (n_seen,), optional
        Of the last event with each, since 1970-01-01.
    """

    starts: NDArray[np.int64]
    item_idx: NDArray[np.int32]
    weight: NDArray[np.float32] | None = None
    path: Path = Path("users.parquet")  # of the file that holds them, for errors
    day: NDArray[np.uint16] | None = None

    def __getitem__(self, user_idx: int) -> NDArray[np.int32]:
        start, end = self._ends(user_idx)
        return self.item_idx[start:end]

    def users_with(self, is_item: NDArray[np.bool_]) -> NDArray[np.int32]:
        """Return the users who have seen, and not disliked, one of some items, (n,), ascending."""
        places = np.flatnonzero(is_item[self.item_idx])
        if self.weight is not None:
            places = places[self.weight[places] > 0]
        users = np.searchsorted(self.starts, places, side="right") - 1
        return np.unique(users).astype(np.int32)

    def require_items(self, item_idx: NDArray[np.int32], n_items: int) -> None:
        """Raise a CorruptVersionError where one of the items that were seen is not one of n."""
        require_rows(item_idx, n_items, self.path)

    def _ends(self, user_idx: int) -> tuple[int, int]:
        start, end = int(self.starts[user_idx]), int(self.starts[user_idx + 1])
        if not 0 <= start <= end <= len(self.item_idx):
            raise damaged(self.path, f"no list of seen items for row {user_idx}")
        return start, end

    def weights(self, user_idx: int) -> NDArray[np.float32]:
        """Return the weight of each seen item of a user."""
        start, end = self._ends(user_idx)
        if self.weight is None:
            return np.ones(end - start, dtype=np.float32)
        return self.weight[start:end]

    def days(self, user_idx: int) -> NDArray[np.uint16] | None:
        """Return the day of the last event with each seen item of a user, where it is known."""
        return None if self.day is None else self.day[slice(*self._ends(user_idx))]

    def liked(self, user_idx: int) -> NDArray[np.int32]:
        """Return what a user has seen and not disliked."""
        return self[user_idx] if self.weight is None else self[user_idx][self.weights(user_idx) > 0]

    def disliked(self, user_idx: int) -> NDArray[np.int32]:
        """Return what a user disliked."""
        return self[user_idx][self.weights(user_idx) < 0]

    def dislikes(self, n_items: int) -> NDArray[np.int64] | None:
        """Return how many users dislike each item, (n_items,); None where nobody dislikes any."""
        if self.weight is None or not (is_dislike := self.weight < 0).any():
            return None
        return np.bincount(self.item_idx[is_dislike], minlength=n_items)

    def __len__(self) -> int:
        return len(self.starts) - 1


def require_rows(rows: NDArray[np.int32], n: int, path: Path) -> None:
    """Raise a CorruptVersionError where a row that a file holds is not one of n."""
    if len(rows) and rows.view(np.uint32).max() >= n:
        raise damaged(path, f"expected rows from 0 to {n - 1}, got others")

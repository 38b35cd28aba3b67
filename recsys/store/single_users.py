"""Users looked up one at a time, as page views do."""

from dataclasses import dataclass
from struct import Struct

import numpy as np
from numpy.typing import NDArray

from recsys.store.file_parts import FilePart
from recsys.vectors import FloatVector, Id
from recsys.vectors.id_table import find_row
from recsys.vectors.ids import canonical

_ENDS = Struct("=qq")


@dataclass(frozen=True, eq=False)
class SingleUsers:
    """The users of a version, read from its files and not kept.

    Parameters
    ----------
    n : int
    are_integers : bool
        Whether the log spelled the ids as integers.
    slots : FilePart
        Of the table of the ids.
    embeddings : FilePart
        Of float32, row by row.
    starts, item_idx : FilePart
        As `SeenLists` has them.
    weight : FilePart or None
        Likewise.
    factors : int
    """

    n: int
    are_integers: bool
    slots: FilePart
    embeddings: FilePart
    starts: FilePart
    item_idx: FilePart
    weight: FilePart | None
    factors: int

    def find(self, user_id: Id) -> int | None:
        """Return the row of a user, by either form of the id, or None."""
        spelled = canonical(user_id, integers=self.are_integers)
        return None if spelled is None else find_row(spelled, self.n, self.slots)

    def embedding(self, user_idx: int) -> FloatVector:
        """Return the embedding of a row."""
        first = user_idx * self.factors
        return np.frombuffer(self.embeddings.read(first, first + self.factors), np.float32)

    def seen(self, user_idx: int) -> NDArray[np.int32]:
        """Return the seen items of a row, ascending."""
        return np.frombuffer(self.item_idx.read(*self._ends(user_idx)), np.int32)

    def seen_weights(self, user_idx: int) -> NDArray[np.float32]:
        """Return the weight of each seen item of a row."""
        start, end = self._ends(user_idx)
        if self.weight is None:
            return np.ones(end - start, dtype=np.float32)
        return np.frombuffer(self.weight.read(start, end), np.float32)

    def _ends(self, user_idx: int) -> tuple[int, int]:
        """Return where the seen items of a row begin and end."""
        start, end = _ENDS.unpack(self.starts.read(user_idx, user_idx + 2))
        return start, end

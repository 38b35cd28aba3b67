"""Users looked up one at a time, as page views do."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.store.file_parts import FilePart
from recsys.vectors import FloatVector, Id
from recsys.vectors.id_table import IdReader, find_row
from recsys.vectors.ids import canonical


@dataclass(frozen=True, eq=False)
class SingleUsers:
    """The users of a version, read from its files and not kept.

    Parameters
    ----------
    ids : IdReader
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

    ids: IdReader
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
        return None if spelled is None else find_row(spelled, self.ids, self.slots)

    def embedding(self, user_idx: int) -> FloatVector:
        """Return the embedding of a row."""
        first = user_idx * self.factors
        return np.frombuffer(self.embeddings[first : first + self.factors], np.float32)

    def seen(self, user_idx: int) -> NDArray[np.int32]:
        """Return the seen items of a row, ascending."""
        start, end = self.starts[user_idx : user_idx + 2]
        return np.frombuffer(self.item_idx[start:end], np.int32)

    def seen_weights(self, user_idx: int) -> NDArray[np.float32]:
        """Return the weight of each seen item of a row."""
        start, end = self.starts[user_idx : user_idx + 2]
        if self.weight is None:
            return np.ones(end - start, dtype=np.float32)
        return np.frombuffer(self.weight[start:end], np.float32)

"""Users without events, whom the table of users describes: their attributes speak for them."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.base.lazy import lazy_property
from recsys.store import Content
from recsys.vectors import FloatMatrix, FloatVector, Id, Ids

if TYPE_CHECKING:
    import scipy.sparse as sp

    from recsys.serving.fold_in import Histories

_FEW = 1 << 16  # users: embedded at a time


class DescribedUsers:
    """Finds users who have no row in a version, and what their attributes say of them.

    Nothing is read before somebody asks of a user whom the version does not hold; then the table
    is kept, and where an audience is asked for, the embeddings too.
    """

    def __init__(self, content: Content, histories: "Histories") -> None:
        self._content, self._histories = content, histories

    @lazy_property
    def table(self) -> pa.Table | None:
        """Their attributes; None where there is none."""
        return self._content.described_users

    @lazy_property
    def ids(self) -> Ids:
        """Their ids, in the order of the table."""
        return Ids([] if self.table is None else self.table["user_id"])

    def prior_of(self, user_id: Id) -> FloatMatrix | None:
        """Return what the attributes of one say, (1, factors); None for others."""
        row = None if self.table is None else self.ids.find(user_id)
        return None if row is None else self._priors(np.array([row]))

    def as_history(self, user_id: Id) -> "tuple[sp.csr_array, FloatVector] | None":
        """Return an empty history and the embedding of one; None for others."""
        prior = self.prior_of(user_id)
        if prior is None:
            return None
        history = self._histories.of((), None, "history", may_be_empty=True)
        return history, self._histories.fold_in(history, prior)[0]

    def priors_of(
        self, user_ids: Sequence[Id], user_idx: NDArray[np.int32]
    ) -> tuple[NDArray[np.integer], FloatMatrix] | None:
        """Return the places of those who are described, and their priors; None without any.

        The row of an unknown user is -1.
        """
        places = np.flatnonzero(user_idx < 0)
        if not len(places) or self.table is None:
            return None
        rows = self.ids.rows(user_ids[place] for place in places.tolist())
        is_described = rows >= 0
        if not is_described.any():
            return None
        return places[is_described], self._priors(rows[is_described])

    @lazy_property
    def embeddings(self) -> FloatMatrix:
        """The embeddings of all of them, (n, factors), as of a user without a history."""
        parts = [
            self._histories.without_history(
                self._priors(np.arange(first, min(first + _FEW, len(self.ids))))
            )
            for first in range(0, len(self.ids), _FEW)
        ]
        nobody = np.empty((0, self._content.version.manifest.factors), np.float32)
        return np.concatenate([nobody, *parts])

    def _priors(self, rows: NDArray[np.integer]) -> FloatMatrix:
        table, known = self.table, self._histories.user_map
        assert table is not None and known is not None  # noqa: PT018, S101 (they come together)
        return known.vectors(table.take(pa.array(rows)))

    def joined(self, users: Ids) -> Ids:
        """Return the users of the version, then those who have no events."""
        return users if self.table is None else users.joined(self.ids)[0]

    def columns(self, names: Iterable[str]) -> pa.Table | None:
        """Return some attributes of all of them; None where there is none."""
        return None if self.table is None else self.table.select(list(names))

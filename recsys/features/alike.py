r"""What known items that are much alike say of a new one, beyond the linear map of features.

Two titles that differ in a color have nearly the same buyers, which no sum over words can say. So
a new item also gets what the map leaves of the known items that are nearest to it:

.. math::

    y = W' f + \frac{\sum_j a_j\, (y_j - W' f_j)}{\lambda + \sum_j a_j}, \qquad
    a_j = \frac{n_j}{n_j + c}\, \cos(f, f_j)^p

over the k known items of the largest cosines, and all that equal the last of them: a local mean of
residuals (Nadaraya 1964, Watson 1964), where :math:`n_j` are the users of an item. Where few are
alike, or only a little, :math:`\lambda` leaves the map alone. Up to 32,768 items are compared to,
those of most users, so that a large catalogue costs no more.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.threads import threads
from recsys.features.factored import FeatureRows
from recsys.features.ridge import said_of
from recsys.vectors import FloatMatrix

NEAREST, POWER, SHRINK, FEW_USERS = 50, 3, 0.1, 5.0  # k, p, lambda and c
_MOST = 1 << 15  # known items
_ROWS_AT_ONCE = 64  # new items, with the cosines of all known ones
_CHUNK = 2048  # known items whose parts of words are multiplied out at a time


@dataclass(frozen=True, eq=False)
class KnownItems:
    """The known items that new ones are compared to, and the map of their features.

    Parameters
    ----------
    map : ndarray of float32, shape (n_features, factors)
    differs : ndarray of bool, shape (n_features,)
        Not so a feature that is the same of all, such as the constant: no two are alike by it.
    rows : FeatureRows, shape (n_known, n_features)
        Of length 1, those features alone.
    left : ndarray of float32, shape (n_known, factors)
        The embeddings less what the map says.
    trust : ndarray of float32, shape (n_known,)
        n / (n + c) of their users.
    """

    map: FloatMatrix
    differs: NDArray[np.bool_]
    rows: FeatureRows
    left: FloatMatrix
    trust: NDArray[np.float32]

    @classmethod
    def of(
        cls,
        features: sp.csr_array | FeatureRows,
        vectors: FloatMatrix,
        n_users: NDArray[np.integer],
        to: FloatMatrix,
    ) -> Self:
        """Take the described items that have users, of all items; `to` is their map."""
        described = FeatureRows.of(features)
        known = np.flatnonzero((n_users > 0) & described.is_known)
        if len(known) > _MOST:
            known = np.sort(known[np.argsort(-n_users[known], kind="stable")[:_MOST]])
        rows = described.take(known)
        with threads() as pool:
            left = vectors[known] - said_of(rows, to, pool)
        trust = (n_users[known] / (n_users[known] + FEW_USERS)).astype(np.float32)
        differs = _differs(rows.plain)
        return cls(to, differs, _units(rows, differs), left, trust)

    def vectors(self, features: sp.csr_array | FeatureRows) -> FloatMatrix:
        """Return the embeddings of new items, float32 (n, factors); zero where nothing is known."""
        new = FeatureRows.of(features)
        with threads() as pool:
            found = said_of(new, self.map, pool)
            if not len(self.left):
                return found
            for start in range(0, len(found), _ROWS_AT_ONCE):
                part = np.arange(start, min(start + _ROWS_AT_ONCE, len(found)))
                units = _units(new.take(part), self.differs).tocsr().toarray()
                cosines = said_of(self.rows, np.ascontiguousarray(units.T), pool)
                found[part] += self._local_mean(np.ascontiguousarray(cosines.T))
        return found

    def _local_mean(self, cosines: FloatMatrix) -> FloatMatrix:
        """Return what is left of the nearest, (n, factors), of cosines (n, n_known)."""
        last = max(cosines.shape[1] - NEAREST, 0)
        least = np.partition(cosines, last, axis=1)[:, last, None]
        weights = sp.csr_array(np.where((cosines >= least) & (cosines > 0), cosines, 0))
        weights.data = weights.data**POWER * self.trust[weights.indices]
        total = np.asarray(weights.sum(axis=1)).reshape(-1, 1) + SHRINK
        return np.asarray((weights @ self.left) / total, dtype=np.float32)


def with_new_items(
    features: sp.csr_array | FeatureRows,
    vectors: FloatMatrix,
    n_users: NDArray[np.integer],
    to: FloatMatrix,
) -> FloatMatrix:
    """Return vectors in which those of items without users are what their features say."""
    new = np.flatnonzero(n_users == 0)
    if not len(new):
        return vectors
    found = vectors.copy()
    known = KnownItems.of(features, vectors, n_users, to)
    found[new] = known.vectors(FeatureRows.of(features).take(new))
    return found


def _differs(plain: sp.csr_array) -> NDArray[np.bool_]:
    """Return which features are not the same of all rows, or are of parts of words alone."""
    if not plain.shape[0]:
        return np.ones(plain.shape[1], dtype=np.bool_)
    low, high = (one.toarray().ravel() for one in (plain.min(axis=0), plain.max(axis=0)))
    return np.asarray((low != high) | (high == 0))


def _units(rows: FeatureRows, differs: NDArray[np.bool_]) -> FeatureRows:
    """Return rows of length 1 of some features, but for those of zeros."""
    kept = sp.diags_array(differs.astype(np.float32))
    plain, right = (sp.csr_array(one @ kept) for one in (rows.plain, rows.right))
    plain.eliminate_zeros()
    rows = FeatureRows(plain, rows.left, right)
    squares = np.zeros(rows.shape[0])
    for start in range(0, len(squares), _CHUNK):
        part = np.arange(start, min(start + _CHUNK, len(squares)))
        block = rows.take(part).tocsr()
        squares[part] = np.asarray(block.multiply(block).sum(axis=1)).ravel()
    lengths = np.sqrt(squares)
    return rows.scaled(np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0))

"""Features of which a part is kept as a product: what a word says is kept once, not in each row."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.vectors import FloatMatrix


@dataclass(frozen=True, eq=False)
class FeatureRows:
    """The features of rows, ``plain + left @ right``.

    A title of 8 words has 150 parts of words: as a product, 8 entries for its words, and the parts
    of each word once.

    Parameters
    ----------
    plain : csr_array of float32, shape (n, n_features)
    left : csr_array of float32, shape (n, n_words), optional
    right : csr_array of float32, shape (n_words, n_features), optional
    """

    plain: sp.csr_array
    left: sp.csr_array = None
    right: sp.csr_array = None

    def __post_init__(self) -> None:
        if self.left is None:
            n, n_features = self.plain.shape
            object.__setattr__(self, "left", sp.csr_array((n, 0), dtype=np.float32))
            object.__setattr__(self, "right", sp.csr_array((0, n_features), dtype=np.float32))

    @classmethod
    def of(cls, features: "sp.csr_array | FeatureRows") -> "FeatureRows":
        """Return features as such rows."""
        return features if isinstance(features, FeatureRows) else cls(features)

    @classmethod
    def beside(cls, blocks: Sequence["FeatureRows"]) -> Self:
        """Return the columns of all blocks, one block after the other."""
        plain = sp.hstack([one.plain for one in blocks], format="csr")
        left = sp.hstack([one.left for one in blocks], format="csr")
        right = sp.block_diag([one.right for one in blocks], format="csr")
        return cls(*(sp.csr_array(one, dtype=np.float32) for one in (plain, left, right)))

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and of features."""
        n, n_features = self.plain.shape
        return n, n_features

    @property
    def n_entries(self) -> int:
        """Number of entries that are kept."""
        return int(self.plain.nnz + self.left.nnz + self.right.nnz)

    @property
    def is_known(self) -> NDArray[np.bool_]:
        """Whether anything is known of each row, (n,)."""
        n_entries = np.diff(self.plain.indptr) + np.diff(self.left.indptr)
        return np.asarray(n_entries > 0)

    def scaled(self, by: NDArray[np.floating] | NDArray[np.bool_]) -> Self:
        """Return each row times a number; a row times 0 has no entries."""
        diagonal = sp.diags_array(by.astype(np.float32))
        plain, left = (sp.csr_array(diagonal @ one) for one in (self.plain, self.left))
        for one in (plain, left):
            one.eliminate_zeros()
        return type(self)(plain, left, self.right)

    def take(self, rows: NDArray[np.integer]) -> Self:
        """Return some rows."""
        return type(self)(sp.csr_array(self.plain[rows]), sp.csr_array(self.left[rows]), self.right)

    def worded(self) -> Self:
        """Return the same without words that no row has."""
        has_rows = np.bincount(self.left.indices, minlength=self.left.shape[1]) > 0
        number = np.cumsum(has_rows, dtype=np.int32) - np.int32(1)
        parts = self.left.data, number[self.left.indices], self.left.indptr
        left = sp.csr_array(parts, shape=(self.left.shape[0], int(has_rows.sum())))
        return type(self)(self.plain, left, sp.csr_array(self.right[has_rows]))

    def heaviest(self, n: int) -> NDArray[np.intp]:
        """Return at most n features of the largest squares; parts of words are not among them."""
        n_features = self.shape[1]
        squares = np.bincount(self.plain.indices, np.square(self.plain.data), minlength=n_features)
        return np.argsort(-squares, kind="stable")[:n]

    def times(self, dense: FloatMatrix) -> FloatMatrix:
        """Return the product with few vectors, (n, width)."""
        return np.asarray(self.plain @ dense + self.left @ (self.right @ dense))

    def transposed_times(self, dense: FloatMatrix) -> FloatMatrix:
        """Return the product of the transpose with few vectors, (n_features, width)."""
        return np.asarray(self.plain.T @ dense + self.right.T @ (self.left.T @ dense))

    def tocsr(self) -> sp.csr_array:
        """Return the sum, (n, n_features)."""
        if not self.left.nnz:
            return self.plain
        return sp.csr_array(self.plain + self.left @ self.right, dtype=np.float32)

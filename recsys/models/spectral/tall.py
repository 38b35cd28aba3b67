"""An orthonormal basis of tall columns, worked on chunk by chunk of rows, on all cores."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.base.threads import Threads, chunks

Block = NDArray[Any]  # float32 or float64, (n, columns)
_SQUARED = 1e-8  # the smallest square, relative to the largest, that is known to half its digits
_CLOSE = 1e-2  # a rest this short, relative to what it was left of, is at no exact right angle


class Basis:
    """Orthonormal columns that grow by blocks.

    Parameters
    ----------
    n : int
        Rows.
    capacity : int
        Most columns: memory for all is taken at once.
    dtype : type
        float32 or float64.
    pool : Threads
        How many does not change the result.
    """

    def __init__(self, n: int, capacity: int, dtype: type[np.floating[Any]], pool: Threads) -> None:
        self.columns: Block = np.empty((n, capacity), dtype=dtype)
        self.size = 0
        self._rows = chunks(n)
        self._pool = pool

    def append(self, block: Block) -> None:
        """Add orthonormal columns at right angles to the basis."""
        self.columns[:, self.size : self.size + block.shape[1]] = block
        self.size += block.shape[1]

    def split(
        self, block: Block, floor: float, *, recent: int = 0
    ) -> tuple[NDArray[np.float64], Block, NDArray[np.float64]]:
        """Split a block into its part within this basis and an orthonormal rest.

        Parameters
        ----------
        block : ndarray, shape (n, b)
            Overwritten.
        floor : float
            Directions of the rest that are no longer than this are dropped as rounding.
        recent : int
            Latest columns of the basis that hold most of the part within it, where that is known:
            taken out first, they leave little rounding for the pass over the whole basis.

        Returns
        -------
        inside : ndarray of float64, shape (size, b)
        rest : ndarray, shape (n, r)
            Orthonormal, r of b or less.
        coupling : ndarray of float64, shape (r, b)
            Up to what was dropped, ``block = basis @ inside + rest @ coupling``.
        """
        before = np.linalg.norm(block, axis=0).max(initial=0)
        first = max(0, self.size - recent)
        latest = self._project_out(block, first)
        inside = self._project_out(block, 0) if first else np.zeros((self.size, block.shape[1]))
        inside[first:] += latest
        rest, coupling = self._orthonormal(block, floor)
        if np.linalg.svd(coupling, compute_uv=False).min(initial=np.inf) < _CLOSE * before:
            inside += self._project_out(rest, 0) @ coupling  # twice is enough
            rest, turn = self._orthonormal(rest, 0.5)
            coupling = turn @ coupling
        return inside, rest, coupling

    def combine(self, coefficients: NDArray[np.float64]) -> Block:
        """Return ``basis @ coefficients``, for coefficients (size, k)."""
        return self._times(self.columns[:, : self.size], coefficients)

    def _project_out(self, block: Block, first: int) -> NDArray[np.float64]:
        """Subtract from a block its part within columns from `first` on; return what it was."""
        columns = self.columns[:, first : self.size]

        def inner(rows: slice) -> NDArray[Any]:
            return columns[rows].T @ block[rows]

        # Partial sums in the order of the chunks, in float64.
        inside = np.zeros((columns.shape[1], block.shape[1]))
        for partial in self._pool.map(inner, self._rows):
            inside += partial
        rounded = inside.astype(block.dtype)

        def subtract(rows: slice) -> None:
            block[rows] -= columns[rows] @ rounded

        self._pool.map(subtract, self._rows)
        return inside

    def _orthonormal(self, block: Block, floor: float) -> tuple[Block, NDArray[np.float64]]:
        """Return orthonormal Q and R with ``block = Q R``, without directions below a floor.

        By way of the principal axes of its rows (SVQB, Stathopoulos & Wu 2002), which show the
        directions to drop.
        """
        lengths, axes = self._principal_axes(block)
        kept = lengths > floor
        lengths, axes = lengths[kept], axes[:, kept]
        return self._times(block, axes / lengths), lengths[:, None] * axes.T

    def _principal_axes(self, block: Block) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the singular values (b,) and the right singular vectors (b, b) of a block."""

        def gram_of(rows: slice) -> NDArray[np.float64]:
            part = block[rows].astype(np.float64)
            product: NDArray[np.float64] = part.T @ part
            return product

        def triangle_of(rows: slice) -> NDArray[np.float64]:
            return np.asarray(np.linalg.qr(block[rows].astype(np.float64), mode="r"))

        gram = np.zeros(2 * (block.shape[1],))
        for partial in self._pool.map(gram_of, self._rows):
            gram += partial
        squares, axes = np.linalg.eigh(gram)
        if squares.min(initial=np.inf) > _SQUARED * squares.max(initial=0):
            return np.sqrt(squares), axes
        # Reflections take five times as long and do not square the numbers.
        triangles = np.concatenate(self._pool.map(triangle_of, self._rows))
        _, lengths, turned = np.linalg.svd(triangles, full_matrices=False)
        return lengths, turned.T

    def _times(self, columns: Block, coefficients: NDArray[np.float64]) -> Block:
        rounded = coefficients.astype(columns.dtype)
        out = np.empty((len(columns), coefficients.shape[1]), dtype=columns.dtype)
        self._pool.map(lambda rows: np.matmul(columns[rows], rounded, out=out[rows]), self._rows)
        return out

"""The cost model: how long a query takes, from what it did.

An index is chosen by counted work, as measured times differ on a busy machine: the same items
and settings give the same index everywhere. `python -m benchmarks.index --costs` fits the constants
to the times of queries; they hold the parts of a query in proportion to each other, so that a
machine twice as fast chooses alike.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.index.quantized import PER_BLOCK


@dataclass(frozen=True)
class CostModel:
    """Nanoseconds of each part of a query; `recsys.index.kernel.COUNTED` says what is counted.

    Parameters
    ----------
    query : float
        What every query takes.
    masked, excluded, hit, listed : float
        Of each that is counted.
    block, code_byte : float
        To score sixteen items by their codes: in any case, and for each byte of these.
    node, vector, vector_byte : float
        To find a node of the forest, and an embedding; and for each byte of either.
    """

    query: float = 5400.0
    masked: float = 0.05
    excluded: float = 7.0
    block: float = 6.5
    code_byte: float = 0.0083
    hit: float = 9.7
    node: float = 34.0
    vector: float = 14.5
    vector_byte: float = 0.017
    listed: float = 118.0

    def nanoseconds(self, work: NDArray[np.number], factors: int) -> NDArray[np.float64]:
        """Return what queries cost.

        Parameters
        ----------
        work : ndarray, shape (n, 7)
            Counts of each query, or means of counts, in the order of `COUNTED`.
        """
        cost = np.full(len(work), self.query)  # (n,)
        for count, each in zip(work.T, self._of_each(factors), strict=True):
            cost += count * each
        return cost

    def _of_each(self, factors: int) -> list[float]:
        """Return what one of each of `COUNTED` costs."""
        code_bytes, vector_bytes = bytes_of(factors)
        return [
            self.masked,
            self.excluded,
            self.block + self.code_byte * code_bytes,
            self.hit,
            self.node + self.vector_byte * vector_bytes,
            self.vector + self.vector_byte * vector_bytes,
            self.listed,
        ]


def bytes_of(factors: int) -> tuple[int, int]:
    """Return the bytes of a block of codes and of an embedding."""
    return PER_BLOCK * 4 * (1 + -(-factors // 4)), 4 * factors


COSTS = CostModel()
"""The model that the build uses, and that the manifest records."""

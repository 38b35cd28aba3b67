"""A sample by strata of popularity: all of the head, and as much of each rarer stratum."""

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.base.splitmix import splitmix64
from recsys.vectors import Ids


@dataclass(frozen=True)
class Stratum:
    """Rows of similar popularity, from `low` to `high`, and how many of them were drawn."""

    low: int
    high: int
    n: int
    n_drawn: int

    def __str__(self) -> str:
        range_ = f"{self.low:,}" if self.low == self.high else f"{self.low:,} - {self.high:,}"
        return f"{self.n_drawn:,} of {self.n:,} of popularity {range_}"


@dataclass(frozen=True, eq=False)
class StratifiedSample:
    """Rows that were drawn, ascending, and the strata, the most popular first."""

    rows: NDArray[np.int32]
    strata: tuple[Stratum, ...]


def stratified_sample(
    popularity: NDArray[np.integer], ids: Ids, most: int, *, seed: int = 0
) -> StratifiedSample:
    """Draw at most so many rows, as many of each stratum of popularity as there are or fit.

    A stratum is a power of two: 1, 2 - 3, 4 - 7 and so on. Each gives as many rows as the others;
    what one does not have, the others give. So the popular ones, of which there are few, are all
    there, and the many rare ones are shown by a sample. Whether a row is drawn before another of
    its stratum depends on its id alone: from day to day the same ones are.

    Parameters
    ----------
    popularity : ndarray of int, shape (n,)
    ids : Ids
        Of the n rows.
    """
    power = np.floor(np.log2(np.maximum(popularity, 0.5))).astype(np.int64)  # -1 for 0
    powers, stratum_of, sizes = np.unique(power, return_inverse=True, return_counts=True)
    quotas = _equal_quotas(sizes, most)
    order = np.lexsort((_keys(ids, seed), stratum_of))
    starts = np.cumsum(sizes) - sizes
    drawn = [order[start : start + quota] for start, quota in zip(starts, quotas, strict=True)]
    strata = tuple(
        _stratum(popularity[stratum_of == number], int(quotas[number]))
        for number in reversed(range(len(powers)))
    )
    return StratifiedSample(np.sort(np.concatenate([*drawn, []])).astype(np.int32), strata)


def _equal_quotas(sizes: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Return how many rows each stratum gives, at most so many in all."""
    quotas = np.zeros_like(sizes)
    left = min(most, int(sizes.sum()))
    for number, stratum in enumerate(np.argsort(sizes, kind="stable")):  # the smallest first
        quotas[stratum] = min(sizes[stratum], left // (len(sizes) - number))
        left -= int(quotas[stratum])
    return quotas


def _stratum(popularity: NDArray[np.integer], n_drawn: int) -> Stratum:
    return Stratum(int(popularity.min()), int(popularity.max()), len(popularity), n_drawn)


def _keys(ids: Ids, seed: int) -> NDArray[np.uint64]:
    """Return a number for each id that looks random, and is the same wherever the id stands."""
    hashes = np.fromiter(
        (zlib.crc32(str(id_).encode("utf-8", "surrogatepass")) for id_ in ids.tolist()),
        np.uint64,
        len(ids),
    )
    return splitmix64(hashes ^ splitmix64(np.array([seed], np.uint64)))

"""How often each user is drawn, compiled: most of the time of a bootstrap is spent drawing."""

import numpy as np
from numpy.typing import NDArray

from recsys.compiled.jit import compiled


@compiled()
def count_draws(seeds: NDArray[np.int64], counts: NDArray[np.float64]) -> None:
    """Draw as many of n units as there are, with replacement, and count them, row by row.

    The numbers are those of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), cut to the units by
    Lemire's product (2019); what he rejects to be exact is one of 2^32 / n draws, and is kept.

    Parameters
    ----------
    seeds : ndarray of int64, shape (n_resamples,)
        Where the sequence of each row starts.
    counts : ndarray of float64, shape (n_resamples, n)
        Is filled; each row sums to n. n is below 2^32.
    """
    n = np.uint64(counts.shape[1])
    for row in range(len(counts)):
        state, own = np.uint64(seeds[row]), counts[row]
        own[:] = 0
        for _ in range(len(own)):
            state += np.uint64(0x9E3779B97F4A7C15)
            mixed = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            own[((mixed ^ (mixed >> np.uint64(31))) >> np.uint64(32)) * n >> np.uint64(32)] += 1

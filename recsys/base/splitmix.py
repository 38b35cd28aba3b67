"""SplitMix64, a hash and a random sequence of 64 bits (Steele, Lea and Flood, OOPSLA 2014)."""

import numpy as np
from numpy.typing import NDArray

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 by the golden ratio: the step of the sequence


def splitmix64(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the number that follows a state; the next state is GOLDEN more.

    Takes uint64: an array, or in code that Numba compiles a number.
    """
    mixed: NDArray[np.uint64] = state + GOLDEN
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed

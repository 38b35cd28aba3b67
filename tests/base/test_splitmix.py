"""SplitMix64 gives the published numbers."""

import numpy as np

from recsys.base.splitmix import GOLDEN, splitmix64


def test_the_sequence_of_a_seed() -> None:
    """Of the seed 1234567, as Rosetta Code lists them (Pseudo-random numbers/Splitmix64)."""
    states = np.uint64(1234567) + np.arange(5, dtype=np.uint64) * GOLDEN
    assert splitmix64(states).tolist() == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]

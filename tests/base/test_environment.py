"""What a process measures of itself."""

import sys

import numpy as np
import pytest

from recsys.base.environment import peak_memory


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux reports it")
def test_the_peak_of_memory_is_of_the_block_alone() -> None:
    large = np.ones(64 * 2**20, dtype=np.uint8)
    del large
    with peak_memory() as small:
        pass
    with peak_memory() as peak:
        held = np.ones(128 * 2**20, dtype=np.uint8)
        del held
    assert small.n_bytes is not None
    assert peak.n_bytes is not None
    assert small.n_bytes < 16 * 2**20
    assert 128 * 2**20 <= peak.n_bytes + 2**20 < 160 * 2**20

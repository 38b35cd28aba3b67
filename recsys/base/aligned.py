"""Arrays that start with a cache line, for compiled code that reads whole lines."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_LINE = 64  # bytes of a cache line


def aligned_zeros(n_rows: int, width: int, dtype: type[np.generic] = np.float32) -> NDArray[Any]:
    """Return zeros that start with a cache line.

    NumPy starts 16 bytes into one, so that every read of a register would touch two lines: the
    half-sweep over items was measured twice as slow.
    """
    n_bytes = n_rows * width * np.dtype(dtype).itemsize
    room = np.zeros(n_bytes + _LINE, dtype=np.uint8)
    first = -room.ctypes.data % _LINE
    return room[first : first + n_bytes].view(dtype).reshape(n_rows, width)

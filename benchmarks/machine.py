"""What this machine can do at most, and what starting costs."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import numpy as np


def data_folder() -> Path:
    """Return the folder of public logs, which are not in the repository."""
    folder = os.environ.get("RECSYS_DATA")
    if not folder:
        raise SystemExit(
            "RECSYS_DATA: expected the folder of public logs, got nothing; set it, as in "
            "RECSYS_DATA=logs python -m benchmarks.NAME (docs/results.md names them)"
        )
    return Path(folder)


def peak_flops() -> float:
    """Return the flops of a large float32 product on all cores."""
    square = np.random.default_rng(0).random((4096, 4096), dtype=np.float32)
    return 2 * 4096**3 / min(timed(lambda: square @ square) for _ in range(4))


def peak_bandwidth() -> float:
    """Return the bytes read and written by a copy that no cache holds, on one core."""
    source = np.zeros(64_000_000, dtype=np.float32)
    target = np.ones_like(source)
    return 2 * source.nbytes / min(timed(lambda: np.copyto(target, source)) for _ in range(5))


def timed(work: Callable[[], object]) -> float:
    """Return the seconds of one call."""
    start = perf_counter()
    work()
    return perf_counter() - start


def start_up() -> dict[str, float]:
    """Return the seconds of a first tiny fit in a fresh process, without and with a cache."""
    program = (
        "import time; start = time.perf_counter(); import numpy as np, scipy.sparse as sp;"
        "from recsys import ALS; ALS(factors=4).fit(sp.csr_array(np.eye(3, dtype=np.float32)));"
        "print(time.perf_counter() - start)"
    )
    with tempfile.TemporaryDirectory() as cache:
        env = {**os.environ, "NUMBA_CACHE_DIR": cache}
        return {
            name: float(subprocess.check_output([sys.executable, "-c", program], env=env))
            for name in ("compiling", "from the cache")
        }

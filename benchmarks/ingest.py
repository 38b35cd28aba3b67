"""Compare `read_log` with pandas on one log, each from file to CSR matrix in a fresh process.

    python -m benchmarks.ingest --rows 20000000
    python -m benchmarks.ingest --log events.parquet

Ours classifies every row, orders the events by time and keeps them as columns next to the matrix;
the pandas script only reads the two id columns, factorizes them and builds the matrix.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import scipy.sparse as sp

from benchmarks.make_log import write_log


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--log", type=Path, help="Parquet log with user_id and item_id")
    parser.add_argument("--rows", type=int, default=20_000_000, help="length of a generated log")
    parser.add_argument("--reader", choices=list(READERS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.reader:
        print(json.dumps(measure(READERS[arguments.reader], arguments.log)))
    elif arguments.log:
        compare(arguments.log)
    else:
        with tempfile.TemporaryDirectory() as folder:
            log = Path(folder) / "log.parquet"
            users, items = max(arguments.rows // 20, 1), max(arguments.rows // 100, 1)
            write_log(log, rows=arguments.rows, users=users, items=items)
            compare(log)


def compare(log: Path) -> None:
    """Measure every reader in its own process and print a table."""
    print(f"{'reader':<10}{'rows':>12}{'seconds':>10}{'rows/s':>12}{'peak MB':>10}")
    seconds = {}
    for reader in READERS:
        command = [sys.executable, "-m", "benchmarks.ingest", "--reader", reader, "--log", str(log)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        result = json.loads(done.stdout)
        seconds[reader] = result["seconds"]
        print(
            f"{reader:<10}{result['rows']:>12,}{result['seconds']:>10.2f}"
            f"{result['rows'] / result['seconds']:>12,.0f}{result['peak_mb']:>10,.0f}"
        )
    print(f"recsys is {seconds['pandas'] / seconds['recsys']:.2f} times as fast as pandas")


def measure(reader: Callable[[Path], tuple[int, sp.csr_array]], log: Path) -> dict[str, float]:
    """Run a reader here; the peak is that of this whole process, imports included."""
    start = time.perf_counter()
    rows, user_items = reader(log)
    seconds = time.perf_counter() - start
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"rows": rows, "pairs": user_items.nnz, "seconds": seconds, "peak_mb": peak_mb}


def read_with_recsys(log: Path) -> tuple[int, sp.csr_array]:
    from recsys.logs import read_log

    interactions = read_log(log)
    return len(interactions), interactions.user_items()


def read_with_pandas(log: Path) -> tuple[int, sp.csr_array]:
    import numpy as np
    import pandas as pd

    frame = pd.read_parquet(log, columns=["user_id", "item_id"])
    user_idx, users = pd.factorize(frame["user_id"])
    item_idx, items = pd.factorize(frame["item_id"])
    weight = np.ones(len(frame), dtype=np.float32)
    shape = (len(users), len(items))
    return len(frame), sp.coo_array((weight, (user_idx, item_idx)), shape=shape).tocsr()


READERS: dict[str, Callable[[Path], tuple[int, sp.csr_array]]] = {
    "recsys": read_with_recsys,
    "pandas": read_with_pandas,
}

if __name__ == "__main__":
    main()

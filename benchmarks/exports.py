"""Export a version of many users to every format: seconds, megabytes, memory.

``python -m benchmarks.exports --users 100000``; each format in a process of its own.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from recsys.export import FORMATS, export_version
from recsys.store import ModelSpec, Release, open_version, publish
from recsys.vectors import Embeddings, Ids

N_ITEMS, FACTORS = 50_000, 64


def make(store: Path, n_users: int) -> None:
    rng = np.random.default_rng(0)
    vectors = (rng.standard_normal((n, FACTORS)).astype(np.float32) for n in (n_users, N_ITEMS))
    release = Release(
        embeddings=Embeddings(*vectors),
        users=Ids([f"user-{row:08}" for row in range(n_users)]),
        items=Ids([f"item-{row:08}" for row in range(N_ITEMS)]),
        seen=sp.csr_array((n_users, N_ITEMS), dtype=np.float32),
        popularity=np.zeros(N_ITEMS, dtype=np.int64),
        model=ModelSpec("als", {"factors": FACTORS}),
    )
    publish(store, release)


def measure(store: Path, to: str, out: Path) -> None:
    content = open_version(store)
    before = time.perf_counter()
    export_version(content, to, out)  # type: ignore[arg-type]
    seconds = time.perf_counter() - before
    n_bytes = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    status = Path("/proc/self/status").read_text()  # getrusage would tell that of our parent
    peak = 1024 * int(status.partition("VmHWM:")[2].split()[0])
    print(json.dumps({"seconds": seconds, "bytes": n_bytes, "peak": peak}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        store, to, out = arguments.measure
        return measure(Path(store), to, Path(out))
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder, "store"), arguments.users)
        megabytes = (arguments.users + N_ITEMS) * FACTORS * 4 / 1e6
        print(
            f"{arguments.users:,} users, {N_ITEMS:,} items, {FACTORS} factors: {megabytes:.0f} MB"
        )
        print("| format | seconds | MB | peak MB of the process, mapped files among it |")
        print("|---|---:|---:|---:|")
        for to in FORMATS:
            command = [sys.executable, "-m", "benchmarks.exports", "--measure", f"{folder}/store"]
            command += [to, f"{folder}/{to}"]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found = json.loads(done.stdout)
            figures = f"{found['bytes'] / 1e6:.0f} | {found['peak'] / 1e6:.0f}"
            print(f"| {to} | {found['seconds']:.1f} | {figures} |")
    return None


if __name__ == "__main__":
    main()

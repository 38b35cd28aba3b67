"""A full-ranking evaluation compared to the bare matrix product and to RecTools.

    RECSYS_DATA=... python -m benchmarks.evaluation [--quick] [--rounds 5] [--no-peer]

Reads the fixed Gowalla split (29,858 users, 40,981 items) from the folder that ``RECSYS_DATA``
names; vectors are those of our ALS with 128 factors, or random ones
with ``--quick``. RecTools runs in the environment of ``make peers``. Prints two Markdown tables:
what was asked for next to what was measured, and where the time goes.
"""

import argparse
import json
import os
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from time import process_time, thread_time
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from benchmarks.machine import data_folder, timed
from recsys.base.environment import usable_cores
from recsys.evaluation import Evaluation, beyond_accuracy, evaluate, held_out, ranking
from recsys.evaluation.held_out import DEFAULT_BATCH_BYTES
from recsys.evaluation.intervals import intervals_of
from recsys.evaluation.ranking import MAX_BLOCK_USERS
from recsys.models import ALS
from recsys.vectors import Embeddings

ROOT = Path(__file__).parents[1]
PEERS = ROOT / ".venv-peers" / "bin" / "python"
FACTORS, K = 128, 100
Seconds = tuple[float, float]  # by the clock, and of processor time
N_USERS, N_ITEMS = 29_858, 40_981
MEASURING = "metrics of the lists"
DIVERSITY_USERS = 300  # RecTools makes a Python tuple of each of 4,950 pairs of a user


def read(part: str) -> sp.csr_array:
    folder = data_folder()
    table = pq.read_table(folder / "gowalla" / f"{part}.parquet")
    pairs = (table["user"].to_numpy(), table["item"].to_numpy())
    weight = np.ones(len(table), dtype=np.float32)
    return sp.csr_array((weight, pairs), shape=(N_USERS, N_ITEMS))


def random_embeddings() -> Embeddings:
    rng = np.random.default_rng(0)
    return Embeddings(
        users=rng.standard_normal((N_USERS, FACTORS), dtype=np.float32),
        items=rng.standard_normal((N_ITEMS, FACTORS), dtype=np.float32),
    )


def bare_product(embeddings: Embeddings) -> None:
    """Score all pairs in the blocks of `evaluate`, each core its own, and keep nothing."""
    n_threads = usable_cores()
    buffers = [np.empty((MAX_BLOCK_USERS, N_ITEMS), dtype=np.float32) for _ in range(n_threads)]

    def score(block: int) -> None:
        users = embeddings.users[block * MAX_BLOCK_USERS : (block + 1) * MAX_BLOCK_USERS]
        np.matmul(users, embeddings.items.T, out=buffers[block % n_threads][: len(users)])

    with threadpool_limits(1, "blas"), ThreadPoolExecutor(n_threads) as threads:
        list(threads.map(score, range(-(-N_USERS // MAX_BLOCK_USERS))))


def in_turns(works: list[Callable[[], object]], rounds: int) -> list[list[Seconds]]:
    """Return seconds by the clock and of processor time of each, one after the other, in rounds."""
    found: list[list[Seconds]] = [[] for _ in works]
    for _ in range(rounds):
        for work, seconds in zip(works, found, strict=True):
            start = process_time()
            by_the_clock = timed(work)
            seconds.append((by_the_clock, process_time() - start))
    return found


def peak_megabytes(work: Callable[[], object]) -> float:
    """Return how far the memory of this process grows over what it holds."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = resident("VmRSS")
    work()
    return (resident("VmHWM") - before) / 1e6


def resident(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(name))
    return 1024 * int(line.split()[1])


def shares(work: Callable[[], object]) -> dict[str, float]:
    """Return the processor time of each part of an evaluation, over all threads."""
    seconds: defaultdict[str, float] = defaultdict(float)

    def measured(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            start = thread_time()
            found = function(*arguments, **options)
            seconds[name] += thread_time() - start
            return found

        return call

    parts = {
        "matrix product": (Embeddings, "scores"),
        "lists, hits and AUC": (ranking, "rank_block"),
        MEASURING: (held_out._UserMetrics, "take"),
        "of that, diversity": (beyond_accuracy, "_mean_cosines"),
    }
    with ExitStack() as patches:
        for name, (owner, attribute) in parts.items():
            function = measured(name, getattr(owner, attribute))
            patches.enter_context(patch.object(owner, attribute, function))
        start = process_time()
        work()
        total = process_time() - start
    inside = sum(part for name, part in seconds.items() if not name.startswith("of that"))
    return {**{name: seconds[name] for name in parts}, "the rest": total - inside}


def rectools(embeddings: Embeddings, train: sp.csr_array, test: sp.csr_array) -> dict[str, Any]:
    """Let RecTools rank and measure; return its metrics and its own seconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part, matrix in (("train", train), ("test", test)):
            user, item = matrix.nonzero()
            pq.write_table(pa.table({"user": user, "item": item}), folder / f"{part}.parquet")
        for part, vectors in (("users", embeddings.users), ("items", embeddings.items)):
            column = pa.FixedSizeListArray.from_arrays(vectors.ravel(), vectors.shape[1])
            pq.write_table(pa.table({"embedding": column}), folder / f"{part}.parquet")
        script = ROOT / "benchmarks" / "rectools_peer.py"
        program = [str(part) for part in (PEERS, "-I", script, folder, K)]
        # Its ranker has threads of its own and warns of BLAS having them too.
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        options = ["--n-items", str(N_ITEMS), "--diversity", str(DIVERSITY_USERS)]
        subprocess.run([*program, *options], check=True, env=environment)
        found: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return found


def peer_rows(
    ours: Evaluation, whole: Seconds, measuring: float, theirs: dict[str, Any]
) -> list[str]:
    """Return the rows of RecTools, after a look at whether it measured the same."""
    for name in ("recall", "ndcg", "mrr", "coverage"):
        assert abs(ours.metrics[f"{name}@{K}"] - theirs["metrics"][name]) < 1e-4, name
    found = {name: np.array(seconds) for name, seconds in theirs["seconds"].items()}
    found["diversity"] *= ours.n_users / DIVERSITY_USERS
    most = found["rank"] + found["metrics"]
    rows = [
        f"| RecTools: {name} | | {clock:.1f} s ({cpu:.1f}) |"
        for name, (clock, cpu) in zip(
            ("ranking", "11 metrics", f"diversity, of {DIVERSITY_USERS} users, scaled up"),
            found.values(),
            strict=True,
        )
    ]
    for name, seconds in (("without", most), ("with", most + found["diversity"])):
        ratios = seconds / whole
        row_start = f"| RecTools {name} diversity over ours with all | 10 or more |"
        rows.append(f"{row_start} {ratios[0]:.1f} ({ratios[1]:.1f}) |")
    ratio = found["metrics"][1] / measuring
    rows.append(f"| its 11 metrics over all of ours, on given lists | 10 or more | ({ratio:.0f}) |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="random vectors")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-peer", action="store_true")
    given = parser.parse_args()
    train, test = read("train"), read("test")
    embeddings = random_embeddings() if given.quick else ALS(factors=FACTORS).fit(train)
    work = partial(evaluate, embeddings, train, test, K)
    ours = work()  # compiles
    product, whole = in_turns([partial(bare_product, embeddings), work], given.rounds)
    ratios = [median(b[at] / a[at] for a, b in zip(product, whole, strict=True)) for at in (0, 1)]
    intervals = in_turns([partial(intervals_of, ours.per_user)], given.rounds)[0]
    bound = f"{DEFAULT_BATCH_BYTES / 1e6:.0f} MB of scores"
    rows = [
        "| what | asked for | seconds by the clock (processor time) |",
        "|---|---|---:|",
        f"| matrix product alone, {FACTORS} factors | | {cell(medians(product))} |",
        f"| evaluate, k = {K}, {len(ours.metrics)} metrics | | {cell(medians(whole))} |",
        f"| times the product | 2 or less | {ratios[0]:.2f} ({ratios[1]:.2f}) |",
        f"| intervals of {len(ours.per_user)} metrics, when asked for | 1 to 2 s | "
        f"{cell(medians(intervals))} |",
        f"| memory beyond vectors and log | {bound} | {peak_megabytes(work):.0f} MB |",
    ]
    parts = shares(work)
    if not given.no_peer:
        theirs = rectools(embeddings, train, test)
        rows += peer_rows(ours, medians(whole), parts[MEASURING], theirs)
    print("\n".join(rows))
    print("\n| part | processor time | share |\n|---|---:|---:|")
    total = sum(part for name, part in parts.items() if not name.startswith("of that"))
    for name, part in parts.items():
        print(f"| {name} | {part:.2f} s | {part / total:.0%} |")


def medians(found: list[Seconds]) -> Seconds:
    return median(clock for clock, _ in found), median(cpu for _, cpu in found)


def cell(seconds: Seconds) -> str:
    return f"{seconds[0]:.2f} s ({seconds[1]:.2f})"


if __name__ == "__main__":
    main()

"""What attributes cost: processor seconds of ALS with titles and without, and of reading them.

    RECSYS_DATA=folder python -m benchmarks.attributes                     # the logs of cold.py
    python -m benchmarks.attributes --items 200000 --users 400000          # a generated catalogue

Fits with and without take turns, and medians are compared, so that what else the machine does
counts for both. A generated catalogue has titles of 8 words, of 60,000 as frequent as words are,
and 25 events for each user. Memory is the peak of the process, in GB,
after a first fit without titles and after all.
"""

import argparse
import resource
from collections.abc import Callable
from functools import partial
from time import process_time
from typing import TypeVar

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from benchmarks.cold import LOGS, Part
from recsys.features import FeatureEncoder, Features
from recsys.models import ALS

T = TypeVar("T")
_N_WORDS, _TITLE, _EVENTS = 60_000, 8, 25


def taken(work: Callable[[], T]) -> tuple[T, float]:
    """Return what work returns, and the seconds of the processor that it takes."""
    began = process_time()
    found = work()
    return found, process_time() - began


def generated(n_items: int, n_users: int) -> tuple[pa.Table, sp.csr_array]:
    """Return a table of titles, and a matrix of events."""
    rng = np.random.default_rng(0)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(rng.choice(letters, size=n)) for n in rng.integers(3, 11, size=_N_WORDS)]
    often = 1 / (np.arange(_N_WORDS) + 10)
    drawn = rng.choice(_N_WORDS, size=(n_items, _TITLE), p=often / often.sum())
    titles = [" ".join(words[word] for word in row) for row in drawn.tolist()]
    popularity = 1 / (rng.permutation(n_items) + 50.0) ** 0.8
    item = rng.choice(n_items, size=n_users * _EVENTS, p=popularity / popularity.sum())
    user = np.repeat(np.arange(n_users), _EVENTS)
    ones = np.ones(len(item), dtype=np.float32)
    matrix = sp.csr_array((ones, (user, item)), shape=(n_users, n_items))
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return pa.table({"title": titles}), matrix


def measure(
    name: str, table: pa.Table, columns: dict[str, str], matrix: sp.csr_array, times: int
) -> None:
    """Print a row of the table."""
    encoder, learning = taken(lambda: FeatureEncoder.learn(table, columns))
    encoded, encoding = taken(lambda: encoder.rows(table))
    features, model = Features(items=encoded), ALS()
    for described in (None, features):  # what is compiled first
        ALS(iterations=3).fit(matrix[:1000], features=described)
    plain: list[float] = []
    with_titles: list[float] = []
    peaks = []
    for _ in range(times):
        for described, seconds in ((None, plain), (features, with_titles)):
            seconds.append(taken(partial(model.fit, matrix, features=described))[1])
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)
    without, others = float(np.median(plain)), float(np.median(with_titles))
    print(
        f"| {name} | {matrix.nnz:,} | {encoded.shape[0]:,} x {encoded.shape[1]:,} | "
        f"{encoded.n_entries:,} | {learning + encoding:.2f} | {without:.2f} | {others:.2f} | "
        f"{others / without:.2f} | {peaks[0]:.2f} | {peaks[-1]:.2f} |",
        flush=True,
    )


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logs", nargs="+", choices=LOGS, default=list(LOGS))
    parser.add_argument("--items", type=int, help="Of a generated catalogue, in place of the logs.")
    parser.add_argument("--users", type=int, default=100_000, help="Of the generated events.")
    parser.add_argument("--times", type=int, default=7, help="That each is fitted.")
    given = parser.parse_args()
    print(
        "| log | pairs | features | entries | reading, s | fit | with attributes | times | GB | |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    if given.items:
        table, matrix = generated(given.items, given.users)
        measure("generated", table, {"title": "text"}, matrix, given.times)
        return
    for name in given.logs:
        part = Part.of(LOGS[name](), seed=0)
        measure(name, part.known, part.columns, part.train.user_items(), given.times)


if __name__ == "__main__":
    main()

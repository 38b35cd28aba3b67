"""What conditions cost at worst: time and memory of `where` over a million items.

Run: ``python -m benchmarks.conditions`` (a minute). Each condition is evaluated in a process of
its own. Bounds that hold for any text are in `recsys.serving.conditions`.
"""

import argparse
import multiprocessing
import resource
import time
from multiprocessing.connection import Connection

import numpy as np
import pyarrow as pa

from recsys.serving.conditions import MOST_COMPARISONS, MOST_PATTERN, MOST_PATTERNS, parse
from recsys.serving.matching import matching_rows

_MB = 1024  # in units of ru_maxrss on Linux


def conditions() -> dict[str, str]:
    """Return conditions by what they are, from the ordinary to the worst that is allowed."""
    most = MOST_COMPARISONS
    values = ", ".join(f"'{n}'" for n in range(1500))
    return {
        "one comparison": "price < 20",
        "two, and a list": "price < 20 and brand in ('b1', 'b2') and 'g3' in genres",
        "like": "title like '%number 77%'",
        "in 1,500 texts": f"title in ({values})",
        f"{most} comparisons": " or ".join(["price < 20"] * most),
        f"{most} lists": " or ".join(["'no such' in genres"] * most),
        f"{most} texts": " or ".join(["title < 'a'"] * most),
        "a pattern of 'a_%'": f"title ilike '{('%a_' * most)[: MOST_PATTERN - 1]}'",
        f"{MOST_PATTERNS} patterns": " and ".join(["title like '%1%a%e%_%i%'"] * MOST_PATTERNS),
        f"{MOST_PATTERNS} long patterns": " or ".join(
            [f"title ilike '{'%a_%e' * 39}x'"] * MOST_PATTERNS
        ),
    }


def measured(condition: str, table: pa.Table) -> tuple[float, float, int]:
    """Return seconds, megabytes above those of the table, and matches."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("fork").Process(
        target=_measure, args=(condition, table, theirs)
    )
    process.start()
    found: tuple[float, float, int] = ours.recv()
    process.join()
    return found


def _measure(condition: str, table: pa.Table, answer: Connection) -> None:
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    matches = int(matching_rows(parse(condition), table).sum())
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    answer.send((seconds, (after - before) / _MB, matches))


def items(n: int) -> pa.Table:
    """Return a table of items like those of a shop."""
    rng = np.random.default_rng(0)
    brands = pa.array([f"b{number}" for number in range(200)])
    offsets = pa.array(np.arange(0, 3 * n + 1, 3, dtype=np.int32))
    genres = pa.array([f"g{number}" for number in range(20)]).take(
        pa.array(rng.integers(0, 20, 3 * n))
    )
    return pa.table(
        {
            "item_id": np.arange(n),
            "price": rng.gamma(2, 20, n),
            "brand": brands.take(pa.array(rng.integers(0, 200, n))),
            "title": pa.array(
                [f"A title of item number {number} in a catalogue" for number in range(n)]
            ),
            "genres": pa.ListArray.from_arrays(offsets, genres),
        }
    )


def main() -> None:
    """Print a table of conditions, seconds and megabytes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    table = items(parser.parse_args().items)
    print(f"{'condition':24} {'seconds':>8} {'MB':>8} {'matches':>10}")
    for name, condition in conditions().items():
        seconds, megabytes, matches = measured(condition, table)
        print(f"{name:24} {seconds:8.3f} {megabytes:8.1f} {matches:10,}")


if __name__ == "__main__":
    main()

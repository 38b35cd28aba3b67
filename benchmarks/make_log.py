"""Generate a large interaction log: seeded, popularity-skewed, in time order, in bounded memory.

    python -m benchmarks.make_log OUT.parquet --rows 20000000

Row groups of a million rows are written as they are drawn, so the size of the log is limited by
the disk. The same arguments give the same rows.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

START = 1_700_000_000  # unix seconds
ONE_YEAR = 365 * 86_400
EVENTS = pa.array(["view", "cart", "purchase"])
EVENT_SHARES = (0.85, 0.10, 0.05)
SCHEMA = pa.schema(
    {
        "user_id": pa.string(),
        "item_id": pa.string(),
        "event": pa.string(),
        "timestamp": pa.int64(),
    }
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("out", type=Path, help="Parquet file to write")
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    write_log(
        arguments.out,
        rows=arguments.rows,
        users=arguments.users,
        items=arguments.items,
        seed=arguments.seed,
    )


def write_log(path: Path, *, rows: int, users: int, items: int, seed: int = 0) -> None:
    """Write a log of `rows` events by about `users` users on about `items` items."""
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for batch in log_batches(rows=rows, users=users, items=items, seed=seed):
            writer.write_batch(batch, row_group_size=batch.num_rows)


def log_batches(
    *, rows: int, users: int, items: int, seed: int = 0, batch_rows: int = 1_000_000
) -> Iterator[pa.RecordBatch]:
    """Yield the log in parts, in time order."""
    rng = np.random.default_rng(seed)
    # Shuffled, so that neither the order of ids nor their first appearance shows popularity.
    user_numbers, item_numbers = rng.permutation(users), rng.permutation(items)
    for first in range(0, rows, batch_rows):
        n = min(batch_rows, rows - first)
        yield pa.RecordBatch.from_arrays(
            [
                _spelled("user", user_numbers[_skewed(rng, users, n, skew=1.5)]),
                _spelled("item", item_numbers[_skewed(rng, items, n, skew=3.0)]),
                EVENTS.take(pa.array(rng.choice(len(EVENTS), size=n, p=EVENT_SHARES))),
                pa.array(_times(rng, first, n, rows)),
            ],
            schema=SCHEMA,
        )


def _skewed(rng: np.random.Generator, n_values: int, n: int, skew: float) -> NDArray[np.int64]:
    """Draw ranks whose density falls as ``rank ** (1 / skew - 1)``: few heads, a long tail."""
    return (n_values * rng.random(n) ** skew).astype(np.int64)


def _spelled(prefix: str, numbers: NDArray[np.int64]) -> pa.Array:
    """Spell numbers as ids such as ``user-00000042``."""
    digits = pc.utf8_lpad(pa.array(numbers).cast(pa.string()), width=8, padding="0")
    return pc.binary_join_element_wise(prefix, digits, "-")


def _times(rng: np.random.Generator, first: int, n: int, rows: int) -> NDArray[np.int64]:
    """Draw sorted times inside this part's share of the year."""
    low, high = ONE_YEAR * first / rows, ONE_YEAR * (first + n) / rows
    return np.sort(START + rng.integers(int(low), max(int(high), int(low) + 1), n))


if __name__ == "__main__":
    main()

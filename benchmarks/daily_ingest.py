"""A log of many days, of which one is new: seconds to read all of it, and only that one.

python -m benchmarks.daily_ingest --days 60 --rows 100000
"""

import argparse
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd

from recsys.logs import LogCache, read_log


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--rows", type=int, default=100_000, help="of one day")
    parser.add_argument("--format", choices=("csv", "parquet"), default="csv")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder, cache = Path(place, "log"), LogCache(Path(place, "cache"))
        folder.mkdir()
        for day in range(options.days - 1):
            write_day(folder, day, options)
        read_log(folder, cache=cache)
        write_day(folder, options.days - 1, options)
        found = {}
        for name, how in (("all files", None), ("the new one", cache)):
            begun = perf_counter()
            found[name] = read_log(folder, cache=how)
            print(f"{name:>12}: {perf_counter() - begun:6.2f} s, {len(found[name]):,} events")
        a, b = found.values()
        assert (a.user_idx == b.user_idx).all()
        assert (a.item_idx == b.item_idx).all()
        assert a.users == b.users
        assert a.items == b.items


def write_day(folder: Path, day: int, options: argparse.Namespace) -> None:
    rng = np.random.default_rng(day)
    n = options.rows
    table = pd.DataFrame(
        {
            "user_id": np.char.add("u", rng.integers(0, 100_000, n).astype(str)),
            "item_id": np.char.add("i", rng.zipf(1.3, n).clip(max=20_000).astype(str)),
            "timestamp": 1_700_000_000 + 86_400 * day + np.sort(rng.integers(0, 86_400, n)),
        }
    )
    if options.format == "csv":
        table.to_csv(folder / f"{day:04}.csv", index=False)
    else:
        table.to_parquet(folder / f"{day:04}.parquet")


if __name__ == "__main__":
    main()

"""How many resamples the intervals of an evaluation need: time, and how far their ends vary.

    python -m benchmarks.intervals

Of 30,000 users and 15 metrics, most users at 0 and the others anywhere, as recall is. The ends of
an interval are random; their standard deviation over seeds is in per cent of half its width.
"""

from collections.abc import Iterator
from statistics import median
from time import process_time

import numpy as np
from numpy.typing import NDArray

from recsys.evaluation.intervals import bootstrap_intervals

N_USERS, N_METRICS = 30_000, 15
SEEDS = 10


def values() -> NDArray[np.float64]:
    rng = np.random.default_rng(0)
    return rng.random((N_USERS, N_METRICS)) * (rng.random((N_USERS, N_METRICS)) < 0.4)


def rows(per_user: NDArray[np.float64]) -> Iterator[str]:
    normal = 1.96 * per_user.std(axis=0, ddof=1) / np.sqrt(len(per_user))
    for n_resamples in (500, 1000, 2000, 4000):
        found, seconds = [], []
        for seed in range(SEEDS):
            start = process_time()
            found.append(bootstrap_intervals(per_user, n_resamples=n_resamples, seed=seed))
            seconds.append(process_time() - start)
        ends = np.array(found)  # (seeds, metrics, 2)
        half = (ends[..., 1] - ends[..., 0]).mean(axis=0) / 2
        spread = (ends.std(axis=0, ddof=1).mean(axis=1) / half).mean()
        yield (
            f"| {n_resamples:,} | {median(seconds):.2f} | {100 * spread:.1f} % | "
            f"{(half / normal).mean():.3f} |"
        )


def main() -> None:
    print("| resamples | processor s | ends vary by | half width over the normal one |")
    print("|---:|---:|---:|---:|")
    for row in rows(values()):
        print(row, flush=True)


if __name__ == "__main__":
    main()

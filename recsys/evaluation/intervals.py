"""Intervals of a mean over users, by resampling the users."""

from collections.abc import Iterator, Mapping
from math import inf, sqrt
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from recsys.base.jit import compiled
from recsys.base.splitmix import GOLDEN, splitmix64
from recsys.evaluation.metrics import AUC, METRICS, FloatArray

N_RESAMPLES = 2000
"""Resamples for the intervals of an evaluation.

The ends of an interval are themselves random. With this many, the standard deviation of an end
over seeds is 3 % of half the interval's width (``python -m benchmarks.intervals``).
"""

MAX_UNITS = 2**16
"""More users than this are resampled in groups, which bounds the time and the memory."""

_BLOCK_BYTES = 32 * 1024**2  # of random numbers and counts that are held at a time
_NORMAL = 1.959964  # half a 95 % interval, in standard deviations
_splitmix64: Any = njit(nogil=True, boundscheck=False, error_model="numpy")(splitmix64)


def intervals_of(per_user: Mapping[str, FloatArray]) -> dict[str, tuple[float, float]]:
    """Return a 95 % interval of the mean over users of each metric, by bootstrap over users.

    The same values give the same intervals. One user shows no spread: the interval
    is all that the metric can be, (0, 1) for those of `METRICS` and the AUC, for others infinite.
    """
    if not per_user:
        return {}
    units, sizes = _units(list(per_user.values()))
    found = {}
    for name, (low, high) in zip(per_user, _intervals(units, sizes).tolist(), strict=True):
        is_share = name.partition("@")[0] in {*METRICS, AUC}
        found[name] = (max(low, 0.0), min(high, 1.0)) if is_share else (low, high)
    return found


def bootstrap_intervals(
    values: FloatArray,  # (n_users, n_columns)
    *,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> FloatArray:  # (n_columns, 2)
    """Return 95 % intervals of column means: percentiles over resampled users (Efron 1979).

    Users above `MAX_UNITS` are dealt, in turn, into that many groups, which are resampled as
    wholes: a mean of so many groups varies as one of so many more users does. All columns are
    resampled together. The interval of one user is infinite.
    """
    return _intervals(*_units(list(values.T)), n_resamples, seed)


def margin_of_mean(per_user: FloatArray) -> float:
    r"""Return half the width of the 95 % interval of a mean, :math:`1.96 \, s / \sqrt{n}`.

    One value shows no spread: its margin is infinite.
    """
    if len(per_user) < 2:
        return inf
    return _NORMAL * float(per_user.std(ddof=1)) / sqrt(len(per_user))


def interval_of_ratio(
    parts: NDArray[np.integer], wholes: NDArray[np.integer]
) -> tuple[float, tuple[float, float]]:
    """Return the ratio of two sums, and its 95 % interval by linearization.

    Cochran 1977, section 6.3: it holds for many summands; that of a single one is infinite.
    """
    n, total = len(parts), float(wholes.sum())
    value = float(parts.sum()) / total
    if n < 2:
        return value, (-inf, inf)
    residuals = parts - value * wholes
    margin = _NORMAL * float(np.sqrt(n / (n - 1) * (residuals**2).sum())) / total
    return value, (value - margin, value + margin)


def resample_blocks(n: int, row_bytes: int) -> Iterator[slice]:
    """Cut n resamples into blocks that keep to the memory."""
    at_once = max(1, _BLOCK_BYTES // max(row_bytes, 1))
    for start in range(0, n, at_once):
        yield slice(start, min(start + at_once, n))


def _units(columns: list[FloatArray]) -> tuple[FloatArray, FloatArray]:
    """Return sums of each column over what is resampled, (n_units, n_columns), and users in it."""
    n_users = len(columns[0])
    n_units = min(n_users, MAX_UNITS)
    unit_of = np.arange(n_users, dtype=np.int32) % n_units
    sums = [np.bincount(unit_of, column, minlength=n_units) for column in columns]
    return np.column_stack(sums), np.bincount(unit_of).astype(np.float64)


def _intervals(
    units: FloatArray, sizes: FloatArray, n_resamples: int = N_RESAMPLES, seed: int = 0
) -> FloatArray:
    n_units, n_columns = units.shape
    if n_units < 2:
        return np.tile([-np.inf, np.inf], (n_columns, 1))
    means = np.empty((n_resamples, n_columns))
    # One sequence for each resample, so that blocks change nothing.
    seeds = np.random.default_rng(seed).integers(0, 2**63, n_resamples)
    for block in resample_blocks(n_resamples, 8 * n_units):
        counts = np.empty((block.stop - block.start, n_units))
        count_draws(seeds[block], counts)
        means[block] = (counts @ units) / (counts @ sizes)[:, None]
    intervals: FloatArray = np.percentile(means, [2.5, 97.5], axis=0).T
    return intervals


@compiled()
def count_draws(
    seeds: NDArray[np.int64],  # (n_resamples,): where the sequence of each row starts
    counts: NDArray[np.float64],  # out, (n_resamples, n); each row sums to n
) -> None:
    """Draw n of n units with replacement, row by row, and count how often each is drawn.

    The numbers are those of SplitMix64, cut to the units by Lemire's product (2019); what he
    rejects to be exact is one of 2^32 / n draws, and is kept. n is below 2^32.
    """
    n = np.uint64(counts.shape[1])
    for row in range(len(counts)):
        state, own = np.uint64(seeds[row]), counts[row]
        own[:] = 0
        for _ in range(len(own)):
            own[(_splitmix64(state) >> np.uint64(32)) * n >> np.uint64(32)] += 1
            state += GOLDEN

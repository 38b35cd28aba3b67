"""Counters of all workers, in a file of each, and their text for Prometheus.

A worker adds to its own file alone, mapped into memory, and whoever is asked sums over all of them:
also over those of workers that have ended, so that no counter goes back.
"""

import os
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.base.exposition import SampleLabels, family, head, sample
from recsys.service.problems import PROBLEMS

BOUNDS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
"""Seconds, the upper ends of the buckets."""

_STATUSES = tuple(sorted({200, 201, 202, 204, *(status for status, _ in PROBLEMS.values())}))


@dataclass(frozen=True)
class Counted:
    """Something that is counted beside answers: its metric, what that means, and its labels."""

    metric: str
    help: str
    labels: SampleLabels = field(default_factory=dict)


COUNTED = {
    "opened": Counted("recsys_service_opened_total", "Versions that workers took up."),
    "refused": Counted("recsys_service_refused_total", "Versions that workers could not open."),
} | {
    f"problem_{code}": Counted(
        "recsys_http_problems_total", "Answers that are problems, by code.", {"code": code}
    )
    for code in PROBLEMS
}
"""What `Counters.increase` takes, by name; those of one metric stand side by side."""

_PER_HISTOGRAM = len(BOUNDS) + 2  # with the bucket above all bounds, and the sum of seconds


class Counters:
    """Counts answers by route, status and source, and how long they took.

    Parameters
    ----------
    routes, sources : sequence of str
        What is counted apart; the empty source is that of an answer which is no list.
    folder : path, optional
        Where the files of all workers are. Default: this process counts for itself.
    """

    def __init__(
        self, routes: Sequence[str], sources: Sequence[str], folder: Path | None = None
    ) -> None:
        self._routes, self._sources = list(routes), list(sources)
        self._folder = folder
        n_pairs = len(routes) * len(sources)
        self._n_times = n_pairs * _PER_HISTOGRAM
        first = self._n_times + len(routes) * len(_STATUSES)
        self._counted = {name: first + number for number, name in enumerate(COUNTED)}
        n = first + len(COUNTED)
        if folder is None:
            values = np.zeros(n)
        else:
            path = folder / f"{os.getpid()}.counters"
            values = np.memmap(path, np.float64, "w+", shape=(n,))
        self._values = values
        self._added = memoryview(values.data).cast("B").cast("d")  # a fifth of what NumPy takes
        self._first_time = {
            (route, source): (a * len(sources) + b) * _PER_HISTOGRAM
            for a, route in enumerate(routes)
            for b, source in enumerate(sources)
        }
        self._first_status = {
            route: self._n_times + a * len(_STATUSES) for a, route in enumerate(routes)
        }
        self._status = {status: number for number, status in enumerate(_STATUSES)}

    def add(self, route: str, source: str, status: int, seconds: float) -> None:
        """Count one answer."""
        added, first = self._added, self._first_time[route, source]
        added[first + bisect_left(BOUNDS, seconds)] += 1
        added[first + _PER_HISTOGRAM - 1] += seconds
        added[self._first_status[route] + self._status[status]] += 1

    def increase(self, name: str, by: float = 1) -> None:
        """Count one of `COUNTED`, or several at once."""
        self._added[self._counted[name]] += by

    def totals(self) -> NDArray[np.float64]:
        """Return the sum over all workers."""
        if self._folder is None:
            return np.array(self._values)
        n_bytes = self._values.nbytes
        paths = [path for path in self._folder.glob("*.counters") if path.stat().st_size == n_bytes]
        found: NDArray[np.float64] = np.sum([np.fromfile(path) for path in paths], axis=0)
        return found

    def text(self) -> str:
        """Return the counters in the text exposition format of Prometheus, version 0.0.4."""
        return "".join(self._metrics(self.totals()))

    def _metrics(self, totals: NDArray[np.float64]) -> Iterator[str]:
        for metric, names in groupby(COUNTED, lambda name: COUNTED[name].metric):
            listed = [(COUNTED[name], float(totals[self._counted[name]])) for name in names]
            samples = [(one.labels, n) for one, n in listed if n or not one.labels]
            yield family(metric, listed[0][0].help, samples, "counter")
        answers = [
            ({"route": route, "status": str(status)}, float(totals[first + number]))
            for route, first in self._first_status.items()
            for status, number in self._status.items()
            if totals[first + number]
        ]
        name = "recsys_http_requests_total"
        yield family(name, "Answers by route and status.", answers, "counter")
        name = "recsys_http_request_seconds"
        yield head(name, "Time to make an answer, by route and source.", "histogram")
        for (route, source), first in self._first_time.items():
            counts = np.cumsum(totals[first : first + _PER_HISTOGRAM - 1]).tolist()
            if counts[-1]:
                labels = {"route": route, "source": source}
                for bound, n in zip((*map(str, BOUNDS), "+Inf"), counts, strict=True):
                    yield sample(f"{name}_bucket", labels | {"le": bound}, n)
                yield sample(f"{name}_sum", labels, float(totals[first + _PER_HISTOGRAM - 1]))
                yield sample(f"{name}_count", labels, counts[-1])

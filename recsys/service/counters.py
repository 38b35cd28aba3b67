"""Counters of all workers, in a file of each, and their text for Prometheus.

A worker adds to its own file alone, mapped into memory, and whoever is asked sums over all of them:
also over those of workers that have ended, so that no counter goes back.
"""

import os
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.base.exposition import family, head, sample

BOUNDS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
"""Seconds, the upper ends of the buckets."""

_STATUSES = (200, 204, 400, 401, 403, 404, 405, 408, 413, 414, 415, 422, 429, 431, 500, 503)
EVENTS = {
    "opened": "Versions that workers took up.",
    "refused": "Versions that workers could not open.",
}
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
        self._first_event = self._n_times + len(routes) * len(_STATUSES)
        n = self._first_event + len(EVENTS)
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

    def add_event(self, name: str) -> None:
        """Count one of `EVENTS`."""
        self._added[self._first_event + list(EVENTS).index(name)] += 1

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
        for number, (event, help_) in enumerate(EVENTS.items()):
            n = float(totals[self._first_event + number])
            yield family(f"recsys_service_{event}_total", help_, [({}, n)], "counter")
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

"""Counters of all workers, in a file of each, and their text for Prometheus.

A worker adds to its own file alone, mapped into memory, and whoever is asked sums over all of them:
also over those of workers that have ended, so that no counter goes back. A worker that begins adds
the files of those together, so that there are never many.
"""

import logging
import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.base.exposition import SampleLabels, family, head, sample
from recsys.base.locks import only_writer
from recsys.service.problems import PROBLEMS

log = logging.getLogger("recsys.service")

BOUNDS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10)
"""Seconds, the upper ends of the buckets."""

_STATUSES = tuple(sorted({200, 201, 202, 204, *(status for status, _ in PROBLEMS.values())}))


@dataclass(frozen=True)
class Counted:
    """Something that is counted beside answers: its metric, what that means, and its labels."""

    metric: str
    help: str
    labels: SampleLabels = field(default_factory=dict)


COUNTED = (
    {
        "started": Counted("recsys_service_worker_starts_total", "Workers that were started."),
        "opened": Counted("recsys_service_opened_total", "Versions that workers took up."),
        "refused": Counted("recsys_service_refused_total", "Versions that workers could not open."),
        "events_added": Counted("recsys_events_total", "Events kept.", {"outcome": "added"}),
        "events_repeated": Counted("recsys_events_total", "Events kept.", {"outcome": "repeated"}),
        "users_deleted": Counted(
            "recsys_events_users_deleted_total", "Users whose data was deleted."
        ),
        "events_lost": Counted(
            "recsys_events_unread_total", "Lists made without the events since the version."
        ),
    }
    | {
        f"problem_{code}": Counted(
            "recsys_http_problems_total", "Answers that are problems, by code.", {"code": code}
        )
        for code in PROBLEMS
    }
    | {
        f"{outcome}_{cache}": Counted(
            f"recsys_service_cache_{outcome}_total",
            f"What caches of workers {verb}.",
            {"cache": cache},
        )
        for outcome, verb in (("hits", "found"), ("misses", "had to make"))
        for cache in ("queries", "conditions", "groups")
    }
)
"""What `Counters.increase` takes, by name; those of one metric stand side by side."""

_BATCH = "batch"
_OF_USERS = ("user_recommendations", "recommendations", _BATCH)
_N_BUCKETS = len(BOUNDS) + 1  # with the one above all bounds
_PER_HISTOGRAM = _N_BUCKETS + 1  # and the sum of seconds
_LOCK = "lock"


def living_workers() -> set[int]:
    """Return this process and all others that its parent has started."""
    pids, parent = {os.getpid()}, os.getppid()
    with suppress(OSError):  # no /proc
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        pids |= {int(pid) for pid in children}
    return pids


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
        self._in_batches = {
            source: first + len(COUNTED) + number for number, source in enumerate(sources)
        }
        n = first + len(COUNTED) + len(sources)
        try:
            values = np.zeros(n) if folder is None else self._begun(folder, n)
        except OSError as error:  # a full disk: lists go on
            log.error("this worker counts for itself: %s", error)
            self._folder, values = None, np.zeros(n)
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
        self.increase("started")

    def _begun(self, folder: Path, n: int) -> NDArray[np.float64]:
        """Begin the file of this worker, and add up those of workers that have ended."""
        living = {f"{pid}.counters" for pid in living_workers() if pid != os.getpid()}
        with only_writer(folder / _LOCK):
            ended = [path for path in folder.glob("*.counters") if path.name not in living]
            total = sum((np.fromfile(path) for path in ended), start=np.zeros(n))
            new = folder / "ended.new"
            total.tofile(new)
            for path in ended:
                path.unlink()
            new.replace(folder / "ended.counters")
            path = folder / f"{os.getpid()}.counters"
            with path.open("wb") as file:  # all of it: a page that a full disk lacks is a SIGBUS
                os.posix_fallocate(file.fileno(), 0, 8 * n)
            return np.memmap(path, np.float64, "r+", shape=(n,))

    def add(self, route: str, source: str, status: int, seconds: float) -> None:
        """Count one answer."""
        added, first = self._added, self._first_time[route, source]
        added[first + bisect_left(BOUNDS, seconds)] += 1
        added[first + _N_BUCKETS] += seconds
        added[self._first_status[route] + self._status[status]] += 1

    def increase(self, name: str, by: float = 1) -> None:
        """Count one of `COUNTED`, or several at once."""
        self._added[self._counted[name]] += by

    def add_lists(self, sources: Iterable[str]) -> None:
        """Count the lists of a batch."""
        for source in sources:
            self._added[self._in_batches[source]] += 1

    def totals(self) -> NDArray[np.float64]:
        """Return the sum over all workers."""
        if self._folder is None:
            return np.array(self._values)
        with only_writer(self._folder / _LOCK):
            paths = self._folder.glob("*.counters")
            found: NDArray[np.float64] = np.sum([np.fromfile(path) for path in paths], axis=0)
        return found

    def text(self) -> str:
        """Return the counters in the text exposition format of Prometheus, version 0.0.4."""
        return "".join(self._metrics(self.totals()))

    def _metrics(self, totals: NDArray[np.float64]) -> Iterator[str]:
        for metric, names in groupby(COUNTED, lambda name: COUNTED[name].metric):
            listed = [(COUNTED[name], float(totals[self._counted[name]])) for name in names]
            samples = [(one.labels, n) for one, n in listed]
            yield family(metric, listed[0][0].help, samples, "counter")
        answers = [
            ({"route": route, "status": str(status)}, float(totals[first + number]))
            for route, first in self._first_status.items()
            for status, number in self._status.items()
            if totals[first + number]
        ]
        name = "recsys_http_requests_total"
        yield family(name, "Answers by route and status.", answers, "counter")
        lists = self._lists(totals)
        name, help_ = "recsys_service_lists_total", "Lists by route and source, also in batches."
        yield family(name, help_, [one for one in lists if one[1]], "counter")
        fallbacks = [
            ({"route": labels["route"]}, n)
            for labels, n in lists
            if labels["source"] == "popular" and labels["route"] in _OF_USERS
        ]
        name, help_ = "recsys_service_fallbacks_total", "Lists of users that nothing is known of."
        yield family(name, help_, fallbacks, "counter")
        name = "recsys_http_request_seconds"
        yield head(name, "Time to make an answer, by route and source.", "histogram")
        for (route, source), first in self._first_time.items():
            counts = np.cumsum(totals[first : first + _N_BUCKETS]).tolist()
            if counts[-1]:
                labels = {"route": route, "source": source}
                for bound, n in zip((*map(str, BOUNDS), "+Inf"), counts, strict=True):
                    yield sample(f"{name}_bucket", labels | {"le": bound}, n)
                yield sample(f"{name}_sum", labels, float(totals[first + _N_BUCKETS]))
                yield sample(f"{name}_count", labels, counts[-1])

    def _lists(self, totals: NDArray[np.float64]) -> list[tuple[dict[str, str], float]]:
        found = [
            ({"route": route, "source": source}, float(totals[first : first + _N_BUCKETS].sum()))
            for (route, source), first in self._first_time.items()
            if source and route != _BATCH
        ]
        return found + [
            ({"route": _BATCH, "source": source}, float(totals[place]))
            for source, place in self._in_batches.items()
            if source
        ]

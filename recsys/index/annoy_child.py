"""The program of the process that uses Annoy: test it, build a forest, and write its file.

It imports nothing but a few modules of the standard library that every Python has loaded or loads
at once: to start it takes longer than to build a small forest.
"""

import marshal
import math
import os
import signal
import sys
from _thread import start_new_thread
from operator import mul

TYPE_CHECKING = False  # as in typing, whose import takes its time
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

_METRIC = "angular"
_N_TESTED, _FACTORS_TESTED, _TREES_TESTED, _K_TESTED = 300, 8, 5, 10
_N_QUERIES = 10  # of the test, as plain Python takes its time
_EVERYTHING = 10**6  # candidates: more than there are points to test


def _main() -> None:
    """Do what the parent asks for on stdin, and answer by a kind and a text on stdout."""
    import resource

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and ends this
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    task = marshal.load(sys.stdin.buffer)  # noqa: S302
    start_new_thread(_end_with_parent, ())
    sys.path[:] = task["sys.path"]
    print(repr(_outcome(task)), flush=True)  # noqa: T201


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


def _outcome(task: "dict[str, Any]") -> tuple[str, str]:
    try:
        from annoy import AnnoyIndex

        failure = _failure_of(AnnoyIndex)
        if failure is not None:
            return "unusable", f"annoy fails its test: {failure}"
        forest = _forest_of(AnnoyIndex, task)
    except Exception as error:
        return "unusable", f"annoy fails: {type(error).__name__}: {error}"
    try:
        forest.save(task["name"])
    except OSError as error:
        return "write", str(error)
    return "built", ""


def _forest_of(kind: "Any", task: "dict[str, Any]") -> "Any":
    from mmap import PROT_READ, mmap

    factors = task["factors"]
    with (
        mmap(task["points"], 0, prot=PROT_READ) as mapped,
        memoryview(mapped) as raw,
        raw.cast("f") as numbers,
    ):
        starts = range(0, len(numbers), factors)
        points = (numbers[start : start + factors].tolist() for start in starts)
        return _built(kind, factors, points, task["trees"], task["seed"])


def _built(kind: "Any", factors: int, points: "Any", trees: int, seed: int) -> "Any":
    forest = kind(factors, _METRIC)
    forest.set_seed(seed)
    for number, point in enumerate(points):
        forest.add_item(number, point)
    forest.build(trees, n_jobs=1)  # each thread would draw numbers of its own
    return forest


def _failure_of(kind: "Any") -> str | None:
    """Return what a forest over known points gets wrong; None if nothing."""
    points = _known_points()
    forest = _built(kind, _FACTORS_TESTED, points, _TREES_TESTED, seed=0)
    for number, point in enumerate(points[:_N_QUERIES]):
        if forest.get_nns_by_vector(point, 1, 1) != [number]:  # in the first leaf of its tree
            return "a point does not find itself"
        found = forest.get_nns_by_vector(point, _K_TESTED, _EVERYTHING)
        if set(found) != set(_nearest(point, points)):
            return "the nearest of all points are others"
    return None


def _known_points() -> list[list[float]]:
    """Draw points of length 1, by a linear congruential generator."""
    state, points = 1, []
    for _ in range(_N_TESTED):
        point = []
        for _ in range(_FACTORS_TESTED):
            state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
            point.append(state / 2**63 - 1)
        length = math.hypot(*point)
        points.append([coordinate / length for coordinate in point])
    return points


def _nearest(point: "Sequence[float]", points: "Sequence[Sequence[float]]") -> list[int]:
    products = [sum(map(mul, point, other)) for other in points]
    return sorted(range(len(points)), key=products.__getitem__, reverse=True)[:_K_TESTED]


if __name__ == "__main__":
    _main()

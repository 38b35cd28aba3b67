"""Annoy, which is optional: the only file that imports it, and only in a process of its own.

A build of Annoy for another processor ends the process that uses it by SIGILL or SIGSEGV, or makes
trees that find nothing. So a child builds the forest, after a test of Annoy on points whose answers
are known. Whatever happens to it, the parent gets an `AnnoyError` and can do without.

The child runs this file as a program; that is why it imports nothing but the standard library.
"""

import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from operator import mul
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recsys.vectors import FloatMatrix

_METRIC = "angular"
_N_TESTED, _FACTORS_TESTED, _TREES_TESTED, _K_TESTED = 300, 8, 5, 10
_N_QUERIES = 10  # of the test, as plain Python takes its time
_EVERYTHING = 10**6  # candidates: more than there are points to test


class AnnoyError(Exception):
    """Annoy is not installed, fails its test, or died; the text says which."""


def build(points: "FloatMatrix", path: Path, *, trees: int, seed: int) -> None:
    """Build an angular forest over points, (n, factors), and write its file."""
    from tempfile import TemporaryFile  # not above: serving imports this file and builds nothing

    if not _is_installed():
        raise AnnoyError("annoy is not installed")
    with TemporaryFile(dir=path.parent) as file:
        file.write(points.data.cast("B"))
        file.flush()
        task = {
            "name": path.name,
            "points": file.fileno(),
            "factors": points.shape[1],
            "trees": trees,
            "seed": seed,
            "sys.path": list(map(os.path.abspath, sys.path)),
        }
        _run(task, path.parent)


def _is_installed() -> bool:
    try:
        return find_spec("annoy") is not None
    except (ImportError, ValueError):  # somebody keeps it from being imported
        return False


def _run(task: dict[str, Any], folder: Path) -> None:
    """Run a child to its end, and raise the error that it had."""
    from recsys.base.stopping import interruptible  # here: the child has no recsys

    answer = b""
    with _started(folder, task["points"]) as child, suppress(BrokenPipeError):
        # The pipe stays open. Where the parent dies or is interrupted it ends, and so does the
        # child, which would else go on writing to a folder that is cleared away.
        child.stdin.write(json.dumps(task).encode() + b"\n")
        with interruptible():
            answer = child.stdout.read()
    _raise_for(answer, child.returncode)


def _started(folder: Path, points: int) -> Any:
    try:
        return subprocess.Popen(
            [sys.executable, "-I", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            cwd=folder,
            pass_fds=[points],
        )
    except OSError as error:
        raise AnnoyError(f"a process for annoy cannot be started: {error}") from error


def _raise_for(answer: bytes, code: int) -> None:
    if code < 0:
        raise AnnoyError(f"annoy ended its process: {signal.strsignal(-code)}")
    try:
        kind, text = json.loads(answer.splitlines()[-1])
    except (ValueError, IndexError) as error:
        raise AnnoyError(f"annoy ended its process with exit code {code}") from error
    if kind == "write":
        raise OSError(text)
    if kind != "built":
        raise AnnoyError(text)


def _main() -> None:
    """Do what the parent asks for on stdin, and answer by a kind and a text on stdout."""
    import resource

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it, and ends this
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    task = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    sys.path[:] = task["sys.path"]
    print(json.dumps(_outcome(task)), flush=True)  # noqa: T201


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


def _outcome(task: dict[str, Any]) -> tuple[str, str]:
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


def _forest_of(kind: Any, task: dict[str, Any]) -> Any:
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


def _built(kind: Any, factors: int, points: Any, trees: int, seed: int) -> Any:
    forest = kind(factors, _METRIC)
    forest.set_seed(seed)
    for number, point in enumerate(points):
        forest.add_item(number, point)
    forest.build(trees, n_jobs=1)  # each thread would draw numbers of its own
    return forest


def _failure_of(kind: Any) -> str | None:
    """Return what a forest over known points gets wrong; None if nothing."""
    from random import Random

    draw = Random(0)  # noqa: S311
    points = [[draw.gauss(0, 1) for _ in range(_FACTORS_TESTED)] for _ in range(_N_TESTED)]
    forest = _built(kind, _FACTORS_TESTED, points, _TREES_TESTED, seed=0)
    for number, point in enumerate(points[:_N_QUERIES]):
        if forest.get_nns_by_vector(point, 1, 1) != [number]:  # in the first leaf of its tree
            return "a point does not find itself"
        expected = sorted(range(_N_TESTED), key=lambda other: -_cosine(point, points[other]))
        found = forest.get_nns_by_vector(point, _K_TESTED, _EVERYTHING)
        if set(found) != set(expected[:_K_TESTED]):
            return "the nearest of all points are others"
    return None


def _cosine(a: Sequence[float], b: Sequence[float]) -> float:
    product: float = sum(map(mul, a, b))
    return product / (math.hypot(*a) * math.hypot(*b))


if __name__ == "__main__":
    _main()

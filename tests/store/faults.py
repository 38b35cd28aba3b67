"""Write to a store under faults, in processes of its own; one JSON line per fault on stdout.

``kill``: a publisher dies by SIGKILL right before its n-th file operation, for every n.
``kill-activate``, ``-rollback``, ``-pin``, ``-unpin``, ``-prune``: the same of these, each time in
a copy of the store; then the copy is pruned.
``export``: the same of an export, each time to another folder.
``reader``: while a reader opens the current version, others are activated and it is pruned, right
before its n-th file operation, for every n.
``full``: no file may grow beyond a size, as on a full disk, for growing sizes.
``loop``: publish a number of versions, one after the other.
``pruning-loop``: the same, and prune after each.

Every writer is a fork of this process, which itself starts no threads.
"""

import os
import resource
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas  # noqa: F401
import pyarrow.parquet  # noqa: F401

from recsys.errors import StoreError
from recsys.export import export_version
from recsys.serving import open as open_store
from recsys.settings import IndexSettings
from recsys.store import (
    activate,
    activations,
    current,
    open_version,
    pin,
    pinned,
    prune,
    publish,
    rollback,
    unpin,
    verify,
    version_before,
    versions,
)
from tests.forks import GOT_THROUGH, in_fork, kill_before_operation, warm, write_line
from tests.store.releases import small_release

READING = {"os.listdir", "os.scandir", "fcntl.flock", "mmap.__new__"}


def report(store: str, known: frozenset[str] = frozenset(), **facts: object) -> None:
    """Write, from a fork, what a reader of the store finds; versions not known are verified."""

    def look() -> None:
        names = [version.name for version in versions(store)]
        for name in set(names) - known:
            verify(store, name)
        answer = open_store(store).recommend("u1", 3)
        found = {"current": current(store), "versions": names, "answered": answer.version}
        found |= {"before": version_before(store), "pinned": sorted(pinned(store))}
        write_line(**facts, **found, items=len(answer), activated=activations(store)[-1].version)

    if in_fork(look) != GOT_THROUGH:
        write_line(**facts, current=None)


def publish_one(store: str, seed: int, n_items: int = 30, kind: str = "exact") -> None:
    """Publish; without a forest unless asked, whose process takes most of the time."""
    publish(store, small_release(seed=seed, n_items=n_items), IndexSettings(kind=kind))


def kill(store: str) -> None:
    n, ended, known = 0, -signal.SIGKILL, frozenset[str]()
    while ended == -signal.SIGKILL:
        n += 1

        def publish_and_die(n: int = n) -> None:
            kill_before_operation(n, store)
            publish_one(store, seed=n)

        ended = in_fork(publish_and_die)
        report(store, known, n=n, ended=ended)
        known = frozenset(version.name for version in versions(store))


def untouched(store: str, copy: str) -> frozenset[str]:
    """Return the versions of a copy that have the files of the store, byte for byte."""
    folders = (Path(store, "versions"), Path(copy, "versions"))
    names = [version.name for version in versions(copy)]
    return frozenset(
        name for name in names if bytes_of(folders[0] / name) == bytes_of(folders[1] / name)
    )


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Return what the files of a folder hold, by their paths within it."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def kill_in_copies(store: str, what: str) -> None:
    """Kill one operation in copies of a store of four versions, of which the second is current.

    What has the bytes of the store is whole, as that was verified.
    """
    names = sorted(version.name for version in versions(store))
    for name in names:
        verify(store, name)
    work: dict[str, Callable[[str], Any]] = {
        "activate": lambda copy: activate(copy, names[3]),
        "rollback": rollback,
        "pin": lambda copy: pin(copy, names[2]),
        "unpin": lambda copy: unpin(copy, names[0]),
        "prune": lambda copy: prune(copy, 1),
    }
    n, ended = 0, -signal.SIGKILL
    while ended == -signal.SIGKILL:
        n += 1
        copy = f"{store}-{n}"
        shutil.copytree(store, copy)

        def die(n: int = n, copy: str = copy) -> None:
            kill_before_operation(n, copy)
            work[what](copy)

        ended = in_fork(die)
        report(copy, untouched(store, copy), n=n, ended=ended)
        prune(copy, 1)
        write_line(pruned=n, left=sorted(path.name for path in Path(copy, "versions").iterdir()))
        shutil.rmtree(copy)


def export(store: str) -> None:
    n, ended = 0, -signal.SIGKILL
    while ended == -signal.SIGKILL:
        n += 1
        out = Path(f"{store}-out", str(n))

        def die(n: int = n, out: Path = out) -> None:
            content = open_version(store)
            kill_before_operation(n, store)
            export_version(content, "numpy", out)

        ended = in_fork(die)
        files = {path.name: path.stat().st_size for path in out.glob("*")}
        write_line(n=n, ended=ended, files=files)


def disturb_before_operation(n: int, store: str, names: list[str]) -> list[int]:
    """Have this process activate two others and prune right before its n-th look at a file."""
    left = [n]

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        if left[0] > 0 and (
            event in READING or (event == "open" and str(arguments[0]).startswith(store))
        ):
            left[0] -= 1
            if left[0] == 0:
                activate(store, names[1])
                activate(store, names[2])
                prune(store, 1)

    sys.addaudithook(count)
    return left


def reader(store: str) -> None:
    names = sorted(version.name for version in versions(store))
    n, ended = 0, GOT_THROUGH
    while ended == GOT_THROUGH:
        n += 1
        copy = f"{store}-{n}"
        shutil.copytree(store, copy)
        activate(copy, names[0])

        def read(n: int = n, copy: str = copy) -> None:
            left = disturb_before_operation(n, copy, names)
            recommender = open_store(copy)
            lists = [recommender.recommend("u1", 3), recommender.recommend("nobody", 3)]
            lists.append(recommender.similar_items("i1", 3))
            title = recommender.describe("i1")["title"]
            there = Path(copy, "versions", recommender.version).exists()
            write_line(
                n=n,
                answered=recommender.version,
                items=[*map(len, lists)],
                title=title,
                there=there,
            )
            if left[0] > 0:
                os._exit(0)  # that was all

        ended = in_fork(read)
        shutil.rmtree(copy)
    write_line(ended=ended)


def full(store: str) -> None:
    for size in (1, 200, 1000, 4000, 10_000, 20_000, 30_000, 10**9):

        def publish_within(size: int = size) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            try:
                publish_one(store, seed=size, n_items=300, kind="annoy")
            except StoreError as error:
                write_line(refused=size, error=str(error))
            else:
                write_line(published=size)

        ended = in_fork(publish_within)
        debris = [path.name for path in Path(store, "versions").glob(".*")]
        report(store, size=size, ended=ended, debris=debris)


def loop(store: str, n_versions: int = 12, keep: int | None = None) -> None:
    for seed in range(1, n_versions + 1):
        publish_one(store, seed=seed, kind="annoy" if seed % 6 == 0 else "exact")
        if keep:
            prune(store, keep)


if __name__ == "__main__":
    mode, _, what = sys.argv[1].partition("-")
    if mode in ("kill", "full"):  # which fork: Numba is ready with the first function called
        small_release()
        warm()
    {
        "kill": lambda store: kill_in_copies(store, what) if what else kill(store),
        "export": export,
        "reader": reader,
        "full": full,
        "loop": loop,
        "pruning": lambda store: loop(store, 12, keep=1),
    }[mode](sys.argv[2])

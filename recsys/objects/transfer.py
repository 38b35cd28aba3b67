"""Many objects to files and back: several requests under way, of a bounded number of bytes."""

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path
from typing import TypeVar

from recsys.base.stopping import check_stop
from recsys.objects.bucket import Bucket, Facts, TakenError

_Task = TypeVar("_Task")
_Done = TypeVar("_Done")

PART_BYTES = 16 << 20
"""Of an object, that are asked for at once."""
_PARTS = 8  # that are under way, or wait until those before them are written
_FILES = 4  # that are written to a bucket at once, each in parts where it is long


@dataclass(frozen=True)
class Wanted:
    """An object that is to be written to a new file."""

    key: str
    facts: Facts
    path: Path


@dataclass(frozen=True)
class Fetched:
    """An object that is a file now.

    Parameters
    ----------
    sha256 : str or None
        In hexadecimal. None where the object is no longer the one that was wanted: no file is left.
    """

    wanted: Wanted
    sha256: str | None


def fetched(bucket: Bucket, wanted: Iterable[Wanted]) -> Iterator[Fetched]:
    """Write objects to files, one after the other, while parts of the next ones are on their way.

    A file may be moved before the next one is asked for, so that many can have one path.
    """

    def got(part: _Part) -> bytes | None:
        try:
            return bucket.part(part.of.key, part.start, part.end, part.of.facts.etag)
        except TakenError:
            return None

    parts = (part for one in wanted for part in _parts_of(one))
    for _, arriving in groupby(in_order(got, parts, _PARTS), lambda pair: pair[0].of):
        yield _written(arriving)


@dataclass(frozen=True)
class _Part:
    of: Wanted
    start: int
    end: int


def _parts_of(one: Wanted) -> Iterator[_Part]:
    size = one.facts.bytes
    for start in range(0, max(size, 1), PART_BYTES):
        yield _Part(one, start, min(start + PART_BYTES, size))


def _written(arriving: Iterator[tuple[_Part, bytes | None]]) -> Fetched:
    """Write the parts of one object, in their order."""
    digest, is_whole = hashlib.sha256(), True
    first = next(arriving)
    one = first[0].of
    with one.path.open("xb") as file:
        for _, content in chain([first], arriving):
            check_stop()
            if content is None:
                is_whole = False
                continue
            digest.update(content)
            file.write(content)
    if not is_whole:
        one.path.unlink()
    return Fetched(one, digest.hexdigest() if is_whole else None)


def upload(bucket: Bucket, files: Iterable[tuple[str, Path]]) -> None:
    """Write files to objects, several at a time; all are there when it returns."""
    for _ in in_order(lambda one: bucket.upload(*one), files, _FILES):
        check_stop()


def in_order(
    work: Callable[[_Task], _Done], tasks: Iterable[_Task], n: int
) -> Iterator[tuple[_Task, _Done]]:
    """Yield what some work makes of tasks, in their order; `n` are under way or done ahead."""
    pool = ThreadPoolExecutor(n, "recsys-objects")
    ahead: deque[tuple[_Task, Future[_Done]]] = deque()
    try:
        for task in tasks:
            ahead.append((task, pool.submit(work, task)))
            if len(ahead) == n:
                first, done = ahead.popleft()
                yield first, done.result()
        while ahead:
            first, done = ahead.popleft()
            yield first, done.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)

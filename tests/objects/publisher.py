"""Forks a publisher for each line of stdin, which never has talked to a bucket before.

A line is JSON: a list of publishers, each with the store, the seed of a small release, and the
environment. The answer is the numbers of the processes, and then how each ended: a line each.
"""

import json
import os
import sys
from typing import Any

import pandas  # noqa: F401
import pyarrow.parquet  # noqa: F401

from recsys.errors import RecsysError
from recsys.settings import IndexSettings
from recsys.store import publish
from tests.store.releases import small_release

SETTINGS = IndexSettings(kind="exact", similar_users=False)


def work(line: dict[str, Any]) -> int:
    os.environ.update(line["environment"])
    try:
        publish(line["store"], small_release(seed=line["seed"], titles=False), SETTINGS)
    except RecsysError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def main() -> None:
    for text in sys.stdin:
        pids = [forked(one) for one in json.loads(text)]
        for pid in pids:
            tell(pid)
        for pid in pids:
            tell(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def forked(line: dict[str, Any]) -> int:
    pid = os.fork()
    if pid == 0:
        os._exit(work(line))
    return pid


def tell(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

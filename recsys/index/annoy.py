"""Annoy, which is optional, and imported only in a process of its own.

A build of Annoy for another processor ends the process that uses it by SIGILL or SIGSEGV, or makes
trees that find nothing. So a child builds the forest, after a test of Annoy on points whose answers
are known. Whatever happens to it, the parent gets an `AnnoyError` and can do without.

The child runs ``annoy_child.py`` as a program.
"""

import marshal
import os
import signal
import subprocess
import sys
from ast import literal_eval
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys.base.stopping import interruptible
from recsys.index import annoy_child

if TYPE_CHECKING:
    from recsys.vectors import FloatMatrix


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
    answer = b""
    with _started(folder, task["points"]) as child, suppress(BrokenPipeError):
        # The pipe stays open. Where the parent dies or is interrupted it ends, and so does the
        # child, which would else go on writing to a folder that is cleared away.
        child.stdin.write(marshal.dumps(task))
        with interruptible():
            answer = child.stdout.read()
    _raise_for(answer, child.returncode)


def _started(folder: Path, points: int) -> Any:
    try:
        return subprocess.Popen(
            [sys.executable, "-I", annoy_child.__file__],
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
        kind, text = literal_eval(answer.splitlines()[-1].decode())
    except (ValueError, TypeError, SyntaxError, IndexError) as error:
        raise AnnoyError(f"annoy ended its process with exit code {code}") from error
    if kind == "write":
        raise OSError(text)
    if kind != "built":
        raise AnnoyError(text)

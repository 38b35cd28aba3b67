"""The command line in processes of their own, without the second or more that starting one takes.

A server imports the packages once and forks for each command: it has its own memory, folder,
environment, output and exit code, as any process has, and hears signals. Tests of starting and of
terminals start Python themselves.
"""

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory

TIMEOUT = 300
# What a command imports when it needs it. None of these starts threads, which a fork would lose.
PRELOADED = [
    "annoy",
    "duckdb",
    "numba",
    "pandas",
    "recsys.cli",
    "recsys.index.build",
    "recsys.models.als.sweep",
    "recsys.nightly",
    "tests.warm_fit",
    "tests.warm",
]

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(PRELOADED)


def run(
    *arguments: str | Path, cwd: Path | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, and return its exit code and what it wrote."""
    listed = [str(argument) for argument in arguments]
    return _run_process(_command, listed, cwd, env)


def interrupt(
    number: int, at: Sequence[str], *arguments: str | Path, cwd: Path | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run a command that is sent a signal once a line of its stderr holds some words.

    It sends the signal itself, right after the words: it cannot end before one that somebody sends
    who reads them.
    """
    listed = [str(number), *at, "--", *map(str, arguments)]
    return _run_process(_interrupted_command, listed, cwd, env)


def run_program(
    source: str, *arguments: str | Path, name: str = "program", cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a Python program to its end, warnings as errors; `name` is its file in tracebacks."""
    return _run_process(_program, [source, name, *map(str, arguments)], cwd, {})


def run_module(
    name: str, *arguments: str | Path, timeout: float = TIMEOUT
) -> subprocess.CompletedProcess[str]:
    """Run a module of these tests to its end as ``python -m`` does; it may fork in its turn."""
    listed = [name, *map(str, arguments)]
    return _run_process(_module, listed, None, {}, timeout)


def start_module(name: str, *arguments: str | Path, err: Path) -> BaseProcess:
    """Start what `run_module` runs; what it writes to stderr is in a file."""
    listed, env = [name, *map(str, arguments)], dict(os.environ)
    process = _SERVER.Process(
        target=_be_process, args=(_module, listed, None, env, Path(os.devnull), err)
    )
    process.start()
    return process


def _run_process(
    work: Callable[[list[str]], None],
    arguments: list[str],
    cwd: Path | None,
    env: dict[str, str],
    timeout: float = TIMEOUT,
) -> subprocess.CompletedProcess[str]:
    with TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        environment = {**os.environ, "NO_COLOR": "1", **env}
        if "COLUMNS" not in env:  # pytest-xdist sets it; a pipe has no width of its own
            environment.pop("COLUMNS", None)
        process = _SERVER.Process(
            target=_be_process, args=(work, arguments, cwd, environment, out, err)
        )
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            raise TimeoutError(f"{' '.join(arguments)[:200]}: {timeout} seconds were not enough")
        text = [path.read_text() if path.exists() else "" for path in (out, err)]
    return subprocess.CompletedProcess(arguments, process.exitcode, *text)


def _be_process(
    work: Callable[[list[str]], None],
    arguments: list[str],
    cwd: Path | None,
    env: dict[str, str],
    out: Path,
    err: Path,
) -> None:
    """Be a process of its own: folder, environment, output."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(env)
    if cwd is not None:
        os.chdir(cwd)
    for path, number in ((out, 1), (err, 2)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, number)
        os.close(file)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)  # noqa: SIM115
    work(arguments)


def _command(arguments: list[str]) -> None:
    sys.argv = ["recsys", *arguments]

    from recsys.cli import main

    main()


class _Interrupting(TextIOWrapper):
    """Writes to stderr, and sends this process a signal once a line holds some words."""

    def __init__(self, number: int, words: list[str]) -> None:
        super().__init__(open(2, "wb", closefd=False), "utf-8", line_buffering=True)  # noqa: SIM115
        self.number, self.words, self.line = number, words, ""

    def write(self, text: str) -> int:
        n_written = super().write(text)
        *ended, self.line = (self.line + text).split("\n")
        if self.words and any(all(word in line for word in self.words) for line in ended):
            self.words = []
            os.kill(os.getpid(), self.number)
        return n_written


def _interrupted_command(listed: list[str]) -> None:
    """Be `python -m recsys`, which hears signals before it imports the commands."""
    end = listed.index("--")
    number, *words = listed[:end]
    sys.argv = ["recsys", *listed[end + 1 :]]
    sys.stderr = _Interrupting(int(number), words)

    from recsys.__main__ import main

    main()


def _program(source_and_arguments: list[str]) -> None:
    source, *sys.argv = source_and_arguments
    warnings.simplefilter("error")
    exec(compile(source, sys.argv[0], "exec"), {"__name__": "__main__"})  # noqa: S102


def _module(name_and_arguments: list[str]) -> None:
    sys.argv = list(name_and_arguments)
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)

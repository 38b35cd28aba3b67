"""Progress for people: a bar on a terminal; a line now and then in a pipe or a file."""

import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import isfinite
from typing import Protocol, TextIO

from recsys.base.charts import sparkline
from recsys.base.errors import ConfigError, briefly
from recsys.base.stopping import check_stop

SECONDS = "RECSYS_PROGRESS_SECONDS"
"""The environment variable with the seconds between two lines, 15 by default; "inf" is never."""

_BAR_WIDTH = 24  # so that 80 columns hold a note as well

# C0 and C1 but for the line break, and what turns the direction of writing.
_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def printable(text: str, *, one_line: bool = False) -> str:
    r"""Return a text for a terminal: characters that would control it are spelled out.

    Examples
    --------
    >>> printable("red \x1b[31m")
    'red \\x1b[31m'
    """
    shown = _CONTROL.sub(lambda found: _spelled(found[0]), text)
    return shown.replace("\n", "\\n") if one_line else shown


def printable_json(value: object, *, indent: int | None = None, ascii_only: bool = False) -> str:
    """Return JSON, in ASCII where that is asked, or a character would control a terminal."""
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent, default=str)
    if printable(text) != text:
        text = json.dumps(value, ensure_ascii=True, indent=indent, default=str)
    return text.replace("\x7f", r"\u007f")


def _spelled(character: str) -> str:
    return character.encode("unicode_escape").decode()


def trend(values: Sequence[float], stream: TextIO, most: int = 16) -> str:
    """Return the last values as a sparkline, where a stream is a terminal that can show it.

    A pipe, a file and a terminal without the characters get none.
    """
    drawn = sparkline(values[-most:])
    try:
        drawn.encode(stream.encoding or "ascii")
    except UnicodeEncodeError:
        return ""
    return drawn if stream.isatty() else ""


def growing_trend(most: int = 12) -> Callable[[float], str]:
    """Return what draws a series on stderr as it grows, after a blank; "" as `trend` does."""
    terminal = sys.stderr  # a bar that is shown puts another in its place
    values: list[float] = []

    def drawn(value: float) -> str:
        values.append(value)
        return f" {trend(values, terminal, most)}".rstrip()

    return drawn


class OnStep(Protocol):
    """Is called after each step of some work."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Report the steps done, the steps in all, and a note for people."""


@contextmanager
def progress_bar(
    description: str, *, enabled: bool = True, each_step: bool = False
) -> Iterator[OnStep]:
    """Show on stderr how far the block has come.

    Parameters
    ----------
    description : str
        What is being done, a few words.
    enabled : bool
        False shows nothing.
    each_step : bool
        Write a line for each step in a pipe, however short after the last one.

    Yields
    ------
    OnStep
        Call it with the steps done and the steps in all. It raises the StoppedError of a signal
        that has come since.
    """
    if not (enabled and sys.stderr.isatty()):
        yield _Lines(description, each_step).on_step if enabled else _ignore
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(_BAR_WIDTH),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(printable(description), total=None, note="")

        def on_step(done: int, total: int, note: str = "") -> None:
            check_stop()
            bar.update(task, completed=done, total=total, note=note)

        yield on_step


@contextmanager
def spinner(step: str, *, enabled: bool = True) -> Iterator[Callable[[str], None]]:
    """Show on stderr what the block does at present.

    Yields
    ------
    callable
        Call it with the next step, a few words.
    """
    if not (enabled and sys.stderr.isatty()):
        yield _Lines().on_change if enabled else lambda step: check_stop()
        return
    from rich.console import Console
    from rich.text import Text

    def shown(step: str) -> Text:
        return Text(printable(step))

    with Console(stderr=True).status(shown(step)) as status:

        def update(step: str) -> None:
            check_stop()
            status.update(shown(step))

        yield update


def progress_line(line: str, *, enabled: bool = True) -> None:
    """Write to stderr what is done, where it is a pipe or a file."""
    if enabled and not sys.stderr.isatty() and isfinite(_seconds()):
        _write_line(line)


class _Lines:
    """Writes a line at the first step after every so many seconds, or at each step."""

    def __init__(self, what: str = "", each_step: bool = False) -> None:
        self._what, self._each_step = what, each_step
        self._pause = _seconds()
        self._began = time.monotonic()
        self._due = self._began + self._pause

    def on_step(self, done: int, total: int, note: str = "") -> None:
        """Write how much of the work is done."""
        self.on_change(f"{self._what}: {done:,} of {total:,}{f', {note}' if note else ''}")

    def on_change(self, step: str) -> None:
        """Write what is being done."""
        check_stop()
        now = time.monotonic()
        is_due = now >= self._due or (self._each_step and isfinite(self._pause))
        if not is_due:
            return
        self._due = now + self._pause
        _write_line(f"{step} ({now - self._began:.0f} s)")


def _write_line(line: str) -> None:
    sys.stderr.write(f"recsys: {printable(line, one_line=True)}\n")
    sys.stderr.flush()


def _seconds() -> float:
    text = os.environ.get(SECONDS, "15")
    try:
        return float(text)
    except ValueError:
        raise ConfigError(f"{SECONDS}: expected a number of seconds, got {briefly(text)}") from None


def _ignore(done: int, total: int, note: str = "") -> None:  # noqa: ARG001
    """Show nothing."""
    check_stop()

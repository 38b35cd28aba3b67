"""Progress for people: a bar on a terminal, silence in a pipe."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol


class OnStep(Protocol):
    """Is called after each step of some work."""

    def __call__(self, done: int, total: int, note: str = "") -> None:
        """Report the steps done, the steps in all, and a note for people."""


@contextmanager
def progress_bar(description: str, *, enabled: bool = True) -> Iterator[OnStep]:
    """Show a bar on stderr while the block runs, if stderr is a terminal.

    Parameters
    ----------
    description : str
        What is being done, a few words.
    enabled : bool
        False keeps the bar away from a terminal, too.

    Yields
    ------
    OnStep
        Call it with the steps done and the steps in all.
    """
    if not (enabled and sys.stderr.isatty()):
        yield _ignore
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=None, note="")

        def on_step(done: int, total: int, note: str = "") -> None:
            bar.update(task, completed=done, total=total, note=note)

        yield on_step


@contextmanager
def spinner(step: str, *, enabled: bool = True) -> Iterator[Callable[[str], None]]:
    """Show the present step on stderr while the block runs, if stderr is a terminal.

    Yields
    ------
    callable
        Call it with the next step, a few words.
    """
    if not (enabled and sys.stderr.isatty()):
        yield lambda step: None
        return
    from rich.console import Console

    with Console(stderr=True).status(step) as status:
        yield status.update


def _ignore(done: int, total: int, note: str = "") -> None:
    """Do nothing: stderr is not a terminal."""

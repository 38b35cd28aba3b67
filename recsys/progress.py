"""Progress for people: a bar on a terminal, silence in a pipe."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

OnStep = Callable[[int, int], None]
"""Called after each step of some work with the steps done and the steps in all."""


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
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(description, total=None)

        def on_step(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield on_step

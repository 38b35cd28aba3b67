"""The command line: thin commands over the library.

Exit codes: 0 done, 1 refused (bad data, a gate), 2 usage. One line on stderr per error that we
know; results go to stdout, progress to stderr.
"""

from typer.models import CommandInfo

from recsys.cli import (
    ask,
    compare,
    config,
    draw,
    evaluate,
    everybody,
    report,
    select,
    serve,
    store,
    train,
)
from recsys.cli.app import app, main

__all__ = [
    "app",
    "ask",
    "compare",
    "config",
    "draw",
    "evaluate",
    "everybody",
    "main",
    "report",
    "select",
    "serve",
    "store",
    "train",
]

_PANELS = {
    "From a log to a version": (
        *("train", "evaluate", "advise", "compare", "tune", "dimensions"),
        *("config", "datasets", "nightly", "refresh"),
    ),
    "From a version to lists": (
        *("recommend", "items", "similar", "explain", "batch", "audience"),
        *("serve", "explore"),
    ),
    "Versions": (
        *("status", "versions", "report", "drift", "verify", "activate", "rollback"),
        *("pin", "unpin", "prune", "map", "export"),
    ),
}


def _name_of(command: CommandInfo) -> str:
    return command.name or str(command.callback and command.callback.__name__)


def _arrange() -> None:
    """Put the commands in the order in which a newcomer meets them."""
    panels = {name: panel for panel, names in _PANELS.items() for name in names}
    order = list(panels)
    app.registered_commands.sort(key=lambda command: order.index(_name_of(command)))
    for command in app.registered_commands:
        command.rich_help_panel = panels[_name_of(command)]


_arrange()

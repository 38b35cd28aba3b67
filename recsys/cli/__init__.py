"""The command line: thin commands over the library.

Exit codes: 0 done, 1 refused (bad data, a gate), 2 usage. One line on stderr per error that we
know; results go to stdout, progress to stderr.
"""

import sys
import warnings

import typer

from recsys.base.errors import ConfigError, RecsysError
from recsys.cli import ask, select, store, train
from recsys.cli.app import app

__all__ = ["app", "ask", "main", "select", "store", "train"]


def main() -> None:
    """Run the command line; the entry point of the package."""
    warnings.showwarning = _show_warning
    try:
        app()
    except RecsysError as error:
        typer.echo(f"recsys: {error}", err=True)
        sys.exit(2 if isinstance(error, ConfigError) else 1)
    except KeyboardInterrupt:
        typer.echo("recsys: interrupted; nothing was published", err=True)
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stderr.close()
        sys.exit(0)


def _show_warning(message: Warning | str, *_where: object, **_how: object) -> None:
    """Write a warning as errors are written: one line, without the code that raised it."""
    typer.echo(f"recsys: warning: {message}", err=True)

"""The application: its entry point, and the arguments that commands share.

Commands call the library by its front door, `recsys`, which imports a room when a name of it is
first used: so a command imports at its start only what it needs, and needs no import of its own.
"""

import os
import sys
import warnings
from contextlib import suppress
from dataclasses import replace
from itertools import filterfalse
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

import recsys
from recsys.base.durable import NO_ROOM
from recsys.base.environment import installed_version
from recsys.base.errors import ConfigError, RecsysError
from recsys.base.stopping import StoppedError, stoppable
from recsys.cli.options import fetched
from recsys.cli.output import note, replace_what_cannot_be_written, say
from recsys.objects.address import CACHE

if TYPE_CHECKING:
    from recsys.config import Settings
    from recsys.logs import Interactions, RowCounts
    from recsys.tuning import Choice

app = typer.Typer(
    name="recsys",
    no_args_is_help=True,
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


STORE_HELP = "Default: $RECSYS_STORE, else ./store."
Store = Annotated[
    Path,
    typer.Option(
        "--store", envvar="RECSYS_STORE", help=STORE_HELP, show_envvar=False, show_default=False
    ),
]
DEFAULT_STORE = Path("store")
VersionOption = Annotated[str | None, typer.Option("--version", help="Default: the current one.")]
RejectsFile = Annotated[
    Path | None, typer.Option("--rejects", help="Where rows that cannot be used go (Parquet).")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
Out = Annotated[
    list[Path] | None,
    typer.Option(
        "--out",
        help="Also write the table: .csv .parquet .json .jsonl .md .html; repeatable.",
    ),
]
ListLength = Annotated[int, typer.Option("-k", min=1, help="Length of the list.")]
IncludeSeen = Annotated[bool, typer.Option("--include-seen", help="Keep what the user has seen.")]
Where = Annotated[
    str | None, typer.Option("--where", help="A condition on item attributes: price < 20")
]


@app.callback()
def common(
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Folder for copies of what lies in a bucket.")
    ] = None,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    """Interaction logs to embeddings, embeddings to recommendations."""
    if cache is not None:
        os.environ[CACHE] = str(cache.absolute())
    if version:
        say(f"recsys {installed_version() or 'of a checkout'}")
        raise typer.Exit


def main() -> None:
    """Run the command line; the entry point of the package."""
    warnings.showwarning = _show_warning
    replace_what_cannot_be_written()
    with stoppable(watched=True) as stop:
        try:
            app()
        except BaseException as error:
            if stop.number is not None and not isinstance(error, SystemExit):
                _end(stop.number)  # whatever a library has made of it
            _exit_with(error)


def _end(number: int) -> None:
    """End the process without waiting for threads, of which one may hang."""
    with suppress(OSError, ValueError):
        note(f"recsys: {StoppedError(number)}; nothing was published")
    os._exit(128 + number)


def _exit_with(error: BaseException) -> NoReturn:
    """Write the line of an error that we know, and exit with its code."""
    if isinstance(error, RecsysError):
        note(f"recsys: {error}")
        sys.exit(2 if isinstance(error, ConfigError) else 1)
    try:
        sys.stdout.flush()
    except OSError as failure:
        error = failure
    if isinstance(error, BrokenPipeError):  # the reader of our output has seen enough
        sys.stderr.close()
        sys.exit(0)
    if isinstance(error, OSError) and error.errno in NO_ROOM:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is left of it
        note(f"recsys: cannot write: {error.strerror}: {error.filename or 'the output'}")
        sys.exit(1)
    raise error


def _show_warning(message: Warning | str, *_where: object, **_how: object) -> None:
    """Write a warning as errors are written: one line, without the code that raised it."""
    _warned.add(str(message))
    note(f"recsys: warning: {message}")


_warned: set[str] = set()


def _was_warned_of(said: str) -> bool:
    """Whether a warning has said what a log notes of a file."""
    sentence, _, name = said.rpartition(": ")
    return f"log {name}: {sentence}" in _warned


def read_logged(
    settings: "Settings", rejects: Path | None = None
) -> "tuple[Interactions, Interactions | None]":
    """Read the log and its test part, if there is one; say on stderr what is read and tested."""
    settings.require_local("this command")
    source = fetched(settings) if settings.log.sql else settings.data.log
    log = recsys.read_log(source, settings.log, rejects=rejects, progress=True)
    test = recsys.inputs.read_test(settings)
    note_counts(log.row_counts, recsys.splits.say_few_tested(log, settings.evaluation, test))
    return log, test


def settings_of_file(config: Path | None) -> "Settings":
    """Return the settings of a config; the defaults without one."""
    return recsys.Settings() if config is None else recsys.config.read_config(config)


def note_counts(row_counts: "RowCounts", few: str | None = None) -> None:
    """Say on stderr what became of the rows of a log, but for what a warning has said."""
    counts = replace(row_counts, notes=tuple(filterfalse(_was_warned_of, row_counts.notes)))
    note(str(counts) if few is None else f"{counts}; {few}")


def choose_model(
    settings: "Settings", log: "Interactions", test: "Interactions | None"
) -> "Settings":
    """Choose the model where the settings name none, and say on stderr which and why."""
    settings, choice = recsys.training.with_model(settings, log, test, progress=True)
    if choice is not None:
        note_choice(choice)
    return settings


def note_choice(choice: "Choice") -> None:
    """Say on stderr which model was chosen, and why."""
    for sentence in choice.sentences:
        note(sentence)

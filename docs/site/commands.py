"""The reference of the command line: every command, with what its help says."""

from pathlib import Path
from typing import Any

import typer

from recsys.cli import app


def commands() -> dict[str, Any]:
    """Return every command by its name."""
    group: Any = typer.main.get_command(app)
    return dict(group.commands)


def write_commands(folder: Path) -> str:
    """Write the page of all commands and options, and return its name."""
    parts = [
        "# All options",
        "What `recsys COMMAND --help` prints. Exit codes and what holds for several commands are "
        "in [Commands](commands.md).",
        *(_described(name, command) for name, command in sorted(commands().items())),
    ]
    (folder / "options.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return "options.md"


def _described(name: str, command: Any) -> str:
    arguments = " ".join(one.metavar for one in command.params if not _is_option(one))
    usage = " ".join(f"recsys {name} {arguments} [OPTIONS]".split())
    rows = "\n".join(_row(one) for one in command.params if one.help)
    table = f"\n\n| option | what it does | default |\n|---|---|---|\n{rows}" if rows else ""
    return f"## recsys {name}\n\n{command.help}\n\n```sh\n{usage}\n```{table}"


def _row(parameter: Any) -> str:
    names = (*parameter.opts, *parameter.secondary_opts) if _is_option(parameter) else ()
    shown = " ".join(f"`{name}`" for name in names or [parameter.metavar.strip("[]")])
    default = parameter.default if _is_option(parameter) else None
    plain = "" if default is None or isinstance(default, bool) or callable(default) else default
    return f"| {shown} | {in_a_cell(parameter.help)} | {f'`{plain}`' if plain != '' else ''} |"


def _is_option(parameter: Any) -> bool:
    return bool(parameter.opts[0].startswith("-"))


def in_a_cell(text: str) -> str:
    """Return a text as Markdown shows it in a table, as it is."""
    for character in "\\|<*_[$":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())

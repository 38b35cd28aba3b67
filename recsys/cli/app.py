"""The application that commands belong to, and the arguments they share."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recsys.base.errors import ConfigError

if TYPE_CHECKING:
    from recsys.config import Settings

app = typer.Typer(
    name="recsys",
    help="Interaction logs to embeddings, embeddings to recommendations.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


Logs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="LOG...", help="Files, globs or folders; default: data.log of --config."
    ),
]
Config = Annotated[Path | None, typer.Option("--config", help="TOML file of settings.")]
Store = Annotated[
    Path | None, typer.Option("--store", help="Default: $RECSYS_STORE, else ./store.")
]
VersionOption = Annotated[str | None, typer.Option("--version", help="Default: the current one.")]
ModelName = Annotated[
    str | None, typer.Option("--model", help="als, svd, item2vec, softmax, blend, popularity.")
]
Rejects = Annotated[
    Path | None, typer.Option("--rejects", help="Where rows that cannot be used go (Parquet).")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
ListLength = Annotated[int, typer.Option("-k", min=1, help="Length of the list.")]
IncludeSeen = Annotated[bool, typer.Option("--include-seen", help="Keep what the user has seen.")]
Where = Annotated[
    str | None, typer.Option("--where", help="A condition on item attributes, in SQL.")
]


def settings_of(
    logs: Sequence[str] | None, config: Path | None, items: Path | None, model: str | None
) -> "Settings":
    """Combine the config with what the command line says; the command line wins."""
    from dataclasses import replace

    from recsys.config import Settings, read_config
    from recsys.models import model_from

    settings = read_config(config) if config else Settings()
    data = settings.data
    if logs:
        data = replace(data, log=list(logs))
    if items:
        data = replace(data, items=str(items))
    if not data.log:
        raise ConfigError("no log: name one on the command line, or as data.log in --config")
    if model:
        settings = replace(settings, model=model_from(model, {}))
    return replace(settings, data=data)

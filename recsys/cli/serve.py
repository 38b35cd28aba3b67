"""The command that answers over HTTP: serve."""

from pathlib import Path
from typing import Annotated

import typer

import recsys
from recsys.cli.app import DEFAULT_STORE, AsJson, Store, app
from recsys.cli.options import Changes, Config, LogOptions, with_options
from recsys.cli.output import note, print_json, say
from recsys.errors import ConfigError


@app.command()
def serve(
    store: Store = DEFAULT_STORE,
    config: Config = None,
    host: Annotated[
        str | None, typer.Option("--host", help="Default: 127.0.0.1; another needs --keys.")
    ] = None,
    port: Annotated[int | None, typer.Option("--port", help="Default: 8000.")] = None,
    workers: Annotated[int | None, typer.Option("--workers", help="Processes; default: 1.")] = None,
    keys: Annotated[Path | None, typer.Option("--keys", help="File of API keys.")] = None,
    tls_certificate: Annotated[
        Path | None, typer.Option("--tls-certificate", help="PEM file, with --tls-key.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option("--tls-key", help="PEM file.")] = None,
    changes: Changes = None,
    check: Annotated[bool, typer.Option("--check", help="Say whether it would start.")] = False,
    as_json: AsJson = False,
    new_key: Annotated[
        str | None, typer.Option("--new-key", metavar="NAME", help="Make a key in --keys.")
    ] = None,
    scopes: Annotated[
        list[str] | None,
        typer.Option("--scope", help="Of the new key: read, write, operate; repeatable."),
    ] = None,
) -> None:
    """Answer over HTTP from the current version, and from each that becomes current."""
    if new_key is not None:
        if keys is None:
            raise ConfigError("--new-key: expected --keys FILE to add its hash to, got none")
        say(recsys.service.new_key(keys, new_key, tuple(scopes or ("read",))))
        note(f"its hash is in {keys}; the key is kept nowhere: store it now")
        return
    typed = {
        "service.host": host,
        "service.port": port,
        "service.workers": workers,
        "service.keys": None if keys is None else str(keys),
        "service.tls_certificate": None if tls_certificate is None else str(tls_certificate),
        "service.tls_key": None if tls_key is None else str(tls_key),
    }
    try:
        tables = LogOptions(config=config, changes=changes).tables(keys=typed)
        found = recsys.config.settings_from(tables)
        settings = found.service
        if check:
            _show(recsys.service.check(store, settings, found.events), as_json=as_json)
            return
        words = ["refresh", "--json", "--store", str(store.absolute())]
        words += [] if config is None else ["--config", str(config.absolute())]
        words += [word for change in changes or () for word in ("--set", change)]
        recsys.service.serve(store, settings, events=found.events, refresh=words)
    except ConfigError as error:
        raise ConfigError(with_options(str(error))) from error


def _show(found: "recsys.service.StartCheck", *, as_json: bool) -> None:
    """Show what a check found; the first error ends the command."""
    if as_json:
        print_json(found.to_dict())
        if found.error is not None:
            raise typer.Exit(2 if isinstance(found.error, ConfigError) else 1)
        return
    for one in found.findings:
        if one.error is None or one.error is not found.error:
            note(f"{one.level}: {one.subject}: {with_options(one.detail)}")
    if found.error is not None:
        raise found.error
    version = "no version yet" if found.version is None else f"version {found.version}"
    say(f"would serve {version} at {found.url}")

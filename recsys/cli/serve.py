"""The commands that answer over HTTP: serve, and explore for a browser on this machine."""

import os
import socket
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

import recsys
from recsys.cli.app import DEFAULT_STORE, AsJson, Store, app
from recsys.cli.options import Changes, Config, LogOptions, with_options
from recsys.cli.output import note, print_json, say
from recsys.errors import ConfigError

_LOOPBACK = "127.0.0.1"
_SCREENS = {"DISPLAY", "WAYLAND_DISPLAY"}  # without one, a browser would take the terminal


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
        typer.Option("--scope", help="Of the new key: read, write, operate, audience; repeatable."),
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
            _show(recsys.service.check(store, settings, found.events, found.rules), as_json=as_json)
            return
        folder = recsys.store.store_folder(store).absolute()
        words = ["refresh", "--json", "--store", str(folder)]
        words += [] if config is None else ["--config", str(config.absolute())]
        words += [word for change in changes or () for word in ("--set", change)]
        recsys.service.serve(store, settings, events=found.events, rules=found.rules, refresh=words)
    except ConfigError as error:
        raise ConfigError(with_options(str(error))) from error


@app.command()
def explore(
    store: Store = DEFAULT_STORE,
    config: Config = None,
    port: Annotated[
        int | None, typer.Option("--port", help="Default: 8000, or a free one.")
    ] = None,
    changes: Changes = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in a browser.")
    ] = True,
) -> None:
    """Look at the lists of any user, item and version on a page of this machine."""
    from recsys.events.database import has_events

    found = recsys.config.settings_from(LogOptions(config=config, changes=changes).tables())
    store = recsys.store.store_folder(store)
    recsys.service.before_fork(recsys.store.find_version, store)  # the error of one without any
    here = replace(found.service, host=_LOOPBACK, workers=1, explore=True, refresh_minutes=None)
    here = replace(here, port=_free_port() if port is None else port)
    here = replace(here, tls_certificate=None, tls_key=None)
    # What is looked at is left as it is: no database of events is made.
    events = replace(found.events, enabled=has_events(store, found.events))

    def started() -> None:
        url = f"{here.url}/explore"
        say(url)
        sys.stdout.flush()
        if browser and sys.stdout.isatty() and (os.environ.keys() & _SCREENS or os.name != "posix"):
            import webbrowser

            webbrowser.open(url)

    recsys.service.serve(store, here, events=events, rules=found.rules, on_start=started)


def _free_port() -> int:
    """Return the usual port, or a free one where that is taken."""
    for port in (recsys.ServiceSettings().port, 0):
        with socket.socket() as tried:
            try:
                tried.bind((_LOOPBACK, port))
            except OSError:
                continue
            found: int = tried.getsockname()[1]
            return found
    return 0


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

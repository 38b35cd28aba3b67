"""The command that a timer starts."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from recsys.cli.app import app
from recsys.cli.arguments import AsJson, Store
from recsys.cli.output import console, note, print_json


@app.command()
def nightly(
    config: Annotated[Path, typer.Option("--config", help="TOML file of settings.")],
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Run the whole night: ingest, train, test, publish; go on after a crash."""
    from recsys.cli.arguments import settings_of
    from recsys.nightly import StoppedError, run_night
    from recsys.nightly.summary import summary

    try:
        report = run_night(settings_of(None, config, None, None), store, progress=True)
    except StoppedError as stopped:
        note(f"recsys: {stopped}; the next start goes on where this one was")
        sys.exit(128 + stopped.number)
    if as_json:
        print_json(report.to_dict())
    else:
        console().print(summary(report))

"""Commands on the versions of a store."""

from typing import Annotated

import typer

from recsys.cli.app import app
from recsys.cli.arguments import AsJson, Store
from recsys.cli.output import print_json, print_rows


@app.command()
def versions(store: Store = None, as_json: AsJson = False) -> None:
    """List the versions of a store, newest first."""
    from recsys.serving import store_path
    from recsys.store import current, versions

    folder = store_path(store)
    active = current(folder)
    rows = [
        {
            "version": found.name,
            "current": found.name == active,
            "status": found.manifest.status,
            "model": found.manifest.model["name"],
            "factors": found.manifest.factors,
            "users": found.manifest.n_users,
            "items": found.manifest.n_items,
        }
        for found in versions(folder)
    ]
    if as_json:
        print_json(rows)
    else:
        print_rows(rows, title=f"versions in {folder}")


@app.command()
def activate(
    version: Annotated[str, typer.Argument(metavar="VERSION")],
    store: Store = None,
    force: Annotated[bool, typer.Option("--force", help="Even if a gate refused it.")] = False,
) -> None:
    """Make a version the current one."""
    from recsys.serving import store_path
    from recsys.store import activate

    activate(store_path(store), version, force=force)
    typer.echo(f"current: {version}")


@app.command()
def verify(
    version: Annotated[
        str | None, typer.Argument(metavar="[VERSION]", help="Default: the current one.")
    ] = None,
    store: Store = None,
) -> None:
    """Check every file of a version against its manifest."""
    from recsys.serving import store_path
    from recsys.store import verify

    found = verify(store_path(store), version)
    typer.echo(f"{found.name}: every file is what its manifest says")

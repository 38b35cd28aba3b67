"""Commands on the versions of a store."""

from typing import Annotated

import typer

from recsys.cli.app import app
from recsys.cli.arguments import AsJson, Store
from recsys.cli.output import console, print_json, print_rows

VersionName = Annotated[str, typer.Argument(metavar="VERSION")]


@app.command()
def versions(store: Store = None, as_json: AsJson = False) -> None:
    """List the versions of a store, newest first."""
    from recsys.reports import versions_table
    from recsys.serving import store_path
    from recsys.store import list_versions

    folder = store_path(store)
    rows = list_versions(folder)
    if as_json:
        print_json(rows)
    else:
        console().print(versions_table(rows, f"versions in {folder}"))


@app.command()
def activate(
    version: VersionName,
    store: Store = None,
    force: Annotated[bool, typer.Option("--force", help="Even if a gate refused it.")] = False,
) -> None:
    """Make a version the current one."""
    from recsys.serving import store_path
    from recsys.store import activate

    activate(store_path(store), version, force=force)
    typer.echo(f"current: {version}")


@app.command()
def rollback(store: Store = None) -> None:
    """Make the version current that was current before; again: the one before that."""
    from recsys.serving import store_path
    from recsys.store import rollback

    typer.echo(f"current: {rollback(store_path(store))}")


@app.command()
def pin(version: VersionName, store: Store = None) -> None:
    """Keep a version from every prune."""
    from recsys.serving import store_path
    from recsys.store import pin

    typer.echo(f"pinned: {pin(store_path(store), version)}")


@app.command()
def unpin(version: VersionName, store: Store = None) -> None:
    """Leave a pinned version to the next prune."""
    from recsys.serving import store_path
    from recsys.store import unpin

    unpin(store_path(store), version)
    typer.echo(f"no longer pinned: {version}")


@app.command()
def prune(
    keep: Annotated[int, typer.Option("--keep", min=1, help="So many of the newest stay.")],
    store: Store = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be deleted, and delete nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Delete the oldest versions; not the current one, one to roll back to, pinned or open."""
    from dataclasses import asdict

    from recsys.serving import store_path
    from recsys.store import prune

    done = prune(store_path(store), keep, dry_run=dry_run)
    if as_json:
        print_json(asdict(done))
        return
    rows = [{"version": name, "": reason} for name, reason in done.kept.items()]
    rows += [{"version": name, "": "deleted"} for name in reversed(done.deleted)]
    print_rows(sorted(rows, key=lambda row: row["version"], reverse=True), title="versions")
    would = "would be " if dry_run else ""
    typer.echo(f"{len(done.deleted)} {would}deleted, {done.n_bytes / 1e6:.1f} MB")


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

"""Commands on a store: versions, activate, rollback, pin, prune, verify, export, drift."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import recsys
from recsys.base.errors import VersionNotFoundError
from recsys.cli.app import DEFAULT_STORE, AsJson, Store, app
from recsys.cli.output import console, note, print_json, print_rows, say
from recsys.cli.tables import checks_table, drift_table, status_lines, versions_table

if TYPE_CHECKING:
    from recsys.store import Manifest

VersionName = Annotated[str, typer.Argument(metavar="VERSION")]


@app.command()
def versions(store: Store = DEFAULT_STORE, as_json: AsJson = False) -> None:
    """List the versions of a store, newest first."""
    rows = recsys.store.describe_versions(store)
    if as_json:
        print_json(rows)
    else:
        console().print(versions_table(rows, f"versions in {store}"))
        for row in rows:
            if "damaged" in row:
                note(f"damaged: {row['version']}: {row['damaged']}")


@app.command()
def status(store: Store = DEFAULT_STORE, as_json: AsJson = False) -> None:
    """Show the current version, the last nights, and what needs a person (exit code 1)."""
    found = recsys.nightly.status(store)
    if as_json:
        print_json(found.to_dict())
    else:
        console(80).print(status_lines(found))
    if found.needs:
        sys.exit(1)


@app.command()
def activate(
    version: VersionName,
    store: Store = DEFAULT_STORE,
    force: Annotated[bool, typer.Option("--force", help="Even if a gate refused it.")] = False,
) -> None:
    """Make a version the current one."""
    recsys.activate(store, version, force=force)
    say(f"current: {version}")


@app.command()
def rollback(store: Store = DEFAULT_STORE) -> None:
    """Make the version current that was current before; again: the one before that."""
    say(f"current: {recsys.rollback(store)}")


@app.command()
def pin(version: VersionName, store: Store = DEFAULT_STORE) -> None:
    """Keep a version from every prune."""
    say(f"pinned: {recsys.pin(store, version)}")


@app.command()
def unpin(version: VersionName, store: Store = DEFAULT_STORE) -> None:
    """Leave a pinned version to the next prune."""
    recsys.unpin(store, version)
    say(f"no longer pinned: {version}")


@app.command()
def prune(
    keep: Annotated[int, typer.Option("--keep", min=1, help="So many of the newest stay.")],
    store: Store = DEFAULT_STORE,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be deleted, and delete nothing.")
    ] = False,
    without_locks: Annotated[
        bool,
        typer.Option("--without-locks", help="Where no file can be locked: nobody reads them."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Delete the oldest versions; not the current one, one to roll back to, pinned or open."""
    done = recsys.prune(store, keep, dry_run=dry_run, without_locks=without_locks)
    if as_json:
        print_json(asdict(done))
        return
    rows = [{"version": name, "": reason} for name, reason in done.kept.items()]
    rows += [{"version": name, "": "deleted"} for name in reversed(done.deleted)]
    print_rows(sorted(rows, key=lambda row: row["version"], reverse=True), title="versions")
    would = "would be " if dry_run else ""
    say(f"{len(done.deleted)} {would}deleted, {done.n_bytes / 1e6:.1f} MB")


@app.command()
def verify(
    version: Annotated[
        str | None, typer.Argument(metavar="[VERSION]", help="Default: the current one.")
    ] = None,
    store: Store = DEFAULT_STORE,
) -> None:
    """Check every file of a version against its manifest."""
    found = recsys.verify(store, version)
    say(f"{found.name}: every file is what its manifest says")


@app.command()
def export(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Its name, or current.")],
    to: Annotated[
        str,
        typer.Option("--to", help="numpy, faiss, pgvector, projector, word2vec, schema."),
    ],
    out: Annotated[Path, typer.Option("--out", help="A folder that is not there yet.")],
    store: Store = DEFAULT_STORE,
    only: Annotated[str | None, typer.Option("--only", help="users or items.")] = None,
    dtype: Annotated[str, typer.Option("--dtype", help="float32 or float16.")] = "float32",
) -> None:
    """Write the vectors of a version, or a page on its files, for another tool."""
    content = recsys.store.open_version(store, None if version == "current" else version)
    kinds: Any = (only,) if only else ("users", "items")
    chosen: Any = (to, dtype)  # what is none of the formats is refused there
    folder = recsys.export.export_version(
        content, chosen[0], out, kinds=kinds, dtype=chosen[1], progress=True
    )
    say(f"{content.version}: {to} in {folder}")


@app.command()
def drift(
    a: Annotated[str | None, typer.Argument(metavar="[A]", help="Default: parent of B.")] = None,
    b: Annotated[
        str | None, typer.Argument(metavar="[B]", help="Default: the current version.")
    ] = None,
    store: Store = DEFAULT_STORE,
    as_json: AsJson = False,
) -> None:
    """Show how version B differs from version A, and what of it is more than usual."""
    later = recsys.store.find_version(store, b)
    name = a or later.manifest.parent
    if name is None:
        raise VersionNotFoundError(f"version {later}: has no parent to compare it to; name another")
    earlier = recsys.store.find_version(store, name)
    monitoring = recsys.monitoring
    nights = monitoring.ancestors(earlier, monitoring.GateSettings.history)
    report = monitoring.drift(
        recsys.store.Content.of(earlier),
        recsys.store.Content.of(later),
        monitoring.learned_limits(nights),
    )
    if as_json:
        print_json(report.to_dict())
    else:
        console().print(drift_table(report))


def print_checks(manifest: "Manifest") -> None:
    """Print the checks of a published version that did not pass, or that all did."""
    measured = [check for check in manifest.checks if check.value is not None]
    failed = [check for check in measured if not check.passed]
    if failed:
        console().print(checks_table(failed, f"against {manifest.parent or 'popularity'}"))
    elif measured:
        against = f" against {manifest.parent}" if manifest.parent else ""
        left = len(manifest.checks) - len(measured)
        rest = f"; {left} could not be measured, see recsys drift" if left else ""
        note(f"all {len(measured)} checks{against} are within their limits{rest}")

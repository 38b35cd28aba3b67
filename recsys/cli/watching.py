"""Commands that watch: drift."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recsys.cli.app import app
from recsys.cli.arguments import AsJson, Store
from recsys.cli.output import console, note, print_json

if TYPE_CHECKING:
    from recsys.store import Manifest


@app.command()
def drift(
    a: Annotated[str | None, typer.Argument(metavar="[A]", help="Default: parent of B.")] = None,
    b: Annotated[
        str | None, typer.Argument(metavar="[B]", help="Default: the current version.")
    ] = None,
    store: Store = None,
    as_json: AsJson = False,
) -> None:
    """Show how version B differs from version A, and what of it is more than usual."""
    from recsys.errors import VersionNotFoundError
    from recsys.monitoring import drift, learned_limits, lineage
    from recsys.reports import drift_table
    from recsys.serving import store_path
    from recsys.store import find_version, read_version

    folder: Path = store_path(store)
    later = find_version(folder, b)
    earlier = a or later.manifest.parent
    if earlier is None:
        raise VersionNotFoundError(f"version {later}: has no parent to compare it to; name another")
    first = find_version(folder, earlier)
    report = drift(read_version(first), read_version(later), learned_limits(lineage(first, 10)))
    if as_json:
        print_json(report.to_dict())
    else:
        console().print(drift_table(report))


def print_checks(manifest: "Manifest") -> None:
    """Say what the checks of a published version found: what did not pass, or that all did."""
    from recsys.reports import checks_table

    measured = [check for check in manifest.checks if check.value is not None]
    failed = [check for check in measured if not check.passed]
    if failed:
        console().print(checks_table(failed, f"against {manifest.parent or 'popularity'}"))
    elif measured:
        beside = f" beside {manifest.parent}" if manifest.parent else ""
        note(f"all quiet: {len(measured)} checks{beside}, none above its limit")

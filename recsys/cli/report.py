"""The command that shows a version as a page: report, and the page at the end of a night."""

from pathlib import Path
from typing import Annotated

import typer

from recsys.cli.app import DEFAULT_STORE, Store, app
from recsys.cli.output import note, say

PAGE = "report.html"
_KILOBYTE = 1_000


@app.command("report")
def report_command(
    version: Annotated[
        str | None, typer.Argument(metavar="[VERSION]", help="Default: the current one.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="The page.")] = Path(PAGE),
    store: Store = DEFAULT_STORE,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the users drawn.")] = 0,
) -> None:
    """Show a version as a page: accuracy, checks, drift, long tail, ten users, ancestors."""
    name, n_bytes = save_report(store, version, out, seed)
    say(f"{out}: version {name}, {n_bytes / _KILOBYTE:,.0f} kB")


def save_report(store: Path, version: str | None, out: Path, seed: int = 0) -> tuple[str, int]:
    """Write the page of a version; return the name of the version and the bytes of the page."""
    # Here, as no other command needs what they import.
    from recsys.monitoring.version_report import version_report
    from recsys.pages.version_page import save_version_page

    report = version_report(store, version, seed=seed)
    return report.version, save_version_page(report, out)


def save_page_of_night(store: Path, version: str | None) -> None:
    """Write the page of what a night published, or refused, beside its report.

    Whatever is wrong with it is said, and is no fault of the night.
    """
    try:
        run = max((store / "runs").glob("*T*Z"))
        save_report(store, version, run / PAGE)
        note(f"a page of it: {run / PAGE}")
    except Exception as error:  # the night is done
        note(f"recsys: warning: no page of the night: {error}")

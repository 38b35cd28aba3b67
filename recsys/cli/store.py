"""Commands on a store: versions, activate, rollback, pin, prune, verify, export, drift."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import RenderableType

import recsys
from recsys.base.errors import CorruptVersionError
from recsys.cli.app import DEFAULT_STORE, AsJson, Out, Store, app
from recsys.cli.output import (
    Listing,
    cell,
    keep_table,
    note,
    print_json,
    print_rows,
    require_tables,
    say,
    show,
    trends,
)

if TYPE_CHECKING:
    from recsys.monitoring import DriftReport
    from recsys.nightly import StoreStatus
    from recsys.store import Check, Manifest

_UNITS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
_MARKS = ("current", "rollback", "pinned")
_FAULTS = {"damaged", "unreadable"}  # one of both at most
VersionName = Annotated[str, typer.Argument(metavar="VERSION")]
Deep = Annotated[
    bool, typer.Option("--deep", help="Look for damage in every byte, not in 32 MB a version.")
]


@app.command("versions")
def versions_command(
    store: Store = DEFAULT_STORE, deep: Deep = False, out: Out = None, as_json: AsJson = False
) -> None:
    """List the versions of a store, newest first."""
    require_tables(out)
    rows = recsys.store.describe_versions(store, deep=deep)
    keep_table(partial(recsys.store.table_of_described, rows), out)
    if as_json:
        print_json(rows)
    else:
        title = f"versions in {recsys.store.shown_store(store)}"
        show(_versions(rows, title), *trends(recsys.versions(store).charts()))
        for row in rows:
            for mark in _FAULTS & row.keys():
                note(f"{mark}: {row['version']}: {row[mark]}")
        _note_unread(sum(row.get("unread_bytes", 0) for row in rows))
    _warn_of_current(store)


@app.command("status")
def status_command(
    store: Store = DEFAULT_STORE, deep: Deep = False, as_json: AsJson = False
) -> None:
    """Show the current version, the last nights, and what needs a person (exit code 1)."""
    found = recsys.nightly.status(store, deep=deep)
    if as_json:
        print_json(found.to_dict())
    else:
        show(*_status(found), *trends(recsys.versions(store).charts()))
        _note_unread(found.unread_bytes)
    if found.needs:
        sys.exit(1)


@app.command("activate")
def activate_command(
    version: VersionName,
    store: Store = DEFAULT_STORE,
    force: Annotated[bool, typer.Option("--force", help="Even if a gate refused it.")] = False,
) -> None:
    """Make a version the current one."""
    recsys.activate(store, version, force=force)
    say(f"current: {version}")


@app.command("rollback")
def rollback_command(store: Store = DEFAULT_STORE) -> None:
    """Make the version current that was current before; again: the one before that."""
    say(f"current: {recsys.rollback(store)}")


@app.command("pin")
def pin_command(version: VersionName, store: Store = DEFAULT_STORE) -> None:
    """Keep a version from every prune."""
    say(f"pinned: {recsys.pin(store, version)}")


@app.command("unpin")
def unpin_command(version: VersionName, store: Store = DEFAULT_STORE) -> None:
    """Leave a pinned version to the next prune."""
    recsys.unpin(store, version)
    say(f"no longer pinned: {version}")


@app.command("prune")
def prune_command(
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


@app.command("verify")
def verify_command(
    version: Annotated[
        str | None, typer.Argument(metavar="[VERSION]", help="Default: the current one.")
    ] = None,
    store: Store = DEFAULT_STORE,
) -> None:
    """Check every file of a version against its manifest."""
    found = recsys.verify(store, version)
    say(f"{found.name}: every file is what its manifest says")


@app.command("export")
def export_command(
    to: Annotated[
        str,
        typer.Option("--to", help="numpy, faiss, pgvector, projector, atlas, word2vec, schema."),
    ],
    out: Annotated[Path, typer.Option("--out", help="A folder that is not there yet.")],
    version: Annotated[
        str, typer.Argument(metavar="[VERSION]", help="Default: the current one.")
    ] = "current",
    store: Store = DEFAULT_STORE,
    only: Annotated[str | None, typer.Option("--only", help="users or items.")] = None,
    dtype: Annotated[str, typer.Option("--dtype", help="float32 or float16.")] = "float32",
    sample: Annotated[
        int | None,
        typer.Option(
            "--sample",
            min=1,
            help="The most rows, drawn by popularity: for projector (default 10,000) and atlas.",
        ),
    ] = None,
) -> None:
    """Write the vectors of a version, or a page on its files, for another tool."""
    content = recsys.store.open_version(store, None if version == "current" else version)
    kinds: Any = (only,) if only else ("users", "items")
    chosen: Any = (to, dtype)  # what is none of the formats is refused there
    folder = recsys.export.export_version(
        content, chosen[0], out, kinds=kinds, dtype=chosen[1], sample=sample, progress=True
    )
    say(f"{content.version}: {to} in {folder}")
    for sentence in recsys.export.notes_of(folder):
        say(sentence)


@app.command("drift")
def drift_command(
    a: Annotated[str | None, typer.Argument(metavar="[A]", help="Default: parent of B.")] = None,
    b: Annotated[
        str | None, typer.Argument(metavar="[B]", help="Default: the current version.")
    ] = None,
    store: Store = DEFAULT_STORE,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Show how version B differs from version A, and what of it is more than usual."""
    require_tables(out)
    report = recsys.drift_between(store, a, b)
    keep_table(report.to_arrow, out)
    if as_json:
        print_json(report.to_dict())
    else:
        show(*_drift(report))


def print_checks(manifest: "Manifest") -> None:
    """Print the checks of a published version that did not pass, or that all did."""
    measured = [check for check in manifest.checks if check.value is not None]
    failed = [check for check in measured if not check.passed]
    if failed:
        show(_checks(failed, f"against {manifest.parent or 'popularity'}"))
    elif measured:
        against = f" against {manifest.parent}" if manifest.parent else ""
        left = len(manifest.checks) - len(measured)
        rest = f"; {left} could not be measured, see recsys drift" if left else ""
        note(f"all {len(measured)} checks{against} are within their limits{rest}")


def note_below_popularity(manifest: "Manifest") -> None:
    """Say on stderr where a model is below popularity, though not so far that a gate refused it."""
    own, popular = manifest.evaluation, manifest.metrics.get("popularity")
    if own is None or popular is None:
        return
    metric = f"{manifest.config['gates']['metric']}@{own.k}"
    value, other = own.metrics.get(metric), popular.metrics.get(metric)
    if value is not None and other is not None and value < other:
        is_named = manifest.model.choice is None
        advice = "without --model, the model that suits the log is chosen"
        note(
            f"recsys: warning: {metric} {value:.4f} is below the {other:.4f} of popularity: "
            f"{advice if is_named else 'recsys advise LOG compares models on the test part'}"
        )


def _checks(checks: "Iterable[Check]", title: str, caption: str = "") -> Listing:
    """Return checks as a table: value, threshold, whether it passed, and what was found."""
    rows = [
        [
            check.name,
            _number(check.value),
            _number(check.threshold),
            _passed(check),
            check.sentence.partition(": ")[2],
        ]
        for check in checks
    ]
    headings = ["check", "value", "threshold", "ok", "found"]
    return Listing(headings, rows, title, left=["check", "found"], caption=caption, prose=["found"])


def _passed(check: "Check") -> str:
    if check.value is None:
        return "-"
    if check.passed:
        return "yes"
    return "refused" if check.refuses else "no"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _drift(report: "DriftReport") -> list[Listing]:
    """Return the measures of a comparison as a table, and the items that moved most."""
    n_alarms = len(report.alarms)
    above = (
        "all within their limits" if report.is_quiet else f"{n_alarms} of them above their limit"
    )
    title = f"drift from {report.a} to {report.b}"
    measures = _checks(report.checks, title, caption=f"0 is no difference; {above}")
    if not report.moved:
        return [measures]
    moved = Listing(
        ["item", "1 - cosine", "users before"],
        [[one.item_id, f"{one.movement:.4f}", f"{one.popularity:,}"] for one in report.moved],
        title="moved most, by popularity times 1 - cosine",
        left=["item"],
    )
    return [measures, moved]


def _versions(rows: Sequence[Mapping[str, Any]], title: str) -> Listing:
    """Return a table of `recsys.store.describe_versions`, newest first.

    Of parent and space it shows the end and the start, enough to distinguish them.
    """
    headings = (
        *("version", "", "age", "parent", "space", "model", "users\nitems", "events", "window"),
        *("metric", "index", "MB"),
    )
    return Listing(headings, [_version(row) for row in rows], title, left=headings, is_dense=True)


def _version(row: Mapping[str, Any]) -> list[str]:
    marks = [mark for mark in _MARKS if row[mark]]
    marks += ["refused"] if row.get("status") == "refused" else []
    marks += _FAULTS & row.keys()
    if "status" not in row:
        return [row["version"], ", ".join(marks), *[""] * 10]
    recall = row["index_recall"]
    return [
        row["version"],
        ", ".join(marks),
        _age(row["age_seconds"]),
        (row["parent"] or "").rpartition("-")[2],
        row["space_id"][:8],
        f"{row['model']} {row['factors']}",
        f"{row['users']:,}\n{row['items']:,}",
        "" if row["events"] is None else f"{row['events']:,}",
        _window(row["window"]),
        _metric(row["metric"]),
        "" if recall is None else f"{recall:.3f}",
        f"{row['bytes'] / 1e6:.1f}",
    ]


def _note_unread(n_bytes: int) -> None:
    if n_bytes:
        note(f"of {n_bytes / 1e6:,.1f} MB only the sizes were checked: --deep reads every byte")


def _warn_of_current(store: Path) -> None:
    try:
        recsys.store.current(store)
    except CorruptVersionError as error:
        note(str(error))


def _age(seconds: int) -> str:
    """Return an age in its largest unit, such as "3 d"."""
    for unit, size in _UNITS:
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return "0 s"


def _window(window: Sequence[int] | None) -> str:
    if window is None:
        return ""
    start, end = (f"{datetime.fromtimestamp(second, UTC):%Y-%m-%d}" for second in window)
    return f"{start}\n{end}"


def _metric(metric: Mapping[str, Any] | None) -> str:
    if metric is None or metric["value"] is None:
        return ""
    low, high = metric["interval"] or (None, None)
    half = "" if low is None or high is None else f" ± {(high - low) / 2:.4f}"
    return f"{metric['name']}\n{metric['value']:.4f}{half}"


def _status(status: "StoreStatus") -> list[RenderableType]:
    """Return what `recsys status` prints."""
    age = "" if status.age_seconds is None else f", {_age(status.age_seconds)} old"
    disk = f"{status.store_bytes / 1e6:,.1f} MB, {status.free_bytes / 1e6:,.0f} MB free"
    lines = [
        f"store         {status.store}",
        f"current       {status.current or 'none'}{age}",
        f"versions      {status.versions}, {disk}",
        f"newest event  {status.newest_event or 'not known'}",
    ]
    parts: list[RenderableType] = [cell(line) for line in lines]
    if status.nights:
        headings = ["night", "result", "version", "reported"]
        rows = [
            [one.run, one.result, one.version, len(one.reported) or ""] for one in status.nights
        ]
        parts.append(Listing(headings, rows, title="last nights", left=headings))
        last = status.nights[0].reported
        parts += [cell(f"reported by the last night: {one}") for one in last]
    parts += [cell(f"needs a person: {one}") for one in status.needs]
    return parts if status.needs else [*parts, "all is well"]

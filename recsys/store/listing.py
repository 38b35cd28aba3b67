"""Describe all versions of a store in plain types."""

import itertools
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys.base.charts import Interval, LinePlot, interval_of, line_of
from recsys.base.durable import moment_of
from recsys.base.errors import (
    CorruptVersionError,
    StoreError,
    UnreadableError,
    VersionNotFoundError,
)
from recsys.base.plain import plain
from recsys.base.tables import table_of
from recsys.index import SHORT
from recsys.store.activations import names_before, pinned
from recsys.store.manifest import Manifest
from recsys.store.sound import damage_of, unread_bytes
from recsys.store.versions import Version, current_or_none, versions

if TYPE_CHECKING:
    import pyarrow as pa


def describe_versions(store: str | Path, *, deep: bool = False) -> list[dict[str, Any]]:
    """Describe every version in plain types, newest first; `versions` returns them to work with.

    Parameters
    ----------
    deep : bool
        Read every byte to find what is damaged; else the checksums of the smallest files are
        compared, up to 32 MB a version, and the sizes of the others. What a rollback would take is
        decided by the same look.

    Returns
    -------
    list of dict
        "version", "current", "rollback" (whether a rollback would take it), "pinned", "bytes",
        then, from the manifest: "status", "created", "age_seconds", "parent", "refreshed_from" (the
        version that a refresh added to, or None), "space_id", "model", "factors", "users", "items",
        "events", "window" (seconds since 1970), "fingerprint", "commit", "metric" (name, value,
        interval), "metrics" (all, by model), "index_recall".
        "unread_bytes" are those of files of which only the size was checked. Where a file is
        missing, or has another size or checksum, "damaged" describes that; where it is the
        manifest, in the place of all after "pinned". What cannot be read now, or not by this
        release, is "unreadable". Where CURRENT is damaged, none is "current".

    Raises
    ------
    StoreError
        If there is no store, or it cannot be read.
    """
    listed, pins, now = versions(store), pinned(store), current_or_none(store)
    rows = []
    errors: dict[str, Exception] = {}
    for version in listed:
        marks = {
            "version": version.name,
            "current": version.name == now,
            "rollback": False,
            "pinned": version.name in pins,
        }
        try:
            rows.append(marks | _described(version) | _checked(version, deep=deep))
        except (StoreError, FileNotFoundError) as error:
            errors[version.name] = error
            is_damaged = isinstance(error, CorruptVersionError | FileNotFoundError)
            is_pruned = isinstance(error, VersionNotFoundError)
            if version.folder.exists() or (version.remote is not None and not is_pruned):
                rows.append(marks | {"damaged" if is_damaged else "unreadable": str(error)})
    _mark_rollback(store, rows, errors)
    return rows


def table_of_versions(listed: Sequence[Version]) -> "pa.Table":
    """Return some versions of one store as a table, one row each, in their order."""
    names = [version.name for version in listed]
    store = listed[0].folder.parents[1] if listed else None
    found = [] if store is None else describe_versions(store)
    rows = {row["version"]: row for row in found}
    return table_of_described([rows[name] for name in names if name in rows])


def table_of_described(rows: Sequence[Mapping[str, Any]]) -> "pa.Table":
    """Return what `describe_versions` returns as a table, one row for each version."""
    return table_of(map(_row, rows))


def chart_of_versions(listed: Sequence[Version]) -> list[LinePlot]:
    """Return the main metric of some versions, the oldest first, with its interval.

    A line for each metric; versions that were not tested, or are damaged, are left out.
    """
    points: dict[str, list[tuple[float, float, Interval]]] = {}
    places: dict[float, str] = {}
    for place, version in enumerate(sorted(listed, key=lambda version: version.name)):
        try:
            metric = main_metric(version.manifest)
        except StoreError:
            continue
        if metric is not None and metric["value"] is not None:
            point = (place, metric["value"], interval_of(metric["interval"]))
            points.setdefault(metric["name"], []).append(point)
            places[place] = version.name
    if len(places) < 2:
        return []
    moments = {place: moment_of(name.partition("-")[0]) for place, name in places.items()}
    is_nightly = len({moment.date() for moment in moments.values()}) == len(moments)
    shown = "%m-%d" if is_nightly else "%m-%d %H:%M"
    nights = {place: format(moment, shown) for place, moment in moments.items()}
    lines = list(itertools.starmap(line_of, points.items()))
    return [LinePlot("versions", "night", ", ".join(points), lines, places=nights)]


def _row(described: Mapping[str, Any]) -> dict[str, Any]:
    """Return a version as a row: single values, of which one that is not known is None."""
    row = {name: described.get(name) for name in _COLUMNS}
    metric = described.get("metric")
    if metric is not None:
        low, high = metric["interval"] or (None, None)
        row |= {"metric": metric["name"], "value": metric["value"], "low": low, "high": high}
    if row["created"] is not None:
        row["created"] = datetime.fromisoformat(described["created"])
    return row


_COLUMNS = (
    *("version", "current", "model", "factors", "metric", "value", "low", "high"),
    *("users", "items", "events", "bytes", "index_recall", "created", "parent"),
    *("rollback", "pinned", "status", "damaged", "unreadable"),
)


def _mark_rollback(
    store: str | Path, rows: list[dict[str, Any]], errors: Mapping[str, Exception]
) -> None:
    """Mark what a rollback takes, as far as it is known: no file is read again."""
    by_name = {row["version"]: row for row in rows}
    for name in names_before(Path(store)):
        if isinstance(errors.get(name), UnreadableError):
            return
        if name not in errors and "damaged" not in by_name[name]:
            by_name[name]["rollback"] = True
            return


def _checked(version: Version, *, deep: bool) -> dict[str, Any]:
    damage = damage_of(version, quickly=not deep)
    unread = {"unread_bytes": 0 if deep else unread_bytes(version)}
    return unread if damage is None else unread | {"damaged": str(damage)}


def _described(version: Version) -> dict[str, Any]:
    manifest = version.manifest
    age = datetime.now(UTC) - datetime.fromisoformat(manifest.created)
    return {
        "bytes": version.n_bytes,
        "status": manifest.status,
        "created": manifest.created,
        "age_seconds": round(age.total_seconds()),
        "parent": manifest.parent,
        "refreshed_from": manifest.refreshed_from,
        "space_id": manifest.space_id,
        "model": manifest.model.name,
        "factors": manifest.factors,
        "users": manifest.n_users,
        "items": manifest.n_items,
        **{name: manifest.data.get(name) for name in ("events", "window", "fingerprint")},
        "commit": manifest.environment.get("commit"),
        "metric": main_metric(manifest),
        "metrics": plain(manifest.metrics),
        "index_recall": manifest.index.main.recall[SHORT],
    }


def main_metric(manifest: Manifest) -> dict[str, Any] | None:
    """Return ndcg of the published model, or its first metric; None where it was not tested."""
    if manifest.evaluation is None:
        return None
    values = manifest.evaluation.metrics
    name = next((one for one in values if one.startswith("ndcg@")), next(iter(values), None))
    if name is None:
        return None
    interval = manifest.evaluation.intervals.get(name)
    return {
        "name": name,
        "value": values[name],
        "interval": None if interval is None else list(interval),
    }

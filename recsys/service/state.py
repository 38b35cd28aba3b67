"""The state of a service for its dashboard: the open version, its gates, and the last nights."""

import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recsys.base.plain import plain
from recsys.base.service_settings import ServiceSettings
from recsys.service.handlers import Reply, encoded
from recsys.service.opened import Opened
from recsys.store import Manifest, versions
from recsys.store.item_json import json_text
from recsys.store.nights import nights_of

_NIGHTS = 14


def status(store: Path, opened: Opened | None, settings: ServiceSettings) -> Reply:
    """Answer with the open version, its checks, its metrics, and the last nights.

    Where no version is open the nights say why.
    """
    listed = versions(store)
    nights, unreadable = nights_of(store, _NIGHTS)
    known = {
        "version": None if opened is None else opened.version,
        **({} if opened is None else _of(opened)),
        "n_versions": len(listed),
        "newest_version": listed[0].name if listed else None,
        "nights": [asdict(night) for night in nights],
        "nights_unreadable": unreadable,
        "explore": settings.explore,
    }
    return Reply(encoded(json_text(plain(known))))


def _of(opened: Opened) -> dict[str, Any]:
    manifest = opened.manifest
    age = datetime.now(UTC) - datetime.fromisoformat(manifest.created)
    window = manifest.data.get("window")
    return {
        "opened_seconds_ago": round(time.time() - opened.since, 3),
        "created": manifest.created,
        "age_seconds": round(age.total_seconds()),
        "parent": manifest.parent,
        "refreshed_from": manifest.refreshed_from,
        "model": manifest.model.name,
        "factors": manifest.factors,
        "n_users": manifest.n_users,
        "n_items": manifest.n_items,
        "n_events": manifest.data.get("events"),
        "newest_event": None if not window else datetime.fromtimestamp(window[1], UTC).isoformat(),
        "metrics": _metrics(manifest),
        "checks": [asdict(check) for check in manifest.checks],
    }


def _metrics(manifest: Manifest) -> list[dict[str, Any]]:
    """Return the metrics of the published model, each beside that of popularity."""
    own, other = manifest.evaluation, manifest.metrics.get("popularity")
    if own is None:
        return []
    return [
        {
            "name": name,
            "value": value,
            "interval": own.intervals.get(name),
            "popularity": None if other is None else other.metrics.get(name),
        }
        for name, value in own.metrics.items()
    ]

"""Whether a night has nothing new: then the current version stays, and none is published."""

import json
from collections.abc import Mapping
from typing import Any

from recsys.base.distribution import installed_version
from recsys.logs import attributes_of
from recsys.logs.log_summary import fingerprint_of
from recsys.nightly.context import Context
from recsys.store import Content, Version, current_or_none
from recsys.store.manifest import plain
from recsys.training import plain_settings

_OF_THE_LOG = ("since", "until")  # which the fingerprint answers


def unchanged(night: Context) -> Version | None:
    """Return the current version where a night would publish the same again, None elsewhere.

    It is sound, and was made of the same events and attributes, with the same settings, by the same
    release of recsys. A test part of its own is not compared: such a night is never idle.
    """
    parent, settings = night.parent, night.settings
    if not settings.nightly.reuse_unchanged or parent is None or settings.data.test:
        return None
    manifest = parent.version.manifest
    is_same = (
        current_or_none(night.store) == parent.version.name
        and manifest.environment.get("packages", {}).get("recsys") == installed_version()
        and _compared(manifest.config) == _compared(plain_settings(settings))
        and manifest.log.events == len(night.log)
        and manifest.log.fingerprint == fingerprint_of(night.log)
        and _has_same_attributes(night, parent)
    )
    return parent.version if is_same else None


def _compared(config: Mapping[str, Any]) -> Any:
    """Return the settings that decide on the content of a version."""
    tables = json.loads(json.dumps(plain(config)))
    kept = {name: tables.get(name) for name in ("log", "model", "evaluation", "alignment", "index")}
    kept["log"] = {k: v for k, v in (kept["log"] or {}).items() if k not in _OF_THE_LOG}
    return kept


def _has_same_attributes(night: Context, parent: Content) -> bool:
    if night.attributes is None or parent.attributes is None:
        return night.attributes is None and parent.attributes is None
    new = attributes_of(night.attributes, night.log.items)
    before = parent.attributes
    if new.column_names != before.column_names:
        return False
    return bool(new.drop_columns(["item_id"]).equals(before.drop_columns(["item_id"])))

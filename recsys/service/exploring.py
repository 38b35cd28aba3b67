"""What the explorer asks beside the routes for all: users to pick, and lists of other versions."""

from typing import Any

import numpy as np
import pyarrow as pa

from recsys.base.errors import StoreError, briefly
from recsys.service.handlers import Asked, Reply, encoded, of_anybody
from recsys.service.opened import Opened
from recsys.service.problems import ProblemError
from recsys.store import versions
from recsys.store.item_json import json_text
from recsys.store.listing import main_metric
from recsys.store.versions import is_version_name
from recsys.vectors import Id

CURRENT = "current"
"""What stands for the name of the current version in a path."""


def users(asked: Asked) -> Reply:
    """Answer with users whose ids begin with a text, or with some of all."""
    opened, start, k = asked.opened, asked.given.get("start", ""), asked.given.get("k", 10)
    ids, seen = opened.content.users.ids, opened.content.users.seen
    rows = _beginning(ids.values, start) if start else _some(len(ids), 2 * k)
    found: list[dict[str, Any]] = []
    for row in rows.tolist():
        id_: Id = ids[row]
        if not opened.fresh.is_forgotten(id_):
            found.append({"user_id": id_, "n_items": len(seen[row])})
        if len(found) == k:
            break
    known = {"users": found, "n_users": len(ids), "version": opened.version}
    return Reply(encoded(json_text(known)))


def _beginning(ids: pa.Array, start: str) -> "np.ndarray[Any, Any]":
    """Return the rows of the ids that begin with a text, the id itself first."""
    import pyarrow.compute as pc  # not needed by who does not explore

    texts = ids if pa.types.is_large_string(ids.type) else ids.cast(pa.string())
    rows: np.ndarray[Any, Any] = np.flatnonzero(pc.starts_with(texts, start).to_numpy(False))
    is_whole = pc.equal(texts.take(pa.array(rows)), start).to_numpy(False)
    return rows[np.argsort(~is_whole, kind="stable")]


def _some(n: int, k: int) -> "np.ndarray[Any, Any]":
    return np.random.default_rng().choice(n, min(n, k), replace=False)


def listed_versions(asked: Asked) -> Reply:
    """Answer with the versions of the store, newest first."""
    store = asked.opened.store
    found = []
    for version in versions(store):
        known: dict[str, Any] = {
            "version": version.name,
            "is_current": version.name == asked.opened.version,
        }
        try:
            manifest = version.manifest
        except (StoreError, FileNotFoundError):  # damaged, or pruned just now
            found.append(known | {"is_readable": False})
            continue
        known |= {
            "is_readable": True,
            "created": manifest.created,
            "status": manifest.status,
            "model": manifest.model.name,
            "factors": manifest.factors,
            "n_users": manifest.n_users,
            "n_items": manifest.n_items,
            "metric": main_metric(manifest),
        }
        found.append(known)
    return Reply(encoded(json_text({"versions": found, "version": asked.opened.version})))


def of_version(asked: Asked) -> Reply:
    """Answer as `/v1/recommendations`, from any version of the store."""
    name, opened = asked.path["version"], asked.opened
    if name not in (CURRENT, opened.version):
        opened = _other(asked.opened, name)
    reply = of_anybody(asked._replace(opened=opened))
    return reply._replace(opened=opened)


def _other(opened: Opened, name: str) -> Opened:
    if not is_version_name(name) or all(one.name != name for one in versions(opened.store)):
        raise ProblemError("no_route", f"expected a version of the store, got {briefly(name)}")
    if opened.others is None:
        raise ProblemError("no_route", "expected the current version")
    try:
        return opened.others.get(name)
    except StoreError as error:  # no failure of the service, which answers from a sound one
        raise ProblemError("no_route", f"version {name} cannot be opened: it is damaged") from error

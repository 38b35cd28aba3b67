"""Stages that belong to other rooms: each does its work where the function is there.

Each returns None where it is not, and the night says that it left the stage out.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from recsys.config import Settings
from recsys.store import Content
from recsys.vectors import Embeddings, Ids


def align(
    _embeddings: Embeddings, _users: Ids, _items: Ids, _parent: Content | None
) -> tuple[Embeddings, str] | None:
    """Turn embeddings to where those of the parent lie; return them and their space_id."""
    return None


def gates(_settings: Settings) -> Callable[..., Any] | None:
    """Return what judges a version before it is published, as `publish` takes it."""
    return None


def prune(_store: Path, _keep: int) -> tuple[str, ...] | None:
    """Delete all but the newest versions; return the names of those deleted."""
    return None

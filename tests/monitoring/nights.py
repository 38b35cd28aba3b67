"""Versions to compare: what one night published, and what another did."""

from pathlib import Path
from typing import Any

import numpy as np

from recsys.logs import Interactions, summarize
from recsys.models import ALS
from recsys.models.protocol import popularity_of
from recsys.settings import IndexSettings
from recsys.store import Content, ModelSpec, Release, publish
from recsys.vectors import Embeddings
from tests.worlds import tastes

EXACT = IndexSettings(kind="exact")


def a_log() -> Interactions:
    """Four tastes: item i is of taste i modulo 4, and so is what user i picks."""
    return tastes(n_users=200, n_items=120, per_user=8)


def release_of(log: Interactions, **changes: Any) -> Release:
    """Fit a small model, in a space whose name is given, so that vectors can be compared."""
    user_items = log.user_items()
    parts = {
        "embeddings": ALS(factors=8, regularization=0.1).fit(user_items),
        "users": log.users,
        "items": log.items,
        "seen": user_items,
        "popularity": popularity_of(user_items),
        "model": ModelSpec("als", {"factors": 8}),
        "data": summarize(log).to_dict(),
        "space_id": "one",
    }
    return Release(**(parts | changes))


def published(store: Path, release: Release) -> Content:
    return Content.of(publish(store, release, EXACT))


def rotated(embeddings: Embeddings, seed: int = 0) -> Embeddings:
    """Turn users and items alike, which changes no score."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.standard_normal((embeddings.factors, embeddings.factors)))
    return Embeddings(
        *((matrix @ turn).astype(np.float32) for matrix in (embeddings.users, embeddings.items))
    )

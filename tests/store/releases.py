"""Small releases to publish."""

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from recsys.models.protocol import popularity_of
from recsys.store import EvaluationSummary, ModelSpec, Release
from recsys.vectors import Embeddings, Ids

MEASURED = EvaluationSummary(
    k=20,
    n_users=12,
    n_items=30,
    metrics={"ndcg@20": 0.5},
    intervals={"ndcg@20": (0.4, 0.6)},
    left_out={},
)

ODD_IDS = [
    "with space",
    'a "quoted" id',
    "it's",
    "sl/ash\\back",
    "../../etc/passwd",
    "🦄 emoji",
    "line\nbreak",
    "x" * 10_000,
    "",
    "07",
]


def small_release(
    n_users: int = 12,
    n_items: int = 30,
    factors: int = 4,
    seed: int = 0,
    *,
    user_ids=None,
    item_ids=None,
    titles: bool = True,
    **changes,
) -> Release:
    """Embeddings of small whole numbers, random histories, and a model that can fold in."""
    rng = np.random.default_rng(seed)
    seen = sp.random_array((n_users, n_items), density=0.2, rng=rng, format="csr")
    items = Ids(item_ids or [f"i{row}" for row in range(n_items)])
    parts = {
        "embeddings": Embeddings(
            rng.integers(-3, 4, (n_users, factors)).astype(np.float32),
            rng.integers(-3, 4, (n_items, factors)).astype(np.float32),
        ),
        "users": Ids(user_ids or [f"u{row}" for row in range(n_users)]),
        "items": items,
        "seen": seen,
        "popularity": popularity_of(seen),
        "model": ModelSpec("als", {"factors": factors}),
        "attributes": pa.table(
            {"item_id": items.values, "title": [f"Title {row}" for row in range(n_items)]}
        )
        if titles
        else None,
        "metrics": {"als": MEASURED},
    }
    return Release(**(parts | changes))
